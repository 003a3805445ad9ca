//! What the tests of dataflows have in common: small jobs, what is in a folder, and what a run left.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use forebay_test_support::{Invocation, Output, Running, Sandbox, WATCHDOG};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::fcntl_setpipe_size;
use serde_json::Value;

/// Two flights. The delay of the second one is not known.
pub(crate) const FLIGHTS: &str =
    "origin,delay,at\nEWR,2,2013-01-01T05:00:00Z\nJFK,,2013-01-01T06:00:00Z\n";

/// A job with these tables, in a folder with [`FLIGHTS`] as `flights.csv` and an empty folder `out`.
pub(crate) fn folder_with(sandbox: &Sandbox, job: &str) {
    sandbox.write("flights.csv", FLIGHTS);
    fs::create_dir_all(sandbox.work().join("out")).expect("the sandbox is writable");
    sandbox.write("job.toml", format!("name = \"flow\"\n{job}"));
}

/// Rows of `id` (from 0) and `at` (a millisecond further each), with more keys of the source and of its generator.
pub(crate) fn generated(name: &str, source: &str, generate: &str) -> String {
    format!(
        "[sources.{name}]\n{source}\n[sources.{name}.generate]\n{generate}\ncolumns.id = {{ kind = \"sequence\" }}\ncolumns.at = {{ kind = \"event-time\", step = \"1 ms\" }}\n"
    )
}

/// A sink `name` of `input` with these keys.
pub(crate) fn sink(name: &str, input: &str, keys: &str) -> String {
    format!("[sinks.{name}]\ninput = \"{input}\"\n{keys}\n")
}

/// Names in a folder, hidden ones too; none where there is no such folder.
pub(crate) fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Nothing of any sink is there, hidden or not.
#[track_caller]
pub(crate) fn assert_no_output(sandbox: &Sandbox) {
    assert_eq!(names(&sandbox.work().join("out")), BTreeSet::new());
}

/// `summary.json` of the newest run.
#[track_caller]
pub(crate) fn summary(sandbox: &Sandbox) -> Value {
    let run = sandbox.runs().pop().expect("there was a run");
    json(&run.join("summary.json"))
}

#[track_caller]
pub(crate) fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("it is JSON")
}

/// A count of an operator in a summary's `dataflow`, or in an event that has operators.
#[track_caller]
pub(crate) fn count(dataflow: &Value, operator: &str, field: &str) -> u64 {
    let operators = dataflow["operators"].as_array().into_iter().flatten();
    let mut found = operators.filter(|one| one["operator"] == operator);
    let count = found.next().and_then(|one| one[field].as_u64());
    count.unwrap_or_else(|| panic!("no `{field}` of `{operator}` in {dataflow}"))
}

/// Waits until the dataflow of the run tells that this operator has taken so many rows.
#[track_caller]
pub(crate) fn wait_rows(run: &Running, operator: &str, rows: u64) -> Value {
    run.wait_event(&format!("{rows} rows of {operator}"), |event| {
        event["kind"] == "progress" && count(event, operator, "rows_in") >= rows
    })
}

/// The rows that `forebay sql` answers over these sources.
#[track_caller]
pub(crate) fn rows(sandbox: &Sandbox, sources: &[&str], sql: &str) -> Vec<Value> {
    let sources = sources.iter().flat_map(|source| ["--source", source]);
    let query = sandbox.forebay(["sql", "--format", "json"]).args(sources);
    let output = query.args([sql]).run();
    output.assert_code(0);
    output.events()
}

/// A pipe that the test reads at its own pace: it holds a page, about eighty short rows. Nobody who writes into it ever finds
/// it closed.
pub(crate) struct SlowReader {
    path: PathBuf,
    lines: BufReader<File>,
}

impl SlowReader {
    #[track_caller]
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let path = sandbox.work().join("pipe");
        sandbox.command("mkfifo").args([&path]).run().assert_code(0);
        let mut options = File::options();
        let pipe = options.read(true).write(true).open(&path);
        let pipe = pipe.expect("the pipe is ours");
        fcntl_setpipe_size(&pipe, PAGE).expect("a pipe may be small");
        let lines = BufReader::with_capacity(1, pipe);
        Self { path, lines }
    }

    /// The standard output of `run` goes there.
    pub(crate) fn of(&self, run: Invocation) -> Invocation {
        let into = format!("exec \"$@\" > '{}'", self.path.display());
        run.through(&["sh", "-c", &into, "sh"])
    }

    /// The next row; waits for it.
    #[track_caller]
    pub(crate) fn row(&mut self) -> Value {
        let row = self.row_within(WATCHDOG);
        row.unwrap_or_else(|| panic!("waited {WATCHDOG:?} in vain for a row"))
    }

    /// The next row, if it comes so soon.
    #[track_caller]
    pub(crate) fn row_within(&mut self, time: Duration) -> Option<Value> {
        let mut comes = [PollFd::new(self.lines.get_ref(), PollFlags::IN)];
        let time = Timespec::try_from(time).expect("a watchdog is a matter of minutes");
        let count = poll(&mut comes, Some(&time)).expect("a pipe can be waited for");
        (count > 0).then(|| {
            let mut line = String::new();
            self.lines.read_line(&mut line).expect("it is text");
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"))
        })
    }

    /// All rows from here on, while `run` goes on to its end.
    #[track_caller]
    pub(crate) fn rest_of(&mut self, run: Running) -> (Vec<Value>, Output) {
        let has_ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut rows = Vec::new();
                while !has_ended.load(Ordering::SeqCst) {
                    rows.extend(self.row_within(LOOK_EVERY));
                }
                rows.extend(std::iter::from_fn(|| self.row_within(Duration::ZERO)));
                rows
            });
            let output = run.finish();
            has_ended.store(true, Ordering::SeqCst);
            (reading.join().expect("rows are JSON"), output)
        })
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The least that a pipe holds.
const PAGE: usize = 4096;
