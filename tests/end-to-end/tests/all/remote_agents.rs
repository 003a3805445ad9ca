//! Agents that are not inside the engine: over loopback, and on machines of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use forebay_test_support::{
    Invocation, Machine, Running, Sandbox, Signal, WATCHDOG, environment, log_line, wait_until,
};
use serde_json::Value;

use crate::command_line::snapshot;
use crate::jobs::{UNTIL_GO, job_with_go, machines, ready, run_dir, run_json, shell_job};
use crate::processes::{signal, stop};

const PORT: u16 = 4711;

/// `run` that listens at `address`, and has no room for nodes itself.
pub(crate) fn listening(machine: &Machine, address: &str, agents: u32) -> Invocation {
    let listen = format!("{address}:{PORT}");
    let waits = agents.to_string();
    run_json(machine).args([
        "--listen",
        &listen,
        "--insecure",
        "--slots",
        "0",
        "--agents",
        &waits,
    ])
}

fn token(run: &Running) -> PathBuf {
    run_dir(run).join("token")
}

/// The file `token` with one that no run has.
fn wrong_token(machine: &Machine) {
    let token = machine.write("token", "0".repeat(64));
    fs::set_permissions(token, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

/// An agent on `machine` that knows the run by the address where its newest application manager so far listens, and its token
/// file, alone.
#[track_caller]
pub(crate) fn agent(machine: &Machine, run: &Running) -> Invocation {
    let is_manager = |event: &Value| event["kind"] == "am";
    run.wait_event("an application manager", is_manager);
    let mut managers = run.events_so_far().into_iter().filter(is_manager);
    let newest = managers.next_back().expect("there is one");
    let address = newest["listen"][0].as_str().expect("it listens");
    machine
        .forebay(["agent", "--insecure", "--am", address, "--token-file"])
        .args([token(run)])
}

fn joined(event: &Value) -> bool {
    event["kind"] == "agent" && event["phase"] == "joined"
}

#[test]
fn a_job_runs_over_two_machines_with_addresses_of_their_own() {
    let sandbox = Sandbox::pair();
    sandbox.write("greet.sh", "echo \"$(cat note.txt) from $(ip -4 -o address show joined0 | cut -d' ' -f7)\"; echo at $MASTER_ADDR");
    sandbox.write("note.txt", "hello");
    let role = "[roles.worker]\nnodes = 2\ncommand = [\"sh\", \"greet.sh\"]\nfiles = [\"greet.sh\", \"note.txt\"]\ncores = 1\n";
    sandbox.write(
        "job.toml",
        format!("name = \"two-machines\"\nframework = \"pytorch\"\n{role}"),
    );
    let run = listening(&sandbox, "10.77.0.1", 2).start();
    let agents = [
        agent(&sandbox, &run).args(["--slots", "1"]).start(),
        agent(sandbox.second(), &run).args(["--slots", "1"]).start(),
    ];
    let output = run.finish();
    output.assert_code(0);
    for address in ["10.77.0.1", "10.77.0.2"] {
        let line = format!("hello from {address}/24");
        let said = |event: &Value| event["kind"] == "log" && event["line"] == line;
        assert!(
            output.events().iter().any(said),
            "no node at {address}: {output}"
        );
    }
    assert_eq!(machines(&output), ["machine-0", "machine-1"], "{output}");
    for agent in agents {
        agent.finish().assert_code(0);
    }
}

#[test]
fn the_engine_and_an_agent_beside_it_share_a_job_over_loopback() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", job_with_go(&sandbox, 2, UNTIL_GO));
    let run = run_json(&sandbox)
        .args(["--listen", "127.0.0.1:0", "--slots", "1", "--agents", "2"])
        .start();
    let agent = agent(&sandbox, &run).args(["--slots", "1"]).start();
    ready(&run, "worker:0");
    ready(&run, "worker:1");
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(
        output.events().iter().filter(|event| joined(event)).count(),
        2,
        "{output}"
    );
    agent.finish().assert_code(0);
}

#[test]
fn an_agent_goes_when_the_job_is_stopped() {
    let sandbox = Sandbox::pair();
    sandbox.write("job.toml", shell_job(1, "sleep 4711"));
    let run = listening(&sandbox, "10.77.0.1", 1).start();
    let agent = agent(sandbox.second(), &run).start();
    ready(&run, "worker:0");
    run.signal(forebay_test_support::Signal::INT);
    run.finish().assert_code(130);
    agent.finish();
}

#[test]
fn a_killed_agent_ends_the_job_by_name() {
    let sandbox = Sandbox::pair();
    sandbox.write("job.toml", shell_job(1, "sleep 4711"));
    let run = listening(&sandbox, "10.77.0.1", 1).start();
    let agent = agent(sandbox.second(), &run).start();
    ready(&run, "worker:0");
    crate::processes::kill(agent.pid());
    agent.finish();
    let output = run.finish();
    output.assert_code(1);
    let cause = output.summary().value()["cause"].clone();
    assert_eq!(cause["node"], "worker:0", "{output}");
    assert_eq!(cause["ending"], "lost with its machine");
}

#[test]
fn an_agent_that_its_owner_stops_ends_the_job_by_name() {
    let sandbox = Sandbox::pair();
    sandbox.write("job.toml", shell_job(1, "sleep 4711"));
    let run = listening(&sandbox, "10.77.0.1", 1).start();
    let agent = agent(sandbox.second(), &run).start();
    ready(&run, "worker:0");
    agent.signal(forebay_test_support::Signal::INT);
    agent.finish().assert_code(130);
    let output = run.finish();
    output.assert_code(1);
    assert_eq!(
        output.summary().reason(),
        "its agent ended it: the agent is stopped",
        "{output}"
    );
}

/// The engine holds the listener: an agent that knocks again hears that the job is over, long before its orphan grace.
#[test]
fn the_last_application_manager_leaves_nothing_on_other_machines() {
    let sandbox = Sandbox::pair();
    sandbox.write("job.toml", shell_job(1, "sleep 4711"));
    let run = listening(&sandbox, "10.77.0.1", 1).start();
    let agent = agent(sandbox.second(), &run).start();
    ready(&run, "worker:0");
    crate::failover::kill_all_managers(&run);
    run.finish().assert_code(2);
    let agent = agent.finish();
    assert!(agent.stderr.contains("the job is over"), "{agent}");
}

#[test]
fn scripts_and_the_wheel_work_on_a_machine_that_shares_no_folder_with_the_job() {
    let sandbox = Sandbox::pair();
    environment("plain");
    let script = "import forebay, helper\nnode = forebay.node()\nprint(helper.GREETING, node.role, node.index)\nnode.report(step=3)\n";
    sandbox.write("train.py", script);
    sandbox.write("helper.py", "GREETING = 'hello'\n");
    sandbox.write(
        "job.toml",
        "name = \"travels\"\n[roles.worker]\nscript = \"train.py\"\npython = \"plain\"\n",
    );
    let run = listening(&sandbox, "10.77.0.1", 1).start();
    let agent = agent(sandbox.second(), &run).start();
    let output = run.finish();
    output.assert_code(0);
    assert!(
        output
            .events()
            .iter()
            .any(log_line("worker:0", "hello worker 0")),
        "{output}"
    );
    assert_eq!(output.summary().reported("worker:0", "step"), 3);
    agent.finish().assert_code(0);
}

#[test]
fn an_agent_with_the_wrong_address_says_so() {
    let sandbox = Sandbox::new();
    wrong_token(&sandbox);
    let agent = sandbox
        .forebay(["agent", "--am", "127.0.0.1:4711", "--token-file", "token"])
        .run();
    agent.assert_code(1);
    snapshot(&sandbox, "agent_wrong_address", &agent);
}

#[test]
fn an_agent_with_the_wrong_token_says_so() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "true"));
    let run = listening(&sandbox, "127.0.0.1", 1).start();
    run.wait_event("an application manager", |event| event["kind"] == "am");
    wrong_token(&sandbox);
    let address = format!("127.0.0.1:{PORT}");
    let agent = sandbox
        .forebay(["agent", "--am", &address, "--token-file", "token"])
        .run();
    agent.assert_code(1);
    snapshot(&sandbox, "agent_wrong_token", &agent);
    run.signal(forebay_test_support::Signal::INT);
    run.finish().assert_code(130);
}

