//! A node that stands still: silent after it had reported, or, where it is fed, without a move although input waits; or with an
//! interpreter that does not answer. It is told of with its stacks, again each time that the time has doubled, and killed when it
//! does not move for too long.

use std::time::{Duration, Instant};

use super::{Effect, Life, OWN_GRACE};
use crate::agent::attempt::timers::Timer;
use crate::agent::dataflow::FeedState;
use crate::clock::milliseconds;
use crate::wire::cluster::{KnownCause, StallKind};
use crate::wire::node::{Ping, down};

/// The longest time between two pings; there are several in the time that an answer may take.
const PING_EVERY: Duration = Duration::from_secs(5);
const PINGS_IN_TIME: u32 = 4;
/// A node for which input waits has so long to read, emit or report something.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// Who has read all its input has not said that its work is done: it may be saving a model, and has so many times as long to end.
const GRACES_OF_READERS: u64 = 10;

/// What is known of its movements.
#[derive(Debug, Default)]
pub(super) struct Watchfulness {
    pings: u64,
    /// How long it has been without an answer, and without a report, when it is told next.
    unanswered_ms: u64,
    silent_ms: u64,
    /// In which way it stands still.
    stalled: Option<StallKind>,
    feed: FeedWatch,
}

/// What is known of a node with input.
#[derive(Debug)]
struct FeedWatch {
    progress: u64,
    /// Since when input waits and nothing moves.
    still_since: Option<Instant>,
    /// How long it has stood still when it is told next.
    still: Duration,
    has_read_all: bool,
    /// How long it has stayed after that when it is told next.
    lingers_ms: u64,
}

impl Default for FeedWatch {
    fn default() -> Self {
        Self {
            progress: 0,
            still_since: None,
            still: STALLED_AFTER,
            has_read_all: false,
            lingers_ms: 0,
        }
    }
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
        if self.is_fed {
            return self.feed_moves(now);
        }
        self.watch.silent_ms = self.limits.report_within_ms;
        self.timers
            .start_unless_zero(Timer::NoProgress, now, self.limits.report_within_ms);
        self.moves(StallKind::NoProgress);
    }

    /// How far it is with its input. While nothing waits for it, it has nothing to do.
    pub(super) fn feed(&mut self, state: FeedState, now: Instant) -> Vec<Effect> {
        if self.may_be_still() || self.ended.is_some() {
            return Vec::new();
        }
        let feed = &mut self.watch.feed;
        let has_moved = std::mem::replace(&mut feed.progress, state.progress) != state.progress;
        if state.read_all {
            let is_known = std::mem::replace(&mut feed.has_read_all, true);
            if has_moved || !is_known {
                self.feed_moves(now);
            }
            return Vec::new();
        }
        if has_moved || !state.waits_with_input || !self.ready {
            self.feed_moves(now);
            return Vec::new();
        }
        self.feed_is_still(now)
    }

    fn feed_is_still(&mut self, now: Instant) -> Vec<Effect> {
        let feed = &mut self.watch.feed;
        let since = *feed.still_since.get_or_insert(now);
        let still = feed.still;
        if now.saturating_duration_since(since) < still {
            return Vec::new();
        }
        feed.still = still.saturating_mul(2);
        self.stands_still(StallKind::NoProgress, milliseconds(still), now)
    }

    /// It does something, or has nothing to do.
    fn feed_moves(&mut self, now: Instant) {
        let feed = &mut self.watch.feed;
        (feed.still_since, feed.still) = (None, STALLED_AFTER);
        if feed.has_read_all {
            let grace_ms = self.limits.linger_grace_ms;
            feed.lingers_ms = grace_ms.saturating_mul(GRACES_OF_READERS);
            self.timers
                .start_unless_zero(Timer::Lingering, now, feed.lingers_ms);
        }
        self.moves(StallKind::NoProgress);
    }

    /// Its process stays. One that has not said that its work is done is told of again: its role may not have been sent the
    /// end of its input as a whole yet.
    pub(super) fn lingers(&mut self, now: Instant) -> Vec<Effect> {
        if self.done {
            return vec![self.stalled(StallKind::Lingering, self.limits.linger_grace_ms)];
        }
        if self.may_be_still() {
            return Vec::new();
        }
        let for_ms = self.watch.feed.lingers_ms;
        self.watch.feed.lingers_ms = for_ms.saturating_mul(2);
        self.timers.start_unless_zero(Timer::Lingering, now, for_ms);
        vec![self.stalled(StallKind::Lingering, for_ms)]
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
