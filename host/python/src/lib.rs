//! The Rust half of the `forebay` Python package: node control, spoken with the agent by a thread of its own, and the node's end of the
//! channel that feeds it.
//!
//! What it is not: it decides nothing about frameworks or jobs, and knows arrays only as memory. The Python half
//! (`python/forebay/`) is what users see; it owns start-up, exception hook, signals and what happens at a fork.
//! Tests are in Python (`tests/`), because an extension module links no libpython.
//!
//! Start from `conversation::Conversation` (what Python calls) and `speaker::Speaker` (the thread) for node control, from `feed::Channel` for
//! the feed: `intake` is what comes, `outgoing` what goes, `ledger` what is owed; `batch` is how Python sees columns.

mod answer;
mod arrow;
mod batch;
mod conversation;
mod failure;
mod feed;
mod fork;
mod intake;
mod layout;
mod lease;
mod ledger;
mod objects;
mod outbox;
mod outgoing;
mod shared;
mod speaker;
mod values;
mod view;
mod waiting;

use pyo3::pymodule;
use rustix::fd::{FromRawFd, OwnedFd, RawFd};

/// The extension module `forebay._forebay`.
#[pymodule]
mod _forebay {
    #[pymodule_export]
    use crate::answer::Results;
    #[pymodule_export]
    use crate::batch::{Batch, Column};
    #[pymodule_export]
    use crate::conversation::{Conversation, Identity};
    #[pymodule_export]
    use crate::feed::Channel;
    #[pymodule_export]
    use crate::view::View;
}

/// A descriptor that came through exec.
#[expect(
    unsafe_code,
    reason = "an inherited descriptor has no other way into an owner"
)]
fn adopt(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the start-up file has checked that the descriptor is open and came through exec, so nothing in this process owns it; it has
    // removed the variable that names it, so it is adopted once.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
