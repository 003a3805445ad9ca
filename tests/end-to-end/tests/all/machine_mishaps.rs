//! What goes wrong with the machine under a run, and what the user reads then.

use std::fs;
use std::path::{Path, PathBuf};

use forebay_test_support::{Invocation, Output, Running, Sandbox, Signal, log_line};
use serde_json::Value;

use crate::command_line::{last_screen, snapshot};
use crate::continuing::kill_engine;
use crate::failover::manager_of;
use crate::jobs::{UNTIL_GO, job_with_go, ready, run_json, shell_job, start};
use crate::processes::stop;
use crate::restarts::{endings, restarts};

// ------------------------------------------------------------------------------------------------------------- ports

/// Listens on the port that its argument names until its input ends.
const SQUATTER: &str = "import socket, sys, time; s = socket.socket(); s.bind(('', int(sys.argv[1]))); s.listen(); print('listens', flush=True); time.sleep(4711)";

/// A node of a framework whose nodes have a port: after its first words it says which, and fails when it may go.
pub(crate) fn job_whose_port_is_taken(sandbox: &Sandbox, first: &str) -> String {
    let script = format!("{first}; echo port $MASTER_PORT; {UNTIL_GO}; [ $FOREBAY_ATTEMPT != 1 ]");
    let job = job_with_go(sandbox, 1, &script);
    format!("framework = \"pytorch\"\n{job}")
}

/// Takes the leased port of `worker:0` and lets the node fail.
#[track_caller]
pub(crate) fn take_port(sandbox: &Sandbox, run: &Running) -> (String, Running) {
    let said = run.wait_event("its port", log_line("worker:0", "port "));
    let line = said["line"].as_str().unwrap_or_default();
    let port = line.trim_start_matches("port ").to_owned();
    let squatter = sandbox.command("python3").args(["-c", SQUATTER, &port]);
    let squatter = squatter.start();
    squatter.wait_stdout("listens");
    sandbox.write("go", "");
    (port, squatter)
}

#[test]
fn a_leased_port_that_somebody_takes_is_named_and_left() {
    let sandbox = Sandbox::new();
    let job = job_whose_port_is_taken(&sandbox, "true") + &restarts(1, 50);
    let run = start(&sandbox, &job);
    let (port, squatter) = take_port(&sandbox, &run);
    let refused = run.wait_event("it is named", |event| {
        event["node"] == "worker:0" && event["verdict"] == "retry-elsewhere"
    });
    let text = refused.to_string();
    assert!(text.contains(&port), "{text}");
    let output = run.finish();
    drop(squatter);
    output.assert_code(0);
    let endings = endings(&output, "worker:0");
    let taken = "not started (port-taken)";
    assert_eq!(endings, ["exit code 1", taken, "exit code 0"], "{output}");
}

// -------------------------------------------------------------------------------------------------------------- disk

/// The run directory lies on a disk of its own, of this size; it is gone with the run.
fn on_small_disk(run: Invocation, size: &str) -> Invocation {
    let mount = "mkdir -p .forebay && mount -t tmpfs -o size=\"$0\" small .forebay && exec \"$@\"";
    run.through(&["unshare", "--mount", "sh", "-c", mount, size])
}

/// Fills the disk of the run as soon as it may.
fn job_that_fills_the_disk(sandbox: &Sandbox) -> String {
    let fill = "cat /dev/zero > fill 2>/dev/null";
    job_with_go(sandbox, 1, &format!("{UNTIL_GO}; {fill}; exit 3"))
}

#[test]
fn a_disk_that_is_full() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", job_that_fills_the_disk(&sandbox));
    let run = on_small_disk(sandbox.forebay(["run", "job.toml"]), "8M").start();
    run.wait_stderr("worker:0 ready");
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(2);
    snapshot(&sandbox, "disk_full", &last_screen(&output));
}

#[test]
fn a_disk_that_is_too_small_for_a_run() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "true"));
    let output = on_small_disk(sandbox.forebay(["run", "job.toml"]), "64k").run();
    output.assert_code(1);
    snapshot(&sandbox, "disk_too_small", &output);
}

// ------------------------------------------------------------------------------------------------------- descriptors

