//! The dataflow of the job, inside the engine: the agent orders attempts, each makes the graph anew and runs it in threads of
//! its own, and what becomes of it is told.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use forebay_cluster::agent::{
    DataflowEnd, DataflowExecutor, DataflowFault, DataflowNote, DataflowTeller, DataflowWay,
    FedAttempt, FeedState, HowFar,
};
use forebay_cluster::run_directory::RunDirectory;
use forebay_dataflow::{Error, Graph, Handle, Options, Progress, Running};
use forebay_plugin::{NodeId, OperatorError};
use forebay_runtime::{FeedError, FeedReading, Feeds, Plan};

use super::progress::{feed, operator};
use crate::dataflow::cause_of;
use crate::exit::Exit;
use crate::failure::Failure;

/// How often the agent is told how far the dataflow is.
const TELLS_EVERY: Duration = Duration::from_secs(1);

/// Makes the graph of an attempt, by its number. It may take its time, and is in a thread that may wait; `tokio::runtime::Handle::current` works in it.
pub(crate) type MakeGraph = dyn Fn(u64) -> Result<Graph, Failure> + Send + Sync;

/// Everything that a person should know of the dataflows of a job so far; it only grows, and stays small.
pub(crate) type Notes = dyn Fn() -> Vec<DataflowNote> + Send + Sync;

/// How the dataflow of a job is to be run.
#[derive(Clone)]
pub(crate) struct DataflowPlan {
    /// Once for each attempt. An error fails the job, with the exit code of the failure.
    pub(crate) make: Arc<MakeGraph>,
    /// Told while it runs.
    pub(crate) notes: Arc<Notes>,
    /// The channels of nodes that it feeds; absent: it feeds none.
    pub(crate) feeds: Option<Feeds>,
    /// Worker threads; absent: as many as there are processors.
    pub(crate) threads: Option<usize>,
}

impl DataflowPlan {
    /// The dataflow of a job, whose sorts write what does not fit into memory into a folder of the run.
    pub(super) fn new(plan: Plan, run: &RunDirectory) -> Self {
        let threads = plan.job().dataflow.settings.threads;
        let plan = Arc::new(plan.with_spill(run.spill()));
        let made = plan.clone();
        let feeds = plan.feeds().clone();
        Self {
            feeds: Some(feeds),
            make: Arc::new(move |attempt| {
                made.graph(attempt)
                    .map_err(|error| Failure::from_input(error.as_ref()))
            }),
            notes: Arc::new(move || notes_of(&plan)),
            threads: threads.and_then(|threads| usize::try_from(threads).ok()),
        }
    }
}

fn notes_of(plan: &Plan) -> Vec<DataflowNote> {
    let rows = plan.malformed_rows().into_iter();
    rows.map(|(source, row)| DataflowNote {
        operator: source.to_owned(),
        message: format!("left out {row}"),
    })
    .collect()
}

/// Message, causes, whose fault it is, and what to do about it.
fn explained(error: &Error) -> Failure {
    match error {
        Error::Operator { .. } => Failure::from_input(error).hinted(hint_of(error)),
        Error::EventTimeIsNull { .. } => Failure::from_input(error)
            .with_hint("mend the row, or name another column as `event_time`"),
        _ => Failure::from_engine(error),
    }
}

/// What the connector or component knows that is to blame.
fn hint_of(error: &Error) -> Option<String> {
    use forebay_connectors::Error::{Malformed, TooManyMalformed};
    if let Some(component) = cause_of::<OperatorError>(error) {
        return component.hint();
    }
    let hint = match cause_of(error) {
        Some(Malformed(_)) => {
            "mend the row, or leave some out with `malformed = { skip = 100 }` in the source"
        }
        Some(TooManyMalformed { .. }) => "mend the rows, or allow more of them in `malformed`",
        _ => forebay_sql::hint_of(error)?,
    };
    Some(hint.to_owned())
}

