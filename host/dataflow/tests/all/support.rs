//! Sources, operators and sinks that tests are made of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use forebay_dataflow::{
    Cause, Checkpoint, Clock, EventTime, Graph, Handle, Operator, Options, Output, Progress,
    Running, Simulation, Source, TaskContext,
};

/// Key (null where it is empty), number, event time in seconds.
pub(crate) type Row = (String, i64, i64);

pub(crate) fn row(key: impl std::fmt::Display, number: i64, time: i64) -> Row {
    (key.to_string(), number, time)
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("number", DataType::Int64, false),
        Field::new(
            "time",
            DataType::Timestamp(TimeUnit::Microsecond, None),
            false,
        ),
    ]))
}

pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let keys = rows
        .iter()
        .map(|(key, _, _)| (!key.is_empty()).then_some(key))
        .collect::<StringArray>();
    let numbers = Int64Array::from_iter_values(rows.iter().map(|(_, number, _)| *number));
    let times = TimestampMicrosecondArray::from_iter_values(
        rows.iter().map(|(_, _, time)| time * 1_000_000),
    );
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(numbers), Arc::new(times)];
    RecordBatch::try_new(schema(), columns).expect("it fits")
}

pub(crate) fn rows(batch: &RecordBatch) -> Vec<Row> {
    let keys = batch.column(0).as_string::<i32>();
    let numbers = batch.column(1).as_primitive::<Int64Type>();
    let times = batch.column(2).as_primitive::<TimestampMicrosecondType>();
    (0..batch.num_rows())
        .map(|row| {
            (
                keys.value(row).to_owned(),
                numbers.value(row),
                times.value(row) / 1_000_000,
            )
        })
        .collect()
}

/// What a source does next.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Rows(Vec<Row>),
    /// Says nothing for so long.
    Silence(Duration),
    /// Says nothing for ever.
    Forever,
}

/// A source that follows a script; its place in it is its state.
pub(crate) struct Script {
    acts: Vec<Act>,
    next: usize,
    clock: Clock,
    silent_until: Option<Duration>,
}

impl Script {
    pub(crate) fn new(acts: Vec<Act>, context: &TaskContext) -> Self {
        Self {
            acts,
            next: 0,
            clock: context.clock.clone(),
            silent_until: None,
        }
    }
}

impl Source for Script {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        loop {
            match self.acts.get(self.next) {
                None => return Poll::Ready(Ok(None)),
                Some(Act::Rows(rows)) => {
                    self.next += 1;
                    return Poll::Ready(Ok(Some(batch(rows))));
                }
                Some(Act::Forever) => return Poll::Pending,
                Some(Act::Silence(time)) => {
                    let until = *self.silent_until.get_or_insert(self.clock.now() + *time);
                    if self.clock.poll_at(until, context).is_pending() {
                        return Poll::Pending;
                    }
                    self.silent_until = None;
                    self.next += 1;
                }
            }
        }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(self.next.to_le_bytes().to_vec())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.next = usize::from_le_bytes(state.try_into()?);
        Ok(())
    }
}

/// Everything that came to the tasks of a sink: rows and marks, by task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<VecDeque<Event>>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Row(Row),
    Watermark(i64),
    InputEnded(usize),
    End,
}

impl Seen {
    pub(crate) fn push(&self, task: usize, event: Event) {
        let mut tasks = self.0.lock().expect("no test panics with it");
        if tasks.len() <= task {
            tasks.resize_with(task + 1, VecDeque::new);
        }
        tasks[task].push_back(event);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0
            .lock()
            .expect("no test panics with it")
            .iter()
            .flatten()
            .cloned()
            .collect()
    }

    pub(crate) fn rows_of(&self, task: usize) -> Vec<Row> {
        let tasks = self.0.lock().expect("no test panics with it");
        tasks
            .get(task)
            .into_iter()
            .flatten()
            .filter_map(Event::row)
            .collect()
    }

    /// Of all tasks, in order.
    pub(crate) fn sorted_rows(&self) -> Vec<Row> {
        let mut rows: Vec<_> = self.events().iter().filter_map(Event::row).collect();
        rows.sort();
        rows
    }
}

impl Event {
    pub(crate) fn row(&self) -> Option<Row> {
        match self {
            Self::Row(row) => Some(row.clone()),
            _ => None,
        }
    }
}

/// A sink that notes what comes.
pub(crate) struct Note {
    pub(crate) seen: Seen,
    pub(crate) task: usize,
}

#[async_trait]
impl Operator for Note {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        for row in rows(&batch) {
            self.seen.push(self.task, Event::Row(row));
        }
        Ok(())
    }

    async fn watermark(&mut self, at: i64, _: &mut Output<'_>) -> Result<i64, Cause> {
        self.seen.push(
            self.task,
            Event::Watermark(if at == i64::MAX { at } else { at / 1_000_000 }),
        );
        Ok(at)
    }

    async fn input_ended(&mut self, input: usize, _: &mut Output<'_>) -> Result<(), Cause> {
        self.seen.push(self.task, Event::InputEnded(input));
        Ok(())
    }

    async fn end(&mut self, _: &mut Output<'_>) -> Result<(), Cause> {
        self.seen.push(self.task, Event::End);
        Ok(())
    }
}

