//! What a dataflow promises while it runs: it streams, it holds its sources to the pace of its readers, it never shows half a file,
//! and it begins again when its engine was killed.

use std::fs;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use forebay_test_support::{Running, Sandbox, Signal, WATCHDOG, private_bytes, wait_until};
use rustix::process::{Pid, kill_process_group};
use serde_json::Value;

use crate::command_line::snapshot;
use crate::continuing::kill_engine;
use crate::dataflows::{
    SlowReader, count, folder_with, generated, json, names, rows, sink, summary, wait_rows,
};
use crate::jobs::{manager_pid, run_json};

// ---------------------------------------------------------------------------------------------------------- it streams

const JOIN: &str = "[transforms.joined]\nsql = \"SELECT a.id, a.at, b.id AS other FROM a JOIN b ON a.id = b.id AND a.at = b.at\"\n";

/// Reads one row of the join, and stops the job: what the sources had sent when they ended is in the summary. It has to be less
/// than a tenth of what they have, in `rows`.
#[track_caller]
fn assert_streams(sandbox: &Sandbox, sources: &str, rows: u64) {
    let sink = sink("screen", "joined", "to = \"stdout\"");
    folder_with(sandbox, &format!("{sources}{JOIN}{sink}"));
    let mut reader = SlowReader::new(sandbox);
    let run = reader.of(sandbox.forebay(["run", "job.toml"])).start();
    let first = reader.row();
    assert_eq!(first["id"], first["other"]);
    run.signal(Signal::INT);
    let (rest, output) = reader.rest_of(run);
    output.assert_code(130);
    let dataflow = summary(sandbox)["dataflow"].clone();
    assert_eq!(dataflow["phase"], "drained", "{output}");
    for source in ["a", "b"] {
        let sent = count(&dataflow, source, "rows_out");
        assert!(
            sent * 10 < rows,
            "{sent} of {rows} rows of `{source}`: {output}"
        );
    }
    let sent = ["a", "b"].map(|source| count(&dataflow, source, "rows_out"));
    let joined = rest.len() as u64 + 1;
    assert!(
        sent.contains(&joined),
        "{joined} joined of {sent:?}: {output}"
    );
}

#[test]
fn generated_rows_are_joined_while_they_come() {
    let sandbox = Sandbox::new();
    let source = |name| generated(name, "event_time = \"at\"", "rate = 1000\nrows = 100000");
    assert_streams(&sandbox, &(source("a") + &source("b")), 100_000);
}

#[test]
fn replayed_rows_are_joined_while_they_come() {
    let sandbox = Sandbox::new();
    let second = |row: u64| {
        format!(
            "{row},2013-01-01T{:02}:{:02}:{:02}Z\n",
            row / 3600,
            row / 60 % 60,
            row % 60
        )
    };
    let file: String = (0..2000).map(second).collect();
    sandbox.write("rows.csv", format!("id,at\n{file}"));
    let source = |name| {
        format!(
            "[sources.{name}]\npath = \"rows.csv\"\nevent_time = \"at\"\nreplay = {{ speed = 10 }}\n"
        )
    };
    assert_streams(&sandbox, &(source("a") + &source("b")), 2000);
}

// ---------------------------------------------------------------------------------------------------- it has no end

/// How many seconds two endless streams are watched, once so many rows have filled all buffers.
const WATCHED: u64 = 60;
const FILLING: u64 = 1_000_000;
const MEMORY_MORE: u64 = 50 << 20;

#[test]
fn endless_streams_are_joined_in_memory_that_does_not_grow() {
    let sandbox = Sandbox::new();
    let source = |name: &str, seed: u64| {
        let generator = format!(
            "seed = {seed}\ncolumns.key = {{ kind = \"integers\", least = 0, most = 999 }}"
        );
        generated(name, "event_time = \"at\"", &generator)
    };
    let join = "[transforms.joined]\nsql = \"SELECT a.id, a.at, b.id AS other FROM a LEFT JOIN b ON a.key = b.key AND b.at BETWEEN a.at - INTERVAL '1 second' AND a.at\"\n";
    let sink = sink("nowhere", "joined", "to = \"blackhole\"");
    folder_with(&sandbox, &(source("a", 1) + &source("b", 2) + join + &sink));
    // It takes all processors that nobody else wants.
    let run = sandbox.forebay(["run", "--format", "json", "job.toml"]);
    let watchdog = 3 * WATCHDOG + Duration::from_secs(WATCHED);
    let run = run.through(&["nice"]).within(watchdog).start();
    let memory = || private_bytes(run.pid()).expect("the engine runs");
    let begun = wait_rows(&run, "nowhere", FILLING)["running_ms"].as_u64();
    let (begun, full) = (begun.expect("it is a number"), memory());
    for second in 1..=WATCHED {
        run.wait_event(&format!("second {second}"), |event| {
            event["kind"] == "progress"
                && event["running_ms"].as_u64() >= Some(begun + second * 1000)
        });
        let now = memory();
        assert!(
            now <= full + MEMORY_MORE,
            "{now} bytes after {second} s, {full} before"
        );
    }
    run.signal(Signal::INT);
    let output = run.finish();
    output.assert_code(130);
    let dataflow = &summary(&sandbox)["dataflow"];
    assert_eq!(dataflow["phase"], "drained", "{output}");
}

