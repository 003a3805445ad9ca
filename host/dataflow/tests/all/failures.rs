//! Whoever fails is named, and everything else ends with it.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use async_trait::async_trait;
use forebay_dataflow::{
    Cause, Error, EventTime, Exchange, Graph, Operator, Options, Output, Source, TaskContext,
};

use super::support::{Act, Pass, counting, note, of, schema, scripts, start, until};

/// Does something bad with the third batch.
struct Bad(fn(RecordBatch) -> Result<RecordBatch, Cause>, usize);

#[async_trait]
impl Operator for Bad {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        self.1 += 1;
        output
            .emit(if self.1 == 3 { (self.0)(batch)? } else { batch })
            .await
    }
}

/// The failure of a dataflow whose operator in the middle is bad, from threads and from a simulation: they must be the same.
fn failure(bad: fn(RecordBatch) -> Result<RecordBatch, Cause>) -> Error {
    let mut graph = Graph::new();
    let source = scripts(
        &mut graph,
        "source",
        vec![counting(50, 3), vec![Act::Forever]],
        None,
    );
    let first = graph
        .operator("first", 2)
        .input(&source, Exchange::Forward)
        .build(schema(), |_| Ok(Pass));
    let bad = graph
        .operator("bad", 2)
        .input(&first.expect("it is good"), Exchange::Forward)
        .build(schema(), move |_| Ok(Bad(bad, 0)))
        .expect("it is good");
    let last = graph
        .operator("last", 2)
        .input(&bad, Exchange::Forward)
        .build(schema(), |_| Ok(Pass));
    note(
        &mut graph,
        &last.expect("it is good"),
        1,
        Exchange::RoundRobin,
    );
    let running = start(&graph, 2);
    let in_threads = running.wait().expect_err("it fails");
    let simulated = graph
        .simulate(1, None)
        .expect("it starts")
        .run()
        .expect_err("it fails");
    assert_eq!(in_threads.to_string(), simulated.to_string());
    simulated
}

#[test]
fn an_operator_that_fails() {
    let failed = failure(|_| Err("the disk is full".into()));
    assert_eq!(failed.to_string(), "`bad` failed");
    assert_eq!(
        failed.source().expect("it has a cause").to_string(),
        "the disk is full"
    );
}

#[test]
fn an_operator_that_panics() {
    let failed = failure(|_| panic!("index out of bounds"));
    assert_eq!(
        failed.to_string(),
        "`source -> first -> bad -> last` panicked: index out of bounds"
    );
}

#[test]
fn an_operator_that_changes_its_schema() {
    let failed = failure(|batch| Ok(batch.project(&[0, 1])?));
    assert_eq!(
        failed.to_string(),
        "`bad` emitted a batch of another schema than it announced: 2 columns instead of 3"
    );
    let failed = failure(|batch| Ok(batch.project(&[0, 2, 1])?));
    assert_eq!(
        failed.to_string(),
        "`bad` emitted a batch of another schema than it announced: column `time` instead of `number`"
    );
}

#[test]
fn an_operator_or_a_source_that_cannot_be_made() {
    let mut graph = Graph::new();
    let refuse =
        |_: TaskContext| -> Result<super::support::Script, Cause> { Err("no such file".into()) };
    let source = graph
        .source("source", 1, schema(), None, refuse)
        .expect("it is good");
    note(&mut graph, &source, 1, Exchange::Forward);
    let failed = graph
        .start(&Options::default())
        .expect_err("it cannot be made");
    assert_eq!(failed.to_string(), "`source` failed");
    assert_eq!(
        failed.source().expect("it has a cause").to_string(),
        "no such file"
    );
}

/// A source of one batch of times.
struct Times(Option<RecordBatch>);

