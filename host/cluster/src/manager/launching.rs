//! New attempts: the node runner is asked for its plans, and each becomes an order to an agent.

use std::collections::{BTreeMap, HashMap};

use forebay_job::{Program as JobProgram, Role};
use forebay_plugin::{LaunchPlan, LaunchRequest, NodeId, NodePhase, Program, Readiness, Valid};

use super::actions::{Id, action_id};
use super::core::Core;
use super::outstanding::Awaits;
use crate::preparation::spec_of_runner;
use crate::submission::{SubmittedFile, script_path};
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::{self, NodeLimits, StagedFile, Start, program, readiness};
use crate::wire::to_wire;

/// Nodes in one call of `plan`: each plan may carry the whole cluster, and an answer has a limit of bytes.
const PLANS_AT_ONCE: usize = 64;

impl Core {
    /// A new attempt of each of these nodes; none of them has a live one.
    pub(super) fn launch(&mut self, action: Id, nodes: &[NodeId]) {
        let mut by_runner: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
        for id in nodes {
            if let Some(role) = self.prepared.job.role(&id.role) {
                by_runner
                    .entry(role.plugin.clone())
                    .or_default()
                    .push(id.clone());
            }
        }
        for (runner, nodes) in by_runner {
            self.launch_with(action, &runner, &nodes);
        }
    }

    fn launch_with(&mut self, action: Id, runner: &str, nodes: &[NodeId]) {
        let spec = spec_of_runner(&self.prepared.spec, &self.prepared.job, runner);
        let cluster = self.cluster_of_runner(runner);
        for nodes in nodes.chunks(PLANS_AT_ONCE) {
            let requests: Vec<LaunchRequest> = nodes
                .iter()
                .filter_map(|id| self.next_attempt(id))
                .collect();
            let Some(plugin) = self.plugins.runners.get(runner) else {
                return;
            };
            match plugin.plan(&spec, &cluster, &requests) {
                Err(error) => return self.quarantine_of(&error),
                Ok(plans) => {
                    for (request, plan) in requests.iter().zip(plans) {
                        self.order_start(action, request, plan);
                    }
                }
            }
        }
    }

    fn next_attempt(&self, id: &NodeId) -> Option<LaunchRequest> {
        let attempt = self.tables.node(id)?.attempt + 1;
        Some(LaunchRequest {
            node: id.clone(),
            attempt,
            place: self.member(id)?,
        })
    }

    fn order_start(&mut self, action: Id, request: &LaunchRequest, plan: Valid<LaunchPlan>) {
        let id = &request.node;
        let Some(role) = self.prepared.job.role(&id.role).cloned() else {
            return;
        };
        let generation = self.tables.generation;
        let Some(node) = self.tables.node_mut(id) else {
            return;
        };
        let Some(agent) = node.place.as_ref().map(|place| place.agent) else {
            return;
        };
        node.attempt = request.attempt;
        node.phase = NodePhase::Starting;
        node.generation = generation;
        node.done = false;
        let start = Start {
            action: Some(action_id(action, self.tables.ordinal(&request.node))),
            ..self.start_order(request, &role, plan.into_inner())
        };
        let message = ToAgent::Start(start);
        self.outstanding.add(
            agent,
            Awaits::Start(id.clone(), request.attempt),
            message.clone(),
        );
        self.tell(agent, message);
        self.show(id);
    }

    fn start_order(&self, request: &LaunchRequest, role: &Role, plan: LaunchPlan) -> Start {
        let policy = self
            .prepared
            .spec
            .role(&role.name)
            .and_then(|role| role.policy.as_ref());
        // The job file's own variables win over the plugin's.
        let environment = plan
            .environment
            .into_iter()
            .chain(role.environment.clone())
            .collect();
        let files = self
            .setting
            .files
            .get(&role.name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        Start {
            action: None,
            node: Some(to_wire(&request.node)),
            attempt: request.attempt,
            program: Some(self.program(role, &plan.program)),
            arguments: plan.arguments,
            environment,
            files: plan
                .files
                .into_iter()
                .map(|file| cluster::LaunchFile {
                    path: file.path,
                    content: file.content,
                })
                .collect(),
            staged: files.iter().map(staged).collect(),
            readiness: Some(wire_readiness(policy.map(|policy| &policy.ready_when))),
            limits: Some(limits(role)),
            cluster: Some(self.wire_cluster()),
            parameters: self.parameters(role),
            restore_checkpoint: None,
            unset: plan.unset,
            cores: role.resources.cores.unwrap_or_default(),
        }
    }

    /// Properties of the job, then of the role, which win.
    fn parameters(&self, role: &Role) -> HashMap<String, String> {
        self.prepared
            .job
            .properties
            .clone()
            .into_iter()
            .chain(role.properties.clone())
            .collect()
    }

    fn program(&self, role: &Role, wanted: &Program) -> cluster::Program {
        let interpreter = || cluster::Interpreter {
            name: role.interpreter.clone().unwrap_or_default(),
            base: self.prepared.job.base.to_string_lossy().into_owned(),
        };
        let kind = match (wanted, &role.program) {
            (Program::Executable(path), _) => command(vec![path.clone()]),
            (Program::RoleCommand, JobProgram::Command(words)) => {
                command(words.iter().chain(&role.arguments).cloned().collect())
            }
            (Program::RoleCommand, JobProgram::Script(_)) => {
                program::Kind::Script(cluster::ScriptProgram {
                    interpreter: Some(interpreter()),
                    path: script_path(&role.program).unwrap_or_default(),
                    arguments: role.arguments.clone(),
                })
            }
            (Program::Interpreter, _) | (Program::RoleCommand, JobProgram::Plugin) => {
                program::Kind::Interpreter(interpreter())
            }
        };
        cluster::Program { kind: Some(kind) }
    }
}

fn command(words: Vec<String>) -> program::Kind {
    program::Kind::Command(cluster::CommandProgram { words })
}

fn staged(file: &SubmittedFile) -> StagedFile {
    StagedFile {
        path: file.path.clone(),
        sha256: file.sha256.clone(),
        bytes: file.bytes,
        executable: file.executable,
    }
}

fn wire_readiness(ready_when: Option<&Readiness>) -> cluster::Readiness {
    let kind = match ready_when {
        Some(Readiness::Attached) => readiness::Kind::Attached(cluster::Attached {}),
        Some(Readiness::Listening(port)) => readiness::Kind::Listening(port.clone()),
        Some(Readiness::Started) | None => readiness::Kind::Started(cluster::Started {}),
    };
    cluster::Readiness { kind: Some(kind) }
}

fn limits(role: &Role) -> NodeLimits {
    let ms =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    NodeLimits {
        start_within_ms: ms(role.limits.start_within),
        report_within_ms: ms(role.limits.report_within),
        stall_kill_ms: ms(role.limits.stall_kill),
        linger_grace_ms: ms(role.limits.linger_within),
        log_bytes: role.limits.log_bytes,
    }
}
