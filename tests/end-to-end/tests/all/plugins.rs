//! Plugins that the host has never seen: built here, named by a path in the job file.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use forebay_plugin_build::{Guest, build_guests};
use forebay_test_support::{Machine, Sandbox, Signal, log_line, repository};

use crate::command_line::snapshot;
use crate::jobs::{ready, run, start};

/// Builds the plugins, once; about a minute where nothing is built yet.
fn guests() -> &'static [Guest] {
    static GUESTS: OnceLock<Vec<Guest>> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let packages = [
            "forebay-guest-ring",
            "forebay-guest-in-turn",
            "forebay-guest-faults",
            "forebay-guest-mended",
            "forebay-guest-operator-faults",
        ];
        build_guests(&repository(), &target, &packages).expect("the guests build")
    })
}

/// Puts the plugin `name` beside the job file, as `NAME.wasm` and `NAME.toml`.
pub(crate) fn put_plugin(machine: &Machine, name: &str) {
    put_component(machine, name);
    let manifest = repository()
        .join("tests/guests")
        .join(name)
        .join("plugin.toml");
    machine.write(
        format!("{name}.toml"),
        fs::read(manifest).expect("it has a manifest"),
    );
}

/// Puts the component that fails on purpose beside the job file, as `operator-faults.wasm`.
pub(crate) fn put_operator(machine: &Machine) {
    put_component(machine, "operator-faults");
}

fn put_component(machine: &Machine, name: &str) {
    let package = format!("forebay-guest-{name}");
    let guest = guests()
        .iter()
        .find(|guest| guest.package == package)
        .expect("it was built");
    machine.write(
        format!("{name}.wasm"),
        fs::read(&guest.path).expect("it was built"),
    );
}

/// Nobody will resume it.
const NO_GRACE: &str = "[limits]\nquarantine_grace = \"1 ms\"\n";

pub(crate) fn ring_job(nodes: u32) -> String {
    let command = "command = [\"sh\", \"-c\", \"echo next is at $RING_NEXT\"]";
    format!(
        "name = \"ring\"\nframework = \"./ring.wasm\"\n[roles.link]\nnodes = {nodes}\n{command}\n"
    )
}

#[test]
fn a_node_runner_that_the_host_has_never_seen_runs_a_job() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "ring");
    let output = run(&sandbox, &ring_job(2));
    output.assert_code(0);
    let events = output.events();
    let cluster = events
        .iter()
        .find(|event| event["kind"] == "cluster")
        .unwrap();
    for (node, next) in [("link:0", "link:1"), ("link:1", "link:0")] {
        let endpoint = cluster["members"][next]["ring"].as_str().unwrap();
        let line = format!("next is at {endpoint}");
        assert!(
            events.iter().any(log_line(node, &line)),
            "no `{line}`: {output}"
        );
    }
}

#[test]
fn what_another_launcher_left_in_the_environment_is_hidden_from_nodes() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "ring");
    let job = ring_job(2).replace("$RING_NEXT", "${RING_LAUNCHER-nothing}, $KEPT");
    sandbox.write("job.toml", &job);
    let output = crate::jobs::run_json(&sandbox)
        .env("RING_LAUNCHER", "other")
        .env("KEPT", "kept")
        .run();
    output.assert_code(0);
    let line = log_line("link:0", "next is at nothing, kept");
    assert!(output.events().iter().any(line), "{output}");
    // The job file's own choice stays.
    let chosen = "environment = { RING_LAUNCHER = \"own\" }\n";
    let output = run(&sandbox, &(job + chosen));
    let line = log_line("link:0", "next is at own,");
    assert!(output.events().iter().any(line), "{output}");
}

#[test]
fn its_own_checks_are_a_part_of_check() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "ring");
    sandbox.write("job.toml", ring_job(1));
    let output = sandbox.forebay(["check", "job.toml"]).run();
    output.assert_code(1);
    snapshot(&sandbox, "ring_too_small", &output);
    snapshot(
        &sandbox,
        "inspect_ring",
        &sandbox.forebay(["plugin", "inspect", "./ring.wasm"]).run(),
    );
}

