//! What somebody implements who adds to the engine: sources and operators.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;

use crate::Watermark;
use crate::chain::Output;
use crate::error::{Cause, Failure};
use crate::executor::Clock;
use crate::meeting::Meeting;
use crate::progress::Counters;

/// Which task of which operator this is.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// The name of the operator.
    pub operator: Arc<str>,
    /// From 0.
    pub task: usize,
    /// How many tasks the operator has.
    pub parallelism: usize,
    /// What the task counts.
    pub counters: Arc<Counters>,
    /// The time; a simulation has its own.
    pub clock: Clock,
    /// Where it may wait for the other tasks of the operator.
    pub meeting: Meeting,
    /// Why the dataflow has failed: what is dropped with it may look.
    pub failure: Failure,
}

/// Where rows come from: one of it for each task.
///
/// It never blocks the thread: what takes a while is done elsewhere (by tokio, say), which wakes the task.
pub trait Source: Send {
    /// The next batch; `None` at the end, after which it is not asked again. Pending: the context's waker is called when there is
    /// more. Barriers come between two batches.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>>;

    /// Where it stands: what [`restore`](Self::restore) takes to go on with the batch after the last one.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    fn snapshot(&mut self) -> Result<Vec<u8>, Cause>;

    /// Before the first batch: goes on where another one stood.
    ///
    /// # Errors
    ///
    /// This state cannot be taken up.
    fn restore(&mut self, state: &[u8]) -> Result<(), Cause>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        self.as_mut().poll_next(context)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        self.as_mut().snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.as_mut().restore(state)
    }
}

/// What makes rows of rows, or takes them for good: one of it for each task.
///
/// Its calls are never concurrent. A call may wait (for room behind it, for input or output) but never blocks the thread.
#[async_trait]
pub trait Operator: Send {
    /// Rows have come on this input, counted from 0.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    async fn process(
        &mut self,
        input: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause>;

    /// On all inputs event time has come this far. Answers how far it has come behind the operator: less, if it emits earlier rows
    /// later.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    async fn watermark(&mut self, at: i64, output: &mut Output<'_>) -> Result<i64, Cause> {
        let _ = output;
        Ok(at)
    }

    /// All inputs are silent, and nobody shall wait for them. Answers whether nobody shall wait for what is behind the operator either:
    /// `false` where it emits later what came before, and [`work`](Self::work) says when that is done. The next watermark ends the silence.
    fn idle(&mut self) -> bool {
        true
    }

    /// One of several inputs has ended.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    async fn input_ended(&mut self, input: usize, output: &mut Output<'_>) -> Result<(), Cause> {
        let _ = (input, output);
        Ok(())
    }

    /// All inputs have ended, or it [has enough](Self::has_enough); event time has passed everything before.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    async fn end(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        let _ = output;
        Ok(())
    }

    /// Ready when it has something to do although no rows have come: an answer from elsewhere is there, say. Polled while the task waits for
    /// its inputs; pending: the context's waker is called when there is something.
    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Pending
    }

    /// Does what [`poll_work`](Self::poll_work) was ready for. Answers what is new of event time behind the operator by it; `None`: nothing.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    async fn work(&mut self, output: &mut Output<'_>) -> Result<Option<Watermark>, Cause> {
        let _ = output;
        Ok(None)
    }

    /// A barrier has come on all inputs. What it emits here belongs before the barrier; its [`snapshot`](Self::snapshot) is taken next.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    async fn barrier(&mut self, barrier: u64, output: &mut Output<'_>) -> Result<Cut, Cause> {
        let _ = (barrier, output);
        Ok(Cut::Clean)
    }

    /// Which inputs it wants to read now. Barriers come first: a task that waits for one on some inputs reads the others, whatever
    /// this says, and gives the operator what comes.
    fn reads(&self) -> Reads {
        Reads::Any
    }

    /// Whether it wants no more rows, as a query whose LIMIT is met: then its end comes, and what feeds nobody else ends too, at its next rows.
    fn has_enough(&self) -> bool {
        false
    }

    /// Nobody reads any more what it emits. It gets no more rows, and no end.
    fn abandon(&mut self) {}

    /// Whether it has to end in order even where nobody reads any more what it emits: then it gets no more rows, and its end.
    fn needs_end(&self) -> bool {
        false
    }

    /// All that it has to know to go on from here.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(Vec::new())
    }

    /// Before the first rows: goes on where another one stood.
    ///
    /// # Errors
    ///
    /// This state cannot be taken up.
    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        if state.is_empty() {
            Ok(())
        } else {
            Err("it has no state".into())
        }
    }
}

#[async_trait]
impl<O: Operator + ?Sized> Operator for Box<O> {
    async fn process(
        &mut self,
        input: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        self.as_mut().process(input, batch, output).await
    }

    async fn watermark(&mut self, at: i64, output: &mut Output<'_>) -> Result<i64, Cause> {
        self.as_mut().watermark(at, output).await
    }

    fn idle(&mut self) -> bool {
        self.as_mut().idle()
    }

    async fn input_ended(&mut self, input: usize, output: &mut Output<'_>) -> Result<(), Cause> {
        self.as_mut().input_ended(input, output).await
    }

    async fn end(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        self.as_mut().end(output).await
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.as_mut().poll_work(context)
    }

    async fn work(&mut self, output: &mut Output<'_>) -> Result<Option<Watermark>, Cause> {
        self.as_mut().work(output).await
    }

    async fn barrier(&mut self, barrier: u64, output: &mut Output<'_>) -> Result<Cut, Cause> {
        self.as_mut().barrier(barrier, output).await
    }

    fn reads(&self) -> Reads {
        self.as_ref().reads()
    }

    fn has_enough(&self) -> bool {
        self.as_ref().has_enough()
    }

    fn abandon(&mut self) {
        self.as_mut().abandon();
    }

    fn needs_end(&self) -> bool {
        self.as_ref().needs_end()
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        self.as_mut().snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.as_mut().restore(state)
    }
}

/// What came of a barrier at one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Everything before it has been worked in.
    Clean,
    /// That cannot be said, or not in time: the barrier goes on, and its checkpoint is given up.
    GivenUp,
}

/// Which inputs a task reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Whatever comes.
    Any,
    /// The one whose event time lags, so that a fast source beside a slow one does not fill memory. Where one source feeds several
    /// inputs it would wait for itself: there it means `Any`, and that source holds both back.
    Lagging,
    /// This one first, until it has ended: a table that must be whole. Where the input was not declared as a table, and what feeds the
    /// inputs has other readers too, it means `Any`: somebody might wait for the queue of another input.
    First(usize),
}

/// The event time of a source's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTime {
    /// A column of timestamps without nulls.
    pub column: String,
    /// How far out of order rows may be: the watermark stays behind the latest row by so much. A row that comes before the
    /// watermark is late.
    pub out_of_orderness: Duration,
    /// After such a silence nobody waits for the source any more; `None`: everybody does.
    pub idle_after: Option<Duration>,
}