// ------------------------------------------------------------------------------------------------------ back pressure

const QUEUE_ROWS: u64 = 64;
const BATCH_ROWS: u64 = 16;
/// Rows of 37 bytes or more that a page holds.
const PIPE_ROWS: u64 = 4096 / 37;

/// What the engine says of the dataflow now.
#[track_caller]
fn dataflow_now(sandbox: &Sandbox) -> Value {
    let status = sandbox.forebay(["status", "--format", "json"]).run();
    status.assert_code(0);
    status.events()[0]["dataflow"].clone()
}

fn is_held(dataflow: &Value, operator: &str) -> bool {
    let operators = dataflow["operators"].as_array().into_iter().flatten();
    let mut found = operators.filter(|one| one["operator"] == operator);
    found.any(|one| one["back_pressured"].as_f64() > Some(0.5))
}

/// Asking how far it is takes a tenth of a second or so: that is the pace of this reader. The source could send a hundred
/// thousand rows meanwhile.
#[test]
fn a_slow_reader_holds_the_source() {
    let sandbox = Sandbox::new();
    let job = [
        format!("[dataflow]\nqueue_rows = {QUEUE_ROWS}\n"),
        generated(
            "rows",
            &format!("event_time = \"at\"\nbatch_rows = {BATCH_ROWS}"),
            "",
        ),
        "[transforms.same]\nsql = \"SELECT id, at FROM rows WHERE id >= 0\"\n".to_owned(),
        sink("screen", "same", "to = \"stdout\""),
        sink("nowhere", "rows", "to = \"blackhole\""),
    ];
    folder_with(&sandbox, &job.concat());
    let mut reader = SlowReader::new(&sandbox);
    let run = reader.of(sandbox.forebay(["run", "job.toml"])).start();
    assert_eq!(reader.row()["id"], 0);
    wait_until("the source is held", WATCHDOG, || {
        is_held(&dataflow_now(&sandbox), "rows")
    });
    // One batch waits before the queue, one before the pipe, and one has begun to go into it.
    let most = QUEUE_ROWS + 3 * BATCH_ROWS + PIPE_ROWS;
    for read in 1..40 {
        assert_eq!(reader.row()["id"], read, "each row, in order");
        let dataflow = dataflow_now(&sandbox);
        let sent = count(&dataflow, "rows", "rows_out");
        assert!(
            sent <= read + most,
            "{sent} rows sent, {read} read: {dataflow}"
        );
        for held in ["rows", "screen"] {
            assert!(is_held(&dataflow, held), "`{held}`: {dataflow}");
        }
    }
    run.signal(Signal::INT);
    let (rest, output) = reader.rest_of(run);
    output.assert_code(130);
    let sent = count(&summary(&sandbox)["dataflow"], "rows", "rows_out");
    assert_eq!(rest.len() as u64 + 40, sent, "{output}");
}

// -------------------------------------------------------------------------------------------------------- needs no slots

#[test]
fn only_nodes_need_slots() {
    let sandbox = Sandbox::new();
    let job = generated("rows", "", "rows = 100") + &sink("nowhere", "rows", "to = \"blackhole\"");
    folder_with(&sandbox, &job);
    let run = || sandbox.forebay(["run", "job.toml", "--slots", "0"]).run();
    run().assert_code(0);
    assert_eq!(
        count(&summary(&sandbox)["dataflow"], "nowhere", "rows_in"),
        100
    );
    let role = "[roles.worker]\ncommand = [\"true\"]\n";
    folder_with(&sandbox, &format!("{job}{role}"));
    let refused = run();
    refused.assert_code(1);
    let expected = "error: `--slots 0` keeps nodes off this machine, but no other agent can join\n  hint: say where agents join with `--listen ADDRESS:PORT`\n";
    assert_eq!(refused.stderr, expected);
    assert_eq!(sandbox.runs().len(), 1, "{refused}");
}

// ---------------------------------------------------------------------------------------------------- makes its folders

