//! Every way in which a person ends a run, in every phase of it.

use forebay_test_support::{Output, Running, Sandbox, Signal, log_line, node_in_phase};

use crate::jobs::{UNTIL_GO, job_with_go, ready, run_dir, run_json, shell_job, start};

/// A node that does not care for SIGTERM; it says so when it is ready for the test.
const STUBBORN: &str = "trap '' TERM; echo stubborn; while :; do sleep 0.02; done";

#[track_caller]
fn assert_stopped(output: &Output) {
    output.assert_code(130);
    assert_eq!(output.summary().outcome(), "stopped", "{output}");
}

fn interrupted(run: Running) -> Output {
    run.signal(Signal::INT);
    run.finish()
}

#[test]
fn an_interrupt_stops_a_job_that_waits_for_agents() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "true"));
    let run = run_json(&sandbox)
        .args(["--listen", "127.0.0.1:4711", "--slots", "0"])
        .start();
    run.wait_event("placing", |event| {
        event["kind"] == "phase" && event["phase"] == "placing"
    });
    assert_stopped(&interrupted(run));
}

#[test]
fn an_interrupt_stops_a_job_whose_nodes_start() {
    let sandbox = Sandbox::new();
    // TensorFlow's parameter server is ready when it listens, and this one never does.
    let role = "[roles.ps]\ncommand = [\"sh\", \"-c\", \"echo starts; sleep 4711\"]\n[roles.worker]\ncommand = [\"sleep\", \"4711\"]\n";
    let run = start(
        &sandbox,
        &format!("name = \"starts\"\nframework = \"tensorflow\"\n{role}"),
    );
    run.wait_event("ps:0 starts", log_line("ps:0", "starts"));
    assert_stopped(&interrupted(run));
}

#[test]
fn an_interrupt_stops_a_running_job_in_an_orderly_way() {
    let sandbox = Sandbox::new();
    let script = format!("trap 'echo tidied up; exit 0' TERM; {UNTIL_GO}");
    let run = start(&sandbox, &job_with_go(&sandbox, 2, &script));
    ready(&run, "worker:0");
    ready(&run, "worker:1");
    let output = interrupted(run);
    assert_stopped(&output);
    for node in ["worker:0", "worker:1"] {
        assert!(
            output.events().iter().any(log_line(node, "tidied up")),
            "{output}"
        );
        assert_eq!(output.summary().attempt(node)["verdict"], "stopped");
    }
}

#[test]
fn a_terminate_signal_stops_as_an_interrupt_does() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &shell_job(1, "sleep 4711"));
    ready(&run, "worker:0");
    run.signal(Signal::TERM);
    assert_stopped(&run.finish());
}

#[test]
fn a_second_interrupt_kills_what_does_not_end() {
    let sandbox = Sandbox::new();
    let job = shell_job(1, STUBBORN) + "limits = { stop_grace = \"1 h\" }\n";
    let run = start(&sandbox, &(job + "[limits]\nstop_within = \"2 h\"\n"));
    run.wait_event("the node is stubborn", log_line("worker:0", "stubborn"));
    run.signal(Signal::INT);
    run.wait_event(
        "worker:0 is told to stop",
        node_in_phase("worker:0", "stopping"),
    );
    assert_stopped(&interrupted(run));
}

#[test]
fn a_node_that_does_not_end_is_killed_after_its_grace() {
    let sandbox = Sandbox::new();
    let run = start(
        &sandbox,
        &(shell_job(1, STUBBORN) + "limits = { stop_grace = \"200 ms\" }\n"),
    );
    run.wait_event("the node is stubborn", log_line("worker:0", "stubborn"));
    let output = interrupted(run);
    assert_stopped(&output);
    assert!(
        output.summary().attempt("worker:0")["ending"]
            .to_string()
            .contains('9'),
        "{output}"
    );
}

#[test]
fn a_job_that_does_not_end_is_killed_after_its_limit() {
    let sandbox = Sandbox::new();
    let job = shell_job(1, STUBBORN)
        + "limits = { stop_grace = \"1 h\" }\n[limits]\nstop_within = \"300 ms\"\n";
    let run = start(&sandbox, &job);
    run.wait_event("the node is stubborn", log_line("worker:0", "stubborn"));
    assert_stopped(&interrupted(run));
}

#[test]
fn the_verb_stop_ends_a_run_from_elsewhere() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &shell_job(1, "sleep 4711"));
    ready(&run, "worker:0");
    let stop = sandbox
        .forebay(["stop".into(), run_dir(&run)])
        .in_folder(sandbox.home())
        .run();
    stop.assert_code(0);
    assert_stopped(&run.finish());
}

#[test]
fn in_a_terminal_ctrl_c_stops_and_ctrl_z_does_not() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "echo shown; sleep 4711"));
    let (run, mut terminal) = sandbox.forebay(["run", "job.toml"]).start_in_terminal();
    run.wait_stdout("running");
    terminal.press_suspend();
    run.wait_stdout("Ctrl-Z");
    terminal.press_interrupt();
    run.finish().assert_code(130);
}

#[test]
fn a_closed_terminal_stops_the_run() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "sleep 4711"));
    let (run, terminal) = sandbox.forebay(["run", "job.toml"]).start_in_terminal();
    run.wait_stdout("running");
    drop(terminal);
    run.finish().assert_code(130);
    let summary = std::fs::read_to_string(sandbox.runs()[0].join("summary.json")).unwrap();
    assert!(summary.contains("stopped"), "{summary}");
}
