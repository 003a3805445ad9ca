//! Every way in which a person ends a run, in every phase of it.

use forebay_test_support::{
    Output, Running, Sandbox, Signal, WATCHDOG, log_line, node_in_phase, wait_until,
};
use rustix::process::{Pid, kill_process};

use crate::jobs::{UNTIL_GO, job_with_go, manager_pid, ready, run_dir, run_json, shell_job, start};

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
    let output = interrupted(run);
    assert_stopped(&output);
    let events = output.events();
    let stops = events.iter().filter(|event| event["kind"] == "stop");
    let now: Vec<_> = stops.map(|event| event["now"] == true).collect();
    assert_eq!(now, [false, true], "{output}");
}

#[test]
fn a_third_interrupt_does_not_wait_for_the_application_manager() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &shell_job(1, "sleep 4711"));
    ready(&run, "worker:0");
    let manager = Pid::from_raw(manager_pid(&run).cast_signed()).expect("a pid is not 0");
    kill_process(manager, Signal::STOP).expect("it lives");
    for told in [
        "Ctrl-C again kills",
        "killing every node",
        "giving the job up",
    ] {
        run.signal(Signal::INT);
        run.wait_stderr(told);
    }
    assert_stopped(&run.finish());
}

#[test]
fn an_interrupt_before_the_job_begins_ends_it_there() {
    let sandbox = Sandbox::new();
    let job = sandbox.work().join("job.toml");
    sandbox.command("mkfifo").args([&job]).run().assert_code(0);
    let run = run_json(&sandbox).start();
    let catches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", run.pid()));
        let status = status.unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        caught.is_some_and(|mask| mask & (1 << (Signal::INT.as_raw() - 1)) != 0)
    };
    wait_until("it listens for signals", WATCHDOG, catches);
    let output = interrupted(run);
    assert_stopped(&output);
    assert_eq!(output.summary().value()["run_dir"], "", "{output}");
    assert!(sandbox.runs().is_empty());
}

/// Each role has a grace of its own.
#[test]
fn a_node_that_does_not_end_is_killed_after_its_grace() {
    let sandbox = Sandbox::new();
    let quick = shell_job(1, STUBBORN) + "limits = { stop_grace = \"200 ms\" }\n";
    let slow = format!(
        "[roles.slow]\ncommand = [\"sh\", \"-c\", \"{STUBBORN}\"]\nlimits = {{ stop_grace = \"1 h\" }}\n"
    );
    let run = start(
        &sandbox,
        &format!("{quick}{slow}[limits]\nstop_within = \"2 h\"\n"),
    );
    for node in ["worker:0", "slow:0"] {
        run.wait_event("the node is stubborn", log_line(node, "stubborn"));
    }
    run.signal(Signal::INT);
    let killed = run.wait_event("it is killed", node_in_phase("worker:0", "exited"));
    assert_eq!(killed["ending"], "signal 9 (SIGKILL)");
    let exited = node_in_phase("slow:0", "exited");
    assert!(!run.events_so_far().iter().any(exited), "it has an hour");
    assert_stopped(&interrupted(run));
}

#[test]
fn the_verb_stop_kills_at_once_if_it_is_told_to() {
    let sandbox = Sandbox::new();
    let job = shell_job(1, STUBBORN) + "limits = { stop_grace = \"1 h\" }\n";
    let run = start(&sandbox, &(job + "[limits]\nstop_within = \"2 h\"\n"));
    run.wait_event("the node is stubborn", log_line("worker:0", "stubborn"));
    let stop = sandbox.forebay(["stop", "--now"]).run();
    stop.assert_code(0);
    assert_stopped(&run.finish());
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
