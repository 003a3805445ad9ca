//! Two random streams, a query over them, and the same query over all their rows at once.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use fastrand::Rng;
use forebay_dataflow::operators::Each;
use forebay_dataflow::{Bounds, Cause, EventTime, Exchange, Graph, Source, Stream, TaskContext};
use forebay_sql::{Lineage, Relation, Relations, Resources, plan};
use tokio::runtime::Runtime;

/// More than any row is behind another one of its stream.
const DISORDER: Duration = Duration::from_hours(2);
const HOUR: i64 = 3_600_000_000;

fn time(name: &str) -> Field {
    Field::new(
        name,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        false,
    )
}

pub(crate) fn flights() -> SchemaRef {
    Arc::new(Schema::new(vec![
        time("time_hour"),
        Field::new("origin", DataType::Utf8, true),
        Field::new("flight", DataType::Int64, false),
        Field::new("delay", DataType::Float64, true),
    ]))
}

pub(crate) fn weather() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("origin", DataType::Utf8, false),
        time("time_hour"),
        Field::new("temp", DataType::Float64, true),
        Field::new("visib", DataType::Int64, false),
    ]))
}

pub(crate) fn relations() -> Relations {
    let relation = |schema| Relation {
        schema,
        event_time: Some("time_hour".to_owned()),
        is_bounded: false,
        bytes: None,
        lineage: Lineage::default(),
    };
    let untimed = Relation {
        event_time: None,
        ..relation(weather())
    };
    let table = Relation {
        event_time: None,
        is_bounded: true,
        bytes: None,
        ..relation(planes())
    };
    [
        ("flights", relation(flights())),
        ("weather", relation(weather())),
        ("untimed", untimed),
        ("fleet", table.clone()),
        ("planes", table),
        (
            "coarse",
            relation(one_time(DataType::Timestamp(TimeUnit::Second, None))),
        ),
        (
            "zoned",
            relation(one_time(DataType::Timestamp(
                TimeUnit::Microsecond,
                Some("America/New_York".into()),
            ))),
        ),
        ("week-days", relation(odd())),
    ]
    .map(|(name, relation)| (name.to_owned(), relation))
    .into()
}

/// Its columns want quotes.
fn odd() -> SchemaRef {
    let columns = ["dep-time", "Year"].map(|name| Field::new(name, DataType::Int64, true));
    Arc::new(Schema::new(
        [vec![time("time_hour")], columns.to_vec()].concat(),
    ))
}

fn one_time(kind: DataType) -> SchemaRef {
    let time = Field::new("time_hour", kind, false);
    Arc::new(Schema::new(vec![time]))
}

/// The same without any event time, and with an end. Some are larger than others, so joins remember now one side and now the other.
fn bounded_relations() -> Relations {
    let bounded = |(name, relation): (String, Relation)| {
        let relation = Relation {
            event_time: None,
            is_bounded: true,
            bytes: Some(1 << name.len()),
            ..relation
        };
        (name, relation)
    };
    relations().into_iter().map(bounded).collect()
}

pub(crate) fn planes() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("origin", DataType::Utf8, true),
        Field::new("flight", DataType::Int64, false),
        Field::new("seats", DataType::Float64, true),
    ]))
}

const ORIGINS: [&str; 4] = ["EWR", "JFK", "LGA", "XXX"];

fn batch(schema: &SchemaRef, rng: &mut Rng, hours: &mut i64, rows: usize) -> RecordBatch {
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let rows = 0..rows;
        match (field.name().as_str(), field.is_nullable()) {
            ("time_hour", _) => Arc::new(TimestampMicrosecondArray::from_iter_values(rows.map(
                |_| {
                    *hours += i64::from(rng.u8(0..3) == 0);
                    (*hours - rng.i64(0..2)) * HOUR
                },
            ))),
            ("origin", nullable) => Arc::new(
                rows.map(|_| (!nullable || rng.u8(0..8) > 0).then(|| ORIGINS[rng.usize(..4)]))
                    .collect::<StringArray>(),
            ),
            (_, true) => Arc::new(
                rows.map(|_| (rng.u8(0..5) > 0).then(|| f64::from(rng.i8(..)) / 4.0))
                    .collect::<Float64Array>(),
            ),
            _ => Arc::new(Int64Array::from_iter_values(rows.map(|_| rng.i64(0..1000)))),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).expect("it fits")
}

/// Batches of any size, out of order by less than the watermark allows.
pub(crate) fn stream(schema: &SchemaRef, seed: u64) -> Vec<RecordBatch> {
    let mut rng = Rng::with_seed(seed);
    let mut hours = 400_000;
    (0..rng.usize(1..12))
        .map(|_| {
            let rows = rng.usize(0..25);
            batch(schema, &mut rng, &mut hours, rows)
        })
        .collect()
}

/// So many batches of flights in no order of time.
pub(crate) fn shuffled(seed: u64, batches: usize) -> Vec<RecordBatch> {
    let mut rng = Rng::with_seed(seed);
    let schema = flights();
    (0..batches)
        .map(|_| batch(&schema, &mut rng.fork(), &mut rng.i64(0..400_000), 25))
        .collect()
}

/// These, one after the other.
pub(crate) struct Batches(std::vec::IntoIter<RecordBatch>);

impl Batches {
    pub(crate) fn new(batches: Vec<RecordBatch>) -> Self {
        Self(batches.into_iter())
    }
}

