//! The rule of a state machine: nodes run one after the other, in the order of the job file, each when the one before it
//! has finished. Several guests decide by it.

use forebay_plugin_sdk::{
    Action, Event, JobEnd, JobFailure, JobSpec, JobView, NodeId, NodePhase, NodeView, PlaceRequest,
    Problems, Properties, Refusal, TimerOrder, VerdictKind,
};

/// How long its nodes may wait for room.
const PLACE_WITHIN_MS: u64 = 10_000;
/// Runs while a node has its turn.
const TIMER: &str = "turn";

/// Phase and actions that follow from what is and from what the job says.
pub(crate) fn decide(
    job: &JobSpec,
    view: &JobView,
    events: &[Event],
) -> (&'static str, Vec<Action>) {
    let rules = Rules::read(job);
    let (phase, mut actions) = step(&rules, view, events);
    actions.splice(0..0, rules.before_all(events));
    (phase, actions)
}

/// What the job says.
struct Rules {
    turn_within_ms: Option<u64>,
    refuse_stop: bool,
}

impl Rules {
    /// A property that is no number is none.
    fn read(job: &JobSpec) -> Self {
        let properties = Properties::of_job(job);
        Self {
            turn_within_ms: properties.number("turn-within-ms", &mut Problems::default()),
            refuse_stop: properties.text("refuse-stop").is_some(),
        }
    }

    /// What events alone ask for.
    fn before_all(&self, events: &[Event]) -> Vec<Action> {
        let of_event = |event: &Event| match event {
            Event::StopRequested(stop) if self.refuse_stop => Some(Action::Refuse(Refusal {
                request: stop.request,
                reason: "nobody stops the row".to_owned(),
            })),
            Event::NodeExited(_) if self.turn_within_ms.is_some() => {
                Some(Action::CancelTimer(TIMER.to_owned()))
            }
            _ => None,
        };
        events.iter().filter_map(of_event).collect()
    }

    fn begin_turn(&self, id: NodeId) -> Vec<Action> {
        let timer = self.turn_within_ms.map(|after_ms| {
            let id = TIMER.to_owned();
            Action::SetTimer(TimerOrder { id, after_ms })
        });
        std::iter::once(Action::Start(vec![id]))
            .chain(timer)
            .collect()
    }
}

fn step(rules: &Rules, view: &JobView, events: &[Event]) -> (&'static str, Vec<Action>) {
    let asked = |event: &Event| matches!(event, Event::StopRequested(_));
    if !rules.refuse_stop && events.iter().any(asked) {
        return ("stopping", vec![Action::Finish(JobEnd::Stopped)]);
    }
    let lack = events.iter().find_map(|event| match event {
        Event::PlaceFailed((_, reason)) => Some(reason.clone()),
        _ => None,
    });
    if let Some(reason) = lack {
        return failed(reason, None);
    }
    let late = |event: &Event| matches!(event, Event::Timer(id) if id == TIMER);
    if events.iter().any(late) {
        return failed("a turn took too long".to_owned(), None);
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
        let (phase, mut actions) = next(rules, view);
        actions.insert(0, Action::Publish(all));
        return (phase, actions);
    }
    next(rules, view)
}

/// What the first node that has not finished needs.
fn next(rules: &Rules, view: &JobView) -> (&'static str, Vec<Action>) {
    let turn = nodes(view).find(|(_, node)| node.last != Some(VerdictKind::Finished));
    let Some((id, node)) = turn else {
        return ("succeeded", vec![Action::Finish(JobEnd::Succeeded)]);
    };
    match node.phase {
        NodePhase::Placed => ("in-turn", rules.begin_turn(id)),
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
