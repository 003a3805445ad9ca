//! Nodes that stand still are seen, named, shown with their stacks, and in the end killed.

use forebay_test_support::{
    Output, Sandbox, Signal, WATCHDOG, environment, log_line, node_in_phase, reported_step,
    wait_until,
};
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use crate::jobs::{ready, start};
use crate::restarts::{endings, restarts};

/// A job of one Python node with these limits of a node.
fn job(sandbox: &Sandbox, script: &str, limits: &str) -> String {
    environment("plain");
    sandbox.write(
        "train.py",
        format!("import forebay, time\nnode = forebay.node()\n{script}"),
    );
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"plain\"\n";
    format!("name = \"still\"\n{role}limits = {{ stop_grace = \"1 s\", {limits} }}\n")
}

/// Waits until the node is told to stand still in this way; gives its stacks.
#[track_caller]
fn stacks(run: &forebay_test_support::Running, stall: &str) -> String {
    let event = run.wait_event(stall, |event| {
        event["kind"] == "stalled" && event["stall"] == stall
    });
    assert_eq!(event["node"], "worker:0", "{event}");
    event["stacks"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn assert_ended_as_stalled(output: &Output) {
    output.assert_code(1);
    assert_eq!(
        output.summary().reason(),
        "it made no progress and was ended",
        "{output}"
    );
}

#[test]
fn a_deadlock_is_shown_with_its_stacks_and_ended() {
    let sandbox = Sandbox::new();
    let script = "import threading\nlock = threading.Lock()\ndef waits_for_itself():\n    with lock, lock:\n        pass\nnode.report(step=1)\nwaits_for_itself()\n";
    let job = job(
        &sandbox,
        script,
        "report_within = \"300 ms\", stall_kill = \"2 s\"",
    );
    let run = start(&sandbox, &job);
    let stacks = stacks(&run, "no-progress");
    assert!(stacks.contains("waits_for_itself"), "{stacks}");
    let again = run.wait_event("it is told again", |event| {
        event["stall"] == "no-progress" && event["for_ms"] == 600
    });
    assert_eq!(again["attempt"], 1);
    assert_ended_as_stalled(&run.finish());
}

#[test]
fn an_interpreter_that_never_gives_its_lock_back_is_shown_with_its_stacks_and_ended() {
    let sandbox = Sandbox::new();
    let script = "def holds_the_lock():\n    sum(range(10**15))\nnode.report(step=1)\ntime.sleep(0.5)\nholds_the_lock()\n";
    let job = job(
        &sandbox,
        script,
        "respond_within = \"2 s\", stall_kill = \"1 s\"",
    );
    let run = start(&sandbox, &job);
    let stacks = stacks(&run, "unresponsive");
    assert!(stacks.contains("holds_the_lock"), "{stacks}");
    assert_ended_as_stalled(&run.finish());
}

#[test]
fn a_node_that_sleeps_in_an_import_is_shown_with_its_stacks_and_ended() {
    environment("plain");
    let sandbox = Sandbox::new();
    sandbox.write(
        "weights.py",
        "import time\ndef loads_for_ever():\n    time.sleep(4711)\nloads_for_ever()\n",
    );
    sandbox.write("train.py", "import weights\n");
    let worker = "[roles.worker]\ncommand = [\"sleep\", \"4711\"]\n";
    // A server is ready once it listens.
    let server = "[roles.ps]\nscript = \"train.py\"\npython = \"plain\"\n";
    let limits = "limits = { start_within = \"2 s\", stall_kill = \"1 s\" }\n";
    let name = "name = \"still\"\nframework = \"tensorflow\"\n";
    let run = start(&sandbox, &format!("{name}{worker}{server}{limits}"));
    let stall = run.wait_event("it is not ready", |event| event["stall"] == "not-ready");
    assert_eq!(stall["node"], "ps:0");
    let stacks = stall["stacks"].as_str().unwrap_or_default();
    assert!(stacks.contains("loads_for_ever"), "{stall}");
    let output = run.finish();
    output.assert_code(1);
    let reason = output.summary().reason().to_owned();
    assert_eq!(reason, "it was not ready in time and was ended", "{output}");
}

#[test]
fn a_script_that_does_not_get_to_its_node_is_shown_with_its_stacks_and_ended() {
    environment("plain");
    let sandbox = Sandbox::new();
    let script = "def loads_for_ever():\n    import time\n    time.sleep(4711)\nloads_for_ever()\n";
    sandbox.write("train.py", script);
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"plain\"\n";
    let limits = "limits = { attach_within = \"2 s\", stall_kill = \"1 s\" }\n";
    // Its nodes are ready once they run.
    let name = "name = \"still\"\nframework = \"pytorch\"\n";
    let run = start(&sandbox, &format!("{name}{role}{limits}"));
    let stacks = stacks(&run, "not-ready");
    assert!(stacks.contains("loads_for_ever"), "{stacks}");
    let output = run.finish();
    output.assert_code(1);
    let reason = output.summary().reason().to_owned();
    assert_eq!(reason, "it was not ready in time and was ended", "{output}");
}

#[test]
fn a_node_that_moves_again_is_left_alone() {
    let sandbox = Sandbox::new();
    let script = "node.report(step=1)\ntime.sleep(1)\nnode.report(step=2)\nimport os\nwhile not os.path.exists(node.parameters['go']):\n    node.report(step=3)\n    time.sleep(0.05)\n";
    let go = sandbox.work().join("go");
    let job = job(
        &sandbox,
        script,
        "report_within = \"300 ms\", stall_kill = \"8 s\"",
    ) + &format!("properties = {{ go = \"{}\" }}\n", go.display());
    let run = start(&sandbox, &job);
    stacks(&run, "no-progress");
    run.wait_event("it goes on", reported_step("worker:0", 3));
    let moved = std::time::Instant::now();
    wait_until("longer than a stalled node has", WATCHDOG, || {
        moved.elapsed() > std::time::Duration::from_secs(9)
    });
    sandbox.write("go", "");
    run.finish().assert_code(0);
}

#[test]
fn a_node_that_is_stopped_for_a_while_is_not_killed() {
    let sandbox = Sandbox::new();
    let script = "import os\nwhile not os.path.exists(node.parameters['go']):\n    node.report(step=1)\n    time.sleep(0.05)\n";
    let go = sandbox.work().join("go");
    let job = job(&sandbox, script, "report_within = \"300 ms\"")
        + &format!("properties = {{ go = \"{}\" }}\n", go.display());
    let run = start(&sandbox, &job);
    let pid = Pid::from_raw(ready(&run, "worker:0").cast_signed()).expect("a pid is not 0");
    run.wait_event("it reports", reported_step("worker:0", 1));
    kill_process(pid, Signal::STOP).expect("it lives");
    stacks(&run, "no-progress");
    kill_process(pid, Signal::CONT).expect("it lives");
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(endings(&output, "worker:0").len(), 1, "{output}");
}

#[test]
fn a_shell_script_whose_python_has_ended_is_not_waited_for() {
    let sandbox = Sandbox::new();
    let python = environment("plain").join("bin/python");
    let go = sandbox.work().join("go");
    let script = format!(
        "{} -c 'import forebay; forebay.node().report(step=1)'; echo goes on; while [ ! -e {} ]; do sleep 0.02; done",
        python.display(),
        go.display()
    );
    let role = format!("[roles.worker]\ncommand = [\"sh\", \"-c\", \"{script}\"]\n");
    let limits = "limits = { report_within = \"200 ms\", respond_within = \"400 ms\", stall_kill = \"100 ms\" }\n";
    let run = start(&sandbox, &format!("name = \"shell\"\n{role}{limits}"));
    run.wait_event("Python has ended", log_line("worker:0", "goes on"));
    let ended = std::time::Instant::now();
    wait_until("longer than a stalled node has", WATCHDOG, || {
        ended.elapsed() > std::time::Duration::from_secs(2)
    });
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    let is_stalled = |event: &Value| event["kind"] == "stalled";
    assert!(!output.events().iter().any(is_stalled), "{output}");
}

#[test]
fn a_node_that_stands_still_is_started_again() {
    let sandbox = Sandbox::new();
    let script = "node.report(step=node.attempt)\nif node.attempt == 1:\n    time.sleep(4711)\n";
    let job = job(
        &sandbox,
        script,
        "report_within = \"200 ms\", stall_kill = \"200 ms\"",
    );
    let run = start(&sandbox, &(job + &restarts(2, 50)));
    run.wait_event("the second attempt", |event| {
        node_in_phase("worker:0", "ready")(event) && event["attempt"] == 2
    });
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(endings(&output, "worker:0").len(), 2, "{output}");
}
