//! Plugins that fail while a job runs: nodes are left alone, `stop` works, and `resume` with a mended plugin goes on.

use std::fs;

use forebay_test_support::{
    Machine, Output, Running, Sandbox, WATCHDOG, environment, of_kind, wait_until,
};
use serde_json::Value;

use crate::failover::manager_of;
use crate::jobs::{ready, start};
use crate::plugins::{put_plugin, ring_job};
use crate::processes::kill;

/// Its state machine goes wrong in this way at the signal of `first:0`, which then waits for the file `go`. Behind it comes
/// `second:0`, if anybody decides so.
fn job(machine: &Machine, fault: &str, size: usize) -> String {
    environment("plain");
    put_plugin(machine, "faults");
    put_plugin(machine, "mended");
    machine.write(
        "train.py",
        "import os, sys, time, forebay\nnode = forebay.node()\nnode.signal('now')\n\
         while not os.path.exists(sys.argv[1]):\n    time.sleep(0.02)\n",
    );
    let am = format!(
        "[am]\nplugin = \"./faults.wasm\"\nproperties = {{ when = \"now\", fault = \"{fault}\", size = \"{size}\" }}\n"
    );
    let go = machine.work().join("go");
    let first = format!(
        "[roles.first]\nscript = \"train.py\"\narguments = [\"{}\"]\npython = \"plain\"\n",
        go.display()
    );
    format!("name = \"quarantine\"\n{am}{first}[roles.second]\ncommand = [\"true\"]\n")
}

/// Why it is quarantined, once it is.
#[track_caller]
fn quarantined(run: &Running) -> String {
    let event = run.wait_event("the quarantine", of_kind("quarantined"));
    event["reason"].as_str().unwrap_or_default().to_owned()
}

fn resume(machine: &Machine, plugin: &str) -> Output {
    machine.forebay(["resume", "--plugin", plugin]).run()
}

/// Each node ran once and was left alone.
#[track_caller]
fn assert_succeeded_without_a_restart(output: &Output) {
    output.assert_code(0);
    let summary = output.summary();
    for node in ["first:0", "second:0"] {
        let attempts = &summary.node(node)["attempts"];
        assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{output}");
        assert_eq!(attempts[0]["verdict"], "finished", "{output}");
    }
}

/// The fault is named so, the node lives on, and a mended plugin goes on with the job.
#[track_caller]
fn is_mended(fault: &str, size: usize, named: &str) {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job(&sandbox, fault, size));
    let reason = quarantined(&run);
    assert!(reason.contains(named), "{reason}");
    let pid = ready(&run, "first:0");
    resume(&sandbox, "./mended.wasm").assert_code(0);
    sandbox.write("go", "");
    let output = run.finish();
    assert_succeeded_without_a_restart(&output);
    assert_eq!(output.summary().attempt("first:0")["pid"], pid, "{output}");
}

#[test]
fn a_loop() {
    is_mended("loop", 0, "the limit `fuel`");
}

#[test]
fn a_memory_bomb() {
    is_mended("memory", 1 << 30, "the limit `memory-bytes`");
}

#[test]
fn a_recursion_without_end() {
    is_mended(
        "recursion",
        usize::from(u16::MAX) << 8,
        "the limit `stack-bytes`",
    );
}

#[test]
fn a_panic() {
    is_mended("panic", 0, "the mill has no water");
}

#[test]
fn a_refusal() {
    is_mended("refusal", 0, "the mill has no water (`no-water`)");
}

#[test]
fn more_actions_than_allowed() {
    is_mended("actions", 1_001, "the limit `actions` of 1000");
}

#[test]
fn an_answer_that_is_too_large() {
    is_mended("note", 32 << 20, "the limit `answer-bytes`");
}

#[test]
fn a_state_that_is_too_large() {
    is_mended("state", (1 << 20) + 1, "the limit `state-bytes` of 1048576");
}

#[test]
fn an_action_for_a_node_that_is_not_there() {
    is_mended("invalid-action", 0, "the job has no role `nobody`");
}

#[test]
fn a_start_without_a_place() {
    is_mended("start-without-place", 0, "`first:0`");
}

#[test]
fn a_stop_needs_no_plugin() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job(&sandbox, "loop", 0));
    quarantined(&run);
    sandbox.forebay(["stop"]).run().assert_code(0);
    let output = run.finish();
    output.assert_code(130);
    assert_eq!(output.summary().attempt("first:0")["verdict"], "stopped");
}

