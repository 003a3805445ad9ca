//! Messages and framing of node control: what an agent and the process of one node say to each other.
//!
//! The messages are generated from `proto/forebay/node/v1/node.proto`, which is also their documentation. Framing is
//! sans-I/O, so that the agent (asynchronous) and the wheel (a plain thread) share it; two blocking helpers sit on top.
//!
//! What it is not: no sockets, no threads, no tokio, no tonic. Who may say what, and when, is decided by the two ends.
//!
//! Start from [`node::v1::Up`], [`node::v1::Down`] and [`Decoder`].

mod frame;

pub use frame::{Decoder, FRAME_BYTES_MAX, FrameError, ReadError, encode, read_frame, write_frame};

/// Version of the conversation: `Hello.protocol` and `Welcome.protocol`. An agent refuses another one by name.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest name of a signal, in bytes. Both ends hold to it: the package refuses a longer one, an agent hangs up.
pub const SIGNAL_NAME_BYTES_MAX: usize = 256;
/// Longest payload of a signal, in bytes. Each goes through the journal.
pub const SIGNAL_PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// Messages of node control.
pub mod node {
    /// Version 1, generated from `proto/forebay/node/v1/node.proto`.
    #[expect(
        missing_docs,
        reason = "generated; the proto file is the documentation"
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/forebay.node.v1.rs"));
    }
}