#[test]
fn a_plugin_is_found_by_name_in_the_users_folders() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "ring");
    sandbox.write("job.toml", ring_job(2).replace("./ring.wasm", "ring"));
    let run = crate::jobs::run_json(&sandbox).env("FOREBAY_PLUGINS", sandbox.work());
    run.run().assert_code(0);
}

#[test]
fn what_a_manifest_does_not_ask_for_ends_the_job_by_name() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "ring");
    sandbox.write(
        "ring.toml",
        "id = \"ring\"\nversion = \"0.1.0\"\n[requests]\nports = 1\n",
    );
    let output = run(&sandbox, &(ring_job(2) + NO_GRACE));
    output.assert_code(2);
    assert!(output.summary().reason().contains("RING_NEXT"), "{output}");
}

#[test]
fn what_the_operator_does_not_grant_ends_the_job_by_name() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "ring");
    sandbox.write("job.toml", ring_job(2) + NO_GRACE);
    sandbox.write("grants.toml", "environment = [\"OTHER_*\"]\n");
    let run = crate::jobs::run_json(&sandbox).args(["--grants", "grants.toml"]);
    let output = run.run();
    output.assert_code(2);
    let reason = output.summary().reason().to_owned();
    assert!(reason.contains("this host does not grant it"), "{output}");
    let hint = output.summary().value()["hint"].to_string();
    assert!(hint.contains("grants.toml"), "{output}");
}

/// Two roles whose nodes would never meet under the standard machine.
fn turns(script: &str) -> String {
    let role = |name: &str, nodes: u32| {
        format!("[roles.{name}]\nnodes = {nodes}\ncommand = [\"sh\", \"-c\", '''{script}''']\n")
    };
    let am = "[am]\nplugin = \"./in-turn.wasm\"\n";
    format!(
        "name = \"turns\"\n{am}{}{}",
        role("first", 2),
        role("second", 1)
    )
}

#[test]
fn another_state_machine_than_the_standard_one_runs_a_job() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "in-turn");
    // Each node fails where another one is in the middle of its turn.
    let token = sandbox.work().join("turn");
    let script = format!("mkdir {0} || exit 9; sleep 0.1; rmdir {0}", token.display());
    let output = run(&sandbox, &turns(&script));
    output.assert_code(0);
    let events = output.events();
    let phase = |node: &str, phase: &str| {
        let is = |event: &&serde_json::Value| event["node"] == node && event["phase"] == phase;
        let event = events.iter().find(is);
        event
            .and_then(|event| event["sequence"].as_u64())
            .unwrap_or_else(|| panic!("{node} was never {phase}: {output}"))
    };
    assert!(phase("first:0", "exited") < phase("first:1", "starting"));
    assert!(phase("first:1", "exited") < phase("second:0", "starting"));
    assert!(
        events
            .iter()
            .any(|event| event["kind"] == "phase" && event["phase"] == "in-turn"),
        "{output}"
    );
}

#[test]
fn another_state_machine_decides_what_a_failure_means() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "in-turn");
    let output = run(&sandbox, &turns("[ $FOREBAY_INDEX = 0 ]"));
    output.assert_code(1);
    assert!(
        output
            .summary()
            .reason()
            .contains("`first:1` broke the row"),
        "{output}"
    );
    assert_eq!(
        output.summary().value()["cause"]["node"],
        "first:1",
        "{output}"
    );
}

#[test]
fn another_state_machine_is_stopped_as_the_standard_one() {
    let sandbox = Sandbox::new();
    put_plugin(&sandbox, "in-turn");
    let run = start(&sandbox, &turns("sleep 4711"));
    ready(&run, "first:0");
    run.signal(Signal::INT);
    run.finish().assert_code(130);
}
