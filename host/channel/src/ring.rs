//! One direction of a channel: a ring of records with one end that writes and one that reads. No step waits.
//!
//! Positions count bytes from the beginning of the channel and only grow. `released <= read <= written <= released + capacity` holds at all
//! times: what is written over was released before, what is read was written before. A peer that says otherwise is found out, because
//! every position of it is checked against what this end knows itself.

mod reader;
mod retained;
mod writer;

use std::sync::Arc;

pub use self::reader::{Reader, Record, UntrustedReader, UntrustedRecord};
pub(crate) use self::retained::{Retained, Schema};
pub use self::writer::{Room, Slot, Writer};

/// Wakes the peer, which sleeps.
pub(crate) type Bell = Arc<dyn Fn() + Send + Sync>;

/// Where a reader begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) position: u64,
    pub(crate) sequence: u64,
    /// The schema that is in force there; `None`: records tell.
    pub(crate) schema: Option<Schema>,
}

#[cfg(test)]
mod tests;
