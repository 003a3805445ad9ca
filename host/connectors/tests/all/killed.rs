//! A process that is killed while it writes leaves whole files, or none.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use fastrand::Rng;
use forebay_connectors::{
    FileSink, FileSinkOptions, FileSourceOptions, SinkConnector, SourceConnector,
};
use forebay_dataflow::{Cause, Operator, Output, TaskContext};
use tempfile::tempdir;

use crate::support::{prepare, prepare_sink, read, whole, write};

/// Tells the process that it is a writer, and where.
const FOLDER: &str = "FOREBAY_TEST_WRITES_INTO";

const SINKS: usize = 30;
const BATCHES: i64 = 20;
const KILLS: u64 = 50;

fn schema() -> SchemaRef {
    Schema::new(vec![Field::new("n", DataType::Int64, false)]).into()
}

/// Says a word for each batch and each end.
struct Telling(FileSink);

struct TellingTask(Box<dyn Operator>);

impl SinkConnector for Telling {
    fn open(&self, context: TaskContext) -> Result<Box<dyn Operator>, Cause> {
        Ok(Box::new(TellingTask(self.0.open(context)?)))
    }
}

fn tell() -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(b"goes on\n")?;
    output.flush()
}

#[async_trait]
impl Operator for TellingTask {
    async fn process(
        &mut self,
        input: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        tell()?;
        self.0.process(input, batch, output).await
    }

    async fn end(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        tell()?;
        self.0.end(output).await?;
        Ok(tell()?)
    }
}

/// What the killed process does; nothing in the process of the tests.
#[test]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let numbers = |number: i64| Int64Array::from_iter_values(number..number + 1000);
    let batch = |number| RecordBatch::try_new(schema(), vec![Arc::new(numbers(number))]).unwrap();
    for number in 0..SINKS {
        let extension = ["parquet", "csv", "jsonl", "arrow"][number % 4];
        let path = format!("{number}.{extension}");
        let sink = prepare_sink(Path::new(&folder), FileSinkOptions::new(path), &schema(), 1);
        let batches = (0..BATCHES).map(batch).collect();
        write(&schema(), batches, Telling(sink.unwrap()), 1).unwrap();
    }
}

/// Starts a writer, and kills it after so many words.
fn kill_after(folder: &Path, words: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::writer", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    for line in output.lines().take(words) {
        line.unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// How many files there are, all of them whole.
fn check_whole(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.collect();
    for name in &names {
        let source = prepare(folder, FileSourceOptions::new(name));
        let source = source.unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows = whole(&source.schema(), &read(source.clone(), 1).unwrap()).num_rows();
        assert_eq!(rows, 20_000, "{name}");
    }
    names.len()
}

#[test]
fn at_any_moment() {
    let words_max = SINKS * (usize::try_from(BATCHES).unwrap() + 2);
    let mut rng = Rng::with_seed(11);
    let mut counts = Vec::new();
    for _ in 0..KILLS {
        let folder = tempdir().unwrap();
        kill_after(folder.path(), rng.usize(..words_max));
        counts.push(check_whole(folder.path()));
    }
    let in_the_middle = counts.iter().filter(|count| (1..SINKS).contains(*count));
    assert!(in_the_middle.count() > 20, "{counts:?}");
}