#[test]
fn too_few_descriptors() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(40, "sleep 4711"));
    let run = sandbox.forebay(["run", "job.toml"]);
    let output = run.through(&["prlimit", "--nofile=64:64"]).run();
    output.assert_code(1);
    let end = last_screen(&output).stderr;
    for told in [
        "Too many open files",
        "`node-exec` could not be started",
        "`ulimit -n NUMBER`",
    ] {
        assert!(end.contains(told), "no `{told}`: {output}");
    }
}

// ----------------------------------------------------------------------------------------------------------- journal

/// A run whose engine was killed, with the last entry of its journal.
fn interrupted_run(sandbox: &Sandbox) -> (PathBuf, PathBuf) {
    let run = start(sandbox, &shell_job(1, "sleep 4711"));
    let pids = [ready(&run, "worker:0"), manager_of(&run, 1)];
    let folder = kill_engine(run, &pids);
    let entries = fs::read_dir(folder.join("journal/entries")).expect("it has a journal");
    let paths = entries.flatten().map(|entry| entry.path());
    // An entry that was just being written has another ending.
    let last = paths
        .filter(|path| path.extension() == Some("json".as_ref()))
        .max();
    (folder, last.expect("something was decided"))
}

/// What a run gives that cannot go on for its journal; how long the journal is, is no concern here.
#[track_caller]
fn cannot_continue(sandbox: &Sandbox, name: &str, run: &Path, last: &Path) {
    let mut output = sandbox.forebay(["run", "--continue"]).args([run]).run();
    output.assert_code(1);
    let file = last.file_name().unwrap_or_default().to_string_lossy();
    output.stderr = output.stderr.replace(&*file, "LAST.json");
    snapshot(sandbox, name, &output);
}

#[test]
fn a_journal_whose_last_entry_is_cut() {
    let sandbox = Sandbox::new();
    let (run, last) = interrupted_run(&sandbox);
    let whole = fs::read(&last).expect("it was written");
    fs::write(&last, &whole[..whole.len() / 2]).expect("it is ours");
    cannot_continue(&sandbox, "continue_cut_journal", &run, &last);
}

#[test]
fn a_journal_of_another_version() {
    let sandbox = Sandbox::new();
    let (run, last) = interrupted_run(&sandbox);
    let text = fs::read_to_string(&last).expect("it was written");
    let text = text.replacen("forebay-journal 1 ", "forebay-journal 9 ", 1);
    fs::write(&last, text).expect("it is ours");
    cannot_continue(&sandbox, "continue_other_journal", &run, &last);
}

// -------------------------------------------------------------------------------------------------------------- logs

#[test]
fn a_log_that_is_full_says_how_much_is_missing() {
    let sandbox = Sandbox::new();
    let job = shell_job(1, "seq 100000; echo the end; exit 3");
    sandbox.write("job.toml", job + "limits = { log_bytes = \"20 B\" }\n");
    let output = sandbox.forebay(["run", "job.toml"]).run();
    output.assert_code(1);
    snapshot(&sandbox, "log_full_run", &last_screen(&output));
    let logs = sandbox.forebay(["logs", "worker:0"]).run();
    logs.assert_code(0);
    snapshot(&sandbox, "log_full", &logs);
}

// ------------------------------------------------------------------------------------------- an AM that stands still

#[test]
fn the_verb_stop_says_that_the_application_manager_stands_still() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &shell_job(1, "sleep 4711"));
    ready(&run, "worker:0");
    stop(manager_of(&run, 1));
    let refused = sandbox.forebay(["stop"]).run();
    refused.assert_code(2);
    snapshot(&sandbox, "stop_while_manager_stands_still", &refused);
    // The next one hears of it: the engine has replaced this one by then.
    run.signal(Signal::INT);
    run.finish().assert_code(130);
}

// ------------------------------------------------------------------------------------------------------------- clock

