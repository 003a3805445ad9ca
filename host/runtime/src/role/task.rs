//! The task of one node.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use async_trait::async_trait;
use forebay_channel::{Body, FLAG_PADDING, Header, Kind};
use forebay_dataflow::{Cause, Cut, Error, Operator, Output, TaskContext, Watermark, padding_of};

use self::barrier::Barriers;
use self::hearing::Fault;
use super::fed::Fed;
use super::feeds::Feeds;
use super::node::{Event, Node};
use super::pending::{Passed, Pending, Written};
use super::siblings::{Message, Phase, Share, Siblings};
use super::spool::Spool;

mod barrier;
mod ending;
mod hearing;
mod sharing;

/// How often a task at the end of its input looks whether its node has read all of it: reading rings no bell.
const LOOKS_EVERY: Duration = Duration::from_millis(5);

/// Batches that others have of a task at most, while their answers are waited for: those that are answered wait in memory for the first.
const PLACES_MAX: usize = 64;

/// What a task works on next.
enum Work {
    Event(Result<Event, Cause>),
    /// From another task of the role.
    Sibling(Message),
    /// Only to look whether there is an end.
    Nothing,
}

/// Whose rows come next, where there are both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Sibling,
    /// Rows of a sibling were taken: without it, one that is busy with theirs would never come to its own.
    Input,
}

/// Rows as a node sees them.
struct Seen {
    rows: RecordBatch,
    /// How many of them, at the end, only fill up a round.
    padding: usize,
}

impl Seen {
    fn split(&self, at: usize) -> (Self, Self) {
        let behind = self.rows.num_rows() - at;
        let first = Self {
            rows: self.rows.slice(0, at),
            padding: self.padding.saturating_sub(behind),
        };
        let second = Self {
            rows: self.rows.slice(at, behind),
            padding: self.padding.min(behind),
        };
        (first, second)
    }

    /// Those that are somebody's own, and those that fill up a round.
    fn parts(&self) -> VecDeque<Self> {
        let (own, padding) = self.split(self.rows.num_rows() - self.padding);
        let mut parts = VecDeque::from([own, padding]);
        parts.retain(|part| part.rows.num_rows() > 0);
        parts
    }
}

impl From<(RecordBatch, usize)> for Seen {
    fn from((rows, padding): (RecordBatch, usize)) -> Self {
        Self { rows, padding }
    }
}

pub(crate) struct RoleTask {
    fed: Arc<Fed>,
    node: Node,
    siblings: Arc<Siblings>,
    context: TaskContext,
    pending: Pending,
    /// Rows that its node does not want any more, for others.
    rest: VecDeque<Share>,
    /// How often its node has left rows to others.
    handed_over: u64,
    /// Rows of all passes but the last.
    spool: Option<Spool>,
    work: Option<Work>,
    pass: u32,
    rows: u64,
    barriers: Barriers,
    turn: Turn,
    /// Event time that the node was not told yet.
    watermark: Option<i64>,
    passed: Passed,
    has_announced_results: bool,
    is_ending: bool,
    sent_end: bool,
}

impl RoleTask {
    pub(crate) fn new(
        fed: Arc<Fed>,
        feeds: &Feeds,
        siblings: Arc<Siblings>,
        fed_by: u64,
        spill: &Path,
        context: TaskContext,
    ) -> Result<Self, Cause> {
        let seat = feeds.seat(&fed.role, context.task, fed_by);
        let spool =
            (fed.passes > 1).then(|| Spool::new(spill, fed.view.unpacked(), fed.runtime.clone()));
        Ok(Self {
            node: Node::new(seat, fed.runtime.clone()),
            siblings,
            pending: Pending::default(),
            rest: VecDeque::new(),
            handed_over: 0,
            spool: spool.transpose()?,
            work: None,
            pass: 0,
            rows: 0,
            barriers: Barriers::default(),
            turn: Turn::Sibling,
            watermark: None,
            passed: Passed::default(),
            has_announced_results: false,
            is_ending: false,
            sent_end: false,
            fed,
            context,
        })
    }

    fn task(&self) -> usize {
        self.context.task
    }

    fn answers(&self) -> bool {
        self.fed.results.is_some()
    }

    fn name(&self) -> String {
        self.node.seat.node()
    }

