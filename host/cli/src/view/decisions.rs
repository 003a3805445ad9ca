//! Events and actions of a state machine in a few words.

use forebay_plugin::{Action, Event, JobEnd, NodeId};

/// Most nodes that are named.
const NAMED_MAX: usize = 8;

/// Time of day, to the millisecond, where the user is.
pub(crate) fn time(time_ms: u64) -> String {
    let ms = i64::try_from(time_ms).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    let zoned = moment.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%H:%M:%S%.3f").to_string()
}

/// What happened.
pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::Submitted => "submitted".into(),
        Event::NodesPlaced(nodes) => format!("placed {}", list(nodes)),
        Event::PlaceFailed(nodes, missing) => format!("no place for {}: {missing}", list(nodes)),
        Event::NodesReady(nodes) => format!("ready {}", list(nodes)),
        Event::NodeExited(exit) => format!(
            "{} attempt {} exited, {}: {}",
            exit.node, exit.attempt, exit.verdict.kind, exit.verdict.reason
        ),
        Event::NodesLost(nodes) => format!("lost {}", list(nodes)),
        Event::NodeStalled(stall) => format!(
            "{} attempt {} is {} for {} ms",
            stall.node, stall.attempt, stall.kind, stall.for_ms
        ),
        Event::DataflowEnded => "the dataflow ended".into(),
        Event::DataflowFailed(why) => format!("the dataflow failed: {why}"),
        Event::CheckpointCommitted(number) => format!("checkpoint {number} is committed"),
        Event::MachinesJoined(names) => format!("machines joined: {}", names.join(", ")),
        Event::Timer(id) => format!("timer `{id}`"),
        Event::StopRequested(stop) => format!("a stop within {} ms is asked for", stop.deadline_ms),
        Event::ScaleRequested(scale) => {
            format!("role {} is to have {} nodes", scale.role, scale.nodes)
        }
        Event::RestartRequested(restart) => format!("a restart of {}", list(&restart.nodes)),
        Event::Recovered(after_ms) => {
            format!("a new application manager took over after {after_ms} ms")
        }
        Event::Resumed => "the plugin was replaced".into(),
        Event::FinishRequested(finish) => {
            format!("{} finishes the job: {}", finish.node, finish.reason)
        }
        Event::Custom(custom) => format!("custom `{}`", custom.name),
    }
}

/// What is to be done.
pub(crate) fn action(action: &Action) -> String {
    let kind = action.kind();
    match action {
        Action::Place(place) => format!("{kind} {}", list(&place.nodes)),
        Action::Release(nodes)
        | Action::Publish(nodes)
        | Action::Start(nodes)
        | Action::Rewind(nodes) => format!("{kind} {}", list(nodes)),
        Action::Stop(stop) => format!("{kind} {} within {} ms", list(&stop.nodes), stop.grace_ms),
        Action::EndInput(roles) => format!("{kind} {}", roles.join(", ")),
        Action::Resize(resize) => format!("{kind} {} to {}", resize.role, resize.nodes),
        Action::SetTimer(timer) => format!("{kind} `{}` in {} ms", timer.id, timer.after_ms),
        Action::CancelTimer(id) => format!("{kind} `{id}`"),
        Action::Refuse(refusal) => {
            format!("{kind} request {}: {}", refusal.request, refusal.reason)
        }
        Action::Finish(JobEnd::Succeeded) => format!("{kind}: succeeded"),
        Action::Finish(JobEnd::Stopped) => format!("{kind}: stopped"),
        Action::Finish(JobEnd::Failed(failure)) => format!("{kind}: failed, {}", failure.reason),
        Action::Custom(custom) => format!("{kind} `{}`", custom.name),
    }
}

fn list(nodes: &[NodeId]) -> String {
    let named: Vec<String> = nodes
        .iter()
        .take(NAMED_MAX)
        .map(NodeId::to_string)
        .collect();
    let more = nodes.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", named.join(" "))
}
