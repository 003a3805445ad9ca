//! The loops of a task.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::RecordBatch;

use crate::Watermark;
use crate::chain::{Chain, Owner};
use crate::checkpoint::{Coordinator, Order, TaskState};
use crate::element::Told;
use crate::error::{Cause, Error};
use crate::event_time::Stamps;
use crate::executor::{Clock, Meter, Waiting, give_way};
use crate::inputs::{Arrival, Inputs};
use crate::operator::{Cut, Source};

/// What both kinds of tasks have.
pub(crate) struct Common {
    /// The names of its operators, and its number.
    pub(crate) id: (Arc<str>, usize),
    pub(crate) chain: Chain,
    pub(crate) coordinator: Arc<Coordinator>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) turns: Turns,
}

/// Makes a task give way after so many elements, so that none keeps a thread to itself.
pub(crate) struct Turns {
    elements: usize,
    in_a_row: usize,
}

impl Turns {
    pub(crate) fn of(in_a_row: usize) -> Self {
        Self {
            elements: 0,
            in_a_row,
        }
    }

    async fn next(&mut self) {
        self.elements += 1;
        if self.elements.is_multiple_of(self.in_a_row) {
            give_way().await;
        }
    }
}

impl Common {
    /// An element has been dealt with; others may have a turn.
    async fn turn(&mut self) {
        self.meter.waits(Waiting::Input);
        self.turns.next().await;
    }

    fn state(
        &mut self,
        source: Option<Vec<u8>>,
        watermarks: Vec<Watermark>,
    ) -> Result<TaskState, Error> {
        let operators = source.into_iter().chain(self.chain.snapshot()?).collect();
        Ok(TaskState {
            operators,
            exchanges: self.chain.fan.snapshot()?,
            watermarks,
        })
    }

    /// Takes part in a checkpoint, and sends its barrier on.
    async fn cut(
        &mut self,
        barrier: u64,
        source: Option<Vec<u8>>,
        watermarks: Vec<Watermark>,
    ) -> Result<(), Error> {
        match self.chain.barrier(barrier).await? {
            Cut::Clean => {
                let state = self.state(source, watermarks)?;
                self.coordinator.report(barrier, self.id.clone(), state);
            }
            Cut::GivenUp => self.coordinator.give_up(barrier),
        }
        self.chain.fan.barrier(barrier);
        Ok(())
    }

    fn restore(&mut self, states: &[Vec<u8>], exchanges: &[Vec<u8>]) -> Result<(), Cause> {
        if states.len() != self.chain.links.len() {
            return Err(format!(
                "it has {} operators, not {}",
                self.chain.links.len(),
                states.len()
            )
            .into());
        }
        for (link, state) in self.chain.links.iter_mut().zip(states) {
            link.operator.restore(state)?;
        }
        self.chain.fan.restore(exchanges)
    }
}

/// A task that is fed by others.
pub(crate) struct OperatorTask {
    pub(crate) common: Common,
    pub(crate) inputs: Inputs,
}

impl OperatorTask {
    pub(crate) fn restore(&mut self, state: &TaskState) -> Result<(), Cause> {
        self.inputs.restore(&state.watermarks)?;
        self.common.restore(&state.operators, &state.exchanges)
    }

    pub(crate) async fn run(mut self) -> Result<(), Error> {
        while !self.common.chain.has_enough() {
            let event = self.next().await;
            let chain = &mut self.common.chain;
            match event {
                Event::Work(link) => chain.work(link).await?,
                Event::Arrival(Arrival::Batch(input, batch)) => chain.process(input, batch).await?,
                Event::Arrival(Arrival::Watermark(watermark)) => chain.watermark(watermark).await?,
                Event::Arrival(Arrival::InputEnded(input)) => chain.input_ended(input).await?,
                Event::Arrival(Arrival::Barrier(barrier)) => {
                    let watermarks = self.inputs.watermarks();
                    self.common.cut(barrier, None, watermarks).await?;
                }
                Event::Arrival(Arrival::End) => break,
            }
            self.common.turn().await;
        }
        self.common.meter.waits(Waiting::Output);
        self.common.chain.end().await?;
        let last = self.common.state(None, self.inputs.watermarks())?;
        self.common.coordinator.report_end(self.common.id, last);
        Ok(())
    }

    async fn next(&mut self) -> Event {
        let Self { common, inputs } = self;
        let reads = common.chain.reads();
        let event = poll_fn(|context| match common.chain.poll_work(context) {
            Poll::Ready(link) => Poll::Ready(Event::Work(link)),
            Poll::Pending => inputs.poll_next(reads, context).map(Event::Arrival),
        });
        let event = event.await;
        // If it cannot go on now, then because of what is behind it.
        common.meter.waits(Waiting::Output);
        event
    }
}