/// What runs the attempts. There is one at a time: the agent sees to that.
pub(super) struct DataflowTask {
    plan: DataflowPlan,
    control: Mutex<Control>,
}

/// The newest attempt, as far as it can be steered.
#[derive(Default)]
struct Control {
    attempt: u64,
    /// The newest order to end it.
    way: Option<DataflowWay>,
    /// Absent before it runs.
    handle: Option<Handle>,
}

impl fmt::Debug for DataflowTask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempt = self.control().attempt;
        write!(formatter, "DataflowTask(attempt {attempt})")
    }
}

impl Control {
    fn steer(&self) {
        match (self.way, &self.handle) {
            (Some(DataflowWay::Drain), Some(handle)) => handle.end_sources(),
            (Some(DataflowWay::Abort), Some(handle)) => handle.stop(),
            (None, _) | (_, None) => {}
        }
    }
}

/// What its agent calls: an agent shares its executor.
#[derive(Debug)]
pub(super) struct Executor(Arc<DataflowTask>);

impl Executor {
    pub(super) fn new(plan: DataflowPlan) -> Self {
        let control = Mutex::default();
        Self(Arc::new(DataflowTask { plan, control }))
    }
}

impl DataflowExecutor for Executor {
    /// Guarantees other than `none`, which have checkpoints, are refused long before.
    fn run(&self, attempt: u64, _checkpoint: Option<u64>, teller: DataflowTeller) {
        *self.0.control() = Control {
            attempt,
            ..Control::default()
        };
        let task = self.0.clone();
        // One that panics drops its teller, which says so.
        tokio::task::spawn_blocking(move || task.conduct(attempt, teller));
    }

    fn stop(&self, attempt: u64, way: DataflowWay) {
        let mut control = self.0.control();
        if control.attempt == attempt {
            control.way = Some(way);
            control.steer();
        }
    }

    fn feed(&self, fed: &FedAttempt) -> Result<Vec<OwnedFd>, String> {
        let NodeId { role, index } = &fed.node;
        let feeds = self.0.plan.feeds.as_ref();
        let feeds = feeds.ok_or("the dataflow feeds nobody")?;
        let begun = feeds.begin(role, *index, fed.attempt, fed.fed_by);
        let descriptors = begun.map_err(|error| refusal(&error))?;
        Ok(descriptors.0.into())
    }

    fn feed_state(&self, fed: &FedAttempt) -> FeedState {
        let NodeId { role, index } = &fed.node;
        let feeds = self.0.plan.feeds.as_ref();
        let reading = feeds.and_then(|feeds| feeds.reading_of(role, *index, fed.attempt));
        reading.map_or_else(FeedState::default, |reading| feed_state(&reading))
    }

    fn feed_ended(&self, fed: &FedAttempt) -> bool {
        let NodeId { role, index } = &fed.node;
        let feeds = self.0.plan.feeds.as_ref();
        feeds.is_some_and(|feeds| feeds.has_left_input(role, *index, fed.attempt))
    }

    fn end_input(&self, attempt: u64, roles: &[String]) {
        if let Some(feeds) = &self.0.plan.feeds {
            feeds.end_input(attempt, roles);
        }
    }
}

impl DataflowTask {
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One attempt, from its first moment to its last.
    fn conduct(&self, attempt: u64, teller: DataflowTeller) {
        match self.start(attempt) {
            Ok(Some(running)) => self.see_through(attempt, running, teller),
            Ok(None) => teller.ended(DataflowEnd::Stopped, HowFar::default()),
            Err(fault) => teller.ended(DataflowEnd::Failed(fault), HowFar::default()),
        }
    }

    /// Nothing where it was ended before it began.
    fn start(&self, attempt: u64) -> Result<Option<Running>, DataflowFault> {
        let graph = (self.plan.make)(attempt).map_err(|failure| fault(&failure, None))?;
        if self.control().way.is_some() {
            return Ok(None);
        }
        let mut options = Options::default();
        options.threads = self.plan.threads.unwrap_or(options.threads);
        let running = graph.start(&options);
        let running = running.map_err(|error| fault_of(&error))?;
        let mut control = self.control();
        control.handle = Some(running.handle());
        control.steer();
        Ok(Some(running))
    }

