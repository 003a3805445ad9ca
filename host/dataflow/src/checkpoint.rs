//! Consistent cuts: barriers go in at the sources, states come in from every task.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Watermark;

/// The state of one task at a barrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskState {
    /// Of a source: where it stands. Of an operator: what it knows. In the order of the task.
    pub(crate) operators: Vec<Vec<u8>>,
    /// Of each exchange behind the task: the rows that wait there.
    pub(crate) exchanges: Vec<Vec<u8>>,
    /// Of each queue before the task, or of the source.
    pub(crate) watermarks: Vec<Watermark>,
}

/// The state of a whole dataflow at one barrier: what came before it has been worked in, what came after it has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number.
    pub barrier: u64,
    /// By the operators of a task and its number.
    pub(crate) tasks: BTreeMap<(Arc<str>, usize), TaskState>,
}

impl Checkpoint {
    /// The bytes of all states.
    pub fn size(&self) -> usize {
        let states = self
            .tasks
            .values()
            .flat_map(|task| task.operators.iter().chain(&task.exchanges));
        states.map(Vec::len).sum()
    }
}

#[derive(Debug, Default)]
struct State {
    tasks: usize,
    /// Barriers that sources have not taken yet, for each source task.
    orders: Vec<(Vec<u64>, Option<Waker>)>,
    ends_sources: bool,
    /// The last word of tasks that have ended: part of every later checkpoint.
    ended: BTreeMap<(Arc<str>, usize), TaskState>,
    open: BTreeMap<u64, BTreeMap<(Arc<str>, usize), TaskState>>,
    done: BTreeMap<u64, Checkpoint>,
    is_over: bool,
}

/// What tasks and those outside share: orders to sources, states of tasks.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    state: Mutex<State>,
    changed: Condvar,
}

impl Coordinator {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn expect(&self, tasks: usize) {
        self.state().tasks = tasks;
    }

    /// A source task reports for orders; its number.
    pub(crate) fn enlist(&self) -> usize {
        let mut state = self.state();
        state.orders.push((Vec::new(), None));
        state.orders.len() - 1
    }

    /// Sends a barrier through the dataflow.
    pub(crate) fn trigger(&self, barrier: u64) {
        let mut state = self.state();
        state.open.insert(barrier, BTreeMap::new());
        state
            .orders
            .iter_mut()
            .for_each(|(barriers, _)| barriers.push(barrier));
        state.complete();
        wake(state);
        self.changed.notify_all();
    }

    /// Sources end where they are.
    pub(crate) fn end_sources(&self) {
        let mut state = self.state();
        state.ends_sources = true;
        wake(state);
    }

    /// What a source task has to do before it goes on reading.
    pub(crate) fn poll_order(&self, source: usize, context: &mut Context<'_>) -> Poll<Order> {
        let mut state = self.state();
        let ends = state.ends_sources;
        let (barriers, waker) = &mut state.orders[source];
        if !barriers.is_empty() {
            return Poll::Ready(Order::Barrier(barriers.remove(0)));
        }
        if ends {
            return Poll::Ready(Order::End);
        }
        *waker = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn report(&self, barrier: u64, task: (Arc<str>, usize), taken: TaskState) {
        let mut state = self.state();
        // An unknown one was given up.
        if let Some(states) = state.open.get_mut(&barrier) {
            states.insert(task, taken);
        }
        state.complete();
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn report_end(&self, task: (Arc<str>, usize), last: TaskState) {
        let mut state = self.state();
        state.ended.insert(task, last);
        state.complete();
        drop(state);
        self.changed.notify_all();
    }

    /// The barrier goes on, but nobody waits for it.
    pub(crate) fn give_up(&self, barrier: u64) {
        self.state().open.remove(&barrier);
        self.changed.notify_all();
    }

    /// The dataflow runs no more.
    pub(crate) fn close(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
    }

    /// Takes a checkpoint that is complete.
    pub(crate) fn take(&self, barrier: u64) -> Option<Checkpoint> {
        self.state().done.remove(&barrier)
    }

    /// Waits until it is complete; `None` if it will not be.
    pub(crate) fn wait(&self, barrier: u64) -> Option<Checkpoint> {
        let mut state = self.state();
        loop {
            if let Some(done) = state.done.remove(&barrier) {
                return Some(done);
            }
            if state.is_over || !state.open.contains_key(&barrier) {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    /// Closes the checkpoints that every task has a part in.
    fn complete(&mut self) {
        let Self {
            tasks,
            ended,
            open,
            done,
            ..
        } = self;
        let is_complete = |states: &BTreeMap<_, _>| {
            states.len()
                + ended
                    .keys()
                    .filter(|task| !states.contains_key(*task))
                    .count()
                == *tasks
        };
        for (barrier, mut states) in open.extract_if(.., |_, states| is_complete(states)) {
            for (task, last) in ended.iter() {
                states.entry(task.clone()).or_insert_with(|| last.clone());
            }
            done.insert(
                barrier,
                Checkpoint {
                    barrier,
                    tasks: states,
                },
            );
        }
    }
}

/// What a source is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Barrier(u64),
    End,
}

fn wake(mut state: MutexGuard<'_, State>) {
    let wakers: Vec<_> = state
        .orders
        .iter_mut()
        .filter_map(|(_, waker)| waker.take())
        .collect();
    drop(state);
    wakers.into_iter().for_each(Waker::wake);
}
