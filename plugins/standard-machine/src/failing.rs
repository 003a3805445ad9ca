//! What a failed node means: the end of the job, or a restart, under the name of the first cause.
//!
//! The first exit is not always the first cause. A peer of the node that failed may notice and exit before it, so the
//! machine waits a moment for a failure that is certainly a cause of its own, unless all that follows is a restart that takes
//! nobody else down; and a service that ends by itself with exit
//! code 0 may only have seen the end of the job before the others' exits arrived.

use forebay_plugin_sdk::{Action, Event, NodeId, TimerOrder, clip};

use crate::machine::{Step, Turn};
use crate::situation::{Failure, Node};
use crate::state::{Cause, Rank};

const TIMER: &str = "failure";

/// The next step if something has failed.
pub(crate) fn end_of(turn: &mut Turn<'_>) -> Option<Step> {
    hold_causes(turn);
    let cause = turn.state.cause.clone()?;
    let nobody_left = !turn.situation.finishers().any(Node::is_live);
    let is_first = matches!(cause.rank, Rank::Certain | Rank::Lost);
    let is_over = nobody_left || turn.now_ms >= cause.end_at_ms;
    if is_first || is_over || turn.restarts_alone(&cause) {
        return Some(turn.fail_or_restart(&cause));
    }
    let after_ms = cause.end_at_ms - turn.now_ms;
    turn.actions.push(Action::SetTimer(TimerOrder {
        id: TIMER.to_owned(),
        after_ms,
    }));
    Some(Step::because("failing", cause.reason))
}

/// Holds what has failed, in the order in which it failed as far as the events tell it.
fn hold_causes(turn: &mut Turn<'_>) {
    let failed = turn.situation.core();
    let failed = failed.filter_map(|node| Some((node.id(), node.failure()?)));
    let mut failed: Vec<_> = failed.collect();
    for event in turn.events {
        let (nodes, reason) = ended(event);
        for id in nodes {
            if let Some(position) = failed.iter().position(|(node, _)| node == id) {
                let (node, failure) = failed.remove(position);
                let cause = cause(turn, node, failure, reason);
                hold(&mut turn.state.cause, cause);
            }
        }
    }
    for (node, failure) in failed {
        let cause = cause(turn, node, failure, None);
        hold(&mut turn.state.cause, cause);
    }
}

/// Whose end an event tells, and why they ended.
fn ended(event: &Event) -> (&[NodeId], Option<&str>) {
    match event {
        Event::NodeExited(exit) => (
            std::slice::from_ref(&exit.node),
            Some(exit.verdict.reason.as_str()),
        ),
        Event::NodesLost(nodes) => (nodes, None),
        _ => (&[], None),
    }
}

/// The first cause stays, unless another one is certain.
fn hold(held: &mut Option<Cause>, new: Cause) {
    let Some(old) = held else {
        *held = Some(new);
        return;
    };
    if new.rank > old.rank && new.rank >= Rank::Lost {
        *old = new;
    } else {
        old.end_at_ms = old.end_at_ms.min(new.end_at_ms);
    }
}

fn cause(turn: &Turn<'_>, node: NodeId, failure: Failure, told: Option<&str>) -> Cause {
    let (rank, wait_ms) = match failure {
        Failure::ServiceEnded => (Rank::ServiceEnded, turn.limits.service_exit_grace_ms),
        Failure::Transient => (Rank::Transient, turn.limits.settle_ms),
        Failure::Lost => (Rank::Lost, 0),
        Failure::Certain | Failure::StoppedByOthers => (Rank::Certain, 0),
    };
    Cause {
        rank,
        role: node.role,
        index: node.index,
        reason: clip(&reason(failure, told)),
        end_at_ms: turn.now_ms.saturating_add(wait_ms),
    }
}

fn reason(failure: Failure, told: Option<&str>) -> String {
    let told = told.unwrap_or("it ended, and why is not known any more");
    match failure {
        Failure::ServiceEnded => {
            format!("it serves the others, but ended by itself before they were done ({told})")
        }
        Failure::Transient | Failure::Certain => told.to_owned(),
        Failure::Lost => "its machine was lost".to_owned(),
        Failure::StoppedByOthers => "it was stopped, but not by the state machine".to_owned(),
    }
}
