//! What a failed node means: here the end of the job, under the name of the first cause.
//!
//! The first exit is not always the first cause. A peer of the node that failed may notice and exit before it, so the
//! machine waits a moment for a failure that is certainly a cause of its own; and a service that ends by itself with exit
//! code 0 may only have seen the end of the job before the others' exits arrived.

use forebay_plugin_sdk::{Action, Event, NodeId, TimerOrder, clip};

use crate::machine::{Step, Turn};
use crate::situation::{Failure, Node};
use crate::state::{Cause, Rank};

const TIMER: &str = "failure";

/// The next step if something has failed.
pub(crate) fn end_of(turn: &mut Turn<'_>) -> Option<Step> {
    for (node, failure) in failures(turn) {
        let cause = cause(turn, &node, failure);
        hold(&mut turn.state.cause, cause);
    }
    let cause = turn.state.cause.clone()?;
    let nobody_left = !turn.situation.finishers().any(Node::is_live);
    if cause.rank == Rank::Certain || nobody_left || turn.now_ms >= cause.end_at_ms {
        return Some(turn.fail(Some(cause.node()), cause.reason));
    }
    let after_ms = cause.end_at_ms - turn.now_ms;
    turn.actions.push(Action::SetTimer(TimerOrder {
        id: TIMER.to_owned(),
        after_ms,
    }));
    Some(Step::because("failing", cause.reason))
}

/// Failed nodes, in the order in which they failed as far as the events tell it.
fn failures(turn: &Turn<'_>) -> Vec<(NodeId, Failure)> {
    let mut failures: Vec<_> = turn
        .situation
        .core()
        .filter_map(|node| Some((node.id(), node.failure()?)))
        .collect();
    if !failures.is_empty() {
        let told: Vec<&NodeId> = turn.events.iter().flat_map(nodes_of).collect();
        let place = |node: &NodeId| {
            told.iter()
                .position(|told| *told == node)
                .unwrap_or(usize::MAX)
        };
        failures.sort_by_key(|(node, _)| place(node));
    }
    failures
}

fn nodes_of(event: &Event) -> &[NodeId] {
    match event {
        Event::NodeExited(exit) => std::slice::from_ref(&exit.node),
        Event::NodesLost(nodes) => nodes,
        _ => &[],
    }
}

/// The first cause stays, unless another one is certain.
fn hold(held: &mut Option<Cause>, new: Cause) {
    let Some(old) = held else {
        *held = Some(new);
        return;
    };
    if new.rank == Rank::Certain && old.rank != Rank::Certain {
        *old = new;
    } else {
        old.end_at_ms = old.end_at_ms.min(new.end_at_ms);
    }
}

fn cause(turn: &Turn<'_>, node: &NodeId, failure: Failure) -> Cause {
    let (rank, wait_ms) = match failure {
        Failure::ServiceEnded => (Rank::ServiceEnded, turn.limits.service_exit_grace_ms),
        Failure::Transient => (Rank::Transient, turn.limits.settle_ms),
        Failure::Certain | Failure::Lost | Failure::StoppedByOthers => (Rank::Certain, 0),
    };
    let told = turn.events.iter().find_map(|event| match event {
        Event::NodeExited(exit) if exit.node == *node => Some(exit.verdict.reason.clone()),
        _ => None,
    });
    Cause {
        rank,
        role: node.role.clone(),
        index: node.index,
        reason: clip(&reason(failure, told)),
        end_at_ms: turn.now_ms.saturating_add(wait_ms),
    }
}

fn reason(failure: Failure, told: Option<String>) -> String {
    let told = told.unwrap_or_else(|| "it ended, and why is not known any more".to_owned());
    match failure {
        Failure::ServiceEnded => {
            format!("it serves the others, but ended by itself before they were done ({told})")
        }
        Failure::Transient | Failure::Certain => told,
        Failure::Lost => "its machine was lost".to_owned(),
        Failure::StoppedByOthers => "it was stopped, but not by the state machine".to_owned(),
    }
}
