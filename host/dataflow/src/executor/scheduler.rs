//! Which task may run: those that were woken, and those whose time has come. Who runs them is another matter.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::Clock;
use super::meter::{Meter, Waiting};
use crate::error::{Error, Failure};

/// A task as it runs.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// What the scheduler is to know of a task.
pub(crate) struct Task {
    /// Its operators, for people.
    pub(crate) name: String,
    pub(crate) number: usize,
    pub(crate) meter: Arc<Meter>,
    pub(crate) work: Work,
}

/// A task's part in the schedule.
pub(super) struct Cell {
    name: String,
    number: usize,
    meter: Arc<Meter>,
    scheduler: Arc<Scheduler>,
    mark: AtomicU8,
    /// `None` when it has ended.
    work: Mutex<Option<Work>>,
}

const WAITS: u8 = 0;
const READY: u8 = 1;
const RUNS: u8 = 2;
/// It was woken while it ran.
const RUNS_AGAIN: u8 = 3;

impl Wake for Cell {
    fn wake(self: Arc<Self>) {
        let woken =
            self.mark
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |mark| match mark {
                    WAITS => Some(READY),
                    RUNS => Some(RUNS_AGAIN),
                    _ => None,
                });
        if woken == Ok(WAITS) {
            self.scheduler.clone().ready(self);
        }
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell({}, {})", self.name, self.number)
    }
}

impl Cell {
    pub(super) fn is_live(&self) -> bool {
        self.work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    pub(super) fn is_waiting_for(&self) -> String {
        let what = match self.meter.waiting() {
            Waiting::Input => "input",
            Waiting::Output => "room behind it",
        };
        format!("`{}` (task {}) waits for {what}", self.name, self.number)
    }

    /// Lets the task run until it waits.
    pub(super) fn run(self: Arc<Self>) {
        self.mark.store(RUNS, Ordering::Release);
        self.meter.begins();
        let outcome = self.poll();
        match outcome {
            Poll::Pending => {
                self.meter.pauses();
                if self
                    .mark
                    .compare_exchange(RUNS, WAITS, Ordering::AcqRel, Ordering::Acquire)
                    .is_err()
                {
                    self.mark.store(READY, Ordering::Release);
                    self.scheduler.clone().ready(self);
                }
            }
            Poll::Ready(outcome) => {
                self.meter.ends();
                // What is dropped may look.
                if let Err(error) = &outcome {
                    self.scheduler.failure.note(error);
                }
                self.drop_work();
                self.scheduler.ended(outcome);
            }
        }
    }

    fn poll(self: &Arc<Self>) -> Poll<Result<(), Error>> {
        let waker = Waker::from(self.clone());
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(work) = work.as_mut() else {
            return Poll::Pending;
        };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            work.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        polled.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Poll::Ready(Err(Error::Panicked {
                operator: self.name.clone(),
                task: self.number,
                message: message.into(),
            }))
        })
    }

    /// Ends the task where it is.
    pub(super) fn drop_work(&self) {
        let work = self
            .work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // An operator may panic while it is dropped, too.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(work)));
    }
}

/// What is to be done by when.
struct Alarm {
    at: Duration,
    waker: Waker,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<Cell>>,
    alarms: BinaryHeap<Reverse<Alarm>>,
    /// Tasks that have not ended.
    live: usize,
    /// Threads that wait for something to do.
    sleepers: usize,
    outcome: Option<Result<(), Error>>,
}

/// All tasks of a dataflow.
pub(crate) struct Scheduler {
    state: Mutex<State>,
    changed: Condvar,
    /// Tells others that all is over.
    at_end: Box<dyn Fn() + Send + Sync>,
    failure: Failure,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").finish_non_exhaustive()
    }
}

