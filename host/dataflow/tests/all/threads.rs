//! What only threads can show: room, waiting, stopping.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use forebay_dataflow::{Bounds, Cause, Exchange, Graph, Operator, Output, Source, Watermark};

use super::support::{
    Act, Pass, batch, counting, event_time, note, of, row, schema, scripts, start, until,
};

/// A source without end.
struct Endless(i64);

impl Source for Endless {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        self.0 += 1;
        Poll::Ready(Ok(Some(batch(&[row("a", self.0, self.0)]))))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), Cause> {
        Ok(())
    }
}

/// Lets rows through one by one, as it is told: it waits without a thread.
#[derive(Clone, Default)]
struct Valve(Arc<Mutex<(usize, Option<Waker>)>>);

impl Valve {
    fn open(&self, rows: usize) {
        let mut valve = self.0.lock().expect("nobody panics with it");
        valve.0 += rows;
        if let Some(waker) = valve.1.take() {
            waker.wake();
        }
    }
}

#[async_trait]
impl Operator for Valve {
    async fn process(&mut self, _: usize, _: RecordBatch, _: &mut Output<'_>) -> Result<(), Cause> {
        std::future::poll_fn(|context| {
            let mut valve = self.0.lock().expect("nobody panics with it");
            if valve.0 > 0 {
                valve.0 -= 1;
                return Poll::Ready(());
            }
            valve.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        Ok(())
    }
}

#[test]
fn a_slow_sink_holds_an_endless_source() {
    let mut graph = Graph::new().with_bounds(Bounds {
        rows: 10,
        bytes: 1 << 20,
    });
    let source = graph
        .source("source", 1, schema(), None, |_| Ok(Endless(0)))
        .expect("it is good");
    let passed = graph
        .operator("pass", 1)
        .input(&source, Exchange::RoundRobin)
        .build(schema(), |_| Ok(Pass))
        .expect("it is good");
    let valve = Valve::default();
    let sink = valve.clone();
    graph
        .operator("sink", 1)
        .input(&passed, Exchange::RoundRobin)
        .sink(move |_| Ok(sink.clone()))
        .expect("it is good");
    let running = start(&graph, 2);
    let handle = running.handle();
    for let_through in [0, 1, 5, 100] {
        valve.open(let_through);
        until(&handle, |progress| {
            let sink = of(progress, "sink");
            sink.queued_rows == 10 && of(progress, "pass").queued_rows == 10
        });
        let progress = handle.progress();
        // One row in each hand, ten in each queue.
        let (read, taken) = (
            of(&progress, "source").rows_in,
            of(&progress, "sink").rows_in,
        );
        assert_eq!(read - taken, 10 + 10 + 2, "{progress:#?}");
    }
    handle.end_sources();
    valve.open(usize::MAX - 1000);
    let progress = running.wait().expect("it ends");
    assert_eq!(
        of(&progress, "source").rows_in,
        of(&progress, "sink").rows_in
    );
    assert!(of(&progress, "source").back_pressured > Duration::ZERO);
}

/// A source that is fed from outside, as one is that reads with tokio.
struct Fed(Receiver<i64>, Arc<Mutex<Option<Waker>>>);

impl Source for Fed {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        *self.1.lock().expect("nobody panics with it") = Some(context.waker().clone());
        match self.0.try_recv() {
            Ok(number) => Poll::Ready(Ok(Some(batch(&[row("a", number, number)])))),
            Err(std::sync::mpsc::TryRecvError::Empty) => Poll::Pending,
            Err(std::sync::mpsc::TryRecvError::Disconnected) => Poll::Ready(Ok(None)),
        }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), Cause> {
        Ok(())
    }
}

type Feed = (Sender<i64>, Arc<Mutex<Option<Waker>>>);

fn feed(feed: &Feed, number: i64) {
    feed.0.send(number).expect("it is there");
    if let Some(waker) = feed.1.lock().expect("nobody panics with it").take() {
        waker.wake();
    }
}

#[test]
fn rows_go_through_at_once_and_idle_tasks_are_woken() {
    let (sender, receiver) = channel();
    let waker = Arc::new(Mutex::new(None));
    let fed = Mutex::new(Some(Fed(receiver, waker.clone())));
    let from_outside = (sender, waker);
    let mut graph = Graph::new();
    let make = move |_| {
        Ok(fed
            .lock()
            .expect("nobody panics with it")
            .take()
            .ok_or("it is made once")?)
    };
    let source = graph
        .source("source", 1, schema(), Some(event_time(0)), make)
        .expect("it is good");
    let passed = graph
        .operator("pass", 2)
        .input(&source, Exchange::RoundRobin)
        .build(schema(), |_| Ok(Pass))
        .expect("it is good");
    let seen = note(&mut graph, &passed, 1, Exchange::RoundRobin);
    let running = start(&graph, 2);
    let handle = running.handle();
    for number in 1..200_u32 {
        feed(&from_outside, number.into());
        until(&handle, |progress| {
            of(progress, "sink").rows_in == u64::from(number)
        });
    }
    until(&handle, |progress| {
        of(progress, "sink").watermark == Watermark::At(199_000_000)
    });
    assert!(of(&handle.progress(), "sink").idle > Duration::ZERO);
    drop(from_outside.0);
    from_outside
        .1
        .lock()
        .expect("nobody panics with it")
        .take()
        .expect("it waits")
        .wake();
    running.wait().expect("it ends");
    assert_eq!(seen.sorted_rows().len(), 199);
}

#[test]
fn one_thread_is_shared_by_endless_sources() {
    let mut graph = Graph::new();
    for name in ["one", "two", "three"] {
        let source = graph
            .source(name, 1, schema(), None, |_| Ok(Endless(0)))
            .expect("it is good");
        let make = |_| Ok(Pass);
        let sink = graph
            .operator(&format!("after {name}"), 1)
            .input(&source, Exchange::Forward)
            .build(schema(), make);
        sink.expect("it is good");
    }
    let running = start(&graph, 1);
    until(&running.handle(), |progress| {
        progress.iter().all(|operator| operator.rows_in > 1000)
    });
    running.handle().stop();
    running.wait().expect_err("it was stopped");
}

#[test]
fn time_wakes_a_source() {
    let mut graph = Graph::new();
    let short = Act::Silence(Duration::from_millis(2));
    let acts = counting(20, 1)
        .into_iter()
        .flat_map(|act| [short.clone(), act])
        .collect();
    let source = scripts(&mut graph, "source", vec![acts; 3], None);
    let seen = note(&mut graph, &source, 1, Exchange::RoundRobin);
    let running = start(&graph, 2);
    running.wait().expect("it ends");
    assert_eq!(seen.sorted_rows().len(), 60);
}
