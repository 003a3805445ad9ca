//! What goes wrong while a dataflow runs, and what the user reads then.

use std::fmt::Write;

use forebay_test_support::{Invocation, Output, Sandbox};

use crate::command_line::{last_screen, snapshot};
use crate::dataflows::{
    assert_no_output, count, folder_with, generated, names, rows, sink, summary,
};
use crate::plugins::put_operator;

/// Without what the dataflow had done by then: how far it came differs from run to run.
fn without_counts(output: &Output) -> Output {
    let mut output = last_screen(output);
    let lines = output.stderr.lines();
    let lines = lines.filter(|line| !line.starts_with("    ") && !line.starts_with("  dataflow "));
    output.stderr = lines.collect::<Vec<_>>().join("\n");
    output
}

/// A run that fails: its screen is the snapshot, its summary says the same, and no sink has left anything.
#[track_caller]
fn failed(sandbox: &Sandbox, name: &str, run: Invocation) {
    let output = run.run();
    output.assert_code(1);
    assert_no_output(sandbox);
    let summary = summary(sandbox);
    assert_eq!(summary["outcome"], "failed", "{summary}");
    assert_eq!(summary["dataflow"]["phase"], "failed", "{summary}");
    assert_eq!(summary["engine_failed"], false, "{summary}");
    let screen = without_counts(&output);
    for part in ["reason", "hint"] {
        let said = summary[part].as_str().unwrap_or_default();
        assert!(screen.stderr.contains(said), "{part} `{said}`: {output}");
    }
    let has_hint = screen.stderr.contains("\n  hint: ");
    assert_eq!(summary["hint"].is_string(), has_hint, "{output}");
    snapshot(sandbox, name, &screen);
}

fn run(sandbox: &Sandbox) -> Invocation {
    sandbox.forebay(["run", "job.toml"])
}

// ------------------------------------------------------------------------------------------------------------- files

/// Files of a folder, one after the other: what is wrong in the tenth is not seen before it is read.
fn twelve_files(sandbox: &Sandbox, source: &str, tenth: &[u8]) {
    for number in 1..=12 {
        let rows = format!("id,name\n{number},a\n{number},b\n");
        sandbox.write(format!("data/{number:02}.csv"), rows);
    }
    sandbox.write("data/10.csv", tenth);
    let source = format!("[sources.rows]\npath = \"data/\"\n{source}\n");
    let sinks = [
        sink("file", "rows", "path = \"out/rows.csv\""),
        sink("other", "rows", "path = \"out/new/deep/rows.parquet\""),
    ];
    folder_with(sandbox, &(source + &sinks.concat()));
}

#[track_caller]
fn failed_on_tenth_file(name: &str, source: &str, tenth: &[u8]) {
    let sandbox = Sandbox::new();
    twelve_files(&sandbox, source, tenth);
    failed(&sandbox, name, run(&sandbox));
}

#[test]
fn a_file_with_other_columns_than_those_before_it() {
    failed_on_tenth_file("dataflow_other_columns", "", b"id,other\n1,a\n");
}

#[test]
fn a_file_with_a_column_more_than_those_before_it() {
    failed_on_tenth_file("dataflow_more_columns", "", b"id,name,other\n1,a,b\n");
}

#[test]
fn a_row_that_does_not_fit_its_column() {
    failed_on_tenth_file("dataflow_malformed", "", b"id,name\n1,a\ntwo,b\n");
}

#[test]
fn a_row_with_a_value_too_many() {
    failed_on_tenth_file("dataflow_long_row", "", b"id,name\n1,a\n2,b,c\n");
}

#[test]
fn a_line_that_is_too_long() {
    let tenth = format!("id,name\n1,a\n2,{}\n", "b".repeat(2000));
    failed_on_tenth_file(
        "dataflow_long_line",
        "record_bytes = \"1 KiB\"",
        tenth.as_bytes(),
    );
}

#[test]
fn text_that_is_no_utf_8() {
    failed_on_tenth_file("dataflow_bad_text", "", b"id,name\n1,a\n2,\xff\n");
}

#[test]
fn more_malformed_rows_than_are_allowed() {
    failed_on_tenth_file(
        "dataflow_too_many_malformed",
        "malformed = { skip = 2 }",
        b"id,name\none,a\ntwo,b\nthree,c\n",
    );
}

#[test]
fn malformed_rows_that_are_left_out_are_counted_and_told() {
    let sandbox = Sandbox::new();
    let tenth = b"id,name\none,a\n2,b\nthree,c\n4,\xff\n";
    twelve_files(&sandbox, "malformed = { skip = 3 }", tenth);
    let output = run(&sandbox).run();
    output.assert_code(0);
    let summary = summary(&sandbox);
    assert_eq!(count(&summary["dataflow"], "rows", "malformed"), 3);
    assert_eq!(count(&summary["dataflow"], "rows", "rows_out"), 23);
    assert_eq!(count(&summary["dataflow"], "file", "rows_in"), 23);
    let mut told: Vec<_> = output.stderr.lines().collect();
    told.retain(|line| line.contains("10.csv"));
    let warnings = told.join("\n") + "\n";
    insta::assert_snapshot!("dataflow_skipped_rows", warnings);
}

