//! Which processes a run consists of, and what it leaves on disk.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use forebay_test_support::{Sandbox, Signal, WATCHDOG, forebay_binary, wait_until};
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use crate::jobs::{UNTIL_GO, job_with_go, manager_pid, ready, run, run_dir, shell_job, start};

/// Parent, process group and session, from `/proc/PID/stat`.
pub(crate) fn kin(pid: u32) -> [u32; 3] {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let after_name = stat.rsplit(") ").next().expect("a process has a name");
    let fields: Vec<_> = after_name.split(' ').collect();
    [1, 2, 3].map(|field| fields[field].parse().expect("a pid"))
}

fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).expect("the process lives");
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Whether the process is there, and no mere entry that nobody has waited for.
pub(crate) fn lives(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

#[test]
fn engine_application_manager_and_nodes_are_processes_of_their_own() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job_with_go(&sandbox, 2, UNTIL_GO));
    let (engine, manager) = (run.pid(), manager_pid(&run));
    let nodes = [ready(&run, "worker:0"), ready(&run, "worker:1")];

    let binary = forebay_binary().canonicalize().unwrap();
    assert_eq!(
        fs::read_link(format!("/proc/{manager}/exe")).unwrap(),
        binary
    );
    assert_ne!(engine, manager);
    assert_eq!(
        kin(manager)[0],
        engine,
        "the application manager is a child of the engine"
    );
    assert_ne!(
        kin(manager)[1],
        kin(engine)[1],
        "a terminal's signal does not reach it"
    );
    for node in nodes {
        let [parent, group, _] = kin(node);
        assert!(
            command_line(node).starts_with("sh -c"),
            "the pid is the node's own"
        );
        assert!(
            command_line(parent).contains("node-exec"),
            "{}",
            command_line(parent)
        );
        assert_eq!(
            kin(parent)[0],
            engine,
            "nodes are below the agent in the engine"
        );
        assert_eq!(group, node, "a node leads its own group");
    }

    let socket = fs::metadata(run_dir(&run).join("am.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    let token = fs::metadata(run_dir(&run).join("token")).unwrap();
    assert_eq!(token.permissions().mode() & 0o777, 0o600);

    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(output.summary().outcome(), "succeeded");
    assert_eq!(output.summary().manager_pid(), u64::from(manager));
    assert!(!lives(manager) && !nodes.into_iter().any(lives));
}

#[test]
fn a_run_directory_tells_the_whole_story() {
    let sandbox = Sandbox::new();
    let output = run(
        &sandbox,
        &shell_job(2, "echo node $FOREBAY_INDEX; echo complaint >&2"),
    );
    output.assert_code(0);
    let run_dir = output.summary().run_dir();
    assert_eq!(
        run_dir.parent().unwrap(),
        sandbox.work().join(".forebay/runs")
    );
    assert!(
        run_dir
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("shell-")
    );

    assert_eq!(json(&run_dir.join("job.json"))["name"], "shell");
    assert_eq!(json(&run_dir.join("summary.json"))["outcome"], "succeeded");
    let events = fs::read_to_string(run_dir.join("events.jsonl")).unwrap();
    let told = output
        .stdout
        .lines()
        .filter(|line| line.contains("\"sequence\":"));
    assert!(
        told.eq(events.lines()),
        "the events on disk are the numbered ones on stdout"
    );
    assert!(fs::read_dir(run_dir.join("journal")).unwrap().count() > 0);
    for index in ["0", "1"] {
        let log = fs::read_to_string(run_dir.join(format!("logs/worker-{index}.1.log"))).unwrap();
        assert!(
            log.contains(&format!("node {index}\n")) && log.contains("complaint\n"),
            "{log}"
        );
    }
    assert!(
        !run_dir.join("am.sock").exists(),
        "nobody listens there any more"
    );
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the run has this file");
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn events_are_numbered_without_gaps_and_end_with_the_summary() {
    let sandbox = Sandbox::new();
    let output = run(&sandbox, &shell_job(1, "echo hello"));
    output.assert_code(0);
    let events = output.events();
    let numbers = events.iter().filter_map(|event| event["sequence"].as_u64());
    let logs = events.iter().filter(|event| event["kind"] == "log").count();
    assert!(numbers.eq(1..=(events.len() - logs) as u64), "{output}");
    assert_eq!(events[0]["kind"], "job");
    let mut phases = events
        .iter()
        .filter(|event| event["node"] == "worker:0" && event["kind"] == "node");
    for expected in ["placed", "starting", "ready", "exited"] {
        assert!(
            phases.any(|event| event["phase"] == expected),
            "no {expected} in its place: {output}"
        );
    }
    let attempt = output.summary().attempt("worker:0").clone();
    assert_eq!(attempt["attempt"], 1);
    assert_eq!(attempt["verdict"], "finished");
}

#[test]
fn a_run_directory_is_never_used_again() {
    let sandbox = Sandbox::new();
    let dirs = [1, 2].map(|_| run(&sandbox, &shell_job(1, "true")).summary().run_dir());
    assert_ne!(dirs[0], dirs[1]);
    assert_eq!(sandbox.runs().len(), 2);
    assert!(
        fs::read_to_string(sandbox.work().join(".forebay/runs/.gitignore"))
            .unwrap()
            .contains('*')
    );
}

#[test]
fn without_a_terminal_and_json_there_are_plain_lines_and_the_run_directory() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "echo hello"));
    let output = sandbox.forebay(["run", "job.toml"]).run();
    output.assert_code(0);
    assert_eq!(output.stdout, "", "stdout is for data: {output}");
    let run_dir = sandbox.runs().pop().unwrap();
    assert!(
        output.stderr.contains(run_dir.to_str().unwrap()),
        "{output}"
    );
    assert!(
        !output.stderr.contains('\x1b'),
        "no colours without a terminal: {output}"
    );
    assert!(output.stderr.contains("worker:0"), "{output}");
}

#[test]
fn a_killed_engine_takes_everything_with_it() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job_with_go(&sandbox, 2, UNTIL_GO));
    let (manager, node) = (manager_pid(&run), ready(&run, "worker:1"));
    kill(run.pid());
    wait_until("application manager and nodes are gone", WATCHDOG, || {
        !lives(manager) && !lives(node)
    });
    assert_eq!(run.finish().signal, Some(9));
}

/// Of a process that only the test can end.
pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Nothing of it runs until it gets SIGCONT.
pub(crate) fn stop(pid: u32) {
    signal(pid, Signal::STOP);
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a pid is not 0");
    kill_process(pid, signal).expect("the process lives");
}
