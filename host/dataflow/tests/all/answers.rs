//! Operators that act by themselves: what they have handed out comes back later, and is emitted without rows having come.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use forebay_dataflow::{Bounds, Cause, Clock, Cut, Exchange, Graph, Operator, Output};

use super::support::{
    Act, Event, Pass, Row, checkpoint, counting, event_time, note, row, schema, scripts, simulate,
    simulate_from,
};

/// Somebody who answers after a while.
struct Later {
    clock: Clock,
    delay: Duration,
    waiting: VecDeque<(Duration, Waiting)>,
    /// Gives barriers up instead of waiting for the answers before them.
    is_impatient: bool,
}

enum Waiting {
    Rows(RecordBatch),
    Watermark(i64),
}

impl Later {
    fn push(&mut self, what: Waiting) {
        self.waiting
            .push_back((self.clock.now() + self.delay, what));
    }

    /// Emits what is answered; how far event time has come by it.
    async fn emit(&mut self, output: &mut Output<'_>, all: bool) -> Result<Option<i64>, Cause> {
        let mut reached = None;
        while let Some((at, _)) = self.waiting.front() {
            if !all && *at > self.clock.now() {
                break;
            }
            match self.waiting.pop_front() {
                Some((_, Waiting::Rows(batch))) => output.emit(batch).await?,
                Some((_, Waiting::Watermark(at))) => reached = Some(at),
                None => break,
            }
        }
        Ok(reached)
    }
}

#[async_trait]
impl Operator for Later {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        self.push(Waiting::Rows(batch));
        Ok(())
    }

    async fn watermark(&mut self, at: i64, _: &mut Output<'_>) -> Result<i64, Cause> {
        self.push(Waiting::Watermark(at));
        Ok(i64::MIN)
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.waiting.front() {
            Some((at, _)) => self.clock.poll_at(*at, context),
            None => Poll::Pending,
        }
    }

    async fn work(&mut self, output: &mut Output<'_>) -> Result<Option<i64>, Cause> {
        self.emit(output, false).await
    }

    async fn barrier(&mut self, _: u64, output: &mut Output<'_>) -> Result<Cut, Cause> {
        if self.is_impatient {
            return Ok(Cut::GivenUp);
        }
        self.emit(output, true).await?;
        Ok(Cut::Clean)
    }

    async fn end(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        self.emit(output, true).await?;
        Ok(())
    }
}

/// A source that says nothing for a long time at last, somebody who answers behind it, and what comes of that.
fn graph(is_impatient: bool, acts: Vec<Act>) -> (Graph, super::support::Seen) {
    let mut graph = Graph::new().with_bounds(Bounds {
        rows: 10,
        bytes: 1 << 20,
    });
    let source = scripts(&mut graph, "source", vec![acts], Some(event_time(0)));
    let later = graph.operator("later", 2).role();
    let later = later.input(&source, Exchange::Credit { rows: 3 });
    let later = later.build(schema(), move |context| {
        Ok(Later {
            clock: context.clock.clone(),
            delay: Duration::from_secs(2 + context.task as u64),
            waiting: VecDeque::new(),
            is_impatient,
        })
    });
    let later = later.expect("it is good");
    let passed = graph
        .operator("passed", 2)
        .input(&later, Exchange::Forward)
        .build(schema(), |_| Ok(Pass))
        .expect("it is good");
    let seen = note(&mut graph, &passed, 1, Exchange::RoundRobin);
    (graph, seen)
}

fn all(rows: i64) -> Vec<Row> {
    let mut all: Vec<_> = (0..rows).map(|n| row(n % 7, n, n)).collect();
    all.sort();
    all
}

#[test]
fn answers_come_through_while_no_rows_do() {
    for seed in 0..100 {
        let mut acts = counting(50, 8);
        acts.push(Act::Silence(Duration::from_secs(100)));
        acts.push(Act::Rows(vec![row("last", 1000, 1000)]));
        let (graph, seen) = graph(false, acts);
        simulate(&graph, seed);
        let events = seen.events();
        let last = events
            .iter()
            .position(|event| matches!(event, Event::Row((key, ..)) if key == "last"));
        let before = &events[..last.expect("it came")];
        let answered = before.iter().filter(|event| matches!(event, Event::Row(_)));
        assert_eq!(answered.count(), 50, "seed {seed}: {events:?}");
    }
}

#[test]
fn event_time_does_not_overtake_answers() {
    for seed in 0..200 {
        let (graph, seen) = graph(false, counting(60, 7));
        simulate(&graph, seed);
        let mut reached = i64::MIN;
        for event in seen.events() {
            match event {
                Event::Watermark(at) => reached = at,
                Event::Row((_, number, time)) => {
                    assert!(
                        time >= reached,
                        "seed {seed}: row {number} is late at {reached}"
                    );
                }
                _ => {}
            }
        }
        assert_eq!(seen.sorted_rows(), all(60), "seed {seed}");
        assert_eq!(reached, i64::MAX, "seed {seed}");
    }
}

#[test]
fn a_barrier_waits_for_the_answers_before_it() {
    for seed in 0..100 {
        let (first, before) = graph(false, counting(60, 7));
        let mut simulation = first.simulate(seed, None).expect("it starts");
        for _ in 0..seed {
            simulation.step();
        }
        let cut = checkpoint(&mut simulation);
        // What has come out when the barrier has is all that was read before it: the rest comes when it is taken up.
        let told = before.sorted_rows();
        let (second, after) = graph(false, counting(60, 7));
        simulate_from(&second, seed, Some(&cut));
        let mut both = [after.sorted_rows(), told.clone()].concat();
        both.sort();
        both.dedup();
        assert_eq!(both, all(60), "seed {seed}");
    }
}

#[test]
fn a_barrier_that_is_given_up_goes_on_and_has_no_checkpoint() {
    let (graph, seen) = graph(true, counting(60, 7));
    let mut simulation = graph.simulate(1, None).expect("it starts");
    let handle = simulation.handle();
    handle.trigger(1);
    while simulation.step() {}
    assert!(handle.checkpoint(1).is_none());
    assert_eq!(seen.sorted_rows(), all(60));
}
