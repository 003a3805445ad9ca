//! Application managers die, and the job goes on under the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forebay_test_support::{
    Running, Sandbox, Signal, WATCHDOG, environment, forebay_binary, log_line, node_in_phase,
    reported_step, wait_until,
};

use crate::jobs::{UNTIL_GO, job_with_go, ready, run_json, shell_job, start};
use crate::processes::{kill, lives, stop};

/// So many deaths in a row are too many.
const DEATHS_MAX: u64 = 6;

/// Process of the application manager of this term, once it is in charge.
#[track_caller]
pub(crate) fn manager_of(run: &Running, term: u64) -> u32 {
    let event = run.wait_event(&format!("term {term}"), |event| {
        event["kind"] == "am" && event["term"] == term
    });
    u32::try_from(event["pid"].as_u64().expect("it has a process")).expect("a pid")
}

/// Kills every application manager that takes over, until none does any more.
#[track_caller]
pub(crate) fn kill_all_managers(run: &Running) {
    for term in 1..=DEATHS_MAX {
        kill(manager_of(run, term));
    }
}

#[test]
fn the_next_term_takes_over_and_no_node_notices() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job_with_go(&sandbox, 2, UNTIL_GO));
    let nodes = ["worker:0", "worker:1"];
    let pids = nodes.map(|node| ready(&run, node));
    kill(manager_of(&run, 1));
    let second = manager_of(&run, 2);
    assert!(pids.into_iter().all(lives) && lives(second));
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    let summary = output.summary();
    assert_eq!(summary.outcome(), "succeeded", "{output}");
    let terms = &summary.value()["terms"];
    assert_eq!(terms.as_array().map(Vec::len), Some(2), "{output}");
    assert_eq!(terms[1]["pid"], second);
    for (node, pid) in nodes.into_iter().zip(pids) {
        let attempts = &summary.node(node)["attempts"];
        assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{output}");
        assert_eq!(attempts[0]["pid"], pid, "{output}");
    }
}

#[test]
fn what_nodes_say_while_nobody_is_in_charge_is_heard_by_the_next_term() {
    environment("plain");
    let sandbox = Sandbox::new();
    let script = "import forebay, os, time\nnode = forebay.node()\nstep = 0\nwhile not os.path.exists(os.environ['GO']):\n    step += 1\n    node.report(step=step)\n    time.sleep(0.02)\nprint('last words')\n";
    sandbox.write("train.py", script);
    let go = sandbox.work().join("go");
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"plain\"\n";
    let run = start(
        &sandbox,
        &format!(
            "name = \"talks\"\n{role}environment = {{ GO = \"{}\" }}\n",
            go.display()
        ),
    );
    run.wait_event("it reports", reported_step("worker:0", 3));
    for term in 1..=3 {
        kill(manager_of(&run, term));
    }
    manager_of(&run, 4);
    let newest = |event: &serde_json::Value| event["step"].as_u64();
    let last = run.events_so_far().iter().filter_map(newest).max();
    let later = last.unwrap_or_default() + 20;
    run.wait_event("it goes on", reported_step("worker:0", later));
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    let log = fs::read_to_string(output.summary().run_dir().join("logs/worker-0.1.log")).unwrap();
    assert_eq!(log, "last words\n");
}

#[test]
fn a_job_that_waits_for_room_is_placed_by_the_next_term() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(2, "true"));
    let run = run_json(&sandbox)
        .args(["--listen", "127.0.0.1:0", "--slots", "1", "--agents", "2"])
        .start();
    run.wait_event("it waits", node_in_phase("worker:0", "waiting"));
    kill(manager_of(&run, 1));
    manager_of(&run, 2);
    let agent = crate::remote_agents::agent(&sandbox, &run);
    let agent = agent.args(["--slots", "1"]).start();
    run.finish().assert_code(0);
    agent.finish().assert_code(0);
}

#[test]
fn a_stop_goes_on_under_the_next_term() {
    let sandbox = Sandbox::new();
    let stubborn = "trap '' TERM; echo stubborn; while :; do sleep 0.02; done";
    let job = shell_job(1, stubborn) + "limits = { stop_grace = \"1 h\" }\n";
    let run = start(&sandbox, &(job + "[limits]\nstop_within = \"2 h\"\n"));
    run.wait_event("the node is stubborn", log_line("worker:0", "stubborn"));
    run.signal(Signal::INT);
    run.wait_event("it is told to", node_in_phase("worker:0", "stopping"));
    kill(manager_of(&run, 1));
    manager_of(&run, 2);
    run.signal(Signal::INT);
    let output = run.finish();
    output.assert_code(130);
    assert_eq!(output.summary().attempt("worker:0")["verdict"], "stopped");
}

#[test]
fn a_stop_that_is_asked_for_while_nobody_is_in_charge_is_heard() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &shell_job(1, "sleep 4711"));
    ready(&run, "worker:0");
    kill(manager_of(&run, 1));
    run.signal(Signal::INT);
    let output = run.finish();
    output.assert_code(130);
    assert_eq!(output.summary().outcome(), "stopped", "{output}");
}

