//! Each verb as a user meets it: exit code, standard output and standard error in one snapshot.

use std::collections::BTreeMap;

use forebay_test_support::{Output, Sandbox};
use serde_json::Value;

use crate::jobs::{UNTIL_GO, job_with_go, ready, run_dir, run_json, shell_job, start};

/// Compares exit code, stdout and stderr with the snapshot of this name.
#[track_caller]
pub(crate) fn snapshot(sandbox: &Sandbox, name: &str, output: &Output) {
    let filters = sandbox.filters();
    let filters: Vec<_> = filters
        .iter()
        .map(|(pattern, shown)| (&**pattern, &**shown))
        .collect();
    insta::with_settings!({ filters => filters, omit_expression => true }, {
        insta::assert_snapshot!(name, output.to_string());
    });
}

/// What a failed run says in the end. What it says before comes in the order of events, which is no concern here.
pub(crate) fn last_screen(output: &Output) -> Output {
    let start = output
        .stderr
        .find("\njob failed")
        .map_or(0, |line_end| line_end + 1);
    Output {
        stderr: output.stderr[start..].to_owned(),
        ..output.clone()
    }
}

#[test]
fn help_of_every_verb_has_an_example() {
    let sandbox = Sandbox::new();
    let verbs = [
        "check",
        "run",
        "am",
        "agent",
        "list",
        "status",
        "logs",
        "stop",
        "sql",
        "plugin inspect",
    ];
    for verb in verbs {
        let output = sandbox.forebay(verb.split(' ')).args(["--help"]).run();
        output.assert_code(0);
        let example = output.stdout.split("Example").nth(1).unwrap_or_default();
        assert!(
            example.contains(&format!("forebay {verb}")),
            "`{verb}` has no example:\n{output}"
        );
        assert_eq!(output.stderr, "", "{output}");
    }
}

#[test]
fn the_command_alone_and_its_help() {
    let sandbox = Sandbox::new();
    snapshot(&sandbox, "help", &sandbox.forebay(["--help"]).run());
    snapshot(&sandbox, "version", &sandbox.forebay(["--version"]).run());
    let usage = sandbox.forebay(["rum"]).run();
    usage.assert_code(1);
    snapshot(&sandbox, "unknown_verb", &usage);
}

/// Without what nodes write and when agents join: neither has a fixed place among the other lines.
fn told(sandbox: &Sandbox, job: &str) -> Output {
    sandbox.write("job.toml", job);
    let mut output = sandbox.forebay(["run", "--quiet", "job.toml"]).run();
    let lines = output
        .stderr
        .lines()
        .filter(|line| !line.starts_with("agent "));
    output.stderr = lines.collect::<Vec<_>>().join("\n");
    output
}

#[test]
fn a_run_that_succeeds() {
    let sandbox = Sandbox::new();
    let output = told(&sandbox, &shell_job(1, "sleep 0.2"));
    output.assert_code(0);
    snapshot(&sandbox, "run", &output);
}

#[test]
fn a_run_that_fails_ends_with_one_screen() {
    let sandbox = Sandbox::new();
    let output = told(
        &sandbox,
        &shell_job(1, "echo one; echo two; sleep 0.2; exit 3"),
    );
    output.assert_code(1);
    snapshot(&sandbox, "run_failed", &output);
}

#[test]
fn an_event_of_every_kind_in_json() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "echo hello; sleep 0.2; exit 3"));
    let mut output = run_json(&sandbox).run();
    let mut seen = BTreeMap::new();
    for event in output.events() {
        let key = [&event["kind"], &event["phase"]].map(Value::to_string);
        seen.entry(key).or_insert(event);
    }
    let lines = seen.values_mut().map(|event| {
        event["sequence"] = Value::Null;
        format!("{event}\n")
    });
    output.stdout = lines.collect();
    snapshot(&sandbox, "run_json", &output);
}

