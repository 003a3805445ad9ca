//! Native implementations are under the same checks: the smallest plugin that passes.

use forebay_plugin::{
    Action, CallError, CheckpointDuty, ClusterSpec, Decision, Description, Ending, Event,
    ExitReport, FinishRule, JobEnd, JobFailure, JobSpec, JobView, LaunchPlan, LaunchRequest,
    Manifest, Moment, NodeId, NodePhase, NodeRunner, NodeView, PlaceRequest, Preparation, Program,
    Readiness, RecoveryScope, RolePolicy, StateMachine, StopOrder, Verdict, VerdictKind,
};
use forebay_test_conformance::{Subject, failures};

use crate::support;

/// Looks at what is, and has no state.
struct Smallest(Description);

impl StateMachine for Smallest {
    fn describe(&self) -> &Description {
        &self.0
    }

    fn decide(
        &self,
        _: &JobSpec,
        _: &Moment,
        view: &JobView,
        state: &[u8],
        events: &[Event],
    ) -> Result<Decision, CallError> {
        let stop = state == b"stop"
            || events
                .iter()
                .any(|event| matches!(event, Event::StopRequested(_)));
        let state = if stop { b"stop".to_vec() } else { Vec::new() };
        let actions = if stop { wind_down(view) } else { go_on(view) };
        Ok(Decision {
            state,
            phase: "running".to_owned(),
            note: None,
            actions,
        })
    }

    fn migrate(&self, _: &str, state: &[u8]) -> Result<Vec<u8>, CallError> {
        Ok(state.to_vec())
    }
}

fn nodes(view: &JobView, wanted: impl Fn(&NodeView) -> bool) -> Vec<NodeId> {
    let of = view.roles.iter().flat_map(|role| {
        (0..)
            .zip(&role.nodes)
            .map(|(index, node)| (NodeId::new(&role.role, index), node))
    });
    of.filter(|(_, node)| wanted(node))
        .map(|(id, _)| id)
        .collect()
}

fn wind_down(view: &JobView) -> Vec<Action> {
    let live = nodes(view, |node| node.phase.is_live());
    if live.is_empty() {
        return vec![Action::Finish(JobEnd::Stopped)];
    }
    vec![Action::Stop(StopOrder {
        nodes: live,
        grace_ms: 1_000,
    })]
}

fn go_on(view: &JobView) -> Vec<Action> {
    if let Some(node) = nodes(view, |node| node.last == Some(VerdictKind::Fatal)).pop() {
        let reason = format!("{node} failed");
        return vec![Action::Finish(JobEnd::Failed(JobFailure {
            reason,
            node: Some(node),
        }))];
    }
    if nodes(view, |node| node.last != Some(VerdictKind::Finished)).is_empty() {
        return vec![Action::Finish(JobEnd::Succeeded)];
    }
    let absent = nodes(view, |node| node.phase == NodePhase::Absent);
    let placed = nodes(view, |node| node.phase == NodePhase::Placed);
    match (absent.is_empty(), placed.is_empty()) {
        (false, _) => vec![Action::Place(PlaceRequest {
            nodes: absent,
            avoid: vec![],
            deadline_ms: 0,
        })],
        (true, false) => vec![Action::Publish(placed.clone()), Action::Start(placed)],
        (true, true) => vec![],
    }
}

impl NodeRunner for Smallest {
    fn describe(&self) -> &Description {
        &self.0
    }

    fn prepare(&self, job: &JobSpec) -> Result<Preparation, CallError> {
        let policy = |role: &forebay_plugin::RoleSpec| RolePolicy {
            role: role.name.clone(),
            finish: FinishRule::All,
            recovery: RecoveryScope::Node,
            adapts: false,
            ready_when: Readiness::Started,
            checkpoint: CheckpointDuty::None,
            ports: vec![],
        };
        Ok(Preparation {
            policies: job.roles.iter().map(policy).collect(),
            ..Preparation::default()
        })
    }

    fn plan(
        &self,
        _: &JobSpec,
        _: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, CallError> {
        let plan = |request: &LaunchRequest| LaunchPlan {
            node: request.node.clone(),
            program: Program::RoleCommand,
            arguments: vec![],
            environment: vec![],
            unset: vec![],
            files: vec![],
        };
        Ok(requests.iter().map(plan).collect())
    }

    fn interpret_exit(&self, _: &JobSpec, report: &ExitReport) -> Result<Verdict, CallError> {
        let kind = if report.ending == Ending::Code(0) {
            VerdictKind::Finished
        } else {
            VerdictKind::Fatal
        };
        Ok(Verdict {
            kind,
            reason: format!("{} ended", report.node),
            hint: None,
        })
    }
}

#[test]
fn the_smallest_plugin_passes() {
    let manifest =
        Manifest::parse("id = 'smallest'\nversion = '1.0.0'\nstate-format = 'none'").unwrap();
    let smallest = || Smallest(manifest.description());
    let found = failures(&Subject {
        manifest: manifest.clone(),
        machine: &|| Some(Box::new(smallest())),
        runner: &|| Some(Box::new(smallest())),
        job: support::job(&[("worker", 2)]),
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}
