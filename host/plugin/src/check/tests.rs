//! The checks, seen from outside: native fakes that give one prepared answer.

mod decisions;
mod plans;
mod preparations;
mod verdicts;

use std::error::Error;
use std::fmt::Write;

use crate::error::{Call, CallError, Fault};
use crate::grants::Grants;
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::traits::{NodeRunner, StateMachine};
use crate::types::*;

/// A plugin that always answers the same.
#[derive(Clone, Default)]
struct Fake {
    description: Description,
    decision: Decision,
    preparation: Preparation,
    plans: Vec<LaunchPlan>,
    verdict: Option<Verdict>,
}

impl StateMachine for Fake {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn decide(
        &self,
        _: &JobSpec,
        _: &Moment,
        _: &JobView,
        _: &[u8],
        _: &[Event],
    ) -> Result<Decision, CallError> {
        Ok(self.decision.clone())
    }

    fn migrate(&self, _: &str, state: &[u8]) -> Result<Vec<u8>, CallError> {
        Ok(state.to_vec())
    }
}

impl NodeRunner for Fake {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn prepare(&self, _: &JobSpec) -> Result<Preparation, CallError> {
        Ok(self.preparation.clone())
    }

    fn plan(
        &self,
        _: &JobSpec,
        _: &ClusterSpec,
        _: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, CallError> {
        Ok(self.plans.clone())
    }

    fn interpret_exit(&self, _: &JobSpec, report: &ExitReport) -> Result<Verdict, CallError> {
        let quoted = || report.error.as_ref().map(|error| error.message.clone());
        Ok(self.verdict.clone().unwrap_or_else(|| Verdict {
            kind: VerdictKind::Fatal,
            reason: quoted().unwrap_or_default(),
            hint: None,
        }))
    }
}

/// What became of an answer: `valid`, or the error without the part that is the same for all.
fn outcome<T>(answer: Result<T, CallError>) -> String {
    let Err(error) = answer else {
        return "valid".to_owned();
    };
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(source) = cause {
        let _ = write!(text, "{}{source}", if text.is_empty() { "" } else { ": " });
        cause = source.source();
    }
    text
}

/// One line a case.
fn table(cases: impl IntoIterator<Item = (impl AsRef<str>, String)>) -> String {
    let lines = cases
        .into_iter()
        .map(|(name, outcome)| format!("{}: {outcome}", name.as_ref()));
    lines.collect::<Vec<_>>().join("\n")
}

fn node(text: &str) -> NodeId {
    text.parse().unwrap()
}

fn nodes(texts: &[&str]) -> Vec<NodeId> {
    texts.iter().map(|text| node(text)).collect()
}

fn role(name: &str, nodes: u32) -> RoleSpec {
    RoleSpec {
        name: name.to_owned(),
        nodes,
        nodes_min: 1,
        nodes_max: nodes + 1,
        has_program: true,
        has_input: false,
        has_output: false,
        gpus_per_node: 0,
        policy: None,
        properties: Vec::new(),
    }
}

fn job() -> JobSpec {
    JobSpec {
        name: "mill".to_owned(),
        guarantee: Guarantee::None,
        roles: vec![
            RoleSpec {
                has_input: true,
                ..role("worker", 3)
            },
            role("server", 1),
        ],
        properties: Vec::new(),
    }
}

#[test]
fn an_error_names_plugin_and_call() {
    let error = CallError::new("mill", Call::Plan, Fault::Host("no thread".to_owned()));
    assert_eq!(error.to_string(), "`plan` of plugin `mill` failed");
    assert_eq!(
        outcome::<()>(Err(error)),
        "the host could not call it: no thread"
    );
}