/// The running sum of each key, with every row.
#[derive(Default)]
pub(crate) struct Sum(std::collections::BTreeMap<String, i64>);

#[async_trait]
impl Operator for Sum {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let summed = rows(&batch).into_iter().map(|(key, number, time)| {
            let sum = self.0.entry(key.clone()).or_default();
            *sum += number;
            (key, *sum, time)
        });
        output
            .emit(super::support::batch(&summed.collect::<Vec<_>>()))
            .await
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        let lines = self.0.iter().map(|(key, sum)| format!("{key} {sum}\n"));
        Ok(lines.collect::<String>().into_bytes())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        for line in std::str::from_utf8(state)?.lines() {
            let (key, sum) = line.split_once(' ').ok_or("no sum")?;
            self.0.insert(key.to_owned(), sum.parse()?);
        }
        Ok(())
    }
}

/// Hands on what comes.
pub(crate) struct Pass;

#[async_trait]
impl Operator for Pass {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        output.emit(batch).await
    }
}

pub(crate) fn event_time(out_of_orderness_s: u64) -> EventTime {
    EventTime {
        column: "time".to_owned(),
        out_of_orderness: Duration::from_secs(out_of_orderness_s),
        idle_after: None,
    }
}

/// A source with a script for each of its tasks.
pub(crate) fn scripts(
    graph: &mut Graph,
    name: &str,
    scripts: Vec<Vec<Act>>,
    event_time: Option<EventTime>,
) -> forebay_dataflow::Stream {
    let tasks = scripts.len();
    let make = move |context: TaskContext| Ok(Script::new(scripts[context.task].clone(), &context));
    graph
        .source(name, tasks, schema(), event_time, make)
        .expect("it is a good source")
}

/// Ends a stream in a sink that notes what comes.
pub(crate) fn note(
    graph: &mut Graph,
    stream: &forebay_dataflow::Stream,
    tasks: usize,
    exchange: forebay_dataflow::Exchange,
) -> Seen {
    let seen = Seen::default();
    let noted = seen.clone();
    let make = move |context: TaskContext| {
        Ok(Note {
            seen: noted.clone(),
            task: context.task,
        })
    };
    graph
        .operator("sink", tasks)
        .input(stream, exchange)
        .sink(make)
        .expect("it is a good sink");
    seen
}

/// So many rows in batches of that size: the number counts, the key is one of seven, a second between two rows.
pub(crate) fn counting(rows: i64, batch: usize) -> Vec<Act> {
    let rows: Vec<_> = (0..rows)
        .map(|number| row(number % 7, number, number))
        .collect();
    rows.chunks(batch)
        .map(|rows| Act::Rows(rows.to_vec()))
        .collect()
}

/// Sends a barrier through and takes the state there.
#[track_caller]
pub(crate) fn checkpoint(simulation: &mut Simulation) -> Checkpoint {
    let handle = simulation.handle();
    handle.trigger(1);
    loop {
        if let Some(checkpoint) = handle.checkpoint(1) {
            return checkpoint;
        }
        assert!(simulation.step(), "the barrier does not come through");
    }
}

/// The state after so many steps.
pub(crate) fn checkpoint_after(graph: &Graph, seed: u64, steps: usize) -> Checkpoint {
    let mut simulation = graph.simulate(seed, None).expect("it starts");
    for _ in 0..steps {
        simulation.step();
    }
    checkpoint(&mut simulation)
}

pub(crate) fn simulate(graph: &Graph, seed: u64) -> Vec<Progress> {
    simulate_from(graph, seed, None)
}

pub(crate) fn simulate_from(
    graph: &Graph,
    seed: u64,
    checkpoint: Option<&Checkpoint>,
) -> Vec<Progress> {
    let simulation = graph.simulate(seed, checkpoint).expect("it starts");
    simulation
        .run()
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"))
}

pub(crate) fn start(graph: &Graph, threads: usize) -> Running {
    let options = Options {
        threads,
        checkpoint: None,
    };
    graph.start(&options).expect("it starts")
}

const WATCHDOG: Duration = Duration::from_mins(1);

/// Waits for a state of the dataflow.
#[track_caller]
pub(crate) fn until(handle: &Handle, what: impl Fn(&[Progress]) -> bool) {
    let begun = Instant::now();
    while !what(&handle.progress()) {
        assert!(
            begun.elapsed() < WATCHDOG,
            "it does not come to that: {:#?}",
            handle.progress()
        );
        std::thread::yield_now();
    }
}

pub(crate) fn run(graph: &Graph, threads: usize) -> Vec<Progress> {
    let ended = start(graph, threads).wait();
    ended.unwrap_or_else(|error| panic!("{threads} threads: {error}"))
}

pub(crate) fn of<'a>(progress: &'a [Progress], operator: &str) -> &'a Progress {
    progress
        .iter()
        .find(|one| &*one.operator == operator)
        .expect("there is such an operator")
}
