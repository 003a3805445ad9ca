//! A node that stands still: silent after it had reported, or with an interpreter that does not answer. It is told of with
//! its stacks, again each time that the time has doubled, and killed when it does not move for too long.

use std::time::{Duration, Instant};

use super::{Effect, Life, OWN_GRACE};
use crate::agent::attempt::timers::Timer;
use crate::wire::cluster::{KnownCause, StallKind};
use crate::wire::node::{Ping, down};

/// The longest time between two pings; there are several in the time that an answer may take.
const PING_EVERY: Duration = Duration::from_secs(5);
const PINGS_IN_TIME: u32 = 4;

/// What is known of its movements.
#[derive(Debug, Default)]
pub(super) struct Watchfulness {
    pings: u64,
    /// How long it has been without an answer, and without a report, when it is told next.
    unanswered_ms: u64,
    silent_ms: u64,
    /// In which way it stands still.
    stalled: Option<StallKind>,
}

impl Life {
    /// An interpreter has said hello.
    pub(super) fn watch_interpreter(&mut self, now: Instant) {
        if self.limits.respond_within_ms == 0 || self.may_be_still() {
            return;
        }
        let every = self.ping_every();
        self.timers.start(Timer::Ping, now, every);
        self.has_answered(now);
    }

    fn ping_every(&self) -> Duration {
        let answer_within = Duration::from_millis(self.limits.respond_within_ms);
        PING_EVERY.min(answer_within / PINGS_IN_TIME)
    }

    /// Its work is done, its end is wanted, or nobody is there who could answer.
    pub(super) fn watch_nobody(&mut self) {
        for timer in [
            Timer::Ping,
            Timer::NoPong,
            Timer::NoProgress,
            Timer::KillStalled,
        ] {
            self.timers.clear(timer);
        }
    }

    /// Whoever has said hello is gone, or says nothing any more.
    pub(in crate::agent::attempt) fn hung_up(&mut self) {
        self.speaker = None;
        self.watch_nobody();
        self.timers.clear(Timer::Raised);
    }

    /// Its end is wanted, its work is done or its script is over: then it may be as still as it likes.
    fn may_be_still(&self) -> bool {
        let is_over = self.done || self.error.is_some();
        is_over || self.stop_asked || !self.agent_stopped.is_empty()
    }

    pub(super) fn has_answered(&mut self, now: Instant) {
        if self.may_be_still() {
            return;
        }
        self.watch.unanswered_ms = self.limits.respond_within_ms;
        self.timers
            .start_unless_zero(Timer::NoPong, now, self.limits.respond_within_ms);
        self.moves(StallKind::Unresponsive);
    }

    pub(super) fn has_reported(&mut self, now: Instant) {
        if self.may_be_still() {
            return;
        }
        self.watch.silent_ms = self.limits.report_within_ms;
        self.timers
            .start_unless_zero(Timer::NoProgress, now, self.limits.report_within_ms);
        self.moves(StallKind::NoProgress);
    }

    fn moves(&mut self, kind: StallKind) {
        if self.watch.stalled == Some(kind) {
            self.watch.stalled = None;
            self.timers.clear(Timer::KillStalled);
        }
    }

    pub(super) fn standing_still(&mut self, timer: Timer, now: Instant) -> Vec<Effect> {
        match timer {
            Timer::Ping => {
                let every = self.ping_every();
                self.timers.start(Timer::Ping, now, every);
                self.watch.pings += 1;
                self.send(down::Message::Ping(Ping {
                    number: self.watch.pings,
                }))
            }
            Timer::NoPong => {
                let for_ms = self.watch.unanswered_ms;
                self.watch.unanswered_ms = for_ms.saturating_mul(2);
                self.timers.start_unless_zero(Timer::NoPong, now, for_ms);
                self.stands_still(StallKind::Unresponsive, for_ms, now)
            }
            Timer::NoProgress => {
                let for_ms = self.watch.silent_ms;
                self.watch.silent_ms = for_ms.saturating_mul(2);
                self.timers
                    .start_unless_zero(Timer::NoProgress, now, for_ms);
                self.stands_still(StallKind::NoProgress, for_ms, now)
            }
            _ => {
                self.cause = KnownCause::Stalled;
                self.end("it stands still", OWN_GRACE, now)
            }
        }
    }

    fn stands_still(&mut self, kind: StallKind, for_ms: u64, now: Instant) -> Vec<Effect> {
        if self.watch.stalled.replace(kind).is_none() {
            self.timers
                .start_unless_zero(Timer::KillStalled, now, self.limits.stall_kill_ms);
        }
        vec![self.stalled(kind, for_ms)]
    }
}
