//! How a channel is, for whoever watches it: nothing of it is locked, and nothing of it can be changed.

use std::time::Duration;

use crate::channel::Setting;
use crate::page::Word;
use crate::region::Pages;

/// Looks at a channel from the side of its host, from any thread and for as long as one likes. What the node says is taken as it says it.
#[derive(Clone)]
pub struct Gauge {
    pages: Pages,
    setting: Setting,
}

/// How a channel is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Bytes of the ring to the node.
    pub input_bytes: u64,
    /// Bytes of it that the node has not released.
    pub occupied: u64,
    /// Bytes of it that the node has read and not released: it still works on them, or keeps them.
    pub held: u64,
    /// How far the node has read: it only grows, and moves when the node makes progress.
    pub read: u64,
    /// How far the node has written: as above.
    pub emitted: u64,
    /// Bytes that the node has written and the host has not read.
    pub unheard: u64,
    /// How long the host has waited for room.
    pub host_waited: Duration,
    /// How long the node has waited for records.
    pub node_waited: Duration,
    /// How long the node has waited for room for its results.
    pub node_waited_for_room: Duration,
    /// The node has said its last: it has read all, or reads no more.
    pub node_has_ended: bool,
}

impl Gauge {
    pub(crate) fn new(pages: Pages, setting: Setting) -> Self {
        Self { pages, setting }
    }

    /// How it is now.
    pub fn read(&self) -> Reading {
        let (host, node) = (self.pages.own(), self.pages.peer());
        // Each is read before what it cannot be larger than.
        let (released, read) = (node.released.get(), node.read.get());
        let (written, heard) = (host.written.get(), host.read.get());
        let emitted = node.written.get();
        let capacity = self.setting.input_bytes;
        Reading {
            input_bytes: capacity,
            occupied: written.saturating_sub(released).min(capacity),
            held: read.saturating_sub(released).min(capacity),
            read,
            emitted,
            unheard: emitted.saturating_sub(heard),
            host_waited: duration(&host.waited_for_room),
            node_waited: duration(&node.waited_for_records),
            node_waited_for_room: duration(&node.waited_for_room),
            node_has_ended: node.ended.get() != 0,
        }
    }
}

impl std::fmt::Debug for Gauge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.read().fmt(formatter)
    }
}

fn duration(microseconds: &Word) -> Duration {
    Duration::from_micros(microseconds.get())
}
