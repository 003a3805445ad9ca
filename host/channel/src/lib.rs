//! The shared-memory channel between one task of a dataflow and one node: two rings of records, one each way, and a socket by which one end
//! wakes the other and learns of its death.
//!
//! The host makes a channel ([`HostEnd::new`]) and hands its [`Descriptors`] to the process of the node, which opens them ([`NodeEnd::open`]).
//! No end waits in here: [`Writer::reserve`] and [`Reader::take`] say that there is nothing yet, [`Writer::sleeps_for`] and [`Reader::sleeps`]
//! announce a sleep, and [`Link`] is what to sleep on.

#![expect(unsafe_code, reason = "memory that another process maps too")]

mod channel;
#[cfg(feature = "arrow")]
mod columns;
mod error;
mod link;
mod memory;
mod page;
mod record;
mod region;
mod ring;
mod sync;
mod wait;

pub use self::channel::{
    DESCRIPTORS, Descriptors, HostEnd, NodeEnd, RING_BYTES_MAX, RING_BYTES_MIN, Retention, Setting,
};
#[cfg(feature = "arrow")]
pub use self::columns::{Columns, ColumnsError, body_bytes, read_body, write_body};
pub use self::error::{Error, Fault, HeaderFault};
pub use self::link::{Link, Waited};
pub use self::record::{ALIGNMENT, FLAG_CONTINUES, FLAG_PADDING, Header, Kind, Tally};
pub use self::ring::{Reader, Record, Slot, Writer};
pub use self::wait::Outcome;