impl Scheduler {
    pub(crate) fn new(at_end: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            at_end: Box::new(at_end),
            failure: Failure::default(),
        }
    }

    /// For all tasks.
    pub(crate) fn failure(&self) -> Failure {
        self.failure.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the tasks over; all are ready.
    pub(super) fn admit(self: &Arc<Self>, tasks: Vec<Task>) -> Vec<Arc<Cell>> {
        let cells: Vec<_> = tasks
            .into_iter()
            .map(
                |Task {
                     name,
                     number,
                     meter,
                     work,
                 }| {
                    let (mark, work) = (AtomicU8::new(READY), Mutex::new(Some(work)));
                    Arc::new(Cell {
                        name,
                        number,
                        meter,
                        scheduler: self.clone(),
                        mark,
                        work,
                    })
                },
            )
            .collect();
        let mut state = self.state();
        state.live = cells.len();
        state.ready.extend(cells.iter().cloned());
        if cells.is_empty() {
            self.conclude(state, Ok(()));
        }
        cells
    }

    fn ready(&self, cell: Arc<Cell>) {
        let mut state = self.state();
        state.ready.push_back(cell);
        let sleeps = state.sleepers > 0;
        drop(state);
        if sleeps {
            self.changed.notify_one();
        }
    }

    pub(super) fn wake_at(&self, at: Duration, waker: &Waker) {
        let mut state = self.state();
        let is_known = |alarm: &Reverse<Alarm>| alarm.0.at == at && alarm.0.waker.will_wake(waker);
        if state.alarms.iter().any(is_known) {
            return;
        }
        let is_first = state.alarms.peek().is_none_or(|first| at < first.0.at);
        state.alarms.push(Reverse(Alarm {
            at,
            waker: waker.clone(),
        }));
        // The thread of this task may be held up: another one has to be up in time.
        if is_first && state.sleepers > 0 {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The time of the next alarm.
    pub(super) fn next_alarm(&self) -> Option<Duration> {
        self.state().alarms.peek().map(|alarm| alarm.0.at)
    }

    /// Wakes those whose time has come.
    pub(super) fn ring(&self, now: Duration) {
        loop {
            let mut state = self.state();
            match state.alarms.peek() {
                Some(alarm) if alarm.0.at <= now => {}
                _ => return,
            }
            let alarm = state.alarms.pop();
            drop(state);
            if let Some(Reverse(alarm)) = alarm {
                alarm.waker.wake();
            }
        }
    }

    /// One of the ready tasks, which `choose` picks among so many.
    pub(super) fn pick(&self, choose: impl FnOnce(usize) -> usize) -> Option<Arc<Cell>> {
        let mut state = self.state();
        let count = state.ready.len();
        (count > 0)
            .then(|| state.ready.swap_remove_back(choose(count)))
            .flatten()
    }

    /// The next ready task; waits for one. `None` when all is over.
    pub(super) fn next(&self, clock: &Clock) -> Option<Arc<Cell>> {
        loop {
            self.ring(clock.now());
            let mut state = self.state();
            if state.outcome.is_some() {
                return None;
            }
            if let Some(cell) = state.ready.pop_front() {
                return Some(cell);
            }
            let until = state
                .alarms
                .peek()
                .map(|alarm| alarm.0.at.saturating_sub(clock.now()));
            state.sleepers += 1;
            let mut state = match until {
                Some(time) => {
                    let waited = self.changed.wait_timeout(state, time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
            state.sleepers -= 1;
        }
    }

    fn ended(&self, outcome: Result<(), Error>) {
        let mut state = self.state();
        state.live -= 1;
        if outcome.is_err() || state.live == 0 {
            self.conclude(state, outcome);
        }
    }

    /// Ends everything.
    pub(crate) fn stop(&self, why: Error) {
        self.conclude(self.state(), Err(why));
    }

    /// The first outcome counts.
    fn conclude(&self, mut state: MutexGuard<'_, State>, outcome: Result<(), Error>) {
        if state.outcome.is_none() {
            state.outcome = Some(outcome);
            drop(state);
            self.changed.notify_all();
            (self.at_end)();
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().outcome.is_some()
    }

    /// How it ended; asked once, when it has. What is ready or asleep is forgotten: the cells would hold each other.
    pub(super) fn outcome(&self) -> Result<(), Error> {
        let mut state = self.state();
        let (ready, alarms) = (
            std::mem::take(&mut state.ready),
            std::mem::take(&mut state.alarms),
        );
        let outcome = state
            .outcome
            .replace(Err(Error::Stopped))
            .unwrap_or(Err(Error::Stopped));
        drop(state);
        drop((ready, alarms));
        outcome
    }
}
