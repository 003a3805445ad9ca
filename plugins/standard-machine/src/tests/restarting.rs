//! Failures that may pass, and who is started again.

use forebay_plugin_sdk::FinishRule::{All, Service};
use forebay_plugin_sdk::VerdictKind::{Fatal, Finished, Retry, RetryElsewhere, Stopped};
use forebay_plugin_sdk::{Event, NodePhase, RecoveryScope};

use super::simulation::{Roles, Simulation, node_id};

const TRAINING: Roles<'_> = &[("worker", 2, All), ("ps", 1, Service)];

/// A running job with this many restarts, where `ps` takes everybody down and a worker itself alone.
fn running(restarts: &str) -> Simulation {
    let mut job = Simulation::running(TRAINING);
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    job.job.properties = vec![
        property("restarts", restarts),
        property("restart-backoff-ms", "1000"),
        property("settle-ms", "0"),
    ];
    for role in &mut job.job.roles {
        let policy = role.policy.as_mut().unwrap();
        if role.name == "ps" {
            policy.recovery = RecoveryScope::Cluster;
        }
    }
    job
}

fn scoped(mut job: Simulation, recovery: RecoveryScope) -> Simulation {
    for role in &mut job.job.roles {
        role.policy.as_mut().unwrap().recovery = recovery;
    }
    job
}

#[test]
fn without_restarts_a_failure_ends_the_job() {
    let mut job = running("0");
    job.check_exit(
        "worker:1",
        Retry,
        "[failed] finish(failed, worker:1: worker:1 ended)",
    );
}

#[test]
fn one_node_comes_back_after_a_while_and_the_others_stay() {
    let mut job = running("3");
    job.check_exit("worker:1", Retry, "[restarting] timer(restart, 1000)");
    job.now_ms += 400;
    job.check(&[], "[restarting] timer(restart, 600)");
    job.now_ms += 600;
    job.check(
        &[Event::Timer("restart".into())],
        "[restarting] start(worker:1)",
    );
    job.check(&[], "[starting]");
    job.advance(NodePhase::Ready);
    job.check(&[], "[running]");
}

/// As [`running`], and the machine looks for the first cause as long as it does by default.
fn looking_for_causes(restarts: &str) -> Simulation {
    let mut job = running(restarts);
    job.job.properties.retain(|(name, _)| name != "settle-ms");
    job
}

#[test]
fn a_restart_that_stops_nobody_does_not_wait_for_the_first_cause() {
    let mut job = looking_for_causes("3");
    job.check_exit("worker:1", Retry, "[restarting] timer(restart, 1000)");
    job.now_ms += 300;
    job.check_exit(
        "worker:0",
        Fatal,
        "[failed] finish(failed, worker:0: worker:0 ended)",
    );
    let mut job = looking_for_causes("3");
    job.check_exit("worker:1", Retry, "[restarting] timer(restart, 1000)");
    job.now_ms += 300;
    job.check_exit("ps:0", Retry, "[restarting] stop(worker:0)");
}

#[test]
fn a_restart_that_stops_others_and_an_end_wait_for_the_first_cause() {
    let mut job = looking_for_causes("3");
    job.check_exit("ps:0", Retry, "[failing] timer(failure, 1500)");
    job.now_ms += 300;
    job.check_exit("worker:1", Retry, "[failing] timer(failure, 1200)");
    let mut job = looking_for_causes("0");
    job.check_exit("worker:1", Retry, "[failing] timer(failure, 1500)");
}

