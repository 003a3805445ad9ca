//! Who runs tasks: threads, or a simulation in the caller's thread.
//!
//! A task is a future. It is polled until it waits; whoever it waits for wakes it. No task has a thread of its own, so one
//! that blocks its thread holds up others.

mod clock;
mod meter;
mod scheduler;
mod simulation;
mod threads;

use std::future::poll_fn;
use std::task::Poll;

pub use self::clock::Clock;
pub(crate) use self::meter::{Meter, Waiting};
pub(crate) use self::scheduler::{Scheduler, Task, Work};
pub(crate) use self::simulation::Simulated;
pub(crate) use self::threads::Threads;

/// Lets other tasks run first.
pub(crate) async fn give_way() {
    let mut has_waited = false;
    poll_fn(|context| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
