//! Nodes with input: who comes back with whom, and when their input begins again.

use forebay_plugin_sdk::FinishRule::{All, First, Service};
use forebay_plugin_sdk::VerdictKind::{Fatal, Finished, Retry, RetryElsewhere, Stopped};
use forebay_plugin_sdk::{
    DataflowPhase, Event, NodePhase, NodeStall, RecoveryScope, StallKind, StopRequest,
};

use super::simulation::{Roles, Simulation, node_id};

const TRAINING: Roles<'_> = &[("worker", 2, All), ("ps", 1, Service)];

/// A running job with this many restarts, whose dataflow feeds the workers. Each node takes as many down as this.
fn fed(restarts: &str, recovery: RecoveryScope) -> Simulation {
    of(TRAINING, restarts, recovery)
}

fn of(roles: Roles<'_>, restarts: &str, recovery: RecoveryScope) -> Simulation {
    let mut job = Simulation::fed(roles);
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    job.job.properties = vec![
        property("restarts", restarts),
        property("restart-backoff-ms", "1000"),
        property("settle-ms", "0"),
    ];
    for role in &mut job.job.roles {
        role.policy.as_mut().unwrap().recovery = recovery;
    }
    job.up()
}

/// All that was to be stopped has ended; then the wait is over.
fn goes_down(job: &mut Simulation) -> String {
    let mut events = Vec::new();
    for name in ["worker:0", "worker:1", "ps:0"] {
        if job.node(name).phase == NodePhase::Stopping {
            events.push(job.exit(name, Stopped));
        }
    }
    job.decide(&events);
    job.now_ms += 1_000;
    job.decide(&[])
}

#[test]
fn a_job_begins_without_a_rewind() {
    let mut job = Simulation::fed(TRAINING);
    job.decide(&[Event::Submitted]);
    job.advance(NodePhase::Placed);
    job.check(
        &[],
        "[starting] publish(worker:0 worker:1 ps:0) start(worker:0 worker:1 ps:0)",
    );
}

