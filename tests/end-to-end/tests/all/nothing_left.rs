//! However a run ends, nothing that its nodes started lives on. What is left is found by the guard of the sandbox.

use forebay_test_support::{Sandbox, Signal, WATCHDOG, log_line, wait_until};

use crate::failover::kill_all_managers;
use crate::jobs::{ready, run, shell_job, start};
use crate::processes::{kill, kin};

/// Starts children of every kind: in the node's group, in a session of their own, orphaned, without environment, and
/// deaf to SIGTERM.
const CHILDREN: &str = "
sleep 4711 &
setsid sleep 4712 &
(setsid sh -c 'sleep 4713 & exit' &)
env -i setsid -f /bin/sleep 4714
sh -c 'trap \"\" TERM HUP INT; while :; do sleep 0.1; done' &
echo children";

fn job(ending: &str) -> String {
    shell_job(1, &format!("{CHILDREN}; {ending}")) + "limits = { stop_grace = \"500 ms\" }\n"
}

#[test]
fn children_end_with_a_node_that_succeeds() {
    let sandbox = Sandbox::new();
    run(&sandbox, &job("exit 0")).assert_code(0);
}

#[test]
fn children_end_with_a_node_that_fails() {
    let sandbox = Sandbox::new();
    run(&sandbox, &job("exit 1")).assert_code(1);
}

#[test]
fn children_end_with_a_node_that_is_killed() {
    let sandbox = Sandbox::new();
    run(&sandbox, &job("kill -KILL $$")).assert_code(1);
}

#[test]
fn children_end_with_a_stopped_run() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job("sleep 4715"));
    run.wait_event("children are there", log_line("worker:0", "children"));
    run.signal(Signal::INT);
    run.finish().assert_code(130);
}

#[test]
fn children_end_with_a_killed_engine() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job("sleep 4715"));
    run.wait_event("children are there", log_line("worker:0", "children"));
    kill(run.pid());
    drop(run);
    wait_until("all of them are gone", WATCHDOG, || {
        sandbox.leftovers().is_empty()
    });
}

#[test]
fn children_end_with_the_last_application_manager() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job("sleep 4715"));
    run.wait_event("children are there", log_line("worker:0", "children"));
    kill_all_managers(&run);
    run.finish().assert_code(2);
}

#[test]
fn children_end_with_the_keeper_of_their_node() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job("sleep 4715"));
    let node = ready(&run, "worker:0");
    run.wait_event("children are there", log_line("worker:0", "children"));
    kill(kin(node)[0]);
    run.finish().assert_code(1);
}