#[test]
fn plaintext_off_loopback_is_refused() {
    let sandbox = Sandbox::pair();
    sandbox.write("job.toml", shell_job(1, "true"));
    let run = sandbox
        .forebay(["run", "--listen", "10.77.0.1:4711", "job.toml"])
        .run();
    run.assert_code(1);
    snapshot(&sandbox, "listen_insecure", &run);
    wrong_token(&sandbox);
    let agent = sandbox
        .forebay(["agent", "--am", "10.77.0.2:4711", "--token-file", "token"])
        .run();
    agent.assert_code(1);
    snapshot(&sandbox, "agent_insecure", &agent);
}

#[test]
fn an_agent_with_two_addresses_wants_to_know_which() {
    let sandbox = Sandbox::pair();
    sandbox
        .second()
        .ip(&["address", "add", "10.77.0.3/24", "dev", "joined0"]);
    sandbox.write("job.toml", shell_job(1, "true"));
    let run = listening(&sandbox, "10.77.0.1", 1).start();
    let refused = agent(sandbox.second(), &run).run();
    refused.assert_code(1);
    snapshot(&sandbox, "agent_ambiguous", &refused);
    let agent = agent(sandbox.second(), &run)
        .args(["--address", "10.77.0.3"])
        .start();
    let event = run.wait_event("the agent", joined);
    assert_eq!(event["address"], "10.77.0.3");
    run.finish().assert_code(0);
    agent.finish().assert_code(0);
}

