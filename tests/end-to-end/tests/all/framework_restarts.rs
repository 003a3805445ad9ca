//! Real trainings lose a process past some step, and go on from what their scripts had saved.

use std::fs;
use std::time::Duration;

use forebay_test_support::{Running, Sandbox, environment, reported_step};
use serde_json::Value;

use crate::frameworks::{assert_accurate, example};
use crate::jobs::{heavy, ready, run_json};
use crate::processes::kill;
use crate::restarts::{endings, ready_again, restarts};

/// A framework takes seconds to import, on two cores many; and it is imported twice.
const PATIENCE: Duration = Duration::from_mins(5);
/// Where the scripts end.
const STEPS: u64 = 60;

/// A job whose workers run `train.py`.
fn job(framework: &str, other_roles: &str) -> String {
    let worker = format!(
        "[roles.worker]\nnodes = 2\nscript = \"train.py\"\npython = \"{framework}\"\nlimits = {{ stop_grace = \"1 s\" }}\n"
    );
    let name = format!("name = \"returns\"\nframework = \"{framework}\"\n");
    format!("{name}{worker}{other_roles}{}", restarts(5, 50))
}

/// A script that trains the model of an example, on its data.
fn write_training(sandbox: &Sandbox, framework: &str, script: &str) {
    sandbox.write("train.py", script);
    for name in ["data.py", "model.py"] {
        let path = example(&format!("digits-{framework}")).join(name);
        sandbox.write(name, fs::read(path).expect("the example has it"));
    }
}

/// The step that the newest attempt of a node began with.
#[track_caller]
fn resumed(run: &Running, node: &str, attempt: u64) -> u64 {
    let event = run.wait_event("it says where it begins", |event| {
        event["node"] == node
            && event["attempt"] == attempt
            && event["values"]["resumed"] != Value::Null
    });
    event["values"]["resumed"].as_u64().expect("a step")
}

/// Kills worker 1 past a few steps, and lets the job come to its end.
#[track_caller]
fn check_that_everybody_goes_on(framework: &str, script: &str, other_roles: &str) {
    environment(framework);
    let _one = heavy();
    let sandbox = Sandbox::new();
    write_training(&sandbox, framework, script);
    sandbox.write("job.toml", job(framework, other_roles));
    let cache = sandbox.home().join("inductor");
    let run = run_json(&sandbox)
        .env("TORCHINDUCTOR_CACHE_DIR", cache)
        .within(PATIENCE)
        .start();
    let victim = ready(&run, "worker:1");
    run.wait_event("it makes steps", reported_step("worker:0", 5));
    run.wait_event("it makes steps", reported_step("worker:1", 5));
    kill(victim);
    for node in ["worker:0", "worker:1"] {
        let begin = resumed(&run, node, 2);
        assert!((5..STEPS).contains(&begin), "{node} begins at {begin}");
    }
    let output = run.finish();
    assert_accurate(&output);
    for node in ["worker:0", "worker:1"] {
        assert_eq!(output.summary().reported(node, "step"), STEPS, "{output}");
        assert_eq!(endings(&output, node).len(), 2, "{output}");
    }
    assert_eq!(endings(&output, "worker:1")[0], "signal 9 (SIGKILL)");
}

#[test]
fn a_pytorch_group_that_loses_a_rank_goes_on_from_its_checkpoint() {
    let script = include_str!("../../scripts/pytorch_resume.py");
    check_that_everybody_goes_on("pytorch", script, "");
}

#[test]
fn an_mxnet_job_that_loses_a_worker_goes_on_from_its_checkpoint() {
    let script = include_str!("../../scripts/mxnet_resume.py");
    let server = "[roles.server]\npython = \"mxnet\"\nlimits = { stop_grace = \"1 s\" }\n";
    check_that_everybody_goes_on("mxnet", script, server);
}

#[test]
fn a_tensorflow_worker_returns_to_its_parameter_server_and_a_lost_server_takes_all_along() {
    environment("tensorflow");
    let _one = heavy();
    let sandbox = Sandbox::new();
    write_training(
        &sandbox,
        "tensorflow",
        include_str!("../../scripts/tensorflow_resume.py"),
    );
    let server = "[roles.ps]\nscript = \"train.py\"\npython = \"tensorflow\"\nlimits = { stop_grace = \"1 s\" }\n";
    sandbox.write("job.toml", job("tensorflow", server));
    let run = run_json(&sandbox).within(PATIENCE).start();
    let (server, other) = (ready(&run, "ps:0"), ready(&run, "worker:0"));
    let victim = ready(&run, "worker:1");
    run.wait_event("it makes steps", reported_step("worker:1", 5));
    kill(victim);
    ready_again(&run, "worker:1", 2);
    assert!(
        resumed(&run, "worker:1", 2) >= 5,
        "the server has the steps"
    );
    let makes_steps = |node: &'static str, attempt: u64| {
        move |event: &Value| {
            event["node"] == node && event["attempt"] == attempt && event["step"].as_u64() > Some(5)
        }
    };
    let returned = run.wait_event("it makes steps again", makes_steps("worker:1", 2));
    let reached = returned["step"].as_u64().expect("a step");
    let goes_on = reported_step("worker:0", reached + 5);
    run.wait_event("the other makes steps", goes_on);
    let of_other = |event: &&Value| event["node"] == "worker:0" && event["phase"] == "starting";
    let events = run.events_so_far();
    let started = events
        .iter()
        .filter(of_other)
        .filter_map(|event| event["pid"].as_u64());
    assert_eq!(started.collect::<Vec<_>>(), [u64::from(other)], "it stays");

    kill(server);
    for (node, attempt) in [("ps:0", 2), ("worker:0", 2), ("worker:1", 3)] {
        ready_again(&run, node, attempt);
    }
    let begin = resumed(&run, "worker:0", 2);
    assert!(begin >= 20, "it begins at {begin}");
    let output = run.finish();
    assert_accurate(&output);
    assert_eq!(endings(&output, "ps:0")[0], "signal 9 (SIGKILL)");
    assert_eq!(endings(&output, "worker:0").len(), 2, "{output}");
    assert_eq!(endings(&output, "worker:1").len(), 3, "{output}");
}