#[test]
fn folders_of_sinks_are_made_by_a_run_alone() {
    let sandbox = Sandbox::new();
    let parts = "path = \"new/parts/\"\nformat = \"csv\"\nparallelism = 2";
    let job = [
        generated("rows", "", "rows = 100"),
        sink("file", "rows", "path = \"new/deep/rows.csv\""),
        sink("parts", "rows", parts),
    ];
    folder_with(&sandbox, &job.concat());
    for verb in ["check", "plan"] {
        sandbox.forebay([verb, "job.toml"]).run().assert_code(0);
        assert!(!sandbox.work().join("new").exists(), "{verb}");
    }
    sandbox.forebay(["run", "job.toml"]).run().assert_code(0);
    for source in ["s=new/deep/rows.csv", "s=new/parts/"] {
        let counted = rows(&sandbox, &[source], "SELECT count(*) AS n FROM s");
        assert_eq!(counted[0]["n"], 100, "{source}");
    }
}

// ------------------------------------------------------------------------------------------------- never half a file

const KILLS: u64 = 50;
/// Two processors are there for all tests.
const AT_ONCE: u64 = 2;
const ROWS_MAX: u64 = 1000;
/// Files, and how many rows each has: they are complete one after the other.
const FILES: [(&str, u64); 6] = [
    ("a.parquet", 100),
    ("b.csv", 250),
    ("c.jsonl", 400),
    ("d.arrow", 550),
    ("e.parquet", 700),
    ("f.csv", 850),
];

/// Each file from a source of its own, and one that tells on the standard output how far it is.
fn job_with_many_ends() -> String {
    let source =
        |name: &str, rows: u64| generated(name, "", &format!("rate = 2500\nrows = {rows}"));
    let files = FILES.iter().enumerate().map(|(number, (file, rows))| {
        let (name, keys) = (format!("s{number}"), format!("path = \"out/{file}\""));
        source(&name, *rows) + &sink(&format!("f{number}"), &name, &keys)
    });
    let last = source("clock", ROWS_MAX) + &sink("screen", "clock", "to = \"stdout\"");
    files.chain([last]).collect()
}

/// Starts the job as the leader of a process group, and kills the group when that many rows are told.
#[track_caller]
fn kill_after(sandbox: &Sandbox, told: u64) {
    let run = sandbox
        .forebay(["run", "job.toml"])
        .through(&["setsid"])
        .start();
    run.wait_stdout(&format!("{{\"id\":{told},"));
    let group = Pid::from_raw(run.pid().cast_signed()).expect("a pid is not 0");
    kill_process_group(group, Signal::KILL).expect("the process lives");
    assert_eq!(run.finish().signal, Some(9));
    wait_until("all of it is gone", WATCHDOG, || {
        sandbox.leftovers().is_empty()
    });
}

/// Files that are there, all of them whole; nothing else is.
#[track_caller]
fn whole_files(sandbox: &Sandbox) -> usize {
    let out = sandbox.work().join("out");
    let there = names(&out);
    let known: Vec<_> = FILES
        .iter()
        .filter(|(file, _)| there.contains(*file))
        .collect();
    assert_eq!(known.len(), there.len(), "{there:?}");
    if known.is_empty() {
        return 0;
    }
    let sources: Vec<_> = known
        .iter()
        .map(|(file, _)| format!("{}=out/{file}", &file[..1]))
        .collect();
    let sources: Vec<_> = sources.iter().map(String::as_str).collect();
    let counts = known.iter().map(|(file, _)| {
        let name = &file[..1];
        format!("SELECT '{file}' AS file, count(*) AS n, count(DISTINCT id) AS ids FROM {name}")
    });
    let sql = counts.collect::<Vec<_>>().join(" UNION ALL ");
    let found = rows(sandbox, &sources, &sql);
    for (file, rows) in &known {
        let whole = serde_json::json!({ "file": file, "n": rows, "ids": rows });
        assert!(found.contains(&whole), "{file}: {found:?}");
    }
    known.len()
}

/// As many kills as one thread has to do; how many files were there each time.
fn kills(seed: u64) -> Vec<usize> {
    let mut rng = Rng::with_seed(seed);
    let sandbox = Sandbox::new();
    folder_with(&sandbox, &job_with_many_ends());
    let kill = |_| {
        kill_after(&sandbox, rng.u64(..ROWS_MAX));
        let whole = whole_files(&sandbox);
        fs::remove_dir_all(sandbox.work().join("out")).expect("it is ours");
        fs::create_dir(sandbox.work().join("out")).expect("it is ours");
        whole
    };
    (0..KILLS / AT_ONCE).map(kill).collect()
}

#[test]
fn an_engine_that_is_killed_leaves_whole_files_or_none() {
    let counts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|thread| {
                let seed = SEED + thread;
                (seed, scope.spawn(move || kills(seed)))
            })
            .collect();
        let joined = threads.into_iter().map(|(seed, thread)| {
            thread
                .join()
                .unwrap_or_else(|_| panic!("see above; the seed was {seed}"))
        });
        joined.flatten().collect()
    });
    let between = counts
        .iter()
        .filter(|count| (1..FILES.len()).contains(*count));
    assert!(between.count() * 2 > counts.len(), "{counts:?}");
}

