//! The Rust half of the `forebay` Python package: node control, spoken with the agent by a thread of its own.
//!
//! What it is not: it decides nothing about frameworks or jobs, and it holds no Python objects. The Python half
//! (`python/forebay/`) is what users see; it owns start-up, exception hook, signals and what happens at a fork.
//! Tests are in Python (`tests/`), because an extension module links no libpython.
//!
//! Start from `conversation::Conversation` (what Python calls) and `speaker::Speaker` (the thread).

mod conversation;
mod outbox;
mod shared;
mod speaker;
mod values;

use pyo3::pymodule;

/// The extension module `forebay._forebay`.
#[pymodule]
mod _forebay {
    #[pymodule_export]
    use crate::conversation::{Conversation, Identity};
}
