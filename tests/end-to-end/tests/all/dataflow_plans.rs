//! What `forebay plan` draws.

use forebay_test_support::Sandbox;

use crate::command_line::snapshot;
use crate::dataflows::{folder_with, names, sink};
use crate::plugins::put_operator;

const JOB: &str = r#"
[dataflow]
parallelism = 2

[sources.flights]
path = "flights.csv"
event_time = "at"
replay = {}

[sources.weather]
event_time = "hour"
parallelism = 2
[sources.weather.generate]
rows = 100
columns.temp = { kind = "normal", mean = 20 }
columns.origin = { kind = "choice", of = ["EWR", "JFK"] }
columns.hour = { kind = "event-time", start = "2013-01-01T00:00:00Z", step = "1 min" }

[sources.places]
path = "flights.csv"

[transforms.joined]
sql = """
SELECT f.origin, f.delay, f.at, w.temp
FROM flights f LEFT JOIN weather w
  ON f.origin = w.origin AND w.hour BETWEEN f.at - INTERVAL '1 hour' AND f.at
"""

[transforms.placed]
sql = "SELECT j.*, p.delay AS usual FROM joined j JOIN places p ON j.origin = p.origin"

[transforms.mill]
operator = "operator-faults.wasm"
input = "placed"
config = { count = true }
key = ["origin"]
parallelism = 3

[sinks.file]
input = "mill"
path = "out/samples.parquet"

[sinks.parts]
input = "joined"
path = "out/joined"
format = "csv"
"#;

const ROLE: &str = "[roles.worker]\nnodes = 2\ncommand = [\"true\"]\ninput = \"mill\"\n";

#[track_caller]
fn planned(name: &str, format: &str) {
    let sandbox = Sandbox::new();
    put_operator(&sandbox);
    folder_with(&sandbox, &format!("{JOB}{ROLE}"));
    let plan = sandbox.forebay(["plan", "job.toml", "--format", format]);
    let output = plan.run();
    output.assert_code(0);
    snapshot(&sandbox, name, &output);
}

#[test]
fn as_text() {
    planned("plan_text", "text");
}

#[test]
fn for_graphviz() {
    planned("plan_dot", "dot");
}

#[test]
fn for_programs() {
    planned("plan_json", "json");
}

#[test]
fn of_a_job_that_has_run() {
    let sandbox = Sandbox::new();
    let sinks = [
        sink("file", "flights", "path = \"out/rows.csv\""),
        sink(
            "parts",
            "flights",
            "path = \"out/parts/\"\nformat = \"csv\"",
        ),
    ];
    let source = "[sources.flights]\npath = \"flights.csv\"\n";
    folder_with(&sandbox, &format!("{source}{}", sinks.concat()));
    let plan = || sandbox.forebay(["plan", "job.toml"]).run();
    let before = plan();
    before.assert_code(0);
    sandbox.forebay(["run", "job.toml"]).run().assert_code(0);
    let after = plan();
    after.assert_code(0);
    assert_eq!((&after.stdout, after.stderr.as_str()), (&before.stdout, ""));
    assert_eq!(names(&sandbox.work().join("out/parts")).len(), 1);
    sandbox.forebay(["check", "job.toml"]).run().assert_code(1);
}

#[test]
fn of_a_dataflow_with_mistakes_is_what_check_says() {
    let sandbox = Sandbox::new();
    folder_with(
        &sandbox,
        "[sources.s]\npath = \"absent.csv\"\n[sinks.o]\ninput = \"s\"\nto = \"blackhole\"\n",
    );
    let plan = sandbox.forebay(["plan", "job.toml"]).run();
    let check = sandbox.forebay(["check", "job.toml"]).run();
    plan.assert_code(1);
    assert_eq!(plan.stdout, "");
    assert!(check.stderr.starts_with(&plan.stderr), "{plan}\n{check}");
}
