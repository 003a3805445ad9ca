//! The example `flights-features` as a simulation: whatever the schedule, the number of tasks, and the order in which rows arrive within
//! what the watermark allows, its sinks get what they get in a run that pandas has checked.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_row::{OwnedRow, RowConverter, SortField};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use fastrand::Rng;
use forebay_connectors::{
    Access, CsvOptions, FileSource, FileSourceOptions, Format, SourceConnector, add_source,
};
use forebay_dataflow::operators::Each;
use forebay_dataflow::{
    Bounds, Cause, EventTime, Exchange, Graph, Options, Source, Stream, TaskContext,
};
use forebay_job::Document;
use forebay_runtime::{Plan, Setting, plan};
use tokio::runtime::Runtime;

use crate::flights::{Case, FEW, STREAMS};
use crate::jobs::heavy;

const SCHEDULES: u64 = 200;

/// Rows are less than this behind another one of their stream.
const DISORDER: Duration = Duration::from_hours(48);

/// What feeds each sink, and the file that it writes.
const SINKS: [(&str, &str); 3] = [
    ("train", "out/train.parquet"),
    ("held_out", "out/held-out.parquet"),
    ("hourly", "out/hourly.csv"),
];

#[test]
fn rows_out_of_order_in_any_schedule_make_the_same() {
    let _one = heavy();
    let example = Case::new(STREAMS, FEW);
    example.check();
    let folder = example.sandbox.work();
    let runtime = Runtime::new().expect("there are threads");
    let expected = SINKS.map(|(_, file)| sorted(&[read(&runtime, &folder, file)]));
    let plans = [1, 2, 4].map(|tasks| planned(&runtime, &folder, &example.text_with_tasks(tasks)));
    let rows = ["flights", "weather", "planes"]
        .map(|name| (name, read(&runtime, &folder, &format!("data/{name}.csv"))));
    for (seed, plan) in (0..SCHEDULES).zip(plans.iter().cycle()) {
        let made = simulated(plan, &rows, seed);
        for (((name, _), made), expected) in SINKS.iter().zip(made).zip(&expected) {
            let (made, expected) = (sorted(&made), expected);
            assert!(
                made == *expected,
                "seed {seed}: `{name}` has {} rows and the run {}, and they differ",
                made.len(),
                expected.len()
            );
        }
    }
}

fn planned(runtime: &Runtime, folder: &Path, text: &str) -> Plan {
    let job = Document::parse(text, "job.toml", folder).check().into_job();
    let (job, _) = job.unwrap_or_else(|problems| panic!("{problems:?}"));
    let planned = runtime.block_on(plan(&job, Setting::new(runtime.handle().clone())));
    let problems = planned.problems;
    planned.plan.unwrap_or_else(|| panic!("{problems:?}"))
}

/// All rows of a file.
fn read(runtime: &Runtime, folder: &Path, path: &str) -> RecordBatch {
    let mut options = FileSourceOptions::new(path);
    if Path::new(path).extension() == Some("csv".as_ref()) {
        let mut csv = CsvOptions::default();
        csv.null_values.push("NA".to_owned());
        options.format = Some(Format::Csv(csv));
    }
    let access = Access::new(folder, runtime.handle().clone());
    let source = runtime.block_on(FileSource::prepare(options, &access));
    let source = source.unwrap_or_else(|error| panic!("{path}: {error}"));
    let (schema, mut graph) = (source.schema(), Graph::new());
    let stream = add_source(&mut graph, "rows", 1, None, source).expect("it is good");
    let came = collected(&mut graph, &stream);
    let running = graph.start(&Options::default()).expect("it starts");
    running
        .wait()
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    let came = came.lock().expect("nobody panics with it");
    concat_batches(&schema, came.iter()).expect("they are of one file")
}

/// All that a stream brings.
fn collected(graph: &mut Graph, stream: &Stream) -> Arc<Mutex<Vec<RecordBatch>>> {
    let came: Arc<Mutex<Vec<RecordBatch>>> = Arc::default();
    let name = format!("sink of {}", graph.describe().len());
    let sink = graph.operator(&name, 1).input(stream, Exchange::RoundRobin);
    let into = came.clone();
    let sink = sink.build(stream.schema().clone(), move |_| {
        let into = into.clone();
        Ok(Each(
            move |batch: RecordBatch| -> Result<RecordBatch, Cause> {
                let nothing = batch.slice(0, 0);
                into.lock().expect("nobody panics with it").push(batch);
                Ok(nothing)
            },
        ))
    });
    sink.expect("it is good");
    came
}