impl Source for Batches {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        Poll::Ready(Ok(self.0.next()))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), Cause> {
        Ok(())
    }
}

/// Rows as lines, sorted, under a line of column names.
fn lines(schema: &Schema, batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("it can be shown"))
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            lines.push(cells.join(" | "));
        }
    }
    lines.sort();
    let names = schema
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()));
    lines.insert(0, names.collect::<Vec<_>>().join(" | "));
    lines
}

/// DataFusion may start tasks of its own there; nothing else does.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .worker_threads(1)
        .build()
        .expect("it can be made")
});

pub(crate) fn resources() -> Resources {
    Resources {
        runtime: RUNTIME.handle().clone(),
        memory: None,
        spill: None,
    }
}

type Inputs = [(&'static str, Vec<RecordBatch>)];

/// What comes of a query over these relations, in a simulation.
fn streamed(
    sql: &str,
    relations: &Relations,
    inputs: &Inputs,
    seed: u64,
    parallelism: usize,
) -> Vec<String> {
    let mut graph = Graph::new().with_bounds(Bounds {
        rows: 30,
        bytes: 1 << 20,
    });
    let mut streams = BTreeMap::new();
    let query = plan(sql, relations).unwrap_or_else(|error| panic!("{sql}: {error}"));
    for (name, batches) in inputs {
        if !query.reads().contains_key(*name) {
            continue;
        }
        let (schema, batches) = (batches[0].schema(), batches.clone());
        let event_time = relations[*name].event_time.clone().map(|column| EventTime {
            column,
            out_of_orderness: DISORDER,
            idle_after: None,
        });
        let make = move |_: TaskContext| Ok(Batches::new(batches.clone()));
        let stream = graph
            .source(name, 1, schema, event_time, make)
            .expect("it is good");
        streams.insert((*name).to_owned(), stream);
    }
    let output = query
        .build(&mut graph, "query", &streams, parallelism, &resources())
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let came = collected(&mut graph, &output);
    let simulation = graph.simulate(seed, None).expect("it starts");
    let progress = simulation.run().unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        panic!("{sql}, seed {seed}: {error}: {cause}")
    });
    assert_eq!(
        progress.iter().map(|one| one.late).sum::<u64>(),
        0,
        "{sql}, seed {seed}: rows are late"
    );
    let came = came.lock().expect("nobody panics with it");
    lines(query.schema(), &came)
}

/// All that a stream brings.
pub(crate) fn collected(graph: &mut Graph, stream: &Stream) -> Arc<Mutex<Vec<RecordBatch>>> {
    let came: Arc<Mutex<Vec<RecordBatch>>> = Arc::default();
    let into = came.clone();
    let sink = graph
        .operator("sink", 1)
        .input(stream, Exchange::RoundRobin);
    let sink = sink.build(stream.schema().clone(), move |_| {
        let into = into.clone();
        Ok(Each(
            move |batch: RecordBatch| -> Result<RecordBatch, Cause> {
                into.lock()
                    .expect("nobody panics with it")
                    .push(batch.clone());
                Ok(batch.slice(0, 0))
            },
        ))
    });
    sink.expect("it is good");
    came
}

/// What DataFusion makes of all rows at once.
fn at_once(sql: &str, inputs: &Inputs) -> Vec<String> {
    // Texts are what they are in the tables; DataFusion alone makes views of what it casts to text.
    let views = "datafusion.sql_parser.map_string_types_to_utf8view";
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config(config.set_bool(views, false));
    for (name, batches) in inputs {
        let table = MemTable::try_new(batches[0].schema(), vec![batches.clone()]).expect("it fits");
        context
            .register_table(*name, Arc::new(table))
            .expect("it is new");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("it can be made");
    runtime.block_on(async {
        let frame = context
            .sql(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let schema = frame.schema().as_arrow().clone();
        lines(
            &schema,
            &frame
                .collect()
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}")),
        )
    })
}

/// All must agree: the streams, whatever the schedule and the parallelism; the same relations as bounded ones; DataFusion alone.
#[track_caller]
pub(crate) fn check(sql: &str) {
    let mut rows = 0;
    for seed in 0..30 {
        let inputs = inputs(seed);
        let expected = at_once(sql, &inputs);
        rows += expected.len() - 1;
        for parallelism in [1, 3] {
            let came = streamed(sql, &relations(), &inputs, seed, parallelism);
            assert_eq!(came, expected, "{sql}, seed {seed}, {parallelism} tasks");
        }
        let came = streamed(sql, &bounded_relations(), &inputs, seed, 1);
        assert_eq!(came, expected, "{sql}, seed {seed}, bounded");
    }
    assert!(rows >= 30, "{sql}: {rows} rows in all");
}

/// What only bounded relations can do.
#[track_caller]
pub(crate) fn check_bounded(sql: &str) {
    for seed in 0..30 {
        let inputs = inputs(seed);
        let came = streamed(sql, &bounded_relations(), &inputs, seed, 1);
        assert_eq!(came, at_once(sql, &inputs), "{sql}, seed {seed}");
    }
}

fn inputs(seed: u64) -> [(&'static str, Vec<RecordBatch>); 4] {
    [
        ("flights", stream(&flights(), seed)),
        ("weather", stream(&weather(), seed + 1000)),
        ("planes", stream(&planes(), seed + 2000)),
        ("fleet", stream(&planes(), seed + 3000)),
    ]
}
