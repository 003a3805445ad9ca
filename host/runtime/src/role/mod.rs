//! The operator of a role: one task for each node feeds it through a channel and takes its answers.
//!
//! - [`Feeds`]: where the agent, which starts nodes, and the tasks meet.
//! - `task.rs`: what a task does with rows, barriers and answers; `node.rs`: its node; `pending.rs`: what the node is not done with.
//! - `siblings.rs`: rows of a node that reads no more go to the others; `spool.rs`: rows are kept for the next passes.
//! - `view.rs`: what nodes see of the rows.

mod fed;
mod feeds;
mod node;
mod pending;
mod siblings;
mod spool;
mod task;
mod view;

pub(crate) use self::fed::{Around, Fed, FeedingAttempt, prepare};
pub use self::feeds::{FeedError, FeedReading, Feeds};
