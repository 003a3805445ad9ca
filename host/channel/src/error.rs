//! What goes wrong in a channel.

use std::io;

/// The peer has written something that no sound peer writes. The channel is over; nothing that came with it was used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A position went back, ran ahead, or lies between two records.
    #[error(
        "its {word} position is {value}, which is not between {least} and {most} in steps of 64"
    )]
    Position {
        /// `write` or `release`.
        word: &'static str,
        /// What it wrote.
        value: u64,
        /// What it had said before.
        least: u64,
        /// What there is.
        most: u64,
    },
    /// The bytes of a header are none.
    #[error("the header at position {position} {problem}")]
    Header {
        /// Where the record begins.
        position: u64,
        /// What is wrong.
        problem: HeaderFault,
    },
    /// The body of an end has the wrong length.
    #[error("the end has a body of {bytes} bytes instead of 24")]
    Tally {
        /// Of its body.
        bytes: usize,
    },
    /// Something was lost, or came twice.
    #[error("it says that it has sent {said:?}, and {came:?} has come")]
    Counts {
        /// By the peer.
        said: crate::Tally,
        /// On this side.
        came: crate::Tally,
    },
    /// It answers what does not wait for an answer.
    #[error("it answers record {sequence}, which waits for no answer")]
    Answer {
        /// As it says.
        sequence: u64,
    },
    /// Something came behind the end.
    #[error("it goes on behind its end")]
    BehindEnd,
    /// The descriptors of a channel are no channel.
    #[error("what was handed over is no channel of this version: {0}")]
    Geometry(String),
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Its checksum is wrong.
    #[error("has a wrong checksum")]
    Checksum,
    /// Nobody knows its kind.
    #[error("has the unknown kind {0}")]
    Kind(u16),
    /// Nobody knows its flags.
    #[error("has unknown flags ({0:#06x})")]
    Flags(u16),
    /// It says more than was written, or more than may be.
    #[error("says {length} bytes, and at most {most} may be there")]
    Length {
        /// Of the body.
        length: u32,
        /// What there may be.
        most: u64,
    },
    /// A record is missing, or came twice.
    #[error("has the number {found} instead of {expected}")]
    Sequence {
        /// The next one.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// It is of another attempt.
    #[error("is of attempt {found} instead of {expected}")]
    Attempt {
        /// Of this channel.
        expected: u32,
        /// What it says.
        found: u32,
    },
}

/// Why something cannot be done with a channel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The record is more than a quarter of the ring.
    #[error("a record of {bytes} bytes is larger than a quarter of its ring of {capacity} bytes")]
    TooLarge {
        /// With its header.
        bytes: u64,
        /// Of the ring.
        capacity: u64,
    },
    /// The peer cannot be trusted.
    #[error("the peer of the channel has broken its rules: {0}")]
    Fault(#[from] Fault),
    /// The process at the other end has ended, or has closed its end.
    #[error("the other end of the channel is gone")]
    PeerGone,
    /// There is no ring of this size.
    #[error("a ring has from {least} to {most} bytes, a multiple of 4096, and not {bytes}")]
    Capacity {
        /// What was wanted.
        bytes: u64,
        /// See [`RING_BYTES_MIN`](crate::RING_BYTES_MIN).
        least: u64,
        /// See [`RING_BYTES_MAX`](crate::RING_BYTES_MAX).
        most: u64,
    },
    /// There is less memory. Without a look at that the kernel would kill a process.
    #[error(
        "{bytes} bytes of shared memory are wanted, and {free} of {limit} are free by `{file}`"
    )]
    Memory {
        /// What was wanted.
        bytes: u64,
        /// What is left.
        free: u64,
        /// What the machine has, or the control group of this process may have.
        limit: u64,
        /// The file that says so.
        file: String,
    },
    /// The system refuses.
    #[error("{what}")]
    System {
        /// What could not be done.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn system(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System {
            what: what.into(),
            source: source.into(),
        }
    }
}
