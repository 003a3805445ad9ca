//! From submission to a job that is done.

use forebay_plugin_sdk::FinishRule::{All, First, Observer, Service};
use forebay_plugin_sdk::VerdictKind::{Fatal, Finished, Stopped};
use forebay_plugin_sdk::{
    CustomEvent, DataflowPhase, Event, NodePhase, NodeStall, StallKind, StateMachine,
};

use super::simulation::{Roles, Simulation, node_id};
use crate::Standard;

const TRAINING: Roles<'_> = &[
    ("worker", 2, First),
    ("ps", 1, Service),
    ("tensorboard", 1, Observer),
];

#[test]
fn a_job_comes_up_in_order_and_a_late_observer_changes_nothing() {
    let mut job = Simulation::new(TRAINING);
    job.check(
        &[Event::Submitted],
        "[placing] place(worker:0 worker:1 ps:0)",
    );
    job.check(&[], "[placing]");
    job.advance(NodePhase::Placed);
    job.check(
        &[],
        "[starting] publish(worker:0 worker:1 ps:0) start(worker:0 worker:1 ps:0)",
    );
    job.node("ps:0").phase = NodePhase::Ready;
    job.check(&[], "[starting]");
    job.advance(NodePhase::Ready);
    job.check(&[], "[running] place(tensorboard:0)");
    job.advance(NodePhase::Placed);
    job.check(&[], "[running] start(tensorboard:0)");
    job.check_exit("worker:1", Finished, "[running]");
    job.check_exit("tensorboard:0", Fatal, "[running]");
    job.check_exit("worker:0", Finished, "[succeeded] finish(succeeded)");
}

#[test]
fn every_node_of_an_all_role_has_to_finish() {
    let mut job = Simulation::running(&[("a", 1, All), ("b", 2, All)]);
    job.check_exit("b:1", Finished, "[running]");
    job.check_exit("a:0", Finished, "[running]");
    job.check_exit("b:0", Finished, "[succeeded] finish(succeeded)");
}

#[test]
fn a_node_that_said_done_has_finished_while_its_process_stays() {
    let mut job = Simulation::running(&[("worker", 2, All)]);
    job.node("worker:1").done = true;
    job.check(&[], "[running]");
    let stall = NodeStall {
        node: node_id("worker:1"),
        attempt: 1,
        kind: StallKind::Lingering,
        for_ms: 30_000,
    };
    job.check(
        &[Event::NodeStalled(stall.clone())],
        "[running] stop(worker:1)",
    );
    job.check(&[Event::NodeStalled(stall)], "[running]");
    job.check_exit("worker:1", Stopped, "[running]");
    job.check_exit("worker:0", Finished, "[succeeded] finish(succeeded)");
}

#[test]
fn a_crash_after_done_is_no_failure() {
    let mut job = Simulation::running(&[("worker", 2, All)]);
    job.node("worker:1").done = true;
    job.check_exit("worker:1", Fatal, "[running]");
}

#[test]
fn a_fed_job_is_done_when_its_dataflow_is() {
    let mut job = Simulation::fed(&[("worker", 2, All), ("ps", 1, Service)]).up();
    job.check_exit("worker:0", Finished, "[running]");
    job.check_exit("worker:1", Finished, "[running]");
    job.view.dataflow = DataflowPhase::Ended;
    job.check(&[Event::DataflowEnded], "[succeeded] finish(succeeded)");
}

#[test]
fn a_fed_node_that_was_ended_after_its_input_has_finished() {
    let mut job = Simulation::fed(&[("worker", 1, All)]).up();
    job.view.dataflow = DataflowPhase::Ended;
    job.view.roles[0].input_ended = true;
    job.check(&[Event::DataflowEnded], "[running]");
    job.check_exit("worker:0", Stopped, "[succeeded] finish(succeeded)");
}

#[test]
fn a_dataflow_without_roles_is_done_when_it_ends() {
    let mut job = Simulation::fed(&[]);
    job.check(&[Event::Submitted], "[running]");
    job.view.dataflow = DataflowPhase::Ended;
    job.check(&[Event::DataflowEnded], "[succeeded] finish(succeeded)");
}

#[test]
fn events_that_the_view_contradicts_and_unknown_ones_do_no_harm() {
    let mut job = Simulation::running(TRAINING);
    let stale = job.exit("worker:0", Fatal);
    let node = job.node("worker:0");
    (node.phase, node.attempt) = (NodePhase::Ready, 2);
    let custom = CustomEvent {
        name: "anything".into(),
        node: None,
        payload: String::new(),
    };
    let events = [
        stale,
        Event::Submitted,
        Event::Recovered(5_000),
        Event::Resumed,
        Event::PlaceFailed((vec![node_id("worker:0")], "no room".into())),
        Event::NodesReady(vec![node_id("worker:0")]),
        Event::NodesLost(vec![node_id("nobody:7")]),
        Event::Timer("failure".into()),
        Event::Custom(custom),
    ];
    job.check(&events, "[running]");
}

#[test]
fn a_view_with_a_role_that_has_no_policy_is_an_error() {
    let mut job = Simulation::new(TRAINING);
    job.job.roles[1].policy = None;
    let now = forebay_plugin_sdk::Moment {
        now_ms: 1,
        event_number: 1,
        seed: 1,
    };
    let error = Standard::decide(&job.job, &now, &job.view, &[], &[]).unwrap_err();
    assert_eq!(
        error.message,
        "role `ps` of the view has no policy in the job"
    );
}

#[test]
fn bytes_that_are_no_state_are_an_error() {
    let job = Simulation::new(TRAINING);
    let now = forebay_plugin_sdk::Moment {
        now_ms: 1,
        event_number: 1,
        seed: 1,
    };
    let mut cut = Simulation::running(TRAINING).state;
    cut.pop();
    for state in [cut.as_slice(), b"\xff\x00", b"{}", b"{\"other\":1}", b"[1]"] {
        let error = Standard::decide(&job.job, &now, &job.view, state, &[]).unwrap_err();
        assert_eq!(error.code, "bad-state");
    }
}
