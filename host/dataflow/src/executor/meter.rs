//! What a task does with its time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a task waits for that has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Rows to come.
    Input,
    /// Room behind it, or, of a sink, for what it writes to.
    Output,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) busy: Duration,
    pub(crate) idle: Duration,
    pub(crate) back_pressured: Duration,
    pub(crate) has_ended: bool,
}

#[derive(Debug)]
struct State {
    times: Times,
    waiting: Waiting,
    /// Since when it waits or computes.
    since: Instant,
    computes: bool,
}

impl State {
    /// The times with the one that runs now.
    fn times(&self, now: Instant) -> Times {
        let mut times = self.times;
        let spent = now.duration_since(self.since);
        match (times.has_ended, self.computes, self.waiting) {
            (true, _, _) => {}
            (false, true, _) => times.busy += spent,
            (false, false, Waiting::Input) => times.idle += spent,
            (false, false, Waiting::Output) => times.back_pressured += spent,
        }
        times
    }

    fn turn(&mut self, computes: bool) {
        let now = Instant::now();
        self.times = self.times(now);
        (self.since, self.computes) = (now, computes);
    }
}

/// Measures one task.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<State>);

impl Default for Meter {
    fn default() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            times: Times::default(),
            waiting: Waiting::Input,
            since: now,
            computes: false,
        }))
    }
}

impl Meter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn waits(&self, waiting: Waiting) {
        self.state().waiting = waiting;
    }

    pub(super) fn begins(&self) {
        self.state().turn(true);
    }

    pub(super) fn pauses(&self) {
        self.state().turn(false);
    }

    pub(super) fn ends(&self) {
        let mut state = self.state();
        state.turn(false);
        state.times.has_ended = true;
    }

    pub(crate) fn times(&self) -> Times {
        self.state().times(Instant::now())
    }

    /// What the task waits for.
    pub(crate) fn waiting(&self) -> Waiting {
        self.state().waiting
    }
}
