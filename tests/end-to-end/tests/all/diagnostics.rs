//! One job file with twelve mistakes gives twelve reports.

use forebay_test_support::Sandbox;

use crate::command_line::snapshot;

const TWELVE_MISTAKES: &str = r#"name = "Twelve Mistakes"
framwork = "command"
guarantee = "exactly-once"

[limits]
place_within = "soon"

[roles.worker]
nodes = 0
script = "train.py"
command = ["true"]
env = { LEVEL = "3" }
memory = 4

[roles.reader]
command = ["true"]
input = "samples"
environment = { FOREBAY_ROLE = "reader" }

[roles.server]
plugin = "no-such-plugin"
command = ["true"]

[roles.evaluator]
script = "../evaluate.py"
"#;

#[test]
fn twelve_mistakes_are_reported_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", TWELVE_MISTAKES);
    let output = sandbox.forebay(["check", "job.toml"]).run();
    output.assert_code(1);
    let reports = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("job.toml:"));
    let places: Vec<_> = reports
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(places.len(), 12, "{output}");
    snapshot(&sandbox, "twelve_mistakes", &output);
}

#[test]
fn twelve_mistakes_are_as_many_json_objects() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", TWELVE_MISTAKES);
    let output = sandbox
        .forebay(["check", "--format", "json", "job.toml"])
        .run();
    output.assert_code(1);
    let problems: Vec<_> = output
        .events()
        .into_iter()
        .filter(|line| line["kind"] == "problem")
        .collect();
    assert_eq!(problems.len(), 12, "{output}");
    for problem in problems {
        let place = (problem["line"].as_u64(), problem["column"].as_u64());
        assert!(place.0 >= Some(1) && place.1 >= Some(1), "{problem}");
    }
}

#[test]
fn node_runners_report_their_problems_with_those_of_the_file() {
    let sandbox = Sandbox::new();
    let roles = "[roles.worker]\nnodes = 2\ncommand = [\"true\"]\nnods = 1\n[roles.chief]\nnodes = 2\ncommand = [\"true\"]\n";
    sandbox.write(
        "job.toml",
        format!("name = \"mistaken\"\nframework = \"tensorflow\"\n{roles}"),
    );
    let output = sandbox.forebay(["check", "job.toml"]).run();
    output.assert_code(1);
    snapshot(&sandbox, "plugin_problems", &output);
}

#[test]
fn a_job_with_mistakes_is_not_run() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", TWELVE_MISTAKES);
    let output = sandbox.forebay(["run", "job.toml"]).run();
    output.assert_code(1);
    assert!(output.stderr.contains("job.toml:9:"), "{output}");
    assert!(sandbox.runs().is_empty());
}
