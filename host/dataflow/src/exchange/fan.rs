//! The way out of a task: to every exchange that reads its last operator.

use std::future::poll_fn;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;

use super::deal::Target;
use super::{Deal, Rounds, Sender, Weight};
use crate::chain::Owner;
use crate::element::{Element, Told, Watermark};
use crate::error::{Cause, Error};

/// One exchange, seen from the task before it.
#[derive(Debug)]
pub(crate) struct Edge {
    deal: Deal,
    targets: Vec<Sender>,
    /// Who is asked first, where who is idle gets the next batch.
    next: usize,
}

/// All exchanges behind a task.
#[derive(Debug)]
pub(crate) struct Fan {
    /// The last operator of the task.
    owner: Owner,
    edges: Vec<Edge>,
    told: Told,
}

impl Fan {
    pub(crate) fn new(owner: Owner, edges: Vec<Edge>) -> Self {
        Self {
            owner,
            edges,
            told: Told::default(),
        }
    }

    pub(crate) async fn send(&mut self, batch: RecordBatch) -> Result<(), Error> {
        for edge in &mut self.edges {
            let dealt = edge
                .deal
                .deal(batch.clone(), edge.targets.len())
                .map_err(|cause| self.owner.blame(cause))?;
            edge.send(dealt).await;
            if let Some(watermark) = edge.deal.rounds().and_then(Rounds::due) {
                edge.tell(&Element::Watermark(watermark));
            }
        }
        Ok(())
    }

    /// Only a watermark that says something new goes on.
    pub(crate) fn watermark(&mut self, watermark: Watermark) {
        let Some(watermark) = self.told.advance(watermark) else {
            return;
        };
        for edge in &mut self.edges {
            let held = edge.deal.rounds().map(|rounds| {
                rounds.hold(watermark);
                rounds.due()
            });
            if let Some(watermark) = held.unwrap_or(Some(watermark)) {
                edge.tell(&Element::Watermark(watermark));
            }
        }
    }

    pub(crate) fn barrier(&mut self, barrier: u64) {
        for edge in &mut self.edges {
            edge.tell(&Element::Barrier(barrier));
        }
    }

    pub(crate) async fn end(&mut self) -> Result<(), Error> {
        for edge in &mut self.edges {
            let dealt = edge.deal.rest().map_err(|cause| self.owner.blame(cause))?;
            edge.send(dealt).await;
            edge.tell(&Element::End);
        }
        Ok(())
    }

    /// Whether there were readers, and none of them reads any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        let mut targets = self.edges.iter().flat_map(|edge| &edge.targets).peekable();
        targets.peek().is_some() && targets.all(Sender::is_abandoned)
    }

    pub(crate) fn snapshot(&self) -> Result<Vec<Vec<u8>>, Error> {
        let states = self.edges.iter().map(|edge| edge.deal.snapshot());
        states
            .map(|state| state.map_err(|cause| self.owner.blame(cause)))
            .collect()
    }

    pub(crate) fn restore(&mut self, states: &[Vec<u8>]) -> Result<(), Cause> {
        if states.len() != self.edges.len() {
            return Err(format!(
                "it has {} exchanges behind it, not {}",
                self.edges.len(),
                states.len()
            )
            .into());
        }
        self.edges
            .iter_mut()
            .zip(states)
            .try_for_each(|(edge, state)| edge.deal.restore(state))
    }
}

impl Edge {
    /// Of the task with this number.
    pub(crate) fn new(task: usize, deal: Deal, targets: Vec<Sender>) -> Self {
        let next = task % targets.len().max(1);
        Self {
            deal,
            targets,
            next,
        }
    }

    async fn send(&mut self, dealt: Vec<(Target, RecordBatch)>) {
        for (target, batch) in dealt {
            if batch.num_rows() == 0 {
                continue;
            }
            let weight = Weight::of(&batch);
            let target = match target {
                Target::This(target) => {
                    let sender = &self.targets[target];
                    poll_fn(|context| sender.poll_room(weight, context)).await;
                    Some(target)
                }
                Target::Idle => poll_fn(|context| self.poll_idle(context)).await,
            };
            if let Some(target) = target {
                self.targets[target].push(weight, Element::Batch(batch));
            }
        }
    }

    /// Whoever has nothing to do: each first in its turn. Who reads no more is left out; `None`: nobody reads any more.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Option<usize>> {
        let count = self.targets.len();
        let turns = (0..count).map(|turn| (self.next + turn) % count);
        let mut nobody_reads = true;
        for target in turns.filter(|&target| !self.targets[target].is_abandoned()) {
            nobody_reads = false;
            if self.targets[target].poll_empty(context).is_ready() {
                self.next = (target + 1) % count;
                return Poll::Ready(Some(target));
            }
        }
        if nobody_reads {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }

    fn tell(&self, element: &Element) {
        for target in &self.targets {
            target.push(Weight::default(), element.clone());
        }
    }
}