#[test]
fn verbs_about_a_run_that_goes_on() {
    let sandbox = Sandbox::new();
    let run = start(
        &sandbox,
        &job_with_go(&sandbox, 1, &format!("echo hello; {UNTIL_GO}; echo bye")),
    );
    ready(&run, "worker:0");
    run.wait_event(
        "the line",
        forebay_test_support::log_line("worker:0", "hello"),
    );
    snapshot(&sandbox, "list_running", &sandbox.forebay(["list"]).run());
    snapshot(
        &sandbox,
        "status_running",
        &sandbox.forebay(["status"]).run(),
    );
    snapshot(
        &sandbox,
        "status_running_json",
        &sandbox.forebay(["status", "--format", "json"]).run(),
    );
    snapshot(
        &sandbox,
        "logs",
        &sandbox.forebay(["logs", "worker:0"]).run(),
    );
    let follow = sandbox.forebay(["logs", "-f", "worker:0"]).start();
    follow.wait_stdout("hello");
    sandbox.write("go", "");
    run.finish().assert_code(0);
    snapshot(&sandbox, "logs_followed", &follow.finish());
}

#[test]
fn verbs_about_a_run_that_has_ended() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &shell_job(1, "echo hello"));
    let run_dir = run_dir(&run);
    run.finish().assert_code(0);
    snapshot(&sandbox, "list_ended", &sandbox.forebay(["list"]).run());
    snapshot(
        &sandbox,
        "list_ended_json",
        &sandbox.forebay(["list", "--format", "json"]).run(),
    );
    snapshot(
        &sandbox,
        "status_ended",
        &sandbox.forebay(["status".into(), run_dir.clone()]).run(),
    );
    snapshot(
        &sandbox,
        "stop_ended",
        &sandbox.forebay(["stop".into(), run_dir]).run(),
    );
    snapshot(
        &sandbox,
        "logs_of_no_node",
        &sandbox.forebay(["logs", "ps:0"]).run(),
    );
}

#[test]
fn verbs_where_nothing_ever_ran() {
    let sandbox = Sandbox::new();
    snapshot(&sandbox, "list_nothing", &sandbox.forebay(["list"]).run());
    snapshot(
        &sandbox,
        "status_nothing",
        &sandbox.forebay(["status"]).run(),
    );
    snapshot(
        &sandbox,
        "stop_nothing",
        &sandbox.forebay(["stop", "nowhere"]).run(),
    );
}

#[test]
fn plugins_can_be_inspected() {
    let sandbox = Sandbox::new();
    for plugin in ["standard-machine", "tensorflow", "pytorch", "mxnet"] {
        let output = sandbox.forebay(["plugin", "inspect", plugin]).run();
        output.assert_code(0);
        snapshot(&sandbox, &format!("inspect_{plugin}"), &output);
    }
}

#[test]
fn a_good_job_file_is_said_to_be_good() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(2, "true"));
    let output = sandbox.forebay(["check", "job.toml"]).run();
    output.assert_code(0);
    snapshot(&sandbox, "check", &output);
}

#[test]
fn no_color_is_heeded_in_a_terminal() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", "name = 3\n");
    let coloured = sandbox.forebay(["check", "job.toml"]);
    let (coloured, _terminal) = coloured.start_in_terminal();
    assert!(coloured.finish().stdout.contains("\x1b["));
    let plain = sandbox.forebay(["check", "job.toml"]).env("NO_COLOR", "1");
    let (plain, _terminal) = plain.start_in_terminal();
    let plain = plain.finish();
    assert!(!plain.stdout.contains("\x1b["), "{plain}");
}

#[test]
fn on_some_of_the_processors_it_says_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(2, "true"));
    let check = sandbox.forebay(["check", "job.toml"]);
    let output = check.through(&["taskset", "--cpu-list", "0"]).run();
    output.assert_code(0);
    assert_eq!(output.stderr, "no problems in job.toml\n", "{output}");
}
