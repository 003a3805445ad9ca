//! What the tasks of one role know of each other: rows that a node does not want any more go to the others, so nobody gets the end of its
//! input before all others have read theirs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use arrow_array::RecordBatch;
use forebay_dataflow::{Cause, key};

/// Batches that wait for one task at most.
const INBOX_BATCHES: usize = 4;

/// How rows of a node that reads no more find another one.
#[derive(Clone, Debug)]
pub(crate) enum Passing {
    /// They do not: all nodes get as many, so nobody gets more.
    Nobody,
    /// To whoever has least to do.
    Anybody,
    /// Rows with equal values in these columns to the same one.
    ByKey(Vec<usize>),
}

/// All tasks of a role.
#[derive(Debug)]
pub(crate) struct Siblings {
    passing: Passing,
    members: Mutex<Vec<Member>>,
}

#[derive(Debug, Default)]
struct Member {
    phase: Phase,
    /// The newest barrier that has come to it.
    barrier: u64,
    inbox: VecDeque<RecordBatch>,
    waker: Option<Waker>,
}

/// How far a task is with its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    #[default]
    Feeding,
    /// Its node reads no more, and the rest of its rows goes to others.
    Closed,
    /// Its input has ended, and its node has read all of it.
    Drained,
    /// Its node reads no more, and nothing is left of its rows.
    Gone,
    /// Its node has been sent the end.
    Ended,
}

impl Phase {
    fn reads(self) -> bool {
        matches!(self, Self::Feeding | Self::Drained)
    }
}

impl Siblings {
    pub(crate) fn new(count: usize, passing: Passing) -> Arc<Self> {
        let members = (0..count).map(|_| Member::default()).collect();
        Arc::new(Self {
            passing,
            members: Mutex::new(members),
        })
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn passes_rows_on(&self) -> bool {
        !matches!(self.passing, Passing::Nobody)
    }

    /// Everybody looks again what there is to do.
    pub(crate) fn enter(&self, task: usize, phase: Phase) {
        let mut members = self.members();
        if members[task].phase != phase {
            members[task].phase = phase;
            wake_all(members);
        }
    }

    pub(crate) fn reach(&self, task: usize, barrier: u64) {
        let mut members = self.members();
        members[task].barrier = barrier;
        wake_all(members);
    }

    /// Whether all have come to this barrier, or have nothing more to pass on.
    pub(crate) fn have_reached(&self, barrier: u64) -> bool {
        let members = self.members();
        let has = |member: &Member| member.barrier >= barrier || member.phase > Phase::Closed;
        members.iter().all(has)
    }

    /// Whether nobody has rows any more that others might get.
    pub(crate) fn are_drained(&self) -> bool {
        let members = self.members();
        members
            .iter()
            .all(|member| member.phase > Phase::Closed && member.inbox.is_empty())
    }

    /// Whether a node reads no more, so that nobody of a role with rounds may get more.
    pub(crate) fn is_over(&self) -> bool {
        let closed = |member: &Member| matches!(member.phase, Phase::Closed | Phase::Gone);
        let members = self.members();
        match self.passing {
            Passing::Nobody => members.iter().any(closed),
            Passing::Anybody | Passing::ByKey(_) => members.iter().all(closed),
        }
    }

    pub(crate) fn have_ended(&self) -> bool {
        let members = self.members();
        let has = |member: &Member| matches!(member.phase, Phase::Ended | Phase::Gone);
        members.iter().all(has)
    }

    /// What others have passed on to this task; else it is woken when they do, or when one of them is further.
    pub(crate) fn poll_inbox(&self, task: usize, context: &mut Context<'_>) -> Poll<RecordBatch> {
        let mut members = self.members();
        members[task].waker = Some(context.waker().clone());
        match members[task].inbox.pop_front() {
            Some(batch) => {
                wake_all(members);
                Poll::Ready(batch)
            }
            None => Poll::Pending,
        }
    }

    /// Who gets which of these rows, and whether they all have room; `None`: nobody reads any more.
    pub(crate) fn poll_pass_on(
        &self,
        task: usize,
        batch: &RecordBatch,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<()>, Cause>> {
        let mut members = self.members();
        let readers: Vec<usize> = (0..members.len())
            .filter(|&other| other != task && members[other].phase.reads())
            .collect();
        if readers.is_empty() {
            return Poll::Ready(Ok(None));
        }
        members[task].waker = Some(context.waker().clone());
        let parts = match &self.passing {
            Passing::Nobody => return Poll::Ready(Ok(None)),
            Passing::Anybody => {
                let least = readers
                    .iter()
                    .min_by_key(|&&other| members[other].inbox.len());
                least
                    .map(|&other| (other, batch.clone()))
                    .into_iter()
                    .collect()
            }
            Passing::ByKey(columns) => match by_key(batch, columns, &readers) {
                Ok(parts) => parts,
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        let has_room =
            |&(other, _): &(usize, RecordBatch)| members[other].inbox.len() < INBOX_BATCHES;
        if !parts.iter().all(has_room) {
            return Poll::Pending;
        }
        for (other, part) in parts {
            members[other].inbox.push_back(part);
        }
        wake_all(members);
        Poll::Ready(Ok(Some(())))
    }
}

fn by_key(
    batch: &RecordBatch,
    columns: &[usize],
    readers: &[usize],
) -> Result<Vec<(usize, RecordBatch)>, Cause> {
    let parts = key::split(batch, columns, readers.len())?.into_iter();
    Ok(parts
        .map(|(reader, part)| (readers[reader], part))
        .collect())
}

fn wake_all(mut members: MutexGuard<'_, Vec<Member>>) {
    let wakers: Vec<_> = members
        .iter_mut()
        .filter_map(|member| member.waker.take())
        .collect();
    drop(members);
    wakers.into_iter().for_each(Waker::wake);
}