// -------------------------------------------------------------------------------------------------------- event time

#[test]
fn an_event_time_that_is_null() {
    let sandbox = Sandbox::new();
    let source = "[sources.rows]\npath = \"rows.csv\"\nevent_time = \"at\"\nreplay = {}\n";
    let sink = sink("file", "rows", "path = \"out/rows.csv\"");
    folder_with(&sandbox, &format!("{source}{sink}"));
    sandbox.write(
        "rows.csv",
        "id,at\n1,2013-01-01T05:00:00Z\n2,\n3,2013-01-01T06:00:00Z\n",
    );
    failed(&sandbox, "dataflow_null_event_time", run(&sandbox));
}

const LATE: &str = r#"
[sources.slow]
event_time = "at"
idle_after = "20 ms"
[sources.slow.generate]
rate = 5
rows = 10
columns.at = { kind = "event-time", step = "1 ms" }
[sources.fast]
event_time = "at"
[sources.fast.generate]
rate = 1000
rows = 2500
columns.at = { kind = "event-time", step = "1 s" }
[transforms.one]
sql = "SELECT at FROM slow UNION ALL SELECT at FROM fast"
[transforms.minutes]
sql = "SELECT date_trunc('minute', at) AS minute, count(*) AS n FROM one GROUP BY minute"
"#;

/// Nobody waits for the source `slow` once it has been silent for a moment. All its rows are of the first minute, and come
/// while `fast` is some minutes further: their window was answered by then.
#[test]
fn late_rows_are_left_out_and_counted() {
    let sandbox = Sandbox::new();
    let sink = sink("file", "minutes", "path = \"out/minutes.jsonl\"");
    folder_with(&sandbox, &format!("{LATE}{sink}"));
    let output = run(&sandbox).run();
    output.assert_code(0);
    let dataflow = summary(&sandbox)["dataflow"].clone();
    let late = count(&dataflow, "minutes/2 window", "late");
    assert!((1..=10).contains(&late), "{late} of 10 late: {output}");
    let counted = rows(
        &sandbox,
        &["m=out/minutes.jsonl"],
        "SELECT sum(n) AS n FROM m",
    );
    assert_eq!(counted[0]["n"], 2510 - late, "{output}");
}

// -------------------------------------------------------------------------------------------------------- components

/// Rows go through a component that goes wrong.
#[track_caller]
fn failed_in_component(name: &str, config: &str) {
    let sandbox = Sandbox::new();
    put_operator(&sandbox);
    let job = [
        generated("rows", "", "rows = 100"),
        format!(
            "[transforms.mill]\noperator = \"operator-faults.wasm\"\ninput = \"rows\"\nconfig = {{ {config} }}\n"
        ),
        sink("file", "mill", "path = \"out/rows.csv\""),
    ];
    folder_with(&sandbox, &job.concat());
    failed(&sandbox, name, run(&sandbox));
}

#[test]
fn a_component_that_traps() {
    failed_in_component("dataflow_component_traps", "fault = \"trap\"");
}

#[test]
fn a_component_that_panics() {
    failed_in_component("dataflow_component_panics", "fault = \"panic\"");
}

#[test]
fn a_component_that_loops() {
    failed_in_component("dataflow_component_loops", "fault = \"loop\"");
}

#[test]
fn a_component_that_wants_too_much_memory() {
    failed_in_component(
        "dataflow_component_memory",
        "fault = \"memory\", size = 1000000000",
    );
}

#[test]
fn a_component_that_answers_with_other_columns() {
    failed_in_component("dataflow_component_columns", "fault = \"fewer-columns\"");
    failed_in_component("dataflow_component_kind", "fault = \"other-kind\"");
}

#[test]
fn a_component_that_refuses_a_row() {
    failed_in_component(
        "dataflow_component_refuses",
        "fault = \"refusal\", size = 7",
    );
}

#[test]
fn a_component_that_goes_wrong_at_the_end() {
    failed_in_component("dataflow_component_end", "fault = \"trap\", at = \"end\"");
}

