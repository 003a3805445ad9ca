//! Nodes that fail are started again, as often as the job allows and as their role policies say.

use forebay_test_support::{Output, Running, Sandbox, Signal, log_line, node_in_phase};
use serde_json::Value;

use crate::failover::manager_of;
use crate::jobs::{UNTIL_GO, job_with_go, machines, ready, run, run_json, shell_job, start};
use crate::processes::kill;

/// So many restarts, each after so many milliseconds and no long thought about the first cause.
pub(crate) fn restarts(number: u32, back_off_ms: u32) -> String {
    format!(
        "[limits]\nrestarts = {number}\n[am.properties]\nrestart-backoff-ms = {back_off_ms}\nsettle-ms = 50\n"
    )
}

/// Process of the attempt of a node, once it is ready.
#[track_caller]
pub(crate) fn ready_again(run: &Running, node: &str, attempt: u64) -> u32 {
    let is_it = node_in_phase(node, "ready");
    let event = run.wait_event(&format!("{node}, attempt {attempt}"), |event| {
        is_it(event) && event["attempt"] == attempt
    });
    u32::try_from(event["pid"].as_u64().expect("it has a process")).expect("a pid")
}

#[track_caller]
pub(crate) fn endings(output: &Output, node: &str) -> Vec<String> {
    let summary = output.summary();
    let attempts = summary.node(node)["attempts"].as_array().cloned();
    let text = |attempt: &Value| attempt["ending"].as_str().unwrap_or_default().to_owned();
    attempts.unwrap_or_default().iter().map(text).collect()
}

#[test]
fn a_node_that_fails_twice_and_then_works_succeeds() {
    let sandbox = Sandbox::new();
    let job = shell_job(1, "[ $FOREBAY_ATTEMPT -ge 3 ] || exit 7") + &restarts(5, 50);
    let output = run(&sandbox, &job);
    output.assert_code(0);
    assert_eq!(
        endings(&output, "worker:0"),
        ["exit code 7", "exit code 7", "exit code 0"]
    );
}

#[test]
fn a_node_that_always_fails_ends_the_job_when_the_restarts_are_used_up() {
    let sandbox = Sandbox::new();
    let output = run(
        &sandbox,
        &(shell_job(1, "echo no; exit 7") + &restarts(2, 50)),
    );
    output.assert_code(1);
    assert_eq!(
        output.summary().reason(),
        "exit code 7; after 2 restarts none is left",
        "{output}"
    );
    assert_eq!(endings(&output, "worker:0").len(), 3, "{output}");
    assert_eq!(output.summary().value()["cause"]["attempt"], 3);
}

#[test]
fn a_script_that_loses_its_peer_again_and_again_ends_the_job_with_its_traceback() {
    let sandbox = Sandbox::new();
    let script = "def trains():\n    raise ConnectionResetError(104, 'Connection reset by peer')\ntrains()\n";
    sandbox.write("train.py", script);
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"/usr/bin/python3\"\n";
    let job = format!("name = \"a\"\n{role}{}", restarts(2, 50));
    let output = run(&sandbox, &job);
    output.assert_code(1);
    assert_eq!(endings(&output, "worker:0").len(), 3, "{output}");
    let summary = output.summary();
    let reason = summary.reason();
    assert!(reason.contains("after 2 restarts none is left"), "{output}");
    let traceback = summary.value()["cause"]["traceback"].to_string();
    assert!(traceback.contains("in trains"), "{output}");
}

#[test]
fn a_mistake_of_the_script_is_not_tried_again() {
    let sandbox = Sandbox::new();
    sandbox.write("train.py", "raise ValueError('no such column')\n");
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"/usr/bin/python3\"\n";
    let output = run(
        &sandbox,
        &format!("name = \"a\"\n{role}{}", restarts(5, 50)),
    );
    output.assert_code(1);
    assert_eq!(endings(&output, "worker:0").len(), 1, "{output}");
    let traceback = output.summary().value()["cause"]["traceback"].to_string();
    assert!(traceback.contains("no such column"), "{output}");
}

