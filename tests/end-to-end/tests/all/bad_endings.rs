//! Work that ends badly by itself: processes that stay after their end, and survivors that wait for one that is gone.

use std::time::Duration;

use forebay_test_support::{Sandbox, environment, reported_step};
use serde_json::Value;

use crate::jobs::{heavy, ready, run_json};
use crate::processes::kill;
use crate::restarts::{endings, restarts};

/// A framework takes seconds to import, on two cores many.
const PATIENCE: Duration = Duration::from_mins(5);
/// A script whose process stays after it.
const STAYS: &str = "import forebay, threading, time
node = forebay.node()
threading.Thread(target=time.sleep, args=[4711]).start()
";

fn job(script: &str, limits: &str) -> (String, String) {
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"plain\"\n";
    let limits =
        format!("limits = {{ linger_within = \"500 ms\", stop_grace = \"1 s\" }}\n{limits}");
    let name = "name = \"ends-badly\"\n";
    (format!("{STAYS}{script}"), format!("{name}{role}{limits}"))
}

#[test]
fn a_process_that_stays_after_an_exception_is_ended_and_the_exception_is_the_cause() {
    environment("plain");
    let sandbox = Sandbox::new();
    let (script, job) = job("raise RuntimeError('no data in the shard')\n", "");
    sandbox.write("train.py", script);
    sandbox.write("job.toml", job);
    let output = run_json(&sandbox).run();
    output.assert_code(1);
    let summary = output.summary();
    assert_eq!(summary.reason(), "RuntimeError: no data in the shard");
    let traceback = summary.value()["cause"]["traceback"].as_str();
    assert!(
        traceback.is_some_and(|text| text.contains("line 4")),
        "{output}"
    );
    assert_eq!(endings(&output, "worker:0"), ["signal 15 (SIGTERM)"]);
}

#[test]
fn a_process_that_stays_after_it_lost_a_peer_is_started_again() {
    environment("plain");
    let sandbox = Sandbox::new();
    let script = "if node.attempt == 1:\n    raise ConnectionResetError(104, 'Connection reset by peer')\nimport os\nos._exit(0)\n";
    let (script, job) = job(script, &restarts(1, 50));
    sandbox.write("train.py", script);
    sandbox.write("job.toml", job);
    let output = run_json(&sandbox).run();
    output.assert_code(0);
    let endings = endings(&output, "worker:0");
    assert_eq!(endings, ["signal 15 (SIGTERM)", "exit code 0"], "{output}");
}

#[test]
fn an_mxnet_worker_that_never_exits_has_finished() {
    environment("mxnet");
    let _one = heavy();
    let sandbox = Sandbox::new();
    sandbox.write("train.py", include_str!("../../scripts/mxnet_leaves.py"));
    let go = sandbox.work().join("go");
    let worker = format!(
        "[roles.worker]\nnodes = 2\nscript = \"train.py\"\npython = \"mxnet\"\nproperties = {{ go = \"{}\" }}\n",
        go.display()
    );
    let limits = "limits = { stop_grace = \"1 s\" }\n";
    let server = "[roles.server]\npython = \"mxnet\"\nlimits = { stop_grace = \"1 s\" }\n";
    let name = "name = \"leaves\"\nframework = \"mxnet\"\n";
    sandbox.write("job.toml", format!("{name}{worker}{limits}{server}"));
    let run = run_json(&sandbox).within(PATIENCE).start();
    let victim = ready(&run, "worker:1");
    run.wait_event("its work is done", |event| {
        event["kind"] == "signal" && event["node"] == "worker:1"
    });
    kill(victim);
    run.wait_event("it is gone", |event| {
        event["node"] == "worker:1" && event["phase"] == "exited"
    });
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(endings(&output, "worker:1"), ["signal 9 (SIGKILL)"]);
    assert_eq!(endings(&output, "worker:0"), ["signal 15 (SIGTERM)"]);
}

#[test]
fn a_tensorflow_worker_that_waits_for_ever_for_another_is_shown_and_ended() {
    environment("tensorflow");
    let _one = heavy();
    let sandbox = Sandbox::new();
    sandbox.write("train.py", include_str!("../../scripts/tensorflow_sync.py"));
    let role = |name: &str, nodes: u32| {
        format!("[roles.{name}]\nnodes = {nodes}\nscript = \"train.py\"\npython = \"tensorflow\"\n")
    };
    let limits =
        "limits = { report_within = \"4 s\", stall_kill = \"1 s\", stop_grace = \"1 s\" }\n";
    let roles = role("worker", 2) + limits + &role("ps", 1);
    let name = "name = \"waits\"\nframework = \"tensorflow\"\n";
    sandbox.write("job.toml", format!("{name}{roles}"));
    let run = run_json(&sandbox).within(PATIENCE).start();
    run.wait_event("it makes steps", reported_step("worker:0", 1));
    let stall = run.wait_event("it stands still", |event| {
        event["node"] == "worker:0" && event["kind"] == "stalled"
    });
    assert_eq!(stall["stall"], "no-progress");
    let stacks = stall["stacks"].as_str().unwrap_or_default();
    assert!(stacks.contains("every_step_of"), "{stall}");
    let output = run.finish();
    output.assert_code(1);
    let summary = output.summary();
    assert_eq!(summary.reason(), "it made no progress and was ended");
    assert_eq!(summary.value()["cause"]["node"], Value::from("worker:0"));
    assert_eq!(endings(&output, "worker:1"), ["exit code 0"], "{output}");
}