/// What happens to a task that is fed by others.
enum Event {
    Arrival(Arrival),
    /// This operator of its chain has something to do by itself.
    Work(usize),
}

/// A task that begins with a source.
pub(crate) struct SourceTask {
    pub(crate) common: Common,
    pub(crate) source: Box<dyn Source>,
    pub(crate) owner: Owner,
    pub(crate) stamps: Option<Stamps>,
    pub(crate) clock: Clock,
    /// Where orders come from, and the number there.
    pub(crate) orders: usize,
    /// When the source spoke last; `None`: nobody waits for it any more.
    pub(crate) spoke: Option<Duration>,
    pub(crate) told: Told,
}

/// What happens to a source.
enum Step {
    Order(Order),
    Rows(Option<RecordBatch>),
    Silent,
}

impl SourceTask {
    pub(crate) fn restore(&mut self, state: &TaskState) -> Result<(), Cause> {
        let (source, rest) = state.operators.split_first().ok_or("it has no source")?;
        self.source.restore(source)?;
        if let (Some(stamps), Some(Watermark::At(at))) =
            (&mut self.stamps, state.watermarks.first())
        {
            stamps.restore(*at);
        }
        self.common.restore(rest, &state.exchanges)
    }

    pub(crate) async fn run(mut self) -> Result<(), Error> {
        self.tell_time().await?;
        while !self.common.chain.has_enough() {
            match self.next().await? {
                Step::Order(Order::Barrier(barrier)) => {
                    let (source, watermarks) = self.state()?;
                    self.common.cut(barrier, Some(source), watermarks).await?;
                }
                Step::Order(Order::End) | Step::Rows(None) => break,
                Step::Rows(Some(batch)) => self.emit(batch).await?,
                Step::Silent => {
                    self.spoke = None;
                    self.tell(Watermark::Idle).await?;
                }
            }
            self.common.turn().await;
        }
        self.owner.counters.note(Watermark::ALL);
        self.common.meter.waits(Waiting::Output);
        self.common.chain.end().await?;
        let (source, watermarks) = self.state()?;
        let last = self.common.state(Some(source), watermarks)?;
        self.common.coordinator.report_end(self.common.id, last);
        Ok(())
    }

    /// Where the source stands, and how far its event time is.
    fn state(&mut self) -> Result<(Vec<u8>, Vec<Watermark>), Error> {
        let source = self
            .source
            .snapshot()
            .map_err(|cause| self.owner.blame(cause))?;
        let watermark = self
            .stamps
            .as_ref()
            .map(|stamps| Watermark::At(stamps.watermark()));
        Ok((source, watermark.into_iter().collect()))
    }

    async fn next(&mut self) -> Result<Step, Error> {
        let step = poll_fn(|context| self.poll_step(context)).await;
        self.common.meter.waits(Waiting::Output);
        step.map_err(|cause| self.owner.blame(cause))
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Result<Step, Cause>> {
        if let Poll::Ready(order) = self.common.coordinator.poll_order(self.orders, context) {
            return Poll::Ready(Ok(Step::Order(order)));
        }
        if let Poll::Ready(rows) = self.source.poll_next(context) {
            return Poll::Ready(rows.map(Step::Rows));
        }
        let idle_after = self.stamps.as_ref().and_then(Stamps::idle_after);
        match self.spoke.zip(idle_after) {
            Some((spoke, after)) => self
                .clock
                .poll_at(spoke + after, context)
                .map(|()| Ok(Step::Silent)),
            None => Poll::Pending,
        }
    }

    async fn emit(&mut self, batch: RecordBatch) -> Result<(), Error> {
        self.owner
            .counters
            .rows_in
            .fetch_add(batch.num_rows() as u64, Relaxed);
        if self.spoke.is_none() {
            // Before the rows: whoever has gone on without this source must know that it is back.
            self.tell_time().await?;
        }
        self.spoke = Some(self.clock.now());
        if let Some(stamps) = &mut self.stamps {
            stamps.see(&batch, &self.owner)?;
        }
        self.common.chain.emit(&self.owner, batch).await?;
        self.tell_time().await
    }

    async fn tell_time(&mut self) -> Result<(), Error> {
        match &self.stamps {
            Some(stamps) => self.tell(Watermark::At(stamps.watermark())).await,
            None => Ok(()),
        }
    }

    async fn tell(&mut self, watermark: Watermark) -> Result<(), Error> {
        let Some(watermark) = self.told.advance(watermark) else {
            return Ok(());
        };
        self.owner.counters.note(watermark);
        self.common.chain.watermark(watermark).await
    }
}