    fn drop_rows(&self, rows: usize) {
        self.context
            .counters
            .dropped
            .fetch_add(rows as u64, Relaxed);
    }

    // -------------------------------------------------------------------------------------------------------- to the node

    /// Rows of the input, however many.
    async fn feed(&mut self, share: Share, output: &mut Output<'_>) -> Result<(), Cause> {
        for start in (0..share.rows()).step_by(self.fed.rows) {
            let rows = self.fed.rows.min(share.rows() - start);
            let part = share.slice(start, rows);
            if self.node.has_ended() {
                self.keep_for_others(rows, Some(part));
                self.pass_on_rest().await?;
                continue;
            }
            let behind = share.rows() - start - rows;
            let seen = Seen {
                rows: self.fed.view.of(&part.batch)?,
                padding: padding_of(&share.batch).saturating_sub(behind).min(rows),
            };
            if self.answers() {
                self.write_to_be_answered(seen, part, output).await?;
                continue;
            }
            match &mut self.spool {
                Some(spool) => {
                    spool.keep(&seen.rows, seen.padding).await?;
                    self.write(&seen, None, output).await?;
                }
                None => self.write(&seen, Some(part), output).await?,
            }
        }
        Ok(())
    }

    /// Rows that stay in the ring until they are answered: what is too large for one record becomes several batches, or the node might wait
    /// for the rest of one that has no room.
    async fn write_to_be_answered(
        &mut self,
        seen: Seen,
        share: Share,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let mut rest = VecDeque::from([(seen, share)]);
        while let Some((seen, share)) = rest.pop_front() {
            // Whatever size a body has, first there must be a channel.
            self.room(0, output).await?;
            let (columns, rows) = (self.fed.view.announced(&seen.rows), seen.rows.num_rows());
            let bytes = Body::new(&columns, &seen.rows)?.bytes();
            if self.node.has_ended() || bytes <= self.node.body_bytes_max() || rows < 2 {
                self.write(&seen, Some(share), output).await?;
                continue;
            }
            let half = rows / 2;
            let (first, second) = seen.split(half);
            rest.push_front((second, share.slice(half, rows - half)));
            rest.push_front((first, share.slice(0, half)));
        }
        Ok(())
    }

    /// One batch as the node sees it; `share` is what others get of it if the node does not.
    async fn write(
        &mut self,
        seen: &Seen,
        share: Option<Share>,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let sequences = self.write_parts(seen, output).await?;
        let Some(sequences) = sequences.filter(|_| !self.node.has_ended()) else {
            self.keep_for_others(seen.rows.num_rows(), share);
            return self.pass_on_rest().await;
        };
        self.pending.push(Written {
            sequences,
            position: self.node.position(),
            share,
            rows: seen.rows.num_rows(),
            padding: seen.padding,
            results: Vec::new(),
            is_answered: false,
        });
        if !self.answers() {
            self.pending.forget_read(self.node.read());
        }
        Ok(())
    }

    /// As few records as the ring takes. Their numbers; `None`: the node has ended before the last one.
    async fn write_parts(
        &mut self,
        seen: &Seen,
        output: &mut Output<'_>,
    ) -> Result<Option<RangeInclusive<u64>>, Cause> {
        // Whatever size a body has, first there must be a channel.
        if !self.room(0, output).await? {
            return Ok(None);
        }
        self.announce(&seen.rows, output).await?;
        self.tell_watermark(output).await?;
        let mut rest = seen.parts();
        let mut sequences = None;
        while let Some(part) = rest.pop_front() {
            let Some(columns) = self.node.columns().cloned() else {
                return Ok(None);
            };
            let (body, rows) = (Body::new(&columns, &part.rows)?, part.rows.num_rows());
            if body.bytes() > self.node.body_bytes_max() && rows > 1 {
                let (first, second) = part.split(rows / 2);
                rest.push_front(second);
                rest.push_front(first);
                continue;
            }
            self.check_size("a row", body.bytes())?;
            if !self.room(body.bytes(), output).await? {
                return Ok(None);
            }
            self.rows += rows as u64;
            let header = self.header_of(rows, part.padding);
            let last = self.node.put_rows(header, &body, !rest.is_empty())?;
            let first = sequences
                .as_ref()
                .map_or(last, |all: &RangeInclusive<u64>| *all.start());
            sequences = Some(first..=last);
            self.count(rows, body.bytes());
        }
        Ok(sequences)
    }