    fn see_through(&self, attempt: u64, running: Running, teller: DataflowTeller) {
        let handle = running.handle();
        let began = Instant::now();
        teller.started();
        let (sender, ended) = channel();
        let waiter = thread::spawn(move || {
            // Whoever waits for it is there until it comes.
            let _ = sender.send(running.wait());
        });
        let mut noted = HashSet::new();
        let mut ended_inputs = BTreeSet::new();
        let outcome = loop {
            let next = ended.recv_timeout(TELLS_EVERY);
            for note in (self.plan.notes)() {
                if noted.insert(note.clone()) {
                    teller.note(note);
                }
            }
            for role in self.ended_inputs(attempt) {
                if ended_inputs.insert(role.clone()) {
                    teller.input_ended(role);
                }
            }
            match next {
                Ok(outcome) => break outcome,
                Err(RecvTimeoutError::Timeout) => {
                    teller.progress(self.how_far(attempt, began, &handle));
                }
                // It has panicked: the teller says so.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        };
        let _it_has_ended = waiter.join();
        let how_far = self.how_far(attempt, began, &handle);
        self.control().handle = None;
        teller.ended(self.end_of(outcome), how_far);
    }

    fn ended_inputs(&self, attempt: u64) -> BTreeSet<String> {
        let feeds = self.plan.feeds.as_ref();
        feeds
            .map(|feeds| feeds.ended_inputs(attempt))
            .unwrap_or_default()
    }

    fn how_far(&self, attempt: u64, began: Instant, handle: &Handle) -> HowFar {
        let feeds = self.plan.feeds.iter();
        let feeds = feeds.flat_map(|feeds| feeds.readings(attempt));
        HowFar {
            running: began.elapsed(),
            operators: handle.progress().iter().map(operator).collect(),
            feeds: feeds.map(feed).collect(),
        }
    }

    fn end_of(&self, outcome: Result<Vec<Progress>, Error>) -> DataflowEnd {
        match outcome {
            Ok(_) => DataflowEnd::Ended {
                drained: self.control().way == Some(DataflowWay::Drain),
            },
            Err(Error::Stopped) => DataflowEnd::Stopped,
            Err(error) => DataflowEnd::Failed(fault_of(&error)),
        }
    }
}

/// Why a node is not fed, in one line, and what would help.
fn refusal(error: &FeedError) -> String {
    let failure = Failure::from_input(error);
    let reason = failure.sentence();
    match failure.hint.as_deref().or(error.hint()) {
        Some(hint) => format!("{reason}; {hint}"),
        None => reason,
    }
}

/// A node is waited for while it has something to read, or keeps the room for it; but not while it has said what nobody has heard yet: then what is
/// behind it is slow.
fn feed_state(reading: &FeedReading) -> FeedState {
    let channel = &reading.channel;
    let is_awaited = channel.occupied > channel.held || reading.waits_for_room;
    FeedState {
        read_all: channel.node_has_ended,
        waits_with_input: is_awaited && channel.unheard == 0,
        progress: channel.read + channel.emitted,
    }
}

fn fault_of(error: &Error) -> DataflowFault {
    fault(&explained(error), operator_of(error))
}

fn fault(failure: &Failure, operator: Option<String>) -> DataflowFault {
    DataflowFault {
        operator,
        reason: failure.sentence(),
        hint: failure.hint.clone(),
        engine_failed: failure.exit == Exit::EngineFailed,
    }
}

fn operator_of(error: &Error) -> Option<String> {
    match error {
        Error::Operator { operator, .. }
        | Error::Schema { operator, .. }
        | Error::EventTimeIsNull { operator, .. } => Some(operator.to_string()),
        Error::Panicked { operator, .. } | Error::Restore { operator, .. } => {
            Some(operator.clone())
        }
        Error::Stalled { .. } | Error::Thread(_) | Error::Stopped => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::Receiver;
    use std::task::{Context, Poll};

    use arrow_array::{Int64Array, RecordBatch};
    use async_trait::async_trait;
    use forebay_cluster::agent::DataflowTold;
    use forebay_dataflow::{Cause, Exchange, Operator, Output, Source};

    use super::*;

    const WATCHDOG: Duration = Duration::from_secs(20);

    /// As many rows as it is told, one at a time; then it ends, or waits for ever, or fails.
    #[derive(Clone)]
    struct Rows {
        left: u64,
        then: Then,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Then {
        End,
        Wait,
        Fail,
        Panic,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("row 7 is bad")]
    struct Bad(#[source] std::io::Error);

    fn row() -> RecordBatch {
        let numbers = Arc::new(Int64Array::from(vec![1]));
        RecordBatch::try_from_iter([("n", numbers as _)]).unwrap()
    }

    impl Source for Rows {
        fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
            if self.left > 0 {
                self.left -= 1;
                return Poll::Ready(Ok(Some(row())));
            }
            match self.then {
                Then::End => Poll::Ready(Ok(None)),
                Then::Wait => Poll::Pending,
                Then::Fail => Poll::Ready(Err(Box::new(Bad(std::io::Error::other("no digits"))))),
                Then::Panic => panic!("a bug"),
            }
        }

        fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
            Ok(Vec::new())
        }

        fn restore(&mut self, _: &[u8]) -> Result<(), Cause> {
            Ok(())
        }
    }

    struct Nowhere;

    #[async_trait]
    impl Operator for Nowhere {
        async fn process(
            &mut self,
            _: usize,
            _: RecordBatch,
            _: &mut Output<'_>,
        ) -> Result<(), Cause> {
            Ok(())
        }
    }

    fn graph(rows: &Rows) -> Graph {
        let mut graph = Graph::new();
        let rows = rows.clone();
        let source = graph.source("rows", 1, row().schema(), None, move |_| Ok(rows.clone()));
        let sink = graph
            .operator("sink", 1)
            .input(&source.unwrap(), Exchange::Forward);
        sink.sink(|_| Ok(Nowhere)).unwrap();
        graph
    }

    fn executor(make: impl Fn() -> Result<Graph, Failure> + Send + Sync + 'static) -> Executor {
        Executor::new(DataflowPlan {
            make: Arc::new(move |_| make()),
            feeds: None,
            notes: Arc::new(Vec::new),
            threads: Some(1),
        })
    }

    fn of_rows(left: u64, then: Then) -> Executor {
        executor(move || Ok(graph(&Rows { left, then })))
    }

    fn run(executor: &Executor, attempt: u64) -> Receiver<DataflowTold> {
        let (sender, told) = channel();
        let teller = DataflowTeller::new(move |told| sender.send(told).unwrap_or_default());
        executor.run(attempt, None, teller);
        told
    }

    fn next(told: &Receiver<DataflowTold>) -> DataflowTold {
        told.recv_timeout(WATCHDOG).expect("nothing is told")
    }

    /// The end, and the rows that each operator saw.
    fn end(told: &Receiver<DataflowTold>) -> (DataflowEnd, Vec<u64>) {
        loop {
            if let DataflowTold::Ended(end, how_far) = next(told) {
                let rows = how_far.operators.iter().map(|operator| operator.rows_in);
                return (end, rows.collect());
            }
        }
    }

    fn failure(told: &Receiver<DataflowTold>) -> DataflowFault {
        match end(told).0 {
            DataflowEnd::Failed(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_attempt_starts_and_ends_with_what_it_did() {
        let executor = of_rows(100, Then::End);
        for attempt in 1..=2 {
            let told = run(&executor, attempt);
            assert_eq!(next(&told), DataflowTold::Started);
            let ended = DataflowEnd::Ended { drained: false };
            assert_eq!(end(&told), (ended, vec![100, 100]), "from the beginning");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_note_is_told_once() {
        let note = |message: &str| DataflowNote {
            operator: "rows".to_owned(),
            message: message.to_owned(),
        };
        let (one, two) = (note("one"), note("two"));
        let notes = vec![one.clone(), two.clone()];
        let rows = Rows {
            left: 100,
            then: Then::Wait,
        };
        let executor = Executor::new(DataflowPlan {
            make: Arc::new(move |_| Ok(graph(&rows))),
            feeds: None,
            notes: Arc::new(move || notes.clone()),
            threads: Some(1),
        });
        let told = run(&executor, 1);
        assert_eq!(next(&told), DataflowTold::Started);
        assert_eq!(next(&told), DataflowTold::Noted(one));
        assert_eq!(next(&told), DataflowTold::Noted(two));
        assert!(matches!(next(&told), DataflowTold::Progress(_)));
        executor.stop(1, DataflowWay::Abort);
        let rest = std::iter::from_fn(|| told.recv_timeout(WATCHDOG).ok());
        let kinds: Vec<_> = rest.collect();
        assert!(
            !kinds
                .iter()
                .any(|told| matches!(told, DataflowTold::Noted(_))),
            "{kinds:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn progress_is_told_until_it_is_drained() {
        let executor = of_rows(100, Then::Wait);
        let told = run(&executor, 1);
        assert_eq!(next(&told), DataflowTold::Started);
        let DataflowTold::Progress(how_far) = next(&told) else {
            panic!("it runs")
        };
        assert_eq!(how_far.operators[1].operator, "sink");
        executor.stop(2, DataflowWay::Abort);
        executor.stop(1, DataflowWay::Drain);
        assert_eq!(
            end(&told),
            (DataflowEnd::Ended { drained: true }, vec![100, 100])
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_is_aborted_is_stopped_whenever_that_is() {
        let executor = of_rows(100, Then::Wait);
        let told = run(&executor, 1);
        executor.stop(1, DataflowWay::Abort);
        assert_eq!(end(&told).0, DataflowEnd::Stopped);
        let told = run(&executor, 2);
        assert_eq!(next(&told), DataflowTold::Started);
        executor.stop(2, DataflowWay::Abort);
        assert_eq!(end(&told).0, DataflowEnd::Stopped);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failure_has_all_its_causes_and_says_whose_it_is() {
        let fault = failure(&run(&of_rows(3, Then::Fail), 1));
        assert_eq!(fault.reason, "`rows` failed: row 7 is bad: no digits");
        assert_eq!(
            (fault.operator.as_deref(), fault.engine_failed),
            (Some("rows"), false)
        );
        let fault = failure(&run(&of_rows(3, Then::Panic), 1));
        assert!(
            fault.engine_failed && fault.reason.contains("a bug"),
            "{fault:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_graph_that_cannot_be_made_is_a_failure_of_that_kind() {
        let refuse = || Err(Failure::input("no such file").with_hint("make it"));
        let fault = failure(&run(&executor(refuse), 1));
        assert_eq!(
            (fault.reason.as_str(), fault.engine_failed),
            ("no such file", false)
        );
        assert_eq!(fault.hint.as_deref(), Some("make it"));
        let broken = Arc::new(AtomicBool::new(true));
        let make = move || {
            assert!(!broken.swap(false, Ordering::SeqCst), "a bug");
            Ok(graph(&Rows {
                left: 1,
                then: Then::End,
            }))
        };
        let executor = executor(make);
        assert!(failure(&run(&executor, 1)).engine_failed);
        let ended = DataflowEnd::Ended { drained: false };
        assert_eq!(
            end(&run(&executor, 2)).0,
            ended,
            "the next one is not the worse for it"
        );
    }
}