#[test]
fn only_the_node_that_was_killed_is_started_again() {
    let sandbox = Sandbox::new();
    let job = job_with_go(&sandbox, 2, UNTIL_GO) + &restarts(3, 50);
    let run = start(&sandbox, &job);
    let stays = ready(&run, "worker:0");
    kill(ready(&run, "worker:1"));
    ready_again(&run, "worker:1", 2);
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(endings(&output, "worker:0").len(), 1, "{output}");
    assert_eq!(output.summary().attempt("worker:0")["pid"], stays);
    let endings = endings(&output, "worker:1");
    assert_eq!(endings, ["signal 9 (SIGKILL)", "exit code 0"], "{output}");
}

#[test]
fn a_process_group_comes_back_as_a_whole_at_its_old_address() {
    let sandbox = Sandbox::new();
    let go = sandbox.work().join("go");
    let script = format!("echo master $MASTER_PORT; {UNTIL_GO}");
    let job = job_with_go(&sandbox, 2, &script) + &restarts(3, 50);
    let run = start(&sandbox, &format!("framework = \"pytorch\"\n{job}"));
    ready(&run, "worker:0");
    kill(ready(&run, "worker:1"));
    for node in ["worker:0", "worker:1"] {
        ready_again(&run, node, 2);
    }
    std::fs::write(go, "").expect("the sandbox is writable");
    let output = run.finish();
    output.assert_code(0);
    let lines = output.events();
    let masters: std::collections::BTreeSet<_> = lines
        .iter()
        .filter_map(|event| event["line"].as_str())
        .filter(|line| line.starts_with("master "))
        .collect();
    assert_eq!(masters.len(), 1, "{output}");
    for node in ["worker:0", "worker:1"] {
        assert_eq!(endings(&output, node).len(), 2, "{output}");
    }
}

#[test]
fn the_work_of_a_lost_machine_goes_on_elsewhere() {
    let sandbox = Sandbox::pair();
    sandbox.write(
        "job.toml",
        job_with_go(&sandbox, 2, UNTIL_GO) + &restarts(3, 50),
    );
    let run = run_json(&sandbox)
        .args(["--listen", "10.77.0.1:4711", "--insecure", "--agents", "2"])
        .start();
    let agent = crate::remote_agents::agent(sandbox.second(), &run).start();
    ready(&run, "worker:0");
    ready(&run, "worker:1");
    kill(agent.pid());
    agent.finish();
    let lost = run.wait_event("one is placed again", |event| {
        event["phase"] == "placed" && event["attempt"] == 1
    });
    assert_eq!(lost["agent"], "machine-0");
    ready_again(&run, lost["node"].as_str().expect("a node"), 2);
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(machines(&output), ["machine-0", "machine-1"], "{output}");
}

#[test]
fn a_new_application_manager_knows_of_the_restart_that_is_to_come() {
    let sandbox = Sandbox::new();
    let job = shell_job(1, "[ $FOREBAY_ATTEMPT = 2 ] || exit 7") + &restarts(3, 1_500);
    let run = start(&sandbox, &job);
    run.wait_event("it is to be restarted", |event| {
        event["phase"] == "restarting"
    });
    kill(manager_of(&run, 1));
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(endings(&output, "worker:0").len(), 2, "{output}");
    let terms = output.summary().value()["terms"].clone();
    assert_eq!(terms.as_array().map(Vec::len), Some(2), "{output}");
}

#[test]
fn an_interrupt_ends_the_wait_before_a_restart() {
    let sandbox = Sandbox::new();
    let run = start(
        &sandbox,
        &(shell_job(1, "echo ran; exit 7") + &restarts(3, 50_000)),
    );
    run.wait_event("it ran", log_line("worker:0", "ran"));
    run.wait_event("it is to be restarted", |event| {
        event["phase"] == "restarting"
    });
    run.signal(Signal::INT);
    run.finish().assert_code(130);
}