#[test]
fn an_agent_that_stands_still_is_given_up_and_hears_of_it_when_it_wakes() {
    let sandbox = Sandbox::pair();
    let job = job_with_go(&sandbox, 2, UNTIL_GO);
    sandbox.write("job.toml", job + &crate::restarts::restarts(1, 50));
    let run = run_json(&sandbox)
        .args(["--listen", "10.77.0.1:4711", "--insecure", "--agents", "2"])
        .start();
    let agent = agent(sandbox.second(), &run).start();
    ready(&run, "worker:0");
    ready(&run, "worker:1");
    stop(agent.pid());
    run.wait_event("its agent is lost", |event| {
        event["kind"] == "agent" && event["phase"] == "lost"
    });
    let again = run.wait_event("its node is placed again", |event| {
        event["phase"] == "placed" && event["attempt"] == 1
    });
    crate::restarts::ready_again(&run, again["node"].as_str().expect("a node"), 2);
    signal(agent.pid(), Signal::CONT);
    let output = agent.finish();
    assert!(output.stderr.contains("was away for too long"), "{output}");
    sandbox.write("go", "");
    run.finish().assert_code(0);
}

#[test]
fn a_cable_that_is_pulled_out_for_a_moment_costs_nothing() {
    let sandbox = Sandbox::pair();
    let script = "echo one; while [ ! -e \"$GO\" ]; do sleep 0.02; done; echo two; touch \"$GO.seen\"; while [ ! -e \"$GO.end\" ]; do sleep 0.02; done";
    let job = job_with_go(sandbox.second(), 1, script);
    sandbox.write("job.toml", job + "[limits]\nagent_lost_after = \"1 min\"\n");
    let run = listening(&sandbox, "10.77.0.1", 1).start();
    let agent = agent(sandbox.second(), &run).start();
    let pid = ready(&run, "worker:0");
    run.wait_event("it writes", log_line("worker:0", "one"));
    sandbox.second().ip(&["link", "set", "joined0", "down"]);
    let go = sandbox.second().write("go", "");
    wait_until("the node goes on alone", WATCHDOG, || {
        go.with_extension("seen").exists()
    });
    sandbox.second().ip(&["link", "set", "joined0", "up"]);
    run.wait_event("what it wrote arrives", log_line("worker:0", "two"));
    sandbox.second().write("go.end", "");
    let output = run.finish();
    output.assert_code(0);
    assert_eq!(output.summary().attempt("worker:0")["pid"], pid, "{output}");
    assert!(
        !output.events().iter().any(|event| event["phase"] == "lost"),
        "{output}"
    );
    agent.finish().assert_code(0);
}
