//! Operators that act by themselves: what they have handed out comes back later, and is emitted without rows having come.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use forebay_dataflow::{
    Bounds, Cause, Clock, Cut, EventTime, Exchange, Graph, Operator, Output, Stream, TaskContext,
    Watermark,
};

use super::support::{
    Act, Event, Note, Pass, Row, Seen, checkpoint, counting, event_time, note, row, schema,
    scripts, simulate, simulate_from,
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
    Watermark(Watermark),
}

impl Later {
    fn push(&mut self, what: Waiting) {
        self.waiting
            .push_back((self.clock.now() + self.delay, what));
    }

    /// Emits what is answered; what is new of event time by it.
    async fn emit(
        &mut self,
        output: &mut Output<'_>,
        all: bool,
    ) -> Result<Option<Watermark>, Cause> {
        let mut reached = None;
        while let Some((at, _)) = self.waiting.front() {
            if !all && *at > self.clock.now() {
                break;
            }
            match self.waiting.pop_front() {
                Some((_, Waiting::Rows(batch))) => output.emit(batch).await?,
                Some((_, Waiting::Watermark(watermark))) => {
                    reached = Some(watermark);
                    if !all {
                        break;
                    }
                }
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
        let is_silence = |what: &Waiting| matches!(what, Waiting::Watermark(Watermark::Idle));
        self.waiting.retain(|(_, what)| !is_silence(what));
        self.push(Waiting::Watermark(Watermark::At(at)));
        Ok(i64::MIN)
    }

    fn idle(&mut self) -> bool {
        let owes_nothing = self.waiting.is_empty();
        if !owes_nothing {
            self.push(Waiting::Watermark(Watermark::Idle));
        }
        owes_nothing
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.waiting.front() {
            Some((at, _)) => self.clock.poll_at(*at, context),
            None => Poll::Pending,
        }
    }

    async fn work(&mut self, output: &mut Output<'_>) -> Result<Option<Watermark>, Cause> {
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
fn graph(is_impatient: bool, acts: Vec<Act>) -> (Graph, Seen) {
    let mut graph = Graph::new().with_bounds(Bounds {
        rows: 10,
        bytes: 1 << 20,
    });
    let source = scripts(&mut graph, "source", vec![acts], Some(event_time(0)));
    let later = answers_later(&mut graph, &source, &[2, 3], is_impatient);
    let passed = graph
        .operator("passed", 2)
        .input(&later, Exchange::Forward)
        .build(schema(), |_| Ok(Pass))
        .expect("it is good");
    let seen = note(&mut graph, &passed, 1, Exchange::RoundRobin);
    (graph, seen)
}

/// As many who answer, each after so many seconds.
fn answers_later(graph: &mut Graph, input: &Stream, delays: &[u64], is_impatient: bool) -> Stream {
    let name = format!("later {}", delays[0]);
    let later = graph.operator(&name, delays.len()).role();
    let later = later.input(input, Exchange::Credit { rows: 3 });
    let delays = delays.to_vec();
    let later = later.build(schema(), move |context| {
        Ok(Later {
            clock: context.clock.clone(),
            delay: Duration::from_secs(delays[context.task]),
            waiting: VecDeque::new(),
            is_impatient,
        })
    });
    later.expect("it is good")
}

/// What comes out where one source has a row every two seconds, of event times 10, 20, ... 100, and the other one follows this script. After
/// three seconds of silence nobody waits for a source. Answers to the first one take two seconds, to the other one ten.
fn beside_a_busy_one(other: &[Act], seed: u64) -> Vec<Event> {
    let busy = (1..=10).flat_map(|n| [at(10 * n), silence(2)]).collect();
    let settings = EventTime {
        idle_after: Some(Duration::from_secs(3)),
        ..event_time(0)
    };
    let mut graph = Graph::new();
    let busy = scripts(&mut graph, "busy", vec![busy], Some(settings.clone()));
    let other = scripts(&mut graph, "other", vec![other.to_vec()], Some(settings));
    let busy = answers_later(&mut graph, &busy, &[2], false);
    let other = answers_later(&mut graph, &other, &[10], false);
    let came = Seen::default();
    let noted = came.clone();
    let make = move |context: TaskContext| {
        Ok(Note {
            seen: noted.clone(),
            task: context.task,
        })
    };
    let sink = graph.operator("sink", 1);
    let sink = sink.input(&busy, Exchange::Broadcast);
    let sink = sink.input(&other, Exchange::Broadcast);
    sink.sink(make).expect("it is good");
    simulate(&graph, seed);
    let events = came.events();
    let mut reached = i64::MIN;
    for event in &events {
        match event {
            Event::Watermark(at) => reached = *at,
            Event::Row((.., time)) => {
                assert!(*time >= reached, "seed {seed}: {time} is late: {events:?}");
            }
            _ => {}
        }
    }
    events
}

fn at(time: i64) -> Act {
    Act::Rows(vec![row("a", time, time)])
}

fn silence(seconds: u64) -> Act {
    Act::Silence(Duration::from_secs(seconds))
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
fn a_silence_does_not_overtake_answers_and_comes_behind_them() {
    for seed in 0..100 {
        let events = beside_a_busy_one(&[at(5), silence(60)], seed);
        let place = |event: Event| events.iter().position(|one| *one == event);
        // The answer to 5 comes at 10 s, and the silence at 13 s; 80 comes at 16 s.
        let (passed, came) = (Event::Watermark(60), Event::Row(row("a", 80, 80)));
        let (passed, came) = (place(passed), place(came));
        assert!(
            passed.is_some() && passed < came,
            "seed {seed}: everybody waits for the silent one: {events:?}"
        );
    }
}

#[test]
fn who_was_silent_from_the_beginning_is_waited_for_when_it_is_back() {
    for seed in 0..100 {
        let events = beside_a_busy_one(&[silence(5), at(35), silence(60)], seed);
        let answer = Event::Row(row("a", 35, 35));
        assert!(events.contains(&answer), "seed {seed}: {events:?}");
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