    /// Tells the node of its columns, where they are new.
    async fn announce(&mut self, seen: &RecordBatch, output: &mut Output<'_>) -> Result<(), Cause> {
        let Some(columns) = self.node.new_columns(self.fed.view.announced(seen)) else {
            return Ok(());
        };
        let body = columns.encode()?;
        self.check_size("the schema with its dictionaries", body.len())?;
        if self.room(body.len(), output).await? {
            self.node.announce(columns, &body)?;
        }
        Ok(())
    }

    fn check_size(&mut self, what: &'static str, bytes: usize) -> Result<(), Cause> {
        if bytes <= self.node.body_bytes_max() {
            return Ok(());
        }
        Err(Fault::TooLarge {
            what,
            node: self.name(),
            role: self.fed.role.clone(),
            bytes,
            wanted: (4 * bytes).div_ceil(1 << 20) + 1,
        }
        .into())
    }

    fn header_of(&self, rows: usize, padding: usize) -> Header {
        Header {
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            pass: self.pass,
            flags: if padding > 0 { FLAG_PADDING } else { 0 },
            source_offset: self.rows,
            checkpoint: self.barriers.newest,
            ..Header::new(Kind::Data)
        }
    }

    fn count(&self, rows: usize, bytes: usize) {
        let counts = &self.node.seat.counts;
        counts.rows.fetch_add(rows as u64, Relaxed);
        counts.bytes.fetch_add(bytes as u64, Relaxed);
        counts.pass.store(self.pass, Relaxed);
    }

    /// Event time goes on behind this task when everything before it is answered.
    fn pass_behind_answers(&mut self, watermark: Watermark) {
        if !self.answers() || self.pending.is_empty() {
            self.passed.pass(watermark);
        } else {
            self.pending.push_watermark(watermark);
        }
    }

    async fn tell_watermark(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        let Some(at) = self
            .watermark
            .take()
            .filter(|at| (i64::MIN + 1..i64::MAX).contains(at))
        else {
            return Ok(());
        };
        self.mark(Header::new(Kind::Watermark), &at.to_le_bytes(), output)
            .await
    }

    /// Writes a record that has no rows, unless the node has ended.
    async fn mark(
        &mut self,
        header: Header,
        body: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        if self.room(body.len(), output).await? {
            self.node
                .put(header, body.len(), |room| room.copy_from_slice(body))?;
        }
        Ok(())
    }

    /// Waits for room for such a body, and hears what the node says meanwhile; `false`: the node reads no more.
    async fn room(&mut self, bytes: usize, output: &mut Output<'_>) -> Result<bool, Cause> {
        while !self.node.has_ended() {
            let node = &mut self.node;
            match poll_fn(|context| node.poll(Some(bytes), context)).await? {
                Event::Room => return Ok(true),
                Event::Record(record) => self.hear(&record, output).await?,
            }
        }
        Ok(false)
    }

    // ---------------------------------------------------------------------------------------------------- among its siblings

    fn poll_task(&mut self, context: &mut Context<'_>) -> Poll<Work> {
        if let Poll::Ready(event) = self.node.poll(None, context) {
            return Poll::Ready(Work::Event(event));
        }
        let barrier = self.barriers.taken_behind();
        let inbox = self.siblings.poll_inbox(self.task(), barrier, context);
        if let Poll::Ready(message) = inbox {
            return Poll::Ready(Work::Sibling(message));
        }
        if !self.is_ending && (self.siblings.is_over() || self.node.seat.is_ending(context)) {
            self.is_ending = true;
            return Poll::Ready(Work::Nothing);
        }
        if !self.rest.is_empty() && !self.barriers.is_here() {
            return Poll::Ready(Work::Nothing);
        }
        Poll::Pending
    }

    async fn perform(&mut self, work: Work, output: &mut Output<'_>) -> Result<(), Cause> {
        match work {
            Work::Event(event) => {
                if let Event::Record(record) = event? {
                    self.hear(&record, output).await?;
                }
            }
            Work::Sibling(Message::Rows(share)) => {
                self.turn = Turn::Input;
                self.feed(share, output).await?;
            }
            Work::Sibling(Message::Settled(settled)) => {
                self.pending.settle(settled);
                self.emit_done(output).await?;
            }
            Work::Nothing => {}
        }
        self.pass_on_rest().await
    }