impl Source for Times {
    fn poll_next(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<Option<RecordBatch>, Cause>> {
        std::task::Poll::Ready(Ok(self.0.take()))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), Cause> {
        Ok(())
    }
}

#[test]
fn event_time_that_is_none() {
    let kind = DataType::Timestamp(TimeUnit::Microsecond, None);
    let times = Arc::new(Schema::new(vec![
        Field::new("at", kind, true),
        Field::new("n", DataType::Int64, true),
    ]));
    let event_time = |column: &str| {
        Some(EventTime {
            column: column.into(),
            ..super::support::event_time(0)
        })
    };
    let mut graph = Graph::new();
    let made = graph.source("source", 1, times.clone(), event_time("n"), |_| {
        Ok(Times(None))
    });
    assert_eq!(
        made.expect_err("it is no time").to_string(),
        "column `n` of `source` is Int64 and cannot be an event time"
    );
    let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![
        Some(1),
        Some(2),
        None,
    ]));
    let numbers: ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_new(times.clone(), vec![column, numbers]).expect("it fits");
    let source = graph.source("source", 1, times, event_time("at"), move |_| {
        Ok(Times(Some(batch.clone())))
    });
    graph
        .operator("sink", 1)
        .input(&source.expect("it is good"), Exchange::Forward)
        .sink(|_| Ok(Pass))
        .expect("it is good");
    let failed = graph
        .simulate(1, None)
        .expect("it starts")
        .run()
        .expect_err("it has none");
    assert_eq!(
        failed.to_string(),
        "`source`: the event time `at` is null in row 3"
    );
}

#[test]
fn a_dataflow_that_stands_still_says_who_waits_for_what() {
    let mut graph = Graph::new();
    let source = scripts(&mut graph, "source", vec![vec![Act::Forever]], None);
    note(&mut graph, &source, 2, Exchange::RoundRobin);
    let failed = graph
        .simulate(1, None)
        .expect("it starts")
        .run()
        .expect_err("it cannot go on");
    assert_eq!(
        failed.to_string(),
        "the dataflow stands still: `source` (task 0) waits for input; `sink` (task 0) waits for input; \
         `sink` (task 1) waits for input"
    );
}

/// Counts those that exist.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Operator for Counted {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        output.emit(batch).await
    }
}

#[test]
fn all_operators_are_dropped_when_it_fails_is_stopped_or_is_dropped() {
    type End = fn(&Graph);
    let ends: [End; 4] = [
        |graph| drop(graph.simulate(1, None).expect("it starts")),
        |graph| drop(graph.start(&Options::default()).expect("it starts")),
        |graph| {
            let running = graph.start(&Options::default()).expect("it starts");
            running.handle().stop();
            assert!(matches!(running.wait(), Err(Error::Stopped)));
        },
        |graph| {
            let mut simulation = graph.simulate(1, None).expect("it starts");
            while simulation.step() {}
        },
    ];
    for end in ends {
        let exist = Arc::new(AtomicUsize::new(0));
        let counted = exist.clone();
        let mut graph = Graph::new();
        let source = scripts(
            &mut graph,
            "source",
            vec![[counting(100, 3), vec![Act::Forever]].concat()],
            None,
        );
        let made = graph
            .operator("counted", 3)
            .input(&source, Exchange::RoundRobin)
            .build(schema(), move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                Ok(Counted(counted.clone()))
            });
        note(
            &mut graph,
            &made.expect("it is good"),
            1,
            Exchange::RoundRobin,
        );
        end(&graph);
        assert_eq!(exist.load(Ordering::SeqCst), 0);
    }
}

/// Never done with its first batch.
struct Stuck;

#[async_trait]
impl Operator for Stuck {
    async fn process(&mut self, _: usize, _: RecordBatch, _: &mut Output<'_>) -> Result<(), Cause> {
        std::future::pending().await
    }
}

#[test]
fn nobody_waits_for_the_barrier_of_a_dataflow_that_was_stopped() {
    let mut graph = Graph::new();
    let source = scripts(
        &mut graph,
        "source",
        vec![[counting(3, 3), vec![Act::Forever]].concat()],
        None,
    );
    graph
        .operator("stuck", 1)
        .input(&source, Exchange::RoundRobin)
        .sink(|_| Ok(Stuck))
        .expect("it is good");
    let running = graph.start(&Options::default()).expect("it starts");
    let (waits, stops) = (running.handle(), running.handle());
    until(&waits, |progress| of(progress, "stuck").rows_in == 3);
    waits.trigger(1);
    let waits = std::thread::spawn(move || waits.wait_for_checkpoint(1));
    // Whether the other one waits already or not: it must not wait for ever.
    stops.stop();
    assert_eq!(waits.join().expect("it does not panic"), None);
    drop(running);
}