/// Each sink is complete for itself: what was, before another part of the dataflow went wrong, is there as a whole.
#[test]
fn what_is_left_of_a_dataflow_that_failed_is_whole() {
    let sandbox = Sandbox::new();
    put_operator(&sandbox);
    let job = [
        generated("few", "", "rows = 100"),
        // They come for seconds, and go wrong when the few are long there.
        generated("rows", "", "rate = 1000\nrows = 3000"),
        "[transforms.mill]\noperator = \"operator-faults.wasm\"\ninput = \"rows\"\nconfig = { fault = \"trap\", at = \"end\" }\n".to_owned(),
        sink("before", "few", "path = \"out/before.csv\""),
        sink("meanwhile", "rows", "path = \"out/meanwhile.csv\""),
        sink("behind", "mill", "path = \"out/behind.csv\""),
    ];
    folder_with(&sandbox, &job.concat());
    run(&sandbox).run().assert_code(1);
    let out = sandbox.work().join("out");
    let mut left = names(&out);
    let text = |name: &str| std::fs::read_to_string(out.join(name)).expect("it is there");
    assert!(left.remove("before.csv"), "{left:?}");
    assert_eq!(text("before.csv"), generated_csv(100));
    // It ends in the moment in which the mill goes wrong: before or behind it.
    if left.remove("meanwhile.csv") {
        assert_eq!(text("meanwhile.csv"), generated_csv(3000));
    }
    assert_eq!(left, [].into());
}

/// So many rows of [`generated`], byte by byte.
fn generated_csv(rows: u32) -> String {
    let mut text = "id,at\n".to_owned();
    for id in 0..rows {
        let (second, fraction) = (id / 1000, id % 1000);
        let fraction = match fraction {
            0 => String::new(),
            _ => format!(".{fraction:03}"),
        };
        let _ = writeln!(text, "{id},1970-01-01T00:00:{second:02}{fraction}Z");
    }
    text
}

#[test]
fn a_component_that_does_not_take_its_config() {
    let sandbox = Sandbox::new();
    put_operator(&sandbox);
    let transform = |name: &str, config: &str| {
        let sink = sink(&format!("{name}-out"), name, "to = \"blackhole\"");
        format!(
            "[transforms.{name}]\noperator = \"operator-faults.wasm\"\ninput = \"rows\"\nconfig = {{ {config} }}\n{sink}"
        )
    };
    let job = [
        generated("rows", "", "rows = 100"),
        transform("unknown-key", "falt = \"trap\""),
        transform("traps", "fault = \"trap\", at = \"open\""),
        transform("refuses", "fault = \"refusal\", at = \"open\""),
        transform("no-columns", "fault = \"no-columns\""),
        transform("same-name", "fault = \"same-name\""),
    ];
    folder_with(&sandbox, &job.concat());
    let output = sandbox.forebay(["check", "job.toml"]).run();
    output.assert_code(1);
    snapshot(&sandbox, "dataflow_component_config", &output);
}

// -------------------------------------------------------------------------------------------------------------- sinks

/// Both sinks are written into a small disk of their own.
#[test]
fn a_disk_of_sinks_that_is_full() {
    let sandbox = Sandbox::new();
    let job = [
        generated("rows", "", "rows = 200000"),
        sink("file", "rows", "path = \"out/rows.jsonl\""),
    ];
    folder_with(&sandbox, &job.concat());
    let looked =
        "mount -t tmpfs -o size=2M small out && \"$@\"; code=$?; ls -A out >&2; exit $code";
    let small_disk = ["unshare", "--mount", "sh", "-c", looked, "sh"];
    failed(
        &sandbox,
        "dataflow_disk_full",
        run(&sandbox).through(&small_disk),
    );
}

#[test]
fn a_reader_of_standard_output_that_is_gone() {
    let sandbox = Sandbox::new();
    let job = [
        generated("rows", "event_time = \"at\"", "rate = 1000"),
        sink("screen", "rows", "to = \"stdout\""),
        sink("file", "rows", "path = \"out/rows.csv\""),
    ];
    folder_with(&sandbox, &job.concat());
    let piped = [
        "bash",
        "-c",
        "\"$@\" | head -1; exit ${PIPESTATUS[0]}",
        "bash",
    ];
    failed(
        &sandbox,
        "dataflow_reader_gone",
        run(&sandbox).through(&piped),
    );
}

#[test]
fn what_was_there_before_a_failure_stays() {
    let sandbox = Sandbox::new();
    twelve_files(&sandbox, "", b"id,name\none,a\n");
    let text = std::fs::read_to_string(sandbox.work().join("job.toml")).expect("it was written");
    let mut replaced = String::new();
    for line in text.lines() {
        let _ = writeln!(replaced, "{line}");
        if line.starts_with("path = \"out/") {
            replaced += "overwrite = true\n";
        }
    }
    sandbox.write("job.toml", replaced);
    sandbox.write("out/rows.csv", "of before");
    run(&sandbox).run().assert_code(1);
    let out = sandbox.work().join("out");
    assert_eq!(names(&out), ["rows.csv".to_owned()].into());
    let kept = std::fs::read_to_string(out.join("rows.csv")).expect("it is there");
    assert_eq!(kept, "of before");
}
