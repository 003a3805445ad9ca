//! Roles that the dataflow feeds on a machine that has too little for it: what is short is said before anything runs, with the key to change.

use std::collections::BTreeMap;
use std::fs;

use forebay_test_support::{
    Output, Running, Sandbox, WATCHDOG, node_in_phase, reported_step, wait_until,
};

use crate::fed_roles::{SCORING, assert_scores, job, numbers, scorer};
use crate::jobs::{ready, run_json, start};
use crate::machine_mishaps::MemoryGroup;
use crate::processes::kill;
use crate::remote_agents::agent;
use crate::restarts::restarts;

const ROWS: u64 = 2_000;

/// A scorer with these keys.
fn write_job(sandbox: &Sandbox, keys: &str) {
    let scorer = scorer(sandbox, SCORING, keys);
    sandbox.write("job.toml", job(&[&numbers(ROWS), &scorer]));
}

/// Its nodes were refused; why.
#[track_caller]
fn refusal(output: &Output) -> String {
    output.assert_code(1);
    let reason = output.summary().reason().to_owned();
    let begin = "could not be started: it cannot be fed: the channel of `scorer:";
    assert!(reason.starts_with(begin), "{output}");
    assert!(reason.contains("cannot be made: "), "{output}");
    reason
}

#[track_caller]
fn assert_says(reason: &str, told: &[&str]) {
    for told in told {
        assert!(reason.contains(told), "no `{told}`: {reason}");
    }
}

/// The keys that make a channel smaller.
const SMALLER: &str = "give the role smaller rings (`input_ring`, `output_ring`)";

/// Lowers a limit of a process that runs.
fn limit(sandbox: &Sandbox, run: &Running, limit: &str) {
    let prlimit = sandbox
        .command("prlimit")
        .args(["--pid", &run.pid().to_string(), limit]);
    prlimit.run().assert_code(0);
}

/// A run that starts its nodes when a second agent has joined.
fn start_waiting(sandbox: &Sandbox) -> Running {
    let listen = ["--listen", "127.0.0.1:0", "--insecure", "--agents", "2"];
    let run = run_json(sandbox).args(listen).start();
    run.wait_event("it waits", |event| event["phase"] == "waiting");
    run
}

/// The second agent comes, and the run goes on to its end.
fn go_on(sandbox: &Sandbox, run: Running) -> Output {
    let second = agent(sandbox, &run).args(["--name", "second"]).start();
    let output = run.finish();
    second.finish();
    output
}

#[test]
fn address_space_that_an_engine_may_not_have_is_named() {
    let sandbox = Sandbox::new();
    write_job(&sandbox, "input_ring = \"1 GiB\"");
    let run = start_waiting(&sandbox);
    let status = fs::read_to_string(format!("/proc/{}/status", run.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kibibytes: u64 = line
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .expect("the kernel tells");
    // Threads that it starts take some of it.
    let most = (kibibytes << 10) + (512 << 20);
    limit(&sandbox, &run, &format!("--as={most}:{most}"));
    let reason = refusal(&go_on(&sandbox, run));
    assert_says(
        &reason,
        &[
            "1073741824 bytes of shared memory for the input",
            "Cannot allocate memory",
            SMALLER,
        ],
    );
}

#[test]
fn memory_that_a_control_group_has_not_is_named_and_nobody_is_killed() {
    for (nodes, ring) in [(1, "1 GiB"), (2, "350 MiB")] {
        let sandbox = Sandbox::new();
        write_job(
            &sandbox,
            &format!("nodes = {nodes}\ninput_ring = \"{ring}\""),
        );
        let group = MemoryGroup::new("rings");
        let output = group.run(run_json(&sandbox));
        let reason = refusal(&output);
        assert_says(
            &reason,
            &[
                "bytes of shared memory are wanted, and ",
                " are free by `/sys/fs/cgroup/",
                SMALLER,
            ],
        );
        assert_eq!(group.killed(), 0, "{output}");
    }
}

#[test]
fn rings_need_no_shared_memory_of_the_file_system() {
    // What a process needs of `/dev`, and nothing else.
    let absent = "mkdir dev && mount -t tmpfs dev dev && for one in null zero full random urandom; do touch dev/$one; mount --bind /dev/$one dev/$one; done && ln -s /proc/self/fd dev/fd && mount --move dev /dev && ! test -e /dev/shm";
    let small = "mount -t tmpfs -o size=64M small /dev/shm";
    for change in [small, "mount -t tmpfs -o ro none /dev/shm", absent] {
        let sandbox = Sandbox::new();
        write_job(&sandbox, "nodes = 2\ninput_ring = \"128 MiB\"");
        let change = format!("{change} && exec \"$@\"");
        let run = run_json(&sandbox).through(&["unshare", "--mount", "sh", "-c", &change, "sh"]);
        run.run().assert_code(0);
        assert_scores(&sandbox, ROWS);
    }
}

/// The descriptors of a process that runs, and what they stand for.
fn descriptors(run: &Running) -> BTreeMap<u64, String> {
    let open = fs::read_dir(format!("/proc/{}/fd", run.pid())).expect("it runs");
    let told = open.filter_map(|entry| {
        let entry = entry.expect("it runs");
        let number = entry.file_name().to_string_lossy().parse();
        let what = fs::read_link(entry.path()).ok()?;
        Some((number.expect("a number"), what.display().to_string()))
    });
    told.collect()
}

#[test]
fn descriptors_that_an_engine_may_not_have_are_named() {
    let sandbox = Sandbox::new();
    let wait = "    node.report(step=1)\n    if node.attempt == 1:\n        import time; time.sleep(4711)\n    node.emit";
    let scorer = scorer(&sandbox, &SCORING.replace("    node.emit", wait), "");
    // Time enough to lower the limit while the engine waits and opens nothing.
    let restarts = restarts(2, 5_000);
    let run = start(&sandbox, &job(&[&numbers(ROWS), &scorer, &restarts]));
    let pid = ready(&run, "scorer:0");
    run.wait_event("it has rows", reported_step("scorer:0", 1));
    kill(pid);
    run.wait_event("it is gone", node_in_phase("scorer:0", "exited"));
    wait_until("its log is closed", WATCHDOG, || {
        let open = descriptors(&run);
        !open.values().any(|what| what.ends_with("scorer-0.1.log"))
    });
    // With those of the channel before, which goes first: one more is enough for the script's copy, and five are enough for the whole next channel.
    let open = descriptors(&run);
    let mut free = (0..).filter(|number| !open.contains_key(number));
    let most = free.nth(2).expect("numbers go on");
    limit(&sandbox, &run, &format!("--nofile={most}:{most}"));
    let reason = refusal(&run.finish());
    let told = [
        "there is no descriptor for ",
        "Too many open files",
        "`ulimit -n NUMBER`",
    ];
    assert_says(&reason, &told);
}
