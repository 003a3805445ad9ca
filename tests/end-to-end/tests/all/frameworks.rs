//! Training is really distributed: each framework shows it by what only a distributed training has.

use std::time::Duration;

use forebay_test_support::{Sandbox, Summary, environment, reported_step};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::jobs::{heavy, ready, run_json};

/// A framework takes seconds to import, on two cores many.
const PATIENCE: Duration = Duration::from_mins(5);

/// A role table that runs `train.py` in this environment.
fn role(name: &str, nodes: u32, python: &str) -> String {
    format!("[roles.{name}]\nnodes = {nodes}\nscript = \"train.py\"\npython = \"{python}\"\n")
}

fn job(framework: &str, roles: &[(&str, u32)]) -> String {
    let roles: String = roles
        .iter()
        .map(|(name, nodes)| role(name, *nodes, framework))
        .collect();
    format!("name = \"{framework}\"\nframework = \"{framework}\"\n{roles}")
}

#[test]
fn tensorflow_keeps_its_variables_on_the_parameter_server_and_stands_still_without() {
    environment("tensorflow");
    let _one = heavy();
    let sandbox = Sandbox::new();
    sandbox.write("train.py", include_str!("../../scripts/tensorflow_ps.py"));
    sandbox.write("job.toml", job("tensorflow", &[("worker", 2), ("ps", 1)]));
    let run = run_json(&sandbox).within(PATIENCE).start();
    let server = Pid::from_raw(ready(&run, "ps:0").cast_signed()).unwrap();
    let report = run.wait_event("worker:1 makes steps", reported_step("worker:1", 5));
    run.wait_event("worker:0 makes steps", reported_step("worker:0", 5));
    assert_eq!(report["values"]["placed"], "/job:ps/task:0", "{report}");
    assert!(
        report["values"]["ran_on"]
            .to_string()
            .contains("/job:ps/replica:0/task:0"),
        "{report}"
    );

    kill_process(server, Signal::STOP).unwrap();
    let (first, last) = ticks_without_steps(&run);
    assert!(
        last["step"].as_u64() <= first["step"].as_u64().map(|step| step + 2),
        "{first} {last}"
    );
    kill_process(server, Signal::KILL).unwrap();
    let output = run.finish();
    output.assert_code(1);
    assert_eq!(
        output.summary().value()["cause"]["node"],
        "ps:0",
        "{output}"
    );
}

/// Two reports of worker:0 that lie many ticks of its clock apart.
fn ticks_without_steps(run: &forebay_test_support::Running) -> (Value, Value) {
    let ticks = |event: &Value| event["values"]["ticks"].as_u64().unwrap_or_default();
    let of_worker = |event: &Value| event["kind"] == "report" && event["node"] == "worker:0";
    let begun = run
        .events_so_far()
        .iter()
        .filter(|event| of_worker(event))
        .map(ticks)
        .max();
    let begun = begun.unwrap_or_default();
    let later = |by: u64| move |event: &Value| of_worker(event) && ticks(event) >= begun + by;
    let first = run.wait_event("a report after the stop", later(3));
    (first, run.wait_event("the worker lives on", later(20)))
}

/// All workers have the same weights, and other ones than each would have alone.
fn assert_trained_together(summary: &Summary) {
    let weights = |worker: &str, key: &str| summary.reported(worker, key).clone();
    assert_eq!(
        weights("worker:0", "together"),
        weights("worker:1", "together")
    );
    for worker in ["worker:0", "worker:1"] {
        assert_ne!(
            weights(worker, "alone"),
            weights(worker, "together"),
            "{worker} trained alone"
        );
    }
    assert_ne!(
        weights("worker:0", "alone"),
        weights("worker:1", "alone"),
        "the shards differ"
    );
    assert_ne!(weights("worker:0", "rank"), weights("worker:1", "rank"));
}

#[test]
fn pytorch_ranks_on_two_machines_end_with_equal_weights() {
    environment("pytorch");
    let _one = heavy();
    let sandbox = Sandbox::pair();
    sandbox.write("train.py", include_str!("../../scripts/pytorch_weights.py"));
    sandbox.write("job.toml", job("pytorch", &[("worker", 2)]));
    let listen = [
        "--listen",
        "10.77.0.1:4711",
        "--insecure",
        "--slots",
        "1",
        "--agents",
        "2",
    ];
    let run = run_json(&sandbox).args(listen).within(PATIENCE).start();
    run.wait_event("an application manager", |event| event["kind"] == "am");
    let token = crate::jobs::run_dir(&run).join("token");
    let agent = [
        "agent",
        "--insecure",
        "--am",
        "10.77.0.1:4711",
        "--slots",
        "1",
        "--token-file",
    ];
    let agent = sandbox
        .second()
        .forebay(agent)
        .args([token])
        .within(PATIENCE)
        .start();
    let output = run.finish();
    output.assert_code(0);
    assert_trained_together(&output.summary());
    let agents: std::collections::BTreeSet<_> = placed_on(&output.events());
    assert_eq!(agents.len(), 2, "{agents:?}");
    agent.finish().assert_code(0);
}

fn placed_on(events: &[Value]) -> std::collections::BTreeSet<String> {
    let placed = events
        .iter()
        .filter(|event| event["kind"] == "node" && event["phase"] == "placed");
    placed.map(|event| event["agent"].to_string()).collect()
}

#[test]
fn mxnet_workers_end_with_equal_weights() {
    environment("mxnet");
    let _one = heavy();
    let sandbox = Sandbox::new();
    sandbox.write("train.py", include_str!("../../scripts/mxnet_weights.py"));
    sandbox.write("job.toml", job("mxnet", &[("worker", 2), ("server", 1)]));
    let output = run_json(&sandbox).within(PATIENCE).run();
    output.assert_code(0);
    assert_trained_together(&output.summary());
}
