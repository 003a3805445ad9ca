//! Tables as streams, in a time that costs nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use forebay_connectors::{Error, Replay, ReplayOptions, SinkConnector, SourceConnector, Speed};
use forebay_dataflow::{Cause, Clock, Exchange, Handle, Operator, Output, TaskContext};

use crate::support::{Batches, graph, text};

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("time", time, true),
    ])
    .into()
}

/// Rows with these event times in milliseconds, numbered from `first`.
fn batch(first: i64, times: &[i64]) -> RecordBatch {
    let numbers = (first..).take(times.len());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(numbers)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(
            times.iter().map(|time| time * 1000),
        )),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Number of a row, and when it came, in milliseconds.
type Arrival = (i64, u128);

/// Notes what comes when; asks for a barrier behind one row.
#[derive(Clone, Default)]
struct Noting {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    handle: Arc<Mutex<Option<(i64, Handle)>>>,
}

struct NotingTask(Noting, Clock);

impl SinkConnector for Noting {
    fn open(&self, context: TaskContext) -> Result<Box<dyn Operator>, Cause> {
        Ok(Box::new(NotingTask(self.clone(), context.clock)))
    }
}

#[async_trait]
impl Operator for NotingTask {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let numbers = batch.column(0).as_primitive::<Int64Type>().values().iter();
        let now = self.1.now().as_millis();
        let mut arrivals = self.0.arrivals.lock().unwrap();
        arrivals.extend(numbers.clone().map(|number| (*number, now)));
        if let Some((row, handle)) = &*self.0.handle.lock().unwrap()
            && numbers.clone().any(|number| number == row)
        {
            handle.trigger(1);
        }
        Ok(())
    }
}

fn options(speed: Speed) -> ReplayOptions {
    ReplayOptions {
        event_time: "time".into(),
        speed,
        start: None,
    }
}

fn simulate(batches: Vec<RecordBatch>, options: ReplayOptions) -> Vec<Arrival> {
    let noting = Noting::default();
    let replay = Replay::new(Batches(schema(), batches), options).unwrap();
    assert!(!replay.is_bounded());
    let graph = graph(replay, noting.clone(), 1, Exchange::Forward);
    graph.simulate(1, None).unwrap().run().unwrap();
    let arrivals = noting.arrivals.lock().unwrap();
    arrivals.clone()
}

fn rows() -> Vec<RecordBatch> {
    vec![
        batch(0, &[1_000_000, 1_000_000, 1_002_000]),
        batch(3, &[]),
        batch(3, &[1_002_500, 1_060_000]),
        batch(5, &[1_060_001, 1_120_000]),
    ]
}

#[test]
fn rows_come_at_the_pace_of_their_times() {
    let arrivals = simulate(rows(), options(Speed::Factor(1.0)));
    let expected = [
        (0, 0),
        (1, 0),
        (2, 2000),
        (3, 2500),
        (4, 60_000),
        (5, 60_001),
        (6, 120_000),
    ];
    assert_eq!(arrivals, expected);
}

#[test]
fn a_factor_speeds_it_up() {
    let arrivals = simulate(rows(), options(Speed::Factor(60.0)));
    let expected = [
        (0, 0),
        (1, 0),
        (2, 33),
        (3, 41),
        (4, 1000),
        (5, 1001),
        (6, 2000),
    ];
    assert_eq!(arrivals, expected);
}

#[test]
fn as_fast_as_it_goes_takes_no_time() {
    let arrivals = simulate(rows(), options(Speed::Max));
    assert!(arrivals.iter().all(|(_, time)| *time == 0));
    assert_eq!(arrivals.len(), 7);
}

#[test]
fn a_common_start_keeps_sources_together() {
    let late = ReplayOptions {
        start: Some(990_000_000),
        ..options(Speed::Factor(1.0))
    };
    assert_eq!(simulate(rows(), late)[2], (2, 12_000));
}

#[test]
fn times_that_go_back_are_due_at_once() {
    let arrivals = simulate(
        vec![batch(0, &[5000, 7000, 6000, 8000])],
        options(Speed::Factor(1.0)),
    );
    assert_eq!(arrivals, [(0, 0), (1, 2000), (2, 2000), (3, 3000)]);
}

#[test]
fn it_goes_on_behind_any_row() {
    for row in 0..7 {
        let noting = Noting::default();
        let graph_of = |noting: &Noting| {
            let replay = Replay::new(Batches(schema(), rows()), options(Speed::Factor(1.0)));
            graph(replay.unwrap(), noting.clone(), 1, Exchange::Forward)
        };
        let first = graph_of(&noting);
        let mut simulation = first.simulate(1, None).unwrap();
        let handle = simulation.handle();
        *noting.handle.lock().unwrap() = Some((row, handle.clone()));
        let checkpoint = loop {
            if let Some(checkpoint) = handle.checkpoint(1) {
                break checkpoint;
            }
            assert!(simulation.step(), "row {row}");
        };
        let seen = noting.arrivals.lock().unwrap().len();
        let rest = Noting::default();
        let second = graph_of(&rest);
        second
            .simulate(2, Some(&checkpoint))
            .unwrap()
            .run()
            .unwrap();
        let arrivals = rest.arrivals.lock().unwrap();
        let numbers: Vec<usize> = arrivals
            .iter()
            .map(|(number, _)| usize::try_from(*number).unwrap())
            .collect();
        assert_eq!(numbers, (seen..7).collect::<Vec<_>>(), "behind row {row}");
        let first = arrivals.first().map_or(0, |(_, time)| *time);
        assert_eq!(first, 0, "the pace begins anew");
    }
}

#[test]
fn a_null_is_no_time() {
    let times = TimestampMicrosecondArray::from(vec![Some(1), None]);
    let numbers = Int64Array::from(vec![1, 2]);
    let columns: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(times)];
    let batch = RecordBatch::try_new(schema(), columns).unwrap();
    let replay = Replay::new(Batches(schema(), vec![batch]), options(Speed::Factor(1.0)));
    let graph = graph(replay.unwrap(), Noting::default(), 1, Exchange::Forward);
    let error = graph.simulate(1, None).unwrap().run().unwrap_err();
    assert_eq!(
        crate::support::cause(&error),
        "the event time `time` is null"
    );
}

#[track_caller]
fn check_refused(options: ReplayOptions, expected: &str) {
    let source = Batches(schema(), Vec::new());
    let error: Error = Replay::new(source, options).err().unwrap();
    assert_eq!(text(&error), expected);
}

#[test]
fn what_cannot_be_replayed() {
    let of = |column: &str, speed| ReplayOptions {
        event_time: column.into(),
        ..options(speed)
    };
    check_refused(
        of("when", Speed::Max),
        "there is no column `when`; there are: n, time",
    );
    check_refused(
        of("n", Speed::Max),
        "column `n` is int64, and cannot be an event time; only timestamps can",
    );
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        check_refused(
            of("time", Speed::Factor(factor)),
            "the speed of a replay is a number above 0, or `max`",
        );
    }
}

#[test]
fn real_time_passes_too() {
    let noting = Noting::default();
    let replay = Replay::new(Batches(schema(), rows()), options(Speed::Factor(1000.0)));
    let graph = graph(replay.unwrap(), noting.clone(), 1, Exchange::Forward);
    let begin = std::time::Instant::now();
    crate::support::run(&graph).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(120));
    assert_eq!(noting.arrivals.lock().unwrap().len(), 7);
}