#[test]
fn when_nobody_resumes_the_job_fails_in_the_end() {
    let sandbox = Sandbox::new();
    let job = job(&sandbox, "panic", 0) + "[limits]\nquarantine_grace = \"100 ms\"\n";
    let output = start(&sandbox, &job).finish();
    output.assert_code(2);
    let reason = output.summary().reason().to_owned();
    assert!(reason.contains("the mill has no water"), "{output}");
}

#[test]
fn a_run_tells_how_it_stands_and_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", job(&sandbox, "refusal", 0));
    let run = sandbox.forebay(["run", "job.toml"]).start();
    run.wait_stderr("`forebay resume --plugin FILE` goes on with a mended plugin");
    let (_, shown) = run.written();
    assert!(
        shown.contains("wait for rain"),
        "the plugin's hint: {shown}"
    );
    let status = sandbox.forebay(["status"]).run();
    assert!(status.stdout.contains("the mill has no water"), "{status}");
    sandbox.forebay(["stop"]).run().assert_code(0);
    run.finish().assert_code(130);
}

#[test]
fn what_cannot_go_on_with_the_job_is_refused_and_harms_nothing() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job(&sandbox, "panic", 0));
    quarantined(&run);
    let whole = fs::read(sandbox.work().join("mended.wasm")).expect("it is there");
    let manifest = fs::read_to_string(sandbox.work().join("mended.toml")).expect("it is there");
    put_plugin(&sandbox, "in-turn");
    let refused = |name: &str, component: &[u8], manifest: &str, why: &str| {
        sandbox.write(format!("{name}.wasm"), component);
        sandbox.write(format!("{name}.toml"), manifest);
        let output = resume(&sandbox, &format!("./{name}.wasm"));
        output.assert_code(2);
        assert!(output.stderr.contains(why), "{output}");
    };
    refused("text", b"hello", &manifest, "it is not WebAssembly");
    refused(
        "module",
        b"\0asm\x01\0\0\0",
        &manifest,
        "a core WebAssembly module, not a component",
    );
    refused(
        "cut",
        &whole[..whole.len() / 2],
        &manifest,
        "not a whole WebAssembly component",
    );
    let lie = manifest.replace("0.2.0", "0.3.0");
    refused(
        "lie",
        &whole,
        &lie,
        "its version is `0.2.0`, but its `plugin.toml` says `0.3.0`",
    );
    let other = resume(&sandbox, "./in-turn.wasm");
    other.assert_code(2);
    assert!(
        other
            .stderr
            .contains("no plugin with the id `in-turn`; its plugins are `faults`, "),
        "{other}"
    );
    let again = sandbox.forebay(["resume"]).run();
    again.assert_code(2);
    assert!(again.stderr.contains("failed again"), "{again}");

    resume(&sandbox, "./mended.wasm").assert_code(0);
    let late = resume(&sandbox, "./mended.wasm");
    late.assert_code(2);
    assert!(late.stderr.contains("the job is not quarantined"), "{late}");
    sandbox.write("go", "");
    assert_succeeded_without_a_restart(&run.finish());
}

#[test]
fn the_next_application_manager_keeps_the_quarantine_and_then_the_mended_plugin() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job(&sandbox, "panic", 0));
    quarantined(&run);
    wait_until("the quarantine is in the journal", WATCHDOG, || {
        status(&sandbox)["phase"] == "quarantined"
    });
    kill(manager_of(&run, 1));
    manager_of(&run, 2);
    assert!(status(&sandbox)["quarantine"].is_object());
    resume(&sandbox, "./mended.wasm").assert_code(0);
    kill(manager_of(&run, 2));
    manager_of(&run, 3);
    sandbox.write("go", "");
    assert_succeeded_without_a_restart(&run.finish());
    let replay = sandbox.forebay(["replay", "--verify"]).run();
    replay.assert_code(0);
}

fn status(machine: &Machine) -> Value {
    let mut answer = Value::Null;
    wait_until("somebody answers", WATCHDOG, || {
        let output = machine.forebay(["status", "--format", "json"]).run();
        answer = serde_json::from_str(&output.stdout).unwrap_or_default();
        output.code == Some(0)
    });
    answer
}

#[test]
fn a_plan_that_was_refused_is_made_by_a_mended_plugin() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "ring");
    let manifest = fs::read(sandbox.work().join("ring.toml")).expect("it is there");
    sandbox.write(
        "ring.toml",
        "id = \"ring\"\nversion = \"0.1.0\"\n[requests]\nports = 1\n",
    );
    let run = start(&sandbox, &ring_job(2));
    assert!(quarantined(&run).contains("RING_NEXT"));
    sandbox.write("ring.toml", manifest);
    resume(&sandbox, "./ring.wasm").assert_code(0);
    run.finish().assert_code(0);
}
