//! Events that must not be lost: numbered from 1 without gaps, kept until the AM acknowledges, sent again on a new
//! connection.

use std::collections::VecDeque;

use crate::clock::now_ms;
use crate::wire::cluster::OutboxEntry;
use crate::wire::cluster::outbox_entry::Event;

/// With so many unacknowledged entries the agent takes no more events from its attempts, which then wait.
const ENTRIES_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Not acknowledged, oldest first.
    entries: VecDeque<OutboxEntry>,
    /// Number of the newest entry ever made.
    newest: u64,
    /// Number of the newest entry that this connection has sent.
    sent: u64,
}

impl Outbox {
    pub(super) fn push(&mut self, event: Event) {
        self.newest += 1;
        self.entries.push_back(OutboxEntry {
            number: self.newest,
            time_ms: now_ms(),
            event: Some(event),
        });
    }

    pub(super) fn acknowledge(&mut self, number: u64) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.number <= number)
        {
            self.entries.pop_front();
        }
        self.sent = self.sent.max(number.min(self.newest));
    }

    /// A new connection, whose AM has journaled everything up to `number`.
    pub(super) fn resume(&mut self, number: u64) {
        self.sent = 0;
        self.acknowledge(number);
    }

    /// The next entry that this connection has not sent.
    pub(super) fn next(&mut self) -> Option<OutboxEntry> {
        let entry = self.unsent()?.clone();
        self.sent = entry.number;
        Some(entry)
    }

    pub(super) fn has_next(&self) -> bool {
        self.unsent().is_some()
    }

    fn unsent(&self) -> Option<&OutboxEntry> {
        let position = self
            .entries
            .partition_point(|entry| entry.number <= self.sent);
        self.entries.get(position)
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < ENTRIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cluster::NodeDone;

    fn filled(count: u32) -> Outbox {
        let mut outbox = Outbox::default();
        for attempt in 1..=count {
            outbox.push(Event::Done(NodeDone {
                node: None,
                attempt,
            }));
        }
        outbox
    }

    fn numbers(outbox: &mut Outbox) -> Vec<u64> {
        std::iter::from_fn(|| outbox.next())
            .map(|entry| entry.number)
            .collect()
    }

    #[test]
    fn entries_are_sent_once_a_connection() {
        let mut outbox = filled(3);
        assert_eq!(numbers(&mut outbox), [1, 2, 3]);
        assert!(!outbox.has_next());
        outbox.resume(1);
        assert_eq!(numbers(&mut outbox), [2, 3]);
    }

    #[test]
    fn what_is_acknowledged_is_forgotten() {
        let mut outbox = filled(3);
        outbox.acknowledge(2);
        outbox.resume(0);
        assert_eq!(numbers(&mut outbox), [3]);
        outbox.acknowledge(3);
        assert!(outbox.is_empty());
        assert_eq!(outbox.newest(), 3);
    }

    #[test]
    fn an_acknowledgement_from_the_future_hides_nothing() {
        let mut outbox = filled(1);
        outbox.acknowledge(100);
        outbox.push(Event::Done(NodeDone {
            node: None,
            attempt: 2,
        }));
        assert_eq!(numbers(&mut outbox), [2]);
    }
}
