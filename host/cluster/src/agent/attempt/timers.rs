//! The timers of one attempt, at most one of each kind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// It should be ready by now.
    NotReady,
    /// Its script should have asked for its node by now.
    NotAttached,
    /// It has stalled before it was ready, for too long.
    KillNotReady,
    /// It is time to ask its interpreter for a sign of life.
    Ping,
    /// Its interpreter should have answered by now.
    NoPong,
    /// It should have reported again by now.
    NoProgress,
    /// It stands still for too long.
    KillStalled,
    /// Its work is done and its process stays.
    Lingering,
    /// An exception has left its script, and its process stays.
    Raised,
    /// Its grace is over.
    Kill,
    /// Its parent should have ended everything by now.
    GiveUp,
}

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<Timer, Instant>);

impl Timers {
    /// A time that no clock reaches is no timer.
    pub(super) fn start(&mut self, timer: Timer, now: Instant, after: Duration) {
        if let Some(at) = now.checked_add(after) {
            self.0.insert(timer, at);
        }
    }

    /// A running one stays where it is earlier.
    pub(super) fn start_earlier(&mut self, timer: Timer, now: Instant, after: Duration) {
        let running = self.0.get(&timer).copied();
        self.start(timer, now, after);
        if let (Some(running), Some(at)) = (running, self.0.get_mut(&timer)) {
            *at = running.min(*at);
        }
    }

    /// A limit of 0 ms is none.
    pub(super) fn start_unless_zero(&mut self, timer: Timer, now: Instant, after_ms: u64) {
        if after_ms > 0 {
            self.start(timer, now, Duration::from_millis(after_ms));
        }
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Takes out one that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let timer = self
            .0
            .iter()
            .find(|(_, at)| **at <= now)
            .map(|(timer, _)| *timer)?;
        self.0.remove(&timer);
        Some(timer)
    }
}
