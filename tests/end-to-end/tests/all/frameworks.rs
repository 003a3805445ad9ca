//! The examples train real models, and training is really distributed: each framework shows it by what only a
//! distributed training has.

use std::path::PathBuf;
use std::time::Duration;

use forebay_test_support::{
    Invocation, Machine, Output, Running, Sandbox, environment, reported_step, repository,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::jobs::{heavy, machines, ready, run_json};

/// A framework takes seconds to import, on two cores many.
const PATIENCE: Duration = Duration::from_mins(5);
/// What a model has to reach that learned from all shards; each example's README states more.
const ACCURACY_MIN: f64 = 0.9;

pub(crate) fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

/// PyTorch keeps what it compiles from one run to the next, with Forebay or without: by default in `TMPDIR`.
pub(crate) fn compile_cache(machine: &Machine) -> (&'static str, PathBuf) {
    ("TORCHINDUCTOR_CACHE_DIR", machine.home().join("inductor"))
}

/// `run` of an example, in a sandbox.
fn run_example(machine: &Machine, name: &str) -> Invocation {
    let job = example(name).join("job.toml");
    machine
        .forebay(["run", "--format", "json"])
        .args([job])
        .within(PATIENCE)
}

#[track_caller]
pub(crate) fn assert_accurate(output: &Output) {
    output.assert_code(0);
    let accuracy = output
        .summary()
        .reported("worker:0", "test_accuracy")
        .as_f64();
    assert!(
        accuracy >= Some(ACCURACY_MIN),
        "accuracy {accuracy:?}: {output}"
    );
}

/// Both workers have the same weights, and other ones than worker 0 would have after training alone on its shard.
#[track_caller]
fn assert_trained_together(sandbox: &Sandbox, name: &str, python: &str, output: &Output) {
    let summary = output.summary();
    let weights = |worker| {
        summary
            .reported(worker, "weights")
            .as_str()
            .expect("a checksum")
            .to_owned()
    };
    assert_eq!(
        weights("worker:0"),
        weights("worker:1"),
        "each worker trained for itself"
    );
    let alone = sandbox
        .command(environment(python).join("bin/python"))
        .args(["single.py", "0", "2"]);
    let (variable, folder) = compile_cache(sandbox);
    let alone = alone
        .env(variable, folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .in_folder(example(name))
        .within(PATIENCE)
        .run();
    alone.assert_code(0);
    assert!(alone.stdout.contains("weights "), "{alone}");
    assert!(
        !alone.stdout.contains(&weights("worker:0")),
        "worker 0 trained alone: {alone}"
    );
}

#[test]
fn digits_pytorch_trains_over_two_machines() {
    environment("pytorch");
    let _one = heavy();
    let sandbox = Sandbox::pair();
    let listen = [
        "--listen",
        "10.77.0.1:4711",
        "--insecure",
        "--slots",
        "1",
        "--agents",
        "2",
    ];
    let (variable, folder) = compile_cache(&sandbox);
    let run = run_example(&sandbox, "digits-pytorch").env(variable, folder);
    let run = run.args(listen).start();
    let agent = crate::remote_agents::agent(sandbox.second(), &run).args(["--slots", "1"]);
    let (variable, folder) = compile_cache(sandbox.second());
    let agent = agent.env(variable, folder).within(PATIENCE).start();
    let output = run.finish();
    assert_accurate(&output);
    assert_trained_together(&sandbox, "digits-pytorch", "pytorch", &output);
    assert_eq!(machines(&output), ["machine-0", "machine-1"], "{output}");
    agent.finish().assert_code(0);
}

#[test]
fn digits_mxnet_trains_through_its_server() {
    environment("mxnet");
    let _one = heavy();
    let sandbox = Sandbox::new();
    let output = run_example(&sandbox, "digits-mxnet").run();
    assert_accurate(&output);
    assert_trained_together(&sandbox, "digits-mxnet", "mxnet", &output);
    for service in ["server:0", "scheduler:0"] {
        let verdict = output.summary().attempt(service)["verdict"].clone();
        assert!(
            verdict == "stopped" || verdict == "finished",
            "{service}: {output}"
        );
    }
}

#[test]
fn digits_tensorflow_trains_and_its_services_end_with_it() {
    environment("tensorflow");
    let _one = heavy();
    let sandbox = Sandbox::new();
    let output = run_example(&sandbox, "digits-tensorflow").run();
    assert_accurate(&output);
    for service in ["ps:0", "tensorboard:0"] {
        assert_eq!(
            output.summary().attempt(service)["verdict"],
            "stopped",
            "{output}"
        );
    }
    assert!(
        output
            .summary()
            .run_dir()
            .join("output")
            .read_dir()
            .is_ok_and(|mut folder| folder.next().is_some())
    );
}

/// A job of TensorFlow whose nodes all run `train.py`.
const COUNTING: &str = r#"
name = "counting"
framework = "tensorflow"

[roles.worker]
nodes = 2
script = "train.py"
python = "tensorflow"

[roles.ps]
script = "train.py"
python = "tensorflow"
"#;

#[test]
fn tensorflow_keeps_its_variables_on_the_parameter_server_and_stands_still_without() {
    environment("tensorflow");
    let _one = heavy();
    let sandbox = Sandbox::new();
    sandbox.write("train.py", include_str!("../../scripts/tensorflow_ps.py"));
    sandbox.write("job.toml", COUNTING);
    let run = run_json(&sandbox).within(PATIENCE).start();
    let server = Pid::from_raw(ready(&run, "ps:0").cast_signed()).unwrap();
    let report = run.wait_event("worker:1 makes steps", reported_step("worker:1", 5));
    run.wait_event("worker:0 makes steps", reported_step("worker:0", 5));
    assert_eq!(report["values"]["placed"], "/job:ps/task:0", "{report}");
    let ran_on = report["values"]["ran_on"].to_string();
    assert!(ran_on.contains("/job:ps/replica:0/task:0"), "{report}");

    kill_process(server, Signal::STOP).unwrap();
    // A step that was on its way may still arrive.
    let begun = newest(&run, "ticks");
    let first = step_at(&run, begun + 3);
    let last = step_at(&run, begun + 20);
    assert!(
        last <= first + 1,
        "steps {first} to {last} without a parameter server"
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

/// The step of worker:0 when its clock has come to `ticks`.
fn step_at(run: &Running, ticks: u64) -> u64 {
    run.wait_event("the worker's clock goes on", |event| {
        event["node"] == "worker:0" && event["values"]["ticks"].as_u64() >= Some(ticks)
    });
    newest(run, "step")
}

/// The highest number that worker:0 has reported under this key.
fn newest(run: &Running, key: &str) -> u64 {
    let events = run.events_so_far();
    let reports = events
        .iter()
        .filter(|event| event["kind"] == "report" && event["node"] == "worker:0");
    let numbers = reports.filter_map(|event| event[key].as_u64().or(event["values"][key].as_u64()));
    numbers.max().unwrap_or_default()
}