#[test]
fn a_node_of_another_machine_does_not_notice_either() {
    let sandbox = Sandbox::pair();
    sandbox.write("job.toml", job_with_go(sandbox.second(), 1, UNTIL_GO));
    let run = crate::remote_agents::listening(&sandbox, "10.77.0.1", 1).start();
    let agent = crate::remote_agents::agent(sandbox.second(), &run).start();
    let pid = ready(&run, "worker:0");
    kill(manager_of(&run, 1));
    manager_of(&run, 2);
    sandbox.second().write("go", "");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(output.summary().attempt("worker:0")["pid"], pid, "{output}");
    agent.finish().assert_code(0);
}

/// A program that stands before `forebay`: application managers wait in it until the file `back` is there.
fn door(sandbox: &Sandbox) -> PathBuf {
    let back = sandbox.work().join("back");
    let wait = format!("until [ -e {} ]; do sleep 0.02; done", back.display());
    let forebay = forebay_binary();
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = am ]; then {wait}; fi\nexec {} \"$@\"\n",
        forebay.display()
    );
    sandbox.write_program("door", script)
}

/// From now on the engine, which was started from `binary` in a mount namespace of its own, starts the door instead.
fn put_before(sandbox: &Sandbox, run: &Running, door: &Path, binary: &Path) {
    let engine = run.pid().to_string();
    // With its root: the tests may run in another one than the machine's.
    let mount = sandbox.command("nsenter");
    let mount = mount.args(["--target", &engine, "--mount", "--root"]);
    let mount = mount.args(["mount", "--bind"]).args([door, binary]);
    mount.run().assert_code(0);
}

/// How often each node has gone round its loop.
fn rounds(sandbox: &Sandbox) -> [u64; 2] {
    [0, 1].map(|index| {
        let path = sandbox.work().join(format!("rounds-{index}"));
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    })
}

#[test]
fn nodes_train_on_while_no_application_manager_is_to_be_had() {
    let sandbox = Sandbox::pair();
    let file = format!("{}/rounds-$FOREBAY_INDEX", sandbox.work().display());
    let count = format!("n=$((n + 1)); echo $n > {file}.new; mv {file}.new {file}");
    let script = format!("while [ ! -e \"$GO\" ]; do {count}; sleep 0.2; done");
    sandbox.write("job.toml", job_with_go(&sandbox, 2, &script));
    let door = door(&sandbox);
    let binary = fs::read(forebay_binary()).expect("it was built");
    let binary = sandbox.write_program("forebay", binary);
    let run = sandbox
        .command(&binary)
        .args(["run", "--format", "json", "job.toml", "--listen"])
        .args(["10.77.0.1:4711", "--insecure", "--slots", "1"])
        .args(["--agents", "2"])
        .within(5 * WATCHDOG)
        .through(&["unshare", "--mount"])
        .start();
    let agent = crate::remote_agents::agent(sandbox.second(), &run);
    let agent = agent.within(5 * WATCHDOG).start();
    let nodes = ["worker:0", "worker:1"];
    let pids = nodes.map(|node| ready(&run, node));
    put_before(&sandbox, &run, &door, &binary);
    kill(manager_of(&run, 1));
    run.wait_stderr("another one takes over");
    let before = rounds(&sandbox);
    let alone = Instant::now();
    wait_until("the nodes go on for a minute", 3 * WATCHDOG, || {
        let now = rounds(&sandbox);
        let go_on = now
            .iter()
            .zip(before)
            .all(|(now, before)| *now > before + 50);
        go_on && alone.elapsed() >= Duration::from_mins(1)
    });
    let terms = run.events_so_far();
    let terms = terms.iter().filter(|event| event["kind"] == "am");
    assert_eq!(terms.count(), 1, "somebody was in charge");
    sandbox.write("back", "");
    manager_of(&run, 2);
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    let summary = output.summary();
    for (node, pid) in nodes.into_iter().zip(pids) {
        let attempts = &summary.node(node)["attempts"];
        assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{output}");
        assert_eq!(attempts[0]["pid"], pid, "{output}");
    }
    agent.finish().assert_code(0);
}

#[test]
fn application_managers_that_die_again_and_again_end_the_job_by_name() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &shell_job(1, "sleep 4711"));
    let node = ready(&run, "worker:0");
    kill_all_managers(&run);
    let output = run.finish();
    output.assert_code(2);
    let reason = output.summary().reason().to_owned();
    assert!(reason.contains("die again and again"), "{output}");
    assert!(reason.contains("killed by signal 9"), "{output}");
    wait_until("the node is gone", WATCHDOG, || !lives(node));
}

/// It may be stopped, or swapped out: nobody is in charge, and nothing has died.
#[test]
fn an_application_manager_that_does_not_answer_is_replaced() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job_with_go(&sandbox, 1, UNTIL_GO));
    let node = ready(&run, "worker:0");
    let silent = manager_of(&run, 1);
    stop(silent);
    manager_of(&run, 2);
    assert!(!lives(silent), "it could wake up");
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(
        output.summary().attempt("worker:0")["pid"],
        node,
        "{output}"
    );
}