/// Where Debian has it.
const FAKE_TIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A wall clock that [`set_clock`] sets, for everything of the run; the other clocks run on as they do.
fn with_own_clock(sandbox: &Sandbox, run: Invocation) -> Invocation {
    assert!(Path::new(FAKE_TIME).is_file(), "`libfaketime` is missing");
    set_clock(sandbox, "+0");
    run.env("LD_PRELOAD", FAKE_TIME)
        .env("FAKETIME_TIMESTAMP_FILE", sandbox.work().join("clock"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
}

/// Replaced as a whole: somebody reads it at every moment.
fn set_clock(sandbox: &Sandbox, offset: &str) {
    let next = sandbox.write("clock.next", offset);
    fs::rename(next, sandbox.work().join("clock")).expect("it is ours");
}

#[test]
fn a_clock_that_is_set_back_freezes_no_deadline() {
    let sandbox = Sandbox::new();
    let job = shell_job(1, "[ $FOREBAY_ATTEMPT = 2 ] || exit 7") + &restarts(1, 1_500);
    sandbox.write("job.toml", job);
    let run = with_own_clock(&sandbox, run_json(&sandbox)).start();
    run.wait_event("it is to be restarted", |event| {
        event["phase"] == "restarting"
    });
    set_clock(&sandbox, "-86400");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(endings(&output, "worker:0").len(), 2, "{output}");
}

/// An agent whose join shows that the application manager has looked at its deadlines.
#[track_caller]
fn join(sandbox: &Sandbox, run: &Running, name: &str) -> Running {
    let agent = crate::remote_agents::agent(sandbox, run);
    let agent = agent.args(["--name", name]).start();
    let joined = |event: &Value| event["kind"] == "agent" && event["agent"] == name;
    run.wait_event(name, joined);
    agent
}

#[test]
fn a_clock_that_is_set_forward_fires_no_deadline() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "job.toml",
        shell_job(1, "true") + "[limits]\nplace_within = \"1 h\"\n",
    );
    let listen = ["--listen", "127.0.0.1:0", "--slots", "0", "--agents", "2"];
    let run = with_own_clock(&sandbox, run_json(&sandbox))
        .args(listen)
        .start();
    run.wait_event("it waits", |event| event["phase"] == "waiting");
    set_clock(&sandbox, "+86400");
    let agents = ["first", "second"].map(|name| join(&sandbox, &run, name));
    run.finish().assert_code(0);
    for agent in agents {
        agent.finish().assert_code(0);
    }
}

// ------------------------------------------------------------------------------------------------------------ memory

/// A control group with so little memory that a greedy process in it is killed by the kernel.
pub(crate) struct MemoryGroup(PathBuf);

impl MemoryGroup {
    const BYTES: &str = "600000000";

    /// Below the group of the test itself, in either version of the control groups. Each has another name.
    #[track_caller]
    pub(crate) fn new(name: &str) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").expect("the kernel has control groups");
        let path = |prefix: &str| {
            let line = own.lines().find(|line| line.contains(prefix))?;
            Some(
                line.splitn(3, ':')
                    .nth(2)?
                    .trim_start_matches('/')
                    .to_owned(),
            )
        };
        let name = format!("forebay-test-{}-{name}", std::process::id());
        let (parent, limit) = match path(":memory:") {
            Some(own) => (
                Path::new("/sys/fs/cgroup/memory").join(own),
                "memory.limit_in_bytes",
            ),
            None => ("/sys/fs/cgroup".into(), "memory.max"),
        };
        let group = Self(parent.join(name));
        fs::create_dir(&group.0).expect("a test may make a memory control group");
        fs::write(group.0.join(limit), Self::BYTES).expect("it has a limit");
        group
    }

    pub(crate) fn run(&self, run: Invocation) -> Output {
        let join = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        run.through(&["sh", "-c", &join, "sh"]).run()
    }

    /// How many processes in it the kernel has killed.
    #[track_caller]
    pub(crate) fn killed(&self) -> u64 {
        let texts = ["memory.oom_control", "memory.events"]
            .map(|file| fs::read_to_string(self.0.join(file)).unwrap_or_default());
        let mut counts = texts.iter().flat_map(|text| text.lines());
        let count = counts.find_map(|line| line.strip_prefix("oom_kill "));
        count
            .and_then(|count| count.parse().ok())
            .expect("the kernel counts them")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Its processes are gone, or the guard of the sandbox has said so.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_node_that_the_kernel_kills_for_memory() {
    let group = MemoryGroup::new("greedy");
    let sandbox = Sandbox::new();
    let greedy = "exec python3 -c 'hoard = [bytearray(1 << 20) for _ in range(4000)]'";
    sandbox.write("job.toml", shell_job(1, greedy));
    let output = group.run(sandbox.forebay(["run", "job.toml"]));
    output.assert_code(1);
    snapshot(&sandbox, "out_of_memory", &last_screen(&output));
}
