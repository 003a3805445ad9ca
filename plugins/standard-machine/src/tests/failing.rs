//! Failures, and what the job ends with.

use forebay_plugin_sdk::FinishRule::{All, Observer, Service};
use forebay_plugin_sdk::VerdictKind::{Fatal, Finished, Retry, Stopped};
use forebay_plugin_sdk::{DataflowPhase, Event, NodePhase};

use super::simulation::{Roles, Simulation, node_id};

const TRAINING: Roles<'_> = &[
    ("worker", 2, All),
    ("ps", 1, Service),
    ("tensorboard", 1, Observer),
];

#[test]
fn a_certain_failure_ends_the_job_at_once() {
    let mut job = Simulation::running(TRAINING);
    job.check_exit(
        "worker:1",
        Fatal,
        "[failed] finish(failed, worker:1: worker:1 ended)",
    );
}

#[test]
fn a_failure_that_may_be_a_consequence_waits_for_its_cause() {
    let mut job = Simulation::running(TRAINING);
    job.check_exit("worker:0", Retry, "[failing] timer(failure, 1500)");
    job.now_ms += 500;
    job.check_exit(
        "worker:1",
        Fatal,
        "[failed] finish(failed, worker:1: worker:1 ended)",
    );
}

#[test]
fn the_first_of_equal_failures_is_the_cause() {
    let mut job = Simulation::running(&[("worker", 3, All)]);
    let (second, first) = (job.exit("worker:2", Retry), job.exit("worker:0", Retry));
    job.check(&[second, first], "[failing] timer(failure, 1500)");
    job.now_ms += 1499;
    job.check(&[], "[failing] timer(failure, 1)");
    job.now_ms += 1;
    job.check(
        &[Event::Timer("failure".into())],
        "[failed] finish(failed, worker:2: worker:2 ended)",
    );
}

#[test]
fn nobody_waits_when_nobody_is_left_to_tell_more() {
    let mut job = Simulation::running(&[("worker", 1, All), ("ps", 1, Service)]);
    job.check_exit(
        "worker:0",
        Retry,
        "[failed] finish(failed, worker:0: worker:0 ended)",
    );
}

#[test]
fn a_service_may_end_by_itself_just_before_the_others() {
    let mut job = Simulation::running(TRAINING);
    job.check_exit("ps:0", Finished, "[failing] timer(failure, 30000)");
    job.check_exit("worker:0", Finished, "[failing] timer(failure, 30000)");
    job.check_exit("worker:1", Finished, "[succeeded] finish(succeeded)");
}

#[test]
fn a_service_that_ends_by_itself_long_before_the_others_is_the_failure() {
    let reason = "it serves the others, but ended by itself before they were done (ps:0 ended)";
    let mut job = Simulation::running(TRAINING);
    job.check_exit("ps:0", Finished, "[failing] timer(failure, 30000)");
    job.now_ms += 30_000;
    job.check(&[], &format!("[failed] finish(failed, ps:0: {reason})"));

    let mut job = Simulation::running(TRAINING);
    job.check_exit("ps:0", Finished, "[failing] timer(failure, 30000)");
    job.check_exit("worker:0", Retry, "[failing] timer(failure, 1500)");
    job.now_ms += 1_500;
    job.check(&[], &format!("[failed] finish(failed, ps:0: {reason})"));
}

#[test]
fn a_service_that_said_done_may_go() {
    let mut job = Simulation::running(TRAINING);
    job.node("ps:0").done = true;
    job.check_exit("ps:0", Finished, "[running]");
}

#[test]
fn a_lost_machine_and_a_stranger_s_stop_are_failures() {
    let mut job = Simulation::running(TRAINING);
    job.node("worker:1").phase = NodePhase::Absent;
    let lost = Event::NodesLost(vec![node_id("worker:1")]);
    job.check(
        &[lost],
        "[failed] finish(failed, worker:1: its machine was lost)",
    );

    let mut job = Simulation::running(TRAINING);
    let reason = "it was stopped, but not by the state machine";
    job.check_exit(
        "worker:1",
        Stopped,
        &format!("[failed] finish(failed, worker:1: {reason})"),
    );
}

#[test]
fn a_failure_whose_event_was_lost_is_seen_all_the_same() {
    let mut job = Simulation::running(TRAINING);
    job.exit("worker:1", Fatal);
    let reason = "it ended, and why is not known any more";
    job.check(
        &[Event::Recovered(900)],
        &format!("[failed] finish(failed, worker:1: {reason})"),
    );
}

#[test]
fn no_room_for_the_cluster_is_a_failure_and_none_for_an_observer_is_not() {
    let mut job = Simulation::new(TRAINING);
    job.decide(&[Event::Submitted]);
    for name in ["worker:0", "worker:1", "ps:0"] {
        job.node(name).phase = NodePhase::Absent;
    }
    let failed = Event::PlaceFailed((vec![node_id("worker:0")], "2 slots are missing".into()));
    job.check(
        &[failed],
        "[failed] finish(failed, job: 2 slots are missing)",
    );

    let mut job = Simulation::running(TRAINING);
    job.node("tensorboard:0").phase = NodePhase::Absent;
    let failed = Event::PlaceFailed((vec![node_id("tensorboard:0")], "no room".into()));
    job.check(&[failed], "[running]");
    job.check(&[], "[running]");
}

#[test]
fn a_place_that_is_lost_before_anything_was_started_is_asked_for_again() {
    let mut job = Simulation::new(TRAINING);
    job.decide(&[Event::Submitted]);
    job.advance(NodePhase::Placed);
    job.node("worker:1").phase = NodePhase::Absent;
    job.check(
        &[Event::NodesLost(vec![node_id("worker:1")])],
        "[placing] place(worker:1)",
    );
}

#[test]
fn a_failed_dataflow_fails_the_job() {
    let mut job = Simulation::fed(&[("worker", 1, All)]).up();
    job.view.dataflow = DataflowPhase::Failed;
    let event = Event::DataflowFailed("`flights` cannot be read".into());
    job.check(
        &[event],
        "[failed] finish(failed, job: `flights` cannot be read)",
    );
}

#[test]
fn a_limit_that_is_no_number_fails_the_job_by_name() {
    let mut job = Simulation::new(TRAINING);
    job.job.properties.push(("settle-ms".into(), "soon".into()));
    let reason = "`settle-ms` is `soon`, which is not a whole number";
    job.check(
        &[Event::Submitted],
        &format!("[failed] finish(failed, job: {reason})"),
    );
}
