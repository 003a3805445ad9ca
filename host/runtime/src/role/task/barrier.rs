//! How a barrier passes a node: behind everything that it and its siblings were given before.

use forebay_channel::{Header, Kind};
use forebay_dataflow::{Cause, Cut, Output};

use super::RoleTask;

/// How far barriers are with a task.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    /// The newest one that its node was to be given.
    pub(super) newest: u64,
    /// The newest one that is behind it.
    pub(super) passed: u64,
    /// The newest one that its node has sent back.
    pub(super) echoed: u64,
    /// One that the node has not sent back, and its number in the ring.
    pub(super) awaited: Option<(u64, u64)>,
    /// None comes any more.
    pub(super) are_over: bool,
}

impl Barriers {
    /// One is with the node: what the node leaves meanwhile waits, or others might wait for this task, and this task for them.
    pub(super) fn is_here(&self) -> bool {
        self.newest > self.passed
    }

    /// Rows of siblings are taken that are behind this one, or before it.
    pub(super) fn taken_behind(&self) -> u64 {
        if self.are_over { u64::MAX } else { self.passed }
    }
}

impl RoleTask {
    /// Brings a barrier to the node, and waits until it is done with what was before it; what came of that.
    pub(super) async fn pass_barrier(
        &mut self,
        barrier: u64,
        output: &mut Output<'_>,
    ) -> Result<Cut, Cause> {
        self.pass_on_rest().await?;
        // What a node leaves from here on, others may read behind the barrier.
        let handed_over = self.handed_over;
        self.siblings.reach(self.task(), barrier);
        self.until(output, |task| {
            task.siblings.have_reached(task.task(), barrier)
        })
        .await?;
        self.barriers.newest = barrier;
        let give_up_at = self.context.clock.now() + self.fed.acknowledge_within;
        let is_too_late = move |task: &Self| {
            task.handed_over != handed_over || task.context.clock.now() >= give_up_at
        };
        self.until(output, |task| task.node.has_channel() || is_too_late(task))
            .await?;
        if self.node.has_channel() {
            self.send_barrier(barrier, output).await?;
            self.until(output, |task| {
                task.is_done_before(barrier) || is_too_late(task)
            })
            .await?;
        }
        self.barriers.passed = barrier;
        let is_clean = self.is_done_before(barrier) && self.handed_over == handed_over;
        Ok(if is_clean { Cut::Clean } else { Cut::GivenUp })
    }

    /// Whether its node has done everything before this barrier; if it has ended, others what it has left to them.
    fn is_done_before(&self, barrier: u64) -> bool {
        self.barriers.echoed >= barrier || self.node.has_ended() && self.pending.is_empty()
    }

    async fn send_barrier(&mut self, barrier: u64, output: &mut Output<'_>) -> Result<(), Cause> {
        if let Some((_, given_up)) = self.barriers.awaited.take() {
            // Nobody waits for it any more, and its place is wanted.
            self.node.answered(given_up..=given_up)?;
        }
        let header = Header {
            checkpoint: barrier,
            ..Header::new(Kind::Barrier)
        };
        if self.room(0, output).await? {
            let sequence = self.node.put(header, 0, |_| ())?;
            self.barriers.awaited = Some((barrier, sequence));
        }
        Ok(())
    }
}
