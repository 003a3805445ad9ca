//! Streams between agents and application managers. Each direction keeps its order; nothing else does. A stream that
//! breaks loses the end of what was on its way, and both sides notice when they notice.

use std::collections::VecDeque;

use fastrand::Rng;

use super::scenario::Scenario;
use crate::agent::simulated::script::{percent, short};
use crate::wire::cluster::ManagerMessage;
use crate::wire::cluster::agent_message::Message as FromAgent;

/// What an application manager hears on a stream.
#[expect(
    clippy::large_enum_variant,
    reason = "a handful wait at once, in a test"
)]
pub(super) enum Up {
    Message(FromAgent),
    Closed,
}

/// What an agent hears on a stream.
#[expect(
    clippy::large_enum_variant,
    reason = "a handful wait at once, in a test"
)]
pub(super) enum Down {
    Message(ManagerMessage),
    Refused,
    Closed,
}

/// Messages of one direction with the times of their arrival.
pub(super) struct Queue<T> {
    messages: VecDeque<(u64, T)>,
    newest_ms: u64,
    is_closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            messages: VecDeque::new(),
            newest_ms: 0,
            is_closed: false,
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&mut self, now_ms: u64, takes_ms: u64, message: T) {
        if !self.is_closed {
            self.newest_ms = self.newest_ms.max(now_ms + takes_ms);
            self.messages.push_back((self.newest_ms, message));
        }
    }

    /// Nothing follows this.
    pub(super) fn close(&mut self, now_ms: u64, takes_ms: u64, last: T) {
        self.push(now_ms, takes_ms, last);
        self.is_closed = true;
    }

    /// Some of what is on its way arrives, the rest does not.
    pub(super) fn tear(&mut self, rng: &mut Rng, now_ms: u64, notices_after_ms: u64, last: T) {
        if !self.is_closed {
            let arrives = rng.usize(0..=self.messages.len());
            self.messages.truncate(arrives);
            self.newest_ms = self.messages.back().map_or(now_ms, |(at, _)| *at);
            self.close(now_ms, notices_after_ms, last);
        }
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        self.messages.front().map(|(at, _)| *at)
    }

    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<T> {
        self.next_ms().filter(|at| *at <= now_ms)?;
        self.messages.pop_front().map(|(_, message)| message)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// One stream.
pub(super) struct Stream {
    pub(super) seat: usize,
    /// Process of the agent: another one in its seat does not hear this stream.
    pub(super) pid: u32,
    /// Term of the application manager.
    pub(super) term: u64,
    pub(super) up: Queue<Up>,
    pub(super) down: Queue<Down>,
}

impl Stream {
    pub(super) fn is_over(&self) -> bool {
        self.up.is_empty() && self.down.is_empty() && self.up.is_closed && self.down.is_closed
    }
}

/// How long one message is on its way.
pub(super) fn latency(rng: &mut Rng, scenario: &Scenario) -> u64 {
    let longest_ms = scenario.latency_ms;
    let slow = if percent(rng, scenario.is_slow) {
        100
    } else {
        1
    };
    short(rng, longest_ms * slow).min(4_000)
}
