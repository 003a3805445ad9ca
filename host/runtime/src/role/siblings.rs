//! What the tasks of one role know of each other: rows that a node does not want any more go to the others, so nobody gets the end of its
//! input before all others have read theirs.
//!
//! Their answers go back to the task that had the rows first, which keeps their place: so batches come out of a task in the order of its
//! input, and event time behind them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use arrow_array::RecordBatch;
use forebay_dataflow::{Cause, key};

/// Batches of one task that wait in the inbox of another one at most.
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

/// Rows as they came from the input, and who waits for their answers.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) batch: RecordBatch,
    /// `None`: the task that has them.
    pub(crate) owed_to: Option<Place>,
}

/// A place in the order of a task that is kept for rows that others have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) task: usize,
    pub(crate) number: u64,
    /// Of the place's rows, the first that is meant.
    pub(crate) row: usize,
}

impl Share {
    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    pub(crate) fn slice(&self, start: usize, rows: usize) -> Self {
        Self {
            batch: self.batch.slice(start, rows),
            owed_to: self.owed_to.map(|place| Place {
                row: place.row + start,
                ..place
            }),
        }
    }
}

/// Rows on their way to another task.
#[derive(Debug)]
struct Handover {
    share: Share,
    from: usize,
    /// The newest barrier that had passed their task.
    barrier: u64,
}

/// Rows that another task had, and is done with.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) place: Place,
    pub(crate) rows: usize,
    /// With their answers; `None`: nobody has read them.
    pub(crate) answered: Option<RecordBatch>,
}

/// What comes from another task.
#[derive(Debug)]
pub(crate) enum Message {
    Rows(Share),
    Settled(Settled),
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
    inbox: VecDeque<Handover>,
    settled: VecDeque<Settled>,
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

    /// Whether all have come to this barrier, or have nothing more to pass on, and this task has taken what they had passed on before it.
    pub(crate) fn have_reached(&self, task: usize, barrier: u64) -> bool {
        let members = self.members();
        let has = |member: &Member| member.barrier >= barrier || member.phase > Phase::Closed;
        let mut inbox = members[task].inbox.iter();
        members.iter().all(has) && inbox.all(|handover| handover.barrier >= barrier)
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

    /// What others have for this task; else it is woken when they have something, or when one of them is further. Rows behind a barrier that
    /// has not passed this task wait.
    pub(crate) fn poll_inbox(
        &self,
        task: usize,
        barrier: u64,
        context: &mut Context<'_>,
    ) -> Poll<Message> {
        let mut members = self.members();
        let member = &mut members[task];
        if let Some(settled) = member.settled.pop_front() {
            return Poll::Ready(Message::Settled(settled));
        }
        let mut inbox = member.inbox.iter();
        let first = inbox.position(|handover| handover.barrier <= barrier);
        let Some(handover) = first.and_then(|first| member.inbox.remove(first)) else {
            member.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        member.phase = match member.phase {
            Phase::Drained => Phase::Feeding,
            Phase::Gone => Phase::Closed,
            phase => phase,
        };
        wake_all(members);
        Poll::Ready(Message::Rows(handover.share))
    }

    /// Rows that were passed on to this task, which takes none any more.
    pub(crate) fn refuse_inbox(&self, task: usize) -> Vec<Share> {
        let mut members = self.members();
        let inbox = std::mem::take(&mut members[task].inbox);
        inbox.into_iter().map(|handover| handover.share).collect()
    }

    /// Somebody is done with rows that this place is kept for.
    pub(crate) fn settle(&self, place: Place, rows: usize, answered: Option<RecordBatch>) {
        let mut members = self.members();
        let member = &mut members[place.task];
        member.settled.push_back(Settled {
            place,
            rows,
            answered,
        });
        let waker = member.waker.take();
        drop(members);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Gives these rows, which are behind a barrier, to those who are to have them, once there is room for all; `None`: nobody reads any more.
    pub(crate) fn poll_pass_on(
        &self,
        task: usize,
        barrier: u64,
        share: &Share,
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
                    .map(|&other| (other, share.batch.clone()))
                    .into_iter()
                    .collect()
            }
            Passing::ByKey(columns) => match by_key(&share.batch, columns, &readers) {
                Ok(parts) => parts,
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        let has_room = |&(other, _): &(usize, RecordBatch)| {
            let inbox = members[other].inbox.iter();
            inbox.filter(|handover| handover.from == task).count() < INBOX_BATCHES
        };
        if !parts.iter().all(has_room) {
            return Poll::Pending;
        }
        for (other, batch) in parts {
            let owed_to = share.owed_to;
            members[other].inbox.push_back(Handover {
                share: Share { batch, owed_to },
                from: task,
                barrier,
            });
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
