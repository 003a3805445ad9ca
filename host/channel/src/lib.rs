//! The shared-memory channel between one task of a dataflow and one node: two rings of records, one each way, and a socket by which one end
//! wakes the other and learns of its death.
//!
//! The host makes a [`Channel`], and for each attempt of the node both ends ([`Channel::begin`]): its own, and [`Descriptors`] that the process
//! of the node opens ([`NodeEnd::open`]). [`Writer::reserve`] and [`Reader::take`] never wait: they say that there is nothing yet. A node may
//! wait in its thread ([`NodeEnd::wait_for_record`]) or in two ([`NodeEnd::split`]), a host is polled ([`PolledHost`]).

#![expect(unsafe_code, reason = "memory that another process maps too")]

mod channel;
#[cfg(feature = "arrow")]
mod columns;
mod error;
mod gauge;
mod halves;
#[cfg(all(test, not(feature = "loom")))]
mod hostile;
mod layout;
mod link;
mod memory;
mod page;
#[cfg(feature = "polled")]
mod polled;
mod record;
mod region;
mod ring;
mod sync;
mod wait;

pub use self::channel::{
    BeginError, Channel, DESCRIPTORS, Descriptors, HostEnd, NodeEnd, RING_BYTES_MAX,
    RING_BYTES_MIN, Retention, Setting,
};
#[cfg(feature = "arrow")]
pub use self::columns::{Body, Columns, ColumnsError, read_body};
pub use self::error::{Error, Fault, HeaderFault};
pub use self::gauge::{Gauge, Reading};
pub use self::halves::{NodeInput, NodeOutput};
pub use self::link::{Link, Waited};
#[cfg(feature = "polled")]
pub use self::polled::PolledHost;
pub use self::record::{ALIGNMENT, FLAG_CONTINUES, FLAG_PADDING, Header, Kind, Tally};
pub use self::ring::{Reader, Record, Room, Slot, UntrustedReader, UntrustedRecord, Writer};
pub use self::wait::Outcome;
