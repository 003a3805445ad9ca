//! The rule of a state machine: nodes run one after the other, in the order of the job file, each when the one before it
//! has finished. Several guests decide by it.

use forebay_plugin_sdk::{
    Action, Event, JobEnd, JobFailure, JobView, NodeId, NodePhase, NodeView, PlaceRequest,
    VerdictKind,
};

/// How long its nodes may wait for room.
const PLACE_WITHIN_MS: u64 = 10_000;

/// Phase and actions that follow from what is.
pub(crate) fn step(view: &JobView, events: &[Event]) -> (&'static str, Vec<Action>) {
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
