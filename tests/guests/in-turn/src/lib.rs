//! A state machine with other rules than the standard one: the nodes of a job run one after the other, in the order of
//! the job file, each when the one before it has finished.
//!
//! It knows no framework, and it neither restarts nor scales anything. Start from [`InTurn`].

use forebay_plugin_sdk::{
    Action, Decision, Event, JobEnd, JobFailure, JobSpec, JobView, Moment, NodeId, NodePhase,
    NodeView, PlaceRequest, Plugin, PluginError, StateMachine, VerdictKind,
};

/// How long its nodes may wait for room.
const PLACE_WITHIN_MS: u64 = 10_000;

/// The plugin.
#[derive(Debug)]
pub struct InTurn;

impl Plugin for InTurn {
    const ID: &'static str = "in-turn";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_FORMAT: &'static str = "in-turn-1";
}

impl StateMachine for InTurn {
    fn decide(
        _job: &JobSpec,
        _now: &Moment,
        view: &JobView,
        _state: &[u8],
        events: &[Event],
    ) -> Result<Decision, PluginError> {
        let (phase, actions) = step(view, events);
        Ok(Decision {
            state: b"begun".to_vec(),
            phase: phase.to_owned(),
            note: None,
            actions,
        })
    }
}

fn step(view: &JobView, events: &[Event]) -> (&'static str, Vec<Action>) {
    let asked = |event: &Event| matches!(event, Event::StopRequested(_));
    if events.iter().any(asked) {
        return ("stopping", vec![Action::Finish(JobEnd::Stopped)]);
    }
    let lack = events.iter().find_map(|event| match event {
        Event::PlaceFailed((_, reason)) => Some(reason.clone()),
        _ => None,
    });
    if let Some(reason) = lack {
        return failed(reason, None);
    }
    let absent = nodes_in(view, NodePhase::Absent);
    if !absent.is_empty() {
        return ("placing", vec![place(absent)]);
    }
    if !nodes_in(view, NodePhase::Waiting).is_empty() {
        return ("placing", Vec::new());
    }
    if view.generation == 0 {
        let all = nodes(view).map(|(id, _)| id).collect();
        let (phase, mut actions) = next(view);
        actions.insert(0, Action::Publish(all));
        return (phase, actions);
    }
    next(view)
}

/// What the first node that has not finished needs.
fn next(view: &JobView) -> (&'static str, Vec<Action>) {
    let turn = nodes(view).find(|(_, node)| node.last != Some(VerdictKind::Finished));
    let Some((id, node)) = turn else {
        return ("succeeded", vec![Action::Finish(JobEnd::Succeeded)]);
    };
    match node.phase {
        NodePhase::Placed => ("in-turn", vec![Action::Start(vec![id])]),
        NodePhase::Exited => failed(format!("`{id}` broke the row"), Some(id)),
        _ => ("in-turn", Vec::new()),
    }
}

fn failed(reason: String, node: Option<NodeId>) -> (&'static str, Vec<Action>) {
    let failure = JobFailure { reason, node };
    ("failed", vec![Action::Finish(JobEnd::Failed(failure))])
}

fn place(nodes: Vec<NodeId>) -> Action {
    Action::Place(PlaceRequest {
        nodes,
        avoid: Vec::new(),
        deadline_ms: PLACE_WITHIN_MS,
    })
}

fn nodes(view: &JobView) -> impl Iterator<Item = (NodeId, &NodeView)> {
    view.roles.iter().flat_map(|role| {
        let numbered = (0..).zip(&role.nodes);
        numbered.map(|(index, node)| (NodeId::new(&role.role, index), node))
    })
}

fn nodes_in(view: &JobView, phase: NodePhase) -> Vec<NodeId> {
    let found = nodes(view).filter(|(_, node)| node.phase == phase);
    found.map(|(id, _)| id).collect()
}

forebay_plugin_sdk::export!(InTurn: state_machine);