#[test]
fn a_server_takes_everybody_down_with_it() {
    let mut job = running("3");
    job.check_exit("ps:0", Retry, "[restarting] stop(worker:0 worker:1)");
    job.check_exit("worker:0", Stopped, "[restarting]");
    job.check_exit("worker:1", Stopped, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(
        &[],
        "[restarting] publish(worker:0 worker:1 ps:0) start(worker:0 worker:1 ps:0)",
    );
    job.check(&[], "[starting]");
}

#[test]
fn a_role_comes_back_as_a_whole() {
    let mut job = scoped(running("3"), RecoveryScope::Role);
    job.check_exit("worker:0", Retry, "[restarting] stop(worker:1)");
    job.check_exit("worker:1", Retry, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(&[], "[restarting] start(worker:0 worker:1)");
}

#[test]
fn what_fails_while_others_are_taken_down_comes_back_with_them() {
    let mut job = scoped(running("3"), RecoveryScope::Role);
    job.check_exit("worker:0", Retry, "[restarting] stop(worker:1)");
    job.check_exit("ps:0", Retry, "[restarting]");
    job.check_exit("worker:1", Stopped, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(&[], "[restarting] start(worker:0 worker:1 ps:0)");
}

#[test]
fn a_mistake_of_the_script_is_not_tried_again() {
    let mut job = running("3");
    job.check_exit(
        "worker:1",
        Fatal,
        "[failed] finish(failed, worker:1: worker:1 ended)",
    );
    let mut job = running("3");
    job.check_exit("ps:0", Retry, "[restarting] stop(worker:0 worker:1)");
    job.check_exit(
        "worker:0",
        Fatal,
        "[failed] finish(failed, worker:0: worker:0 ended)",
    );
}

/// Lets `worker:1` fail once more, and waits as long as the machine wants.
fn fail_again(job: &mut Simulation) -> String {
    let event = job.exit("worker:1", Retry);
    let said = job.decide(&[event]);
    if said.contains("finish") {
        return said;
    }
    job.now_ms += 60_000;
    job.check(&[], "[restarting] start(worker:1)");
    job.advance(NodePhase::Ready);
    job.decide(&[]);
    said
}

#[test]
fn each_wait_is_twice_as_long_and_three_restarts_without_progress_are_enough() {
    let mut job = running("100");
    assert_eq!(fail_again(&mut job), "[restarting] timer(restart, 1000)");
    assert_eq!(fail_again(&mut job), "[restarting] timer(restart, 2000)");
    assert_eq!(fail_again(&mut job), "[restarting] timer(restart, 4000)");
    let why = "3 restarts in a row have brought no progress";
    assert_eq!(
        fail_again(&mut job),
        format!("[failed] finish(failed, worker:1: worker:1 ended; {why})")
    );
}

#[test]
fn progress_makes_the_waits_short_again_until_the_budget_is_used_up() {
    let mut job = running("5");
    for step in 1..=5 {
        job.node("worker:0").progress = step;
        assert_eq!(fail_again(&mut job), "[restarting] timer(restart, 1000)");
    }
    job.node("worker:0").progress = 6;
    let why = "after 5 restarts none is left";
    assert_eq!(
        fail_again(&mut job),
        format!("[failed] finish(failed, worker:1: worker:1 ended; {why})")
    );
}

#[test]
fn jobs_that_failed_together_come_back_apart() {
    let mut job = running("3");
    job.seed = 999;
    job.check_exit("worker:1", Retry, "[restarting] timer(restart, 1249)");
}

#[test]
fn a_lost_machine_is_left_at_once_and_everybody_learns_the_new_places() {
    let mut job = running("3");
    job.node("worker:1").phase = NodePhase::Absent;
    job.check(
        &[Event::NodesLost(vec![node_id("worker:1")])],
        "[restarting] place(worker:1)",
    );
    job.check(&[], "[restarting]");
    job.advance(NodePhase::Placed);
    job.now_ms += 1_000;
    job.check(
        &[],
        "[restarting] publish(worker:0 worker:1 ps:0) start(worker:1)",
    );
}

#[test]
fn a_second_machine_that_is_lost_before_the_restart_is_left_too() {
    let mut job = running("3");
    job.node("worker:1").phase = NodePhase::Absent;
    job.check(&[], "[restarting] place(worker:1)");
    job.advance(NodePhase::Placed);
    job.check(&[], "[restarting] timer(restart, 1000)");
    job.node("worker:0").phase = NodePhase::Absent;
    job.check(&[], "[restarting] place(worker:0)");
    job.advance(NodePhase::Placed);
    job.now_ms += 1_000;
    job.check(
        &[],
        "[restarting] publish(worker:0 worker:1 ps:0) start(worker:0 worker:1)",
    );
}

#[test]
fn a_node_that_has_finished_and_lost_its_machine_is_no_member_any_more() {
    let mut job = running("3");
    job.check_exit("worker:0", Finished, "[running]");
    job.node("worker:0").phase = NodePhase::Absent;
    job.node("worker:1").phase = NodePhase::Absent;
    job.check(&[], "[restarting] place(worker:1)");
    job.advance(NodePhase::Placed);
    job.now_ms += 1_000;
    job.check(&[], "[restarting] publish(worker:1 ps:0) start(worker:1)");
}

const MOVED_ENOUGH: &str = "[failed] finish(failed, worker:1: worker:1 ended; other ports, 3 times in a row, have not helped)";

/// Worker 1 meets a taken port, and starts at another one after so long.
#[track_caller]
fn leaves_its_port(job: &mut Simulation, after_ms: u64) {
    let left = "[restarting] release(worker:1) place(worker:1)";
    job.check_exit("worker:1", RetryElsewhere, left);
    job.advance(NodePhase::Placed);
    job.now_ms += after_ms;
    let started = "[restarting] publish(worker:0 worker:1 ps:0) start(worker:1)";
    job.check(&[], started);
}

#[test]
fn a_taken_port_is_left() {
    let mut job = running("3");
    leaves_its_port(&mut job, 1_000);
}

#[test]
fn a_taken_port_uses_up_no_restart_but_is_not_left_for_ever() {
    let mut job = running("0");
    for _ in 0..3 {
        leaves_its_port(&mut job, 60_000);
    }
    job.check_exit("worker:1", RetryElsewhere, MOVED_ENOUGH);
}

#[test]
fn a_port_of_the_scripts_own_is_not_moved_for_ever_while_others_make_progress() {
    let mut job = running("0");
    for step in 1..=3 {
        job.node("worker:0").progress = step;
        leaves_its_port(&mut job, 60_000);
    }
    job.node("worker:0").progress = 4;
    job.check_exit("worker:1", RetryElsewhere, MOVED_ENOUGH);
}

#[test]
fn no_place_anywhere_ends_the_job() {
    let mut job = running("3");
    job.node("worker:1").phase = NodePhase::Absent;
    job.check(&[], "[restarting] place(worker:1)");
    job.node("worker:1").phase = NodePhase::Absent;
    let failed = Event::PlaceFailed((vec![node_id("worker:1")], "no room".into()));
    job.check(&[failed], "[failed] finish(failed, job: no room)");
}

#[test]
fn a_stop_goes_before_a_restart() {
    let mut job = running("3");
    job.check_exit("worker:1", Retry, "[restarting] timer(restart, 1000)");
    let stop = Event::StopRequested(forebay_plugin_sdk::StopRequest {
        request: 1,
        deadline_ms: 30_000,
    });
    job.check(&[stop], "[stopping] stop(worker:0)");
}

#[test]
fn a_node_that_has_finished_runs_again_only_with_the_whole_cluster() {
    let mut job = running("3");
    job.check_exit("worker:0", Finished, "[running]");
    job.check_exit("worker:1", Retry, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(&[], "[restarting] start(worker:1)");
    job.advance(NodePhase::Ready);
    job.check_exit("worker:1", Finished, "[succeeded] finish(succeeded)");
}
