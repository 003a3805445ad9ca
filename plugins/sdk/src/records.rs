//! Constructors and small helpers of the generated records.

use std::fmt;

use crate::{
    CheckpointDuty, FinishRule, JobSpec, LaunchPlan, NodeId, PluginError, PortNeed, Preparation,
    Program, Readiness, RecoveryScope, RolePolicy, RoleSpec, Verdict, VerdictKind,
};

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.role, self.index)
    }
}

impl NodeId {
    /// The node of this role and index.
    pub fn new(role: impl Into<String>, index: u32) -> Self {
        Self {
            role: role.into(),
            index,
        }
    }

    /// Another node of the same role.
    #[must_use]
    pub fn sibling(&self, index: u32) -> Self {
        Self::new(self.role.clone(), index)
    }
}

impl JobSpec {
    /// The role of this name.
    pub fn role(&self, name: &str) -> Option<&RoleSpec> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// Whether the dataflow feeds any role.
    pub fn has_input(&self) -> bool {
        self.roles.iter().any(|role| role.has_input)
    }
}

impl RoleSpec {
    /// A role of a fixed size without program, input, policy and properties: for implied roles and tests.
    pub fn new(name: impl Into<String>, nodes: u32) -> Self {
        Self {
            name: name.into(),
            nodes,
            nodes_min: nodes,
            nodes_max: nodes,
            has_program: false,
            has_input: false,
            has_output: false,
            gpus_per_node: 0,
            policy: None,
            properties: Vec::new(),
        }
    }

    /// Key of one of its settings in the job file: `roles.worker.nodes`.
    pub fn key(&self, setting: &str) -> String {
        format!("roles.{}.{setting}", self.name)
    }

    /// Whether its policy has this finish rule.
    pub fn finishes(&self, rule: FinishRule) -> bool {
        self.policy
            .as_ref()
            .is_some_and(|policy| policy.finish == rule)
    }
}

impl RolePolicy {
    /// The policy of a role that restarts node by node, is ready when started, takes no part in checkpoints and needs no
    /// ports. Name the fields that differ and take the rest from here.
    pub fn new(role: impl Into<String>, finish: FinishRule) -> Self {
        Self {
            role: role.into(),
            finish,
            recovery: RecoveryScope::Node,
            adapts: false,
            ready_when: Readiness::Started,
            checkpoint: CheckpointDuty::None,
            ports: Vec::new(),
        }
    }
}

impl PortNeed {
    /// A port that every node of the role has.
    pub fn each(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            first_only: false,
        }
    }

    /// A port that node 0 alone has.
    pub fn first(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            first_only: true,
        }
    }
}

impl Default for Preparation {
    /// Nothing: no policies, no implied roles, no problems, no hold at barriers.
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            implied: Vec::new(),
            hold_at_barrier: false,
            problems: Vec::new(),
        }
    }
}

impl LaunchPlan {
    /// Runs the program without anything added.
    pub fn new(node: &NodeId, program: Program) -> Self {
        Self {
            node: node.clone(),
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            unset: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds an environment variable.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and texts alike are given by value"
    )]
    pub fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Hides these variables of the agent's own environment from the program.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.unset
            .extend(names.iter().map(|name| (*name).to_owned()));
        self
    }
}

impl PluginError {
    /// The code is stable and in lower-case-with-dashes.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// Says how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Bytes of a text for people that the helpers keep; the host takes no more than 4 KiB.
const TEXT_BYTES: usize = 2_000;

/// The text, cut where it is too long for people and without control characters; exceptions may carry whole tensors, and
/// properties anything.
pub fn clip(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_BYTES);
    let printable = |character: &char| !character.is_control() || matches!(character, '\n' | '\t');
    let kept = text.get(..end).unwrap_or(text);
    let mut clipped: String = kept.chars().filter(printable).collect();
    if end < text.len() {
        clipped.push('…');
    }
    clipped
}

impl Verdict {
    /// It did its work.
    pub fn finished(reason: impl Into<String>) -> Self {
        Self::new(VerdictKind::Finished, reason)
    }

    /// It may succeed when started again.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::new(VerdictKind::Retry, reason)
    }

    /// It may succeed with other ports.
    pub fn retry_elsewhere(reason: impl Into<String>) -> Self {
        Self::new(VerdictKind::RetryElsewhere, reason)
    }

    /// It would fail again.
    pub fn fatal(reason: impl Into<String>) -> Self {
        Self::new(VerdictKind::Fatal, reason)
    }

    fn new(kind: VerdictKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: clip(&reason.into()),
            hint: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