    /// Works on what comes until this is so. It is looked at anew from time to time.
    async fn until(
        &mut self,
        output: &mut Output<'_>,
        mut is_so: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Cause> {
        let clock = self.context.clock.clone();
        while !is_so(self) {
            let look_at = clock.now() + LOOKS_EVERY;
            let work = poll_fn(|context| match self.poll_task(context) {
                Poll::Ready(work) => Poll::Ready(work),
                Poll::Pending => clock.poll_at(look_at, context).map(|()| Work::Nothing),
            });
            let work = work.await;
            self.perform(work, output).await?;
        }
        Ok(())
    }

    /// Until nobody has rows that this node might get.
    async fn drain(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        self.until(output, |task| {
            let phase = if task.node.has_ended() {
                Phase::Gone
            } else if task.node.has_read_all() {
                Phase::Drained
            } else {
                Phase::Feeding
            };
            task.siblings.enter(task.task(), phase);
            task.siblings.are_drained()
        })
        .await
    }
}

#[async_trait]
impl Operator for RoleTask {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        self.pass_on_rest().await?;
        self.until(output, |task| task.pending.places() < PLACES_MAX)
            .await?;
        let owed_to = None;
        self.feed(Share { batch, owed_to }, output).await
    }

    async fn watermark(&mut self, at: i64, _: &mut Output<'_>) -> Result<i64, Cause> {
        self.watermark = Some(at);
        // Whatever waits before it, the silence is over.
        self.passed.pass(Watermark::START);
        self.pass_behind_answers(Watermark::At(at));
        Ok(self.passed.say_time())
    }

    fn idle(&mut self) -> bool {
        self.pass_behind_answers(Watermark::Idle);
        self.passed.say_silence()
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if mem::replace(&mut self.turn, Turn::Sibling) == Turn::Input {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.poll_task(context) {
            Poll::Ready(work) => self.work = Some(work),
            // Event time has come further while something else was done.
            Poll::Pending if self.passed.is_news() => self.work = None,
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    async fn work(&mut self, output: &mut Output<'_>) -> Result<Option<Watermark>, Cause> {
        if let Some(work) = self.work.take() {
            self.perform(work, output).await?;
        }
        Ok(self.passed.news())
    }

    /// The node has finished everything before the barrier when it sends it back.
    async fn barrier(&mut self, barrier: u64, output: &mut Output<'_>) -> Result<Cut, Cause> {
        self.pass_barrier(barrier, output).await
    }

    fn has_enough(&self) -> bool {
        self.is_ending || self.node.has_ended() && self.siblings.is_over()
    }

    /// Whoever reads its answers: its node is to hear of the end.
    fn needs_end(&self) -> bool {
        true
    }

    async fn end(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        self.barriers.are_over = true;
        let is_cut = self.is_ending && self.fed.is_bounded;
        self.pass_on_rest().await?;
        let has_siblings = self.context.parallelism > 1 && self.siblings.passes_rows_on();
        if has_siblings && self.fed.passes == 1 && !self.is_ending {
            self.drain(output).await?;
        }
        if !self.node.has_ended() {
            self.end_pass(output).await?;
        }
        self.next_passes(output).await?;
        self.send_end(output).await?;
        // Others answer what this node has left to them.
        self.until(output, |task| task.pending.is_empty()).await?;
        if is_cut && self.answers() && self.node.seat.all_are_ending() {
            // Half of a table looks like a whole one: what comes out of it is given up, once all nodes have what they were given.
            self.until(output, |task| task.node.seat.all_have_ended())
                .await?;
            return Err(Error::Stopped.into());
        }
        Ok(())
    }
}

/// The rows of a batch with what a node has answered, side by side.
pub(crate) fn in_one(results: &[RecordBatch]) -> Result<Option<RecordBatch>, Cause> {
    Ok(match results {
        [] => None,
        [one] => Some(one.clone()),
        [first, ..] => Some(concat_batches(&first.schema(), results)?),
    })
}

impl Drop for RoleTask {
    fn drop(&mut self) {
        if let Some(why) = self.context.failure.text()
            && !self.sent_end
        {
            self.node.fail(why);
        }
    }
}
