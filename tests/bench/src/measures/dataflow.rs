//! The dataflow in this process: rows in each second of one core; and the first row of a file, through the binary.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::Stdio;
use std::task::{Context as TaskPoll, Poll};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use arrow_array::RecordBatch;
use forebay_connectors::{
    Blackhole, Column, Generator, GeneratorOptions, SourceConnector, Values, add_sink, add_source,
};
use forebay_dataflow::{Cause, EventTime, Exchange, Graph, Options, Source};
use forebay_sql::{Lineage, Relation, Relations, Resources};
use tokio::runtime::Runtime;

use crate::Effort;
use crate::engine::forebay;
use crate::process::cpu_seconds_of;
use crate::row::{Row, Unit, milliseconds};

const SELECT: &str = "SELECT key, number * 2 AS twice, value FROM rows WHERE number % 3 <> 0";
const WINDOW: &str = "SELECT key, date_bin(INTERVAL '1 second', at) AS second, count(*) AS n FROM rows GROUP BY key, second";

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let samples = |graph: &dyn Fn() -> Result<Graph>| -> Result<Vec<f64>> {
        (0..effort.times(5, 1))
            .map(|_| million_rows(&graph()?, effort))
            .collect()
    };
    let runtime = Runtime::new()?;
    let row = |what: &str, at_least, samples| {
        Row::at_least(what, Unit::MillionRows, at_least, samples)
            .noted("one thread; the rows that the source made, by the CPU time of the process")
    };
    Ok(vec![
        row(
            "projection and filter over an endless generator of 4 columns",
            1.5,
            samples(&|| queried(SELECT, &runtime))?,
        ),
        row(
            "hash exchange of 8 columns from one task to two",
            5.0,
            samples(&exchanged)?,
        ),
        row(
            "tumbling window of a second: count for each of 1000 keys, over an endless generator",
            1.5,
            samples(&|| queried(WINDOW, &runtime))?,
        ),
        first_row(effort)?,
    ])
}

/// How many rows the first operator emits in each second that this process computes, in millions.
fn million_rows(graph: &Graph, effort: Effort) -> Result<f64> {
    let options = Options {
        threads: 1,
        ..Options::default()
    };
    let running = graph.start(&options)?;
    let handle = running.handle();
    let now = || -> Result<(f64, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "rows of some seconds")]
        let rows = handle.progress()[0].rows_out as f64;
        Ok((rows, cpu_seconds_of(std::process::id())?))
    };
    thread::sleep(Duration::from_millis(500));
    let (rows_before, cpu_before) = now()?;
    thread::sleep(Duration::from_secs(effort.times(4, 1)));
    let (rows_after, cpu_after) = now()?;
    handle.stop();
    // It was stopped, and says so.
    drop(running.wait());
    Ok((rows_after - rows_before) / (cpu_after - cpu_before) / 1e6)
}

/// Endless rows: a key of 1000, a number, a value, and a millisecond more of event time each.
fn generator() -> Result<Generator> {
    let column = |name: &str, values| Column {
        name: name.to_owned(),
        values,
    };
    let keys = (0..1_000).map(|number| format!("key {number}")).collect();
    let integers = Values::Integers {
        least: 0,
        most: 1_000_000,
    };
    let floats = Values::Floats {
        least: 0.0,
        most: 1.0,
    };
    let event_time = Values::EventTime {
        start: 0,
        step: None,
    };
    Ok(Generator::new(GeneratorOptions {
        columns: vec![
            column("key", Values::Choice(keys)),
            column("number", integers),
            column("value", floats),
            column("at", event_time),
        ],
        rate: None,
        seed: 1,
        rows: None,
        batch_rows: 8192,
    })?)
}

/// A query over those rows, into nothing.
fn queried(sql: &str, runtime: &Runtime) -> Result<Graph> {
    let generator = generator()?;
    let relation = Relation {
        schema: generator.schema(),
        event_time: Some("at".to_owned()),
        is_bounded: false,
        bytes: None,
        lineage: Lineage::default(),
    };
    let relations = Relations::from([("rows".to_owned(), relation)]);
    let event_time = EventTime {
        column: "at".to_owned(),
        out_of_orderness: Duration::ZERO,
        idle_after: None,
    };
    let mut graph = Graph::new();
    let rows = add_source(&mut graph, "rows", 1, Some(event_time), generator)?;
    let resources = Resources {
        runtime: runtime.handle().clone(),
        memory: None,
        spill: None,
    };
    let streams = BTreeMap::from([("rows".to_owned(), rows)]);
    let query = forebay_sql::plan(sql, &relations)?;
    let answers = query.build(&mut graph, "query", &streams, 1, &resources)?;
    add_sink(
        &mut graph,
        "nothing",
        1,
        (&answers, Exchange::Forward),
        Blackhole,
    )?;
    Ok(graph)
}

/// The same batch over and over.
struct Same(RecordBatch);

impl Source for Same {
    fn poll_next(&mut self, _: &mut TaskPoll<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        Poll::Ready(Ok(Some(self.0.clone())))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), Cause> {
        Ok(())
    }
}

/// Rows of 8 columns that are dealt by the first one.
fn exchanged() -> Result<Graph> {
    let numbers = |seed: u64| {
        let mixed = (0..8192_u64).map(move |row| (row + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let numbers = mixed.map(u64::cast_signed);
        std::sync::Arc::new(arrow_array::Int64Array::from_iter_values(numbers)) as _
    };
    let columns = (0..8).map(|column| (format!("column {column}"), numbers(column)));
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut graph = Graph::new();
    let source = graph.source("rows", 1, batch.schema(), None, move |_| {
        Ok(Same(batch.clone()))
    })?;
    let by_key = Exchange::Hash(vec!["column 0".to_owned()]);
    add_sink(&mut graph, "nothing", 2, (&source, by_key), Blackhole)?;
    Ok(graph)
}

/// From the start of a process to the first row of a file of 500,000 on its standard output.
fn first_row(effort: Effort) -> Result<Row> {
    let mut file = BufWriter::new(File::create("rows.csv")?);
    writeln!(file, "number,key,value")?;
    for row in 0..500_000_u32 {
        writeln!(file, "{row},key {},{}.5", row % 1000, row % 77)?;
    }
    file.into_inner()?.sync_all()?;
    let samples: Result<Vec<f64>> = (0..effort.times(20, 3))
        .map(|_| time_to_first_row())
        .collect();
    Ok(Row::new(
        "start to first output row: `forebay sql` over a CSV file of 500,000 rows",
        Unit::Milliseconds,
        100.0,
        samples?,
    ))
}

fn time_to_first_row() -> Result<f64> {
    let query = "SELECT key, value FROM rows WHERE number % 2 = 1";
    let source = "rows=rows.csv";
    let mut command = forebay(&["sql", "--source", source, "--format", "csv", query])?;
    let begun = Instant::now();
    let mut process = command.stdout(Stdio::piped()).spawn()?;
    let output = process.stdout.take().context("it was asked for")?;
    let row = BufReader::new(output)
        .lines()
        .nth(1)
        .context("there are rows")??;
    let took = milliseconds(begun.elapsed());
    // It ends quietly, because nobody reads any more.
    process.wait()?;
    if row == "key 1,1.5" {
        Ok(took)
    } else {
        Err(anyhow!("the first row is `{row}`"))
    }
}
