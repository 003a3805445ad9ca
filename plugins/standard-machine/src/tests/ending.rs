//! Ends that somebody asked for, and requests that are refused.

use forebay_plugin_sdk::FinishRule::{All, Observer, Service};
use forebay_plugin_sdk::VerdictKind::{Finished, Retry, Stopped};
use forebay_plugin_sdk::{
    DataflowPhase, Event, FinishRequest, NodePhase, RestartRequest, ScaleRequest, StopRequest,
};

use super::simulation::{Roles, Simulation, node_id};

const TRAINING: Roles<'_> = &[
    ("worker", 2, All),
    ("ps", 1, Service),
    ("tensorboard", 1, Observer),
];

fn stop() -> Event {
    Event::StopRequested(StopRequest {
        request: 1,
        deadline_ms: 30_000,
    })
}

fn finish() -> Event {
    Event::FinishRequested(FinishRequest {
        node: node_id("worker:0"),
        reason: "good enough".into(),
    })
}

#[test]
fn a_stop_ends_the_workers_first_and_services_with_the_job() {
    let mut job = Simulation::running(TRAINING);
    job.check(&[stop()], "[stopping] stop(worker:0 worker:1)");
    job.check(&[stop()], "[stopping]");
    job.check_exit("worker:0", Stopped, "[stopping]");
    job.check_exit("worker:1", Stopped, "[stopped] finish(stopped)");
}

#[test]
fn what_fails_while_it_stops_does_not_matter() {
    let mut job = Simulation::running(TRAINING);
    job.decide(&[stop()]);
    job.check_exit("ps:0", Retry, "[stopping]");
    job.check_exit("worker:0", Retry, "[stopping]");
    job.check_exit("worker:1", Finished, "[stopped] finish(stopped)");
}

#[test]
fn a_stop_ends_also_when_nothing_runs() {
    let mut job = Simulation::new(TRAINING);
    job.decide(&[Event::Submitted]);
    job.check(&[stop()], "[stopped] finish(stopped)");

    let mut job = Simulation::running(TRAINING);
    let exits = [
        job.exit("worker:0", Stopped),
        job.exit("worker:1", Stopped),
        stop(),
    ];
    job.check(&exits, "[stopped] finish(stopped)");
}

#[test]
fn a_job_that_is_done_when_the_stop_arrives_has_succeeded() {
    let mut job = Simulation::running(&[("worker", 1, All)]);
    let exit = job.exit("worker:0", Finished);
    job.check(&[stop(), exit], "[succeeded] finish(succeeded)");
}

#[test]
fn a_fed_job_is_drained() {
    let mut job = Simulation::fed(TRAINING).up();
    job.check(&[stop()], "[draining] end-input(worker)");
    job.check_exit("worker:0", Finished, "[draining]");
    job.check_exit("worker:1", Finished, "[draining]");
    job.view.dataflow = DataflowPhase::Ended;
    job.check(&[Event::DataflowEnded], "[stopped] finish(stopped)");
}

#[test]
fn draining_ends_also_when_a_node_fails_and_the_dataflow_waits_for_it() {
    let mut job = Simulation::fed(TRAINING).up();
    job.decide(&[stop()]);
    job.check_exit("worker:0", Finished, "[draining]");
    job.check_exit("worker:1", Retry, "[stopped] finish(stopped)");
}

#[test]
fn a_script_may_end_the_job_as_succeeded() {
    let mut job = Simulation::running(TRAINING);
    job.check(&[finish()], "[succeeded] finish(succeeded)");

    let mut job = Simulation::fed(TRAINING).up();
    job.check(&[finish()], "[draining] end-input(worker)");
    job.check_exit("worker:0", Finished, "[draining]");
    job.check_exit("worker:1", Finished, "[draining]");
    job.view.dataflow = DataflowPhase::Ended;
    job.check(&[Event::DataflowEnded], "[succeeded] finish(succeeded)");
}

#[test]
fn requests_that_it_cannot_serve_are_refused_by_name() {
    let mut job = Simulation::running(TRAINING);
    let scale = Event::ScaleRequested(ScaleRequest {
        request: 7,
        role: "worker".into(),
        nodes: 3,
    });
    job.check(
        &[scale],
        "[running] refuse(7: the standard machine cannot scale a role yet)",
    );
    let restart = Event::RestartRequested(RestartRequest {
        request: 8,
        nodes: vec![node_id("ps:0")],
    });
    job.check(
        &[restart],
        "[running] refuse(8: the standard machine cannot restart nodes yet)",
    );
}

#[test]
fn a_stop_reaches_nodes_that_are_still_starting() {
    let mut job = Simulation::new(TRAINING);
    job.decide(&[Event::Submitted]);
    job.advance(NodePhase::Placed);
    job.decide(&[]);
    job.check(&[stop()], "[stopping] stop(worker:0 worker:1)");
}
