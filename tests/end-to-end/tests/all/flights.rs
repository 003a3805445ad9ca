//! The example `flights-features`: its sinks hold what pandas makes of the same files, row by row, however the job is run.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use forebay_test_support::{Output, Sandbox, built, environment, repository};
use serde_json::Value;
use toml_edit::{DocumentMut, value};

use crate::command_line::snapshot;
use crate::day_one::toolchain;
use crate::frameworks::example;
use crate::jobs::heavy;

/// All flights take some seconds on two cores that have nothing else to do, and pandas as many.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);
/// The example as streams, and as tables.
pub(crate) const STREAMS: &str = "job.toml";
const TABLES: &str = "bounded.toml";
/// So many flights are left of 336,776 where one of this many is taken: 19,811 and 2,005, of all months.
const SOME: usize = 17;
pub(crate) const FEW: usize = 168;

/// One way to run the example.
pub(crate) struct Case {
    pub(crate) sandbox: Sandbox,
    job: DocumentMut,
    /// Each so many-th flight is in the data.
    step: usize,
    oracle_arguments: Vec<&'static str>,
}

impl Case {
    pub(crate) fn new(file: &str, step: usize) -> Self {
        let mut job = document(file);
        // Where the oracle looks.
        let written = document(STREAMS)["sinks"].clone();
        job["sinks"] = written;
        Self {
            sandbox: Sandbox::new(),
            job,
            step,
            oracle_arguments: Vec::new(),
        }
    }

    fn parallelism(mut self, tasks: i64) -> Self {
        self.job["dataflow"]["parallelism"] = value(tasks);
        self
    }

    /// The job file of as many tasks.
    pub(crate) fn text_with_tasks(&self, tasks: i64) -> String {
        let mut job = self.job.clone();
        job["dataflow"]["parallelism"] = value(tasks);
        job.to_string()
    }

    fn batch_rows(mut self, rows: i64) -> Self {
        for source in ["flights", "weather", "planes"] {
            self.job["sources"][source]["batch_rows"] = value(rows);
        }
        self
    }

    /// Flights without weather are left out.
    fn inner(mut self) -> Self {
        self.change("joined", "LEFT JOIN weather", "JOIN weather");
        self.oracle_arguments.push("--inner");
        self
    }

    /// Changes the text of a query.
    #[track_caller]
    fn change(&mut self, transform: &str, from: &str, to: &str) {
        let query = &mut self.job["transforms"][transform]["sql"];
        let text = query.as_str().expect("it is a query").to_owned();
        assert!(text.contains(from), "no `{from}` in {text}");
        *query = value(text.replace(from, to));
    }

    /// Runs the job, and asks the oracle about what it has written.
    #[track_caller]
    fn run(&self) -> Output {
        self.put_files();
        let run = self
            .sandbox
            .forebay(["run", "--format", "json", "job.toml"]);
        let output = run.within(PATIENCE).run();
        output.assert_code(0);
        assert_nothing_left_out(&output);
        let script = repository().join("tests/end-to-end/scripts/flights_oracle.py");
        let oracle = self
            .sandbox
            .command(python())
            .args([&script, &self.sandbox.work()]);
        oracle.args(&self.oracle_arguments).within(PATIENCE).run()
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        self.run().assert_code(0);
    }

    fn put_files(&self) {
        let work = self.sandbox.work();
        self.sandbox.write("job.toml", self.job.to_string());
        for folder in ["data", "out"] {
            fs::create_dir(work.join(folder)).expect("the sandbox is writable");
        }
        for table in ["weather.csv", "planes.csv"] {
            copy(
                &data(&self.sandbox).join(table),
                &work.join("data").join(table),
            );
        }
        let flights = data(&self.sandbox).join("flights.csv");
        thin_out(&flights, &work.join("data/flights.csv"), self.step).expect("they are text");
        copy(component(&self.sandbox), &work.join("features.wasm"));
    }
}

/// Rows were not late, and not malformed: what is missing in the output is missing for another reason.
#[track_caller]
fn assert_nothing_left_out(output: &Output) {
    let summary = output.summary();
    let operators = summary.value()["dataflow"]["operators"].as_array();
    for operator in operators.expect("the run had a dataflow") {
        for count in ["late", "malformed", "dropped"] {
            assert_eq!(operator[count], 0, "{count}: {operator}");
        }
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("`{}`: {error}", from.display()));
}