/// What comes to each sink in the schedule of a seed.
fn simulated(plan: &Plan, rows: &[(&str, RecordBatch)], seed: u64) -> Vec<Vec<RecordBatch>> {
    let mut rng = Rng::with_seed(seed);
    let mut graph = Graph::new().with_bounds(Bounds {
        rows: rng.usize(1..2000),
        bytes: 1 << 20,
    });
    let mut streams = BTreeMap::new();
    for (name, rows) in rows {
        let stream = if *name == "planes" {
            source(
                &mut graph,
                name,
                rows.schema(),
                pieces(rows, &mut rng),
                None,
            )
        } else {
            let event_time = EventTime {
                column: "time_hour".to_owned(),
                out_of_orderness: DISORDER,
                idle_after: None,
            };
            let rows = pieces(&disordered(rows, &mut rng), &mut rng);
            source(&mut graph, name, rows[0].schema(), rows, Some(event_time))
        };
        streams.insert((*name).to_owned(), stream);
    }
    plan.transform(&mut graph, &mut streams, 1)
        .unwrap_or_else(|error| panic!("{error}"));
    let came = SINKS.map(|(input, _)| collected(&mut graph, &streams[input]));
    let simulation = graph.simulate(seed, None).expect("it starts");
    let progress = simulation
        .run()
        .unwrap_or_else(|error| panic!("seed {seed}: {error}: {:?}", error.source()));
    let late: u64 = progress.iter().map(|operator| operator.late).sum();
    assert_eq!(late, 0, "seed {seed}: rows are late");
    let taken = came
        .iter()
        .map(|came| std::mem::take(&mut *came.lock().expect("nobody panics with it")));
    taken.collect()
}

/// The rows in an order that a watermark as far behind as [`DISORDER`] allows.
fn disordered(rows: &RecordBatch, rng: &mut Rng) -> RecordBatch {
    let times = rows.column_by_name("time_hour").expect("it has times");
    let times = times.as_primitive::<TimestampMicrosecondType>().values();
    let delay = i64::try_from(DISORDER.as_micros()).expect("it is short");
    let mut arrivals: Vec<(i64, u32)> = times
        .iter()
        .zip(0..)
        .map(|(time, row)| (time + rng.i64(0..delay), row))
        .collect();
    arrivals.sort_unstable();
    let order = UInt32Array::from_iter_values(arrivals.into_iter().map(|(_, row)| row));
    take_record_batch(rows, &order).expect("they are there")
}

/// Batches of any size, also empty ones.
fn pieces(rows: &RecordBatch, rng: &mut Rng) -> Vec<RecordBatch> {
    let mut pieces = vec![rows.slice(0, 0)];
    let mut taken = 0;
    while taken < rows.num_rows() {
        let next = rng.usize(0..800).min(rows.num_rows() - taken);
        pieces.push(rows.slice(taken, next));
        taken += next;
    }
    pieces
}

struct Batches(std::vec::IntoIter<RecordBatch>);

impl Source for Batches {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        Poll::Ready(Ok(self.0.next()))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), Cause> {
        Err("nothing goes on from a checkpoint here".into())
    }
}

fn source(
    graph: &mut Graph,
    name: &str,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    event_time: Option<EventTime>,
) -> Stream {
    let make = move |_: TaskContext| Ok(Batches(batches.clone().into_iter()));
    graph
        .source(name, 1, schema, event_time, make)
        .expect("it is good")
}

/// Rows by their values, in an order of their own.
fn sorted(batches: &[RecordBatch]) -> Vec<OwnedRow> {
    let mut sorted = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        let fields = schema.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect()).expect("all have an order");
        let rows = converter
            .convert_columns(batch.columns())
            .expect("they are of these types");
        sorted.extend(rows.iter().map(|row| row.owned()));
    }
    sorted.sort_unstable();
    sorted
}
