//! Every way in which a person ends a dataflow: a stream is drained, a table is given up.

use std::fs;

use forebay_test_support::{
    Invocation, Output, Running, Sandbox, Signal, WATCHDOG, environment, wait_until,
};
use serde_json::Value;

use crate::dataflows::{
    SlowReader, assert_no_output, count, folder_with, generated, names, rows, sink, summary,
    wait_rows,
};

const STREAM: &str = "event_time = \"at\"";

/// A job whose rows, a thousand a second, go into files of two formats.
fn files(source: &str, generate: &str) -> String {
    [
        generated("rows", source, &format!("rate = 1000\n{generate}")),
        sink("table", "rows", "path = \"out/rows.parquet\""),
        sink("text", "rows", "path = \"out/rows.csv\""),
        sink(
            "parts",
            "rows",
            "path = \"out/parts\"\nformat = \"jsonl\"\nparallelism = 2",
        ),
    ]
    .concat()
}

fn json(sandbox: &Sandbox) -> Invocation {
    sandbox.forebay(["run", "--format", "json", "job.toml"])
}

/// Starts the job, and waits until each sink has rows.
#[track_caller]
fn start(sandbox: &Sandbox, job: &str) -> Running {
    folder_with(sandbox, job);
    let run = json(sandbox).start();
    for sink in ["table", "text", "parts"] {
        wait_rows(&run, sink, 1);
    }
    run
}

/// It was stopped, and its dataflow came to this end.
#[track_caller]
fn assert_stopped(sandbox: &Sandbox, output: &Output, phase: &str) -> Value {
    output.assert_code(130);
    let summary = summary(sandbox);
    assert_eq!(summary["outcome"], "stopped", "{output}");
    assert_eq!(summary["dataflow"]["phase"], phase, "{output}");
    summary["dataflow"].clone()
}

/// All files are there, and have every row up to the last that the source sent, once.
#[track_caller]
fn assert_drained(sandbox: &Sandbox, output: &Output) {
    let dataflow = assert_stopped(sandbox, output, "drained");
    let sent = count(&dataflow, "rows", "rows_out");
    assert!(sent > 0, "{output}");
    let out = sandbox.work().join("out");
    assert_eq!(
        names(&out),
        ["parts", "rows.csv", "rows.parquet"]
            .map(String::from)
            .into()
    );
    assert_eq!(names(&out.join("parts")).len(), 2);
    for source in ["s=out/rows.parquet", "s=out/rows.csv", "s=out/parts/"] {
        let sql = "SELECT count(*) AS n, count(DISTINCT id) AS ids, max(id) AS last FROM s";
        let found = rows(sandbox, &[source], sql);
        let expected = serde_json::json!({ "n": sent, "ids": sent, "last": sent - 1 });
        assert_eq!(found, [expected], "{source}: {output}");
    }
}

#[test]
fn ctrl_c_drains_a_stream() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &files(STREAM, ""));
    run.signal(Signal::INT);
    assert_drained(&sandbox, &run.finish());
}

#[test]
fn the_verb_stop_drains_a_stream_with_an_end() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &files(STREAM, "rows = 1000000"));
    sandbox.forebay(["stop"]).run().assert_code(0);
    assert_drained(&sandbox, &run.finish());
}

#[test]
fn ctrl_c_gives_a_table_up() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &files("", "rows = 1000000"));
    run.signal(Signal::INT);
    let output = run.finish();
    assert_stopped(&sandbox, &output, "stopped");
    assert_no_output(&sandbox);
}

#[test]
fn what_nodes_have_answered_of_a_table_is_given_up() {
    let sandbox = Sandbox::new();
    environment("dataflow");
    let script = "import forebay
node = forebay.node()
for batch in node.feed:
    node.emit({'score': batch.numpy('id') * 2.5})
print('done')
";
    folder_with(&sandbox, &[
        generated("rows", "batch_rows = 10", "rate = 1000\nrows = 1000000"),
        "[roles.scorer]\nscript = \"score.py\"\npython = \"dataflow\"\ninput = \"rows\"\noutput = { score = \"float64\" }\nnodes = 2\n".to_owned(),
        sink("scores", "scorer", "path = \"out/scores.csv\""),
    ].concat());
    sandbox.write("score.py", script);
    let run = json(&sandbox).start();
    wait_rows(&run, "scores", 100);
    run.signal(Signal::INT);
    let output = run.finish();
    assert_stopped(&sandbox, &output, "stopped");
    assert_no_output(&sandbox);
    for node in ["scorer-0", "scorer-1"] {
        let log = output
            .summary()
            .run_dir()
            .join(format!("logs/{node}.1.log"));
        let log = fs::read_to_string(log).expect("it has a log");
        assert!(log.contains("done"), "it was given its end: {log}");
    }
}