fn document(file: &str) -> DocumentMut {
    let text = fs::read_to_string(example("flights-features").join(file));
    let text = text.expect("the example is there");
    text.parse().expect("it is TOML")
}

fn python() -> PathBuf {
    environment("dataflow").join("bin/python")
}

/// The files of the example, taken out of their package once.
pub(crate) fn data(sandbox: &Sandbox) -> &'static Path {
    static DATA: OnceLock<PathBuf> = OnceLock::new();
    DATA.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flights");
        let script = example("flights-features").join("data.py");
        let taken = sandbox.command(python()).args([&script]);
        let taken = taken.args(["--into".as_ref(), folder.as_os_str()]).run();
        taken.assert_code(0);
        folder
    })
}

/// The operator of the example as `cargo xtask component` makes it, once.
pub(crate) fn component(sandbox: &Sandbox) -> &'static Path {
    static COMPONENT: OnceLock<PathBuf> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let file = temporary.join("features.wasm");
        let maker = toolchain(sandbox, built("forebay-component"))
            .args([&repository(), &temporary.join("guests")])
            .args([Path::new("flights-features-operator"), &file]);
        maker.run().assert_code(0);
        file
    })
}

/// Copies a file of lines: the first one, and one of so many of the others.
fn thin_out(from: &Path, to: &Path, step: usize) -> std::io::Result<()> {
    let mut lines = BufReader::new(File::open(from)?).lines();
    let mut file = BufWriter::new(File::create(to)?);
    for line in lines.next().into_iter().chain(lines.step_by(step)) {
        writeln!(file, "{}", line?)?;
    }
    file.flush()
}

#[test]
fn a_year_of_streams_becomes_what_pandas_makes_of_it() {
    let _one = heavy();
    Case::new(STREAMS, 1).check();
}

#[test]
fn a_year_of_tables_becomes_what_pandas_makes_of_it() {
    let _one = heavy();
    Case::new(TABLES, 1).check();
}

#[test]
fn several_tasks_make_the_same() {
    for tasks in [2, 4] {
        Case::new(STREAMS, SOME).parallelism(tasks).check();
        Case::new(TABLES, SOME).parallelism(tasks).check();
    }
}

#[test]
fn batches_of_any_size_make_the_same() {
    for (rows, step) in [(1, FEW), (100, SOME), (8192, SOME)] {
        let streams = Case::new(STREAMS, step).batch_rows(rows);
        streams.parallelism(2).check();
        Case::new(TABLES, step).batch_rows(rows).check();
    }
}

#[test]
fn flights_without_weather_are_left_out_of_an_inner_join() {
    Case::new(STREAMS, SOME).inner().check();
    Case::new(STREAMS, SOME).inner().parallelism(4).check();
    Case::new(TABLES, SOME).inner().check();
}

/// The tests above would be worth nothing if it did not.
#[test]
fn the_oracle_finds_what_differs() {
    let mut case = Case::new(STREAMS, FEW);
    case.change("samples", "dep_delay > 15", "dep_delay > 16");
    let output = case.run();
    output.assert_code(1);
    snapshot(&case.sandbox, "flights_oracle_finds_a_label", &output);
    let mut case = Case::new(STREAMS, FEW);
    case.change("joined", "INTERVAL '1 hour'", "INTERVAL '2 hours'");
    let output = case.run();
    output.assert_code(1);
    snapshot(&case.sandbox, "flights_oracle_finds_a_number", &output);
}

/// A job file without its comments.
fn meaning(file: &str) -> Value {
    toml_edit::de::from_document(document(file)).expect("it has no dates")
}

#[test]
fn the_bounded_form_is_the_job_without_replay() {
    let (mut streams, mut tables) = (meaning(STREAMS), meaning(TABLES));
    for source in ["flights", "weather"] {
        let source = streams["sources"][source].as_object_mut();
        let replay = source.expect("it is a source").remove("replay");
        assert!(replay.is_some());
    }
    for job in [&mut streams, &mut tables] {
        job["name"].take();
        for (_, sink) in job["sinks"].as_object_mut().expect("it has sinks") {
            sink["path"].take();
        }
    }
    assert_eq!(streams, tables);
}
