//! Engines die, and another one goes on with their run.

use std::path::PathBuf;

use forebay_test_support::{
    Invocation, Machine, Running, Sandbox, WATCHDOG, node_in_phase, wait_until,
};

use crate::command_line::snapshot;
use crate::failover::manager_of;
use crate::jobs::{UNTIL_GO, job_with_go, ready, run, run_dir, shell_job, start};
use crate::processes::{kill, lives, stop};
use crate::restarts::{endings, ready_again, restarts};

/// Kills the engine, waits until everything of it on this machine is gone, and gives the run directory.
#[track_caller]
pub(crate) fn kill_engine(run: Running, pids: &[u32]) -> PathBuf {
    let folder = run_dir(&run);
    kill(run.pid());
    run.finish();
    wait_until("nothing of it lives", WATCHDOG, || {
        !pids.iter().any(|pid| lives(*pid))
    });
    folder
}

fn continue_run(machine: &Machine, run: &PathBuf) -> Invocation {
    machine
        .forebay(["run", "--format", "json", "--continue"])
        .args([run])
}

#[test]
fn another_engine_goes_on_with_the_run() {
    let sandbox = Sandbox::new();
    let first = start(
        &sandbox,
        &(job_with_go(&sandbox, 2, UNTIL_GO) + &restarts(3, 50)),
    );
    let pids = [
        ready(&first, "worker:0"),
        ready(&first, "worker:1"),
        manager_of(&first, 1),
    ];
    let folder = kill_engine(first, &pids);
    let list = sandbox.forebay(["list", "--format", "json"]).run();
    assert_eq!(list.events()[0]["state"], "dead", "{list}");

    let second = continue_run(&sandbox, &folder).start();
    for node in ["worker:0", "worker:1"] {
        ready_again(&second, node, 2);
    }
    sandbox.write("go", "");
    let output = second.finish();
    output.assert_code(0);
    assert_eq!(output.summary().run_dir(), folder);
    assert_eq!(
        endings(&output, "worker:0"),
        ["lost with its machine", "exit code 0"],
        "{output}"
    );
    let terms = output.summary().value()["terms"].clone();
    assert_eq!(terms.as_array().map(Vec::len), Some(2), "{output}");
    assert_eq!(sandbox.runs().len(), 1);
}

#[test]
fn without_restarts_the_loss_of_the_engine_is_the_end_and_is_named() {
    let sandbox = Sandbox::new();
    let first = start(&sandbox, &shell_job(1, "sleep 4711"));
    let pids = [ready(&first, "worker:0"), manager_of(&first, 1)];
    let folder = kill_engine(first, &pids);
    let output = continue_run(&sandbox, &folder).run();
    output.assert_code(1);
    assert_eq!(
        output.summary().reason(),
        "its machine was lost",
        "{output}"
    );
}

#[test]
fn a_node_of_another_machine_outlives_the_engine() {
    let sandbox = Sandbox::pair();
    sandbox.write("job.toml", job_with_go(sandbox.second(), 1, UNTIL_GO));
    let listen = ["--listen", "10.77.0.1:4711", "--insecure", "--slots", "0"];
    let first = crate::remote_agents::listening(&sandbox, "10.77.0.1", 1).start();
    let agent = crate::remote_agents::agent(sandbox.second(), &first).start();
    let pid = ready(&first, "worker:0");
    let manager = manager_of(&first, 1);
    let folder = kill_engine(first, &[manager]);
    let second = continue_run(&sandbox, &folder).args(listen).start();
    manager_of(&second, 2);
    sandbox.second().write("go", "");
    let output = second.finish();
    output.assert_code(0);
    assert_eq!(output.summary().attempt("worker:0")["pid"], pid, "{output}");
    assert_eq!(endings(&output, "worker:0").len(), 1, "{output}");
    agent.finish().assert_code(0);
}

#[test]
fn an_engine_that_dies_while_it_places_is_followed_too() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "job.toml",
        job_with_go(&sandbox, 1, UNTIL_GO) + &restarts(1, 50),
    );
    let first = crate::jobs::run_json(&sandbox)
        .args(["--listen", "127.0.0.1:0", "--agents", "2"])
        .start();
    first.wait_event("it waits", node_in_phase("worker:0", "waiting"));
    let manager = manager_of(&first, 1);
    let folder = kill_engine(first, &[manager]);
    let second = continue_run(&sandbox, &folder)
        .args(["--listen", "127.0.0.1:0"])
        .start();
    manager_of(&second, 2);
    let agent = crate::remote_agents::agent(&sandbox, &second);
    let agent = agent.args(["--name", "second"]).start();
    // The job must not end before it is there.
    second.wait_event("the agent joins", |event| {
        event["kind"] == "agent" && event["agent"] == "second"
    });
    sandbox.write("go", "");
    second.finish().assert_code(0);
    agent.finish().assert_code(0);
}

#[test]
fn a_run_that_has_ended_or_goes_on_cannot_be_continued() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, &shell_job(1, "true")).summary().run_dir();
    let refused = sandbox.forebay(["run", "--continue"]).args([&ended]).run();
    refused.assert_code(1);
    snapshot(&sandbox, "continue_ended", &refused);
    let going = start(&sandbox, &job_with_go(&sandbox, 1, UNTIL_GO));
    ready(&going, "worker:0");
    let refused = continue_run(&sandbox, &run_dir(&going)).run();
    refused.assert_code(1);
    assert!(
        refused.summary().reason().contains("it is running"),
        "{refused}"
    );
    sandbox.write("go", "");
    going.finish().assert_code(0);
}

/// Its engine is killed while it is stopped: it does not even notice that, keeps the socket, and could wake up at any time.
#[test]
fn an_application_manager_that_stands_still_commands_nobody_any_more() {
    let sandbox = Sandbox::pair();
    sandbox.write("job.toml", job_with_go(sandbox.second(), 1, UNTIL_GO));
    let run = crate::remote_agents::listening(&sandbox, "10.77.0.1", 1).start();
    let agent = crate::remote_agents::agent(sandbox.second(), &run).start();
    let node = ready(&run, "worker:0");
    let old = manager_of(&run, 1);
    stop(old);
    kill(run.pid());
    let folder = run_dir(&run);
    run.finish();
    let next = continue_run(&sandbox, &folder)
        .args(["--listen", "10.77.0.1:4711", "--insecure", "--slots", "0"])
        .start();
    manager_of(&next, 2);
    assert!(!lives(old), "it could wake up");
    sandbox.second().write("go", "");
    let output = next.finish();
    output.assert_code(0);
    let attempts = output.summary().node("worker:0")["attempts"].clone();
    assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{output}");
    assert_eq!(attempts[0]["pid"], node, "{output}");
    agent.finish().assert_code(0);
}