#[test]
fn a_node_with_input_takes_all_others_with_input_down() {
    let mut job = fed("3", RecoveryScope::Node);
    job.check_exit("worker:1", Retry, "[restarting] stop(worker:0)");
    job.check_exit("worker:0", Stopped, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(&[], "[restarting] rewind() start(worker:0 worker:1)");
    job.check(&[], "[starting]");
    job.advance(NodePhase::Ready);
    job.check(&[], "[running]");
}

#[test]
fn nodes_with_input_of_other_roles_come_back_too() {
    let roles = &[("worker", 1, All), ("scorer", 2, All), ("ps", 1, Service)];
    let mut job = of(roles, "3", RecoveryScope::Role);
    job.job.roles[1].has_input = true;
    job.check_exit("scorer:1", Retry, "[restarting] stop(worker:0 scorer:0)");
    let exits = [job.exit("worker:0", Stopped), job.exit("scorer:0", Stopped)];
    job.decide(&exits);
    job.now_ms += 1_000;
    job.check(
        &[],
        "[restarting] rewind() start(worker:0 scorer:0 scorer:1)",
    );
}

#[test]
fn who_has_finished_begins_again_with_the_others() {
    let mut job = fed("3", RecoveryScope::Node);
    job.check_exit("worker:0", Finished, "[running]");
    job.check_exit("worker:1", Retry, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(&[], "[restarting] rewind() start(worker:0 worker:1)");
}

#[test]
fn who_has_finished_begins_again_with_another_role_that_has_input() {
    let roles = &[("worker", 1, All), ("scorer", 1, All)];
    let mut job = of(roles, "3", RecoveryScope::Node);
    job.job.roles[1].has_input = true;
    job.check_exit("worker:0", Finished, "[running]");
    job.check_exit("scorer:0", Retry, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(&[], "[restarting] rewind() start(worker:0 scorer:0)");
}

#[test]
fn who_said_done_and_stays_begins_again_with_the_others() {
    let mut job = fed("3", RecoveryScope::Node);
    job.node("worker:0").done = true;
    job.check_exit("worker:1", Retry, "[restarting] stop(worker:0)");
    job.check_exit("worker:0", Finished, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(&[], "[restarting] rewind() start(worker:0 worker:1)");
}

#[test]
fn who_has_finished_and_is_gone_with_its_engine_begins_again_in_the_next() {
    let mut job = fed("3", RecoveryScope::Node);
    for name in ["worker:0", "worker:1"] {
        job.check_exit(name, Finished, "[running]");
    }
    for name in ["worker:0", "worker:1"] {
        job.node(name).phase = NodePhase::Absent;
    }
    let lost = Event::NodesLost(vec![node_id("worker:0"), node_id("worker:1")]);
    job.check(&[lost], "[restarting] place(worker:0 worker:1)");
    job.advance(NodePhase::Placed);
    job.now_ms += 1_000;
    job.check(
        &[],
        "[restarting] publish(worker:0 worker:1 ps:0) rewind() start(worker:0 worker:1)",
    );
}

#[test]
fn who_has_finished_and_is_gone_after_the_end_of_the_dataflow_has_finished() {
    let mut job = fed("3", RecoveryScope::Node);
    job.check_exit("worker:0", Finished, "[running]");
    job.node("worker:0").phase = NodePhase::Absent;
    let ended = job.end_dataflow();
    job.check(&[ended], "[running]");
    job.check_exit("worker:1", Finished, "[succeeded] finish(succeeded)");
}

#[test]
fn a_node_without_input_comes_back_alone_and_nothing_is_read_again() {
    let mut job = fed("3", RecoveryScope::Node);
    job.check_exit("ps:0", Retry, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(&[], "[restarting] start(ps:0)");
}

#[test]
fn a_node_without_input_that_takes_everybody_down_rewinds() {
    let mut job = fed("3", RecoveryScope::Cluster);
    job.check_exit("ps:0", Retry, "[restarting] stop(worker:0 worker:1)");
    assert_eq!(
        goes_down(&mut job),
        "[restarting] publish(worker:0 worker:1 ps:0) rewind() start(worker:0 worker:1 ps:0)"
    );
}

#[test]
fn a_restart_that_grows_until_it_has_nodes_with_input_rewinds() {
    let mut job = fed("3", RecoveryScope::Node);
    job.check_exit("ps:0", Retry, "[restarting] timer(restart, 1000)");
    job.check_exit("worker:0", Retry, "[restarting] stop(worker:1)");
    assert_eq!(
        goes_down(&mut job),
        "[restarting] rewind() start(worker:0 worker:1 ps:0)"
    );
}

#[test]
fn a_restart_that_stops_others_with_input_waits_for_the_first_cause() {
    let mut job = fed("3", RecoveryScope::Node);
    job.job.properties.retain(|(name, _)| name != "settle-ms");
    job.check_exit("worker:1", Retry, "[failing] timer(failure, 1500)");
    job.now_ms += 1_500;
    job.check(&[], "[restarting] stop(worker:0)");

    let mut job = of(
        &[("worker", 1, All), ("ps", 1, Service)],
        "3",
        RecoveryScope::Node,
    );
    job.job.properties.retain(|(name, _)| name != "settle-ms");
    job.check_exit("worker:0", Retry, "[restarting] timer(restart, 1000)");
}

#[test]
fn a_taken_port_moves_its_node_and_rewinds() {
    let mut job = fed("0", RecoveryScope::Node);
    job.check_exit("worker:1", RetryElsewhere, "[restarting] stop(worker:0)");
    job.check_exit(
        "worker:0",
        Stopped,
        "[restarting] release(worker:1) place(worker:1)",
    );
    job.advance(NodePhase::Placed);
    job.now_ms += 1_000;
    job.check(
        &[],
        "[restarting] publish(worker:0 worker:1 ps:0) rewind() start(worker:0 worker:1)",
    );
}

#[test]
fn a_failure_after_the_end_of_the_dataflow_begins_the_input_again() {
    let mut job = fed("1", RecoveryScope::Node);
    let ended = job.end_dataflow();
    job.check(&[ended], "[running]");
    job.check_exit("worker:0", Finished, "[running]");
    job.check_exit("worker:1", Retry, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(&[], "[restarting] rewind() start(worker:0 worker:1)");
    job.advance(NodePhase::Ready);
    job.check(&[], "[running]");
    job.end_dataflow();
    job.check_exit("worker:0", Finished, "[running]");
    let why = "worker:1 ended; after 1 restarts none is left";
    job.check_exit(
        "worker:1",
        Retry,
        &format!("[failed] finish(failed, worker:1: {why})"),
    );
}

#[test]
fn who_is_stopped_for_a_restart_has_not_finished_although_its_input_had_ended() {
    let mut job = fed("1", RecoveryScope::Cluster);
    let ended = job.end_dataflow();
    job.check(&[ended], "[running]");
    job.check_exit("ps:0", Retry, "[restarting] stop(worker:0 worker:1)");
    job.check_exit("worker:0", Stopped, "[restarting]");
    job.check_exit("worker:1", Stopped, "[restarting] timer(restart, 1000)");
    job.now_ms += 1_000;
    job.check(
        &[],
        "[restarting] publish(worker:0 worker:1 ps:0) rewind() start(worker:0 worker:1 ps:0)",
    );
}

#[test]
fn a_job_that_is_done_meanwhile_is_not_started_again() {
    let mut job = of(
        &[("worker", 2, First), ("ps", 1, Service)],
        "3",
        RecoveryScope::Node,
    );
    job.end_dataflow();
    job.check_exit("worker:1", Retry, "[restarting] stop(worker:0)");
    job.check_exit("worker:0", Finished, "[succeeded] finish(succeeded)");
}

#[test]
fn a_dataflow_that_fails_ends_the_job_also_during_a_restart() {
    let mut job = fed("3", RecoveryScope::Node);
    job.check_exit("worker:1", Retry, "[restarting] stop(worker:0)");
    job.view.dataflow = DataflowPhase::Failed;
    let failed = Event::DataflowFailed("`flights` cannot be read".into());
    job.check(
        &[failed],
        "[failed] finish(failed, job: `flights` cannot be read)",
    );
}

#[test]
fn a_node_that_would_fail_again_ends_the_job() {
    let mut job = fed("3", RecoveryScope::Node);
    job.check_exit("worker:1", Retry, "[restarting] stop(worker:0)");
    job.check_exit(
        "worker:0",
        Fatal,
        "[failed] finish(failed, worker:0: worker:0 ended)",
    );
}

#[test]
fn who_has_read_all_and_stays_is_stopped_once_its_role_has_been_sent_the_end() {
    let mut job = fed("0", RecoveryScope::Node);
    let stall = || {
        Event::NodeStalled(NodeStall {
            node: node_id("worker:0"),
            attempt: 1,
            kind: StallKind::Lingering,
            for_ms: 30_000,
        })
    };
    job.check(&[stall()], "[running]");
    job.view.roles[0].input_ended = true;
    job.check(&[stall()], "[running] stop(worker:0)");
    job.check_exit("worker:0", Stopped, "[running]");
    job.check_exit("worker:1", Finished, "[running]");
    let ended = job.end_dataflow();
    job.check(&[ended], "[succeeded] finish(succeeded)");
}

#[test]
fn a_stop_waits_for_those_who_make_use_of_what_they_have_read() {
    let stop = Event::StopRequested(StopRequest {
        request: 1,
        deadline_ms: 30_000,
    });
    let mut job = fed("0", RecoveryScope::Node);
    job.check(&[stop], "[draining] end-input(worker)");
    let ended = job.end_dataflow();
    job.check(&[ended], "[draining]");
    job.check_exit("worker:0", Finished, "[draining]");
    job.check_exit("worker:1", Finished, "[stopped] finish(stopped)");
}

#[test]
fn a_script_that_finishes_the_job_waits_for_the_others_too() {
    let finish = Event::FinishRequested(forebay_plugin_sdk::FinishRequest {
        node: node_id("worker:0"),
        reason: "good enough".into(),
    });
    let mut job = fed("0", RecoveryScope::Node);
    job.check(&[finish], "[draining] end-input(worker)");
    let ended = job.end_dataflow();
    job.check(&[ended], "[draining]");
    job.check_exit("worker:0", Finished, "[draining]");
    job.check_exit("worker:1", Finished, "[succeeded] finish(succeeded)");
}

#[test]
fn a_dataflow_that_fails_while_it_is_drained_fails_the_job() {
    let stop = Event::StopRequested(StopRequest {
        request: 1,
        deadline_ms: 30_000,
    });
    let mut job = fed("3", RecoveryScope::Node);
    job.decide(&[stop]);
    job.view.dataflow = DataflowPhase::Failed;
    let failed = Event::DataflowFailed("the disk is full".into());
    job.check(&[failed], "[failed] finish(failed, job: the disk is full)");
}