const SEED: u64 = 11;

// ------------------------------------------------------------------------------------------------------ begins again

const ROWS: u64 = 3000;

/// A file of all rows as a stream that takes three seconds, one that is complete at once, and sinks of each kind.
fn replayed(sandbox: &Sandbox) -> String {
    let at = |row: u64| format!("2013-01-01T00:{:02}:{:02}Z", row / 60, row % 60);
    let rows: Vec<String> = (0..ROWS)
        .map(|row| format!("{row},{}\n", at(row)))
        .collect();
    sandbox.write("rows.csv", format!("id,at\n{}", rows.concat()));
    [
        "[sources.rows]\npath = \"rows.csv\"\nevent_time = \"at\"\nreplay = { speed = 1000 }\n"
            .to_owned(),
        "[sources.table]\npath = \"flights.csv\"\n".to_owned(),
        sink("one", "rows", "path = \"out/rows.parquet\""),
        sink("text", "rows", "path = \"out/rows.csv\""),
        sink(
            "parts",
            "rows",
            "path = \"out/parts\"\nformat = \"jsonl\"\nparallelism = 2",
        ),
        sink("small", "table", "path = \"out/small.csv\""),
    ]
    .concat()
}

/// Starts the job, kills the engine in the middle of it, and gives the run directory.
#[track_caller]
fn killed_in_the_middle(sandbox: &Sandbox) -> std::path::PathBuf {
    folder_with(sandbox, &replayed(sandbox));
    let run: Running = run_json(sandbox).start();
    let progress = wait_rows(&run, "text", 1);
    assert!(count(&progress, "text", "rows_in") < ROWS, "it is not over");
    let small = sandbox.work().join("out/small.csv");
    wait_until("one sink is complete", WATCHDOG, || small.exists());
    let manager = manager_pid(&run);
    kill_engine(run, &[manager])
}

#[test]
fn a_run_whose_engine_was_killed_begins_its_dataflow_again() {
    let sandbox = Sandbox::new();
    let run = killed_in_the_middle(&sandbox);
    let out = sandbox.work().join("out");
    let left = names(&out);
    assert!(
        left.iter()
            .all(|name| name == "small.csv" || name == "parts"),
        "{left:?}"
    );
    assert_eq!(names(&out.join("parts")), [].into());
    let output = sandbox
        .forebay(["run", "--format", "json", "--continue"])
        .args([&run])
        .run();
    output.assert_code(0);
    let dataflow = summary(&sandbox)["dataflow"].clone();
    assert_eq!(
        (&dataflow["attempts"], &dataflow["phase"]),
        (&2.into(), &"ended".into()),
        "{output}"
    );
    for source in ["s=out/rows.parquet", "s=out/rows.csv", "s=out/parts/"] {
        let sql = "SELECT count(*) AS n, count(DISTINCT id) AS ids, min(id) AS first, max(id) AS last FROM s";
        let all = serde_json::json!({ "n": ROWS, "ids": ROWS, "first": 0, "last": ROWS - 1 });
        assert_eq!(rows(&sandbox, &[source], sql), [all], "{source}");
    }
    let small = fs::read_to_string(out.join("small.csv")).expect("it is complete");
    assert_eq!(small, crate::dataflows::FLIGHTS);
    assert_eq!(
        names(&out),
        ["parts", "rows.csv", "rows.parquet", "small.csv"]
            .map(String::from)
            .into()
    );
}

#[test]
fn a_run_does_not_go_on_with_files_of_other_columns() {
    let sandbox = Sandbox::new();
    let run = killed_in_the_middle(&sandbox);
    let resolved = json(&run.join("job.json"));
    let pinned = &resolved["dataflow"]["sources"][0]["origin"]["files"]["schema"];
    assert_eq!(
        pinned,
        &serde_json::json!([["id", "int64"], ["at", "timestamp-utc"]]),
        "{resolved}"
    );
    sandbox.write("rows.csv", "id,at,more\n1,2013-01-01T00:00:00Z,2\n");
    let output = sandbox.forebay(["run", "--continue"]).args([&run]).run();
    output.assert_code(1);
    snapshot(&sandbox, "dataflow_continue_other_columns", &output);
    fs::remove_file(sandbox.work().join("rows.csv")).expect("it is ours");
    let output = sandbox.forebay(["run", "--continue"]).args([&run]).run();
    output.assert_code(1);
    snapshot(&sandbox, "dataflow_continue_no_file", &output);
}