#[test]
fn the_verb_stop_gives_everything_up_if_it_is_told_to() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &files(STREAM, ""));
    sandbox.forebay(["stop", "--now"]).run().assert_code(0);
    let output = run.finish();
    assert_stopped(&sandbox, &output, "stopped");
    assert_no_output(&sandbox);
}

/// The rows of a stream go to a reader that has had enough: a drain would last until it goes on.
fn held_up(sandbox: &Sandbox, limits: &str) -> (SlowReader, Running) {
    let job = [
        generated("rows", &format!("{STREAM}\nbatch_rows = 16"), "rate = 5000"),
        "[dataflow]\nqueue_rows = 64\n".to_owned(),
        sink("screen", "rows", "to = \"stdout\""),
        sink("file", "rows", "path = \"out/rows.csv\""),
        limits.to_owned(),
    ];
    folder_with(sandbox, &job.concat());
    let mut reader = SlowReader::new(sandbox);
    let run = reader.of(sandbox.forebay(["run", "job.toml"])).start();
    assert_eq!(reader.row()["id"], 0);
    wait_until("the source is held", WATCHDOG, || is_held(sandbox, "rows"));
    (reader, run)
}

/// Whether the engine says that this source waits for room.
pub(crate) fn is_held(sandbox: &Sandbox, source: &str) -> bool {
    let status = sandbox.forebay(["status", "--format", "json"]).run();
    let operators = status.events()[0]["dataflow"]["operators"].clone();
    let operators = operators.as_array().into_iter().flatten();
    let mut found = operators.filter(|operator| operator["operator"] == source);
    found.any(|source| source["back_pressured"].as_f64() > Some(0.9))
}

#[test]
fn a_second_ctrl_c_gives_a_drain_up() {
    let sandbox = Sandbox::new();
    let (_reader, run) = held_up(&sandbox, "");
    run.signal(Signal::INT);
    run.wait_stderr("stopping: interrupted");
    run.signal(Signal::INT);
    let output = run.finish();
    assert_stopped(&sandbox, &output, "stopped");
    assert_no_output(&sandbox);
    for answer in [
        "stopping the job, within 30 s; Ctrl-C again ends the dataflow at once",
        "ending the dataflow; Ctrl-C again gives the job up",
    ] {
        assert!(output.stderr.contains(answer), "{output}");
    }
    assert!(!output.stderr.contains("node"), "it has none: {output}");
}

#[test]
fn a_drain_that_does_not_end_is_given_up_after_its_limit() {
    let sandbox = Sandbox::new();
    let (_reader, run) = held_up(&sandbox, "[limits]\nstop_within = \"300 ms\"\n");
    run.signal(Signal::INT);
    let output = run.finish();
    assert_stopped(&sandbox, &output, "stopped");
    assert_no_output(&sandbox);
}

#[test]
fn a_drain_goes_on_with_its_reader() {
    let sandbox = Sandbox::new();
    let (mut reader, run) = held_up(&sandbox, "");
    run.signal(Signal::INT);
    run.wait_stderr("stopping: interrupted");
    let text = sandbox.work().join("out/rows.csv");
    assert!(!text.exists(), "it is not complete");
    let (read, output) = reader.rest_of(run);
    let dataflow = assert_stopped(&sandbox, &output, "drained");
    let sent = count(&dataflow, "rows", "rows_out");
    assert_eq!(read.len() as u64 + 1, sent, "one was read before: {output}");
    let lines = fs::read_to_string(text).expect("it is complete");
    assert_eq!(lines.lines().count() as u64, sent + 1, "{output}");
}
