//! Time as tasks see it, and waking them at one.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::scheduler::Scheduler;

/// Time since the start of the dataflow: real, or that of a simulation, which jumps when nobody has anything to do.
#[derive(Debug, Clone)]
pub struct Clock {
    time: Time,
    scheduler: Arc<Scheduler>,
}

#[derive(Debug, Clone)]
enum Time {
    Real(Instant),
    Simulated(Arc<Mutex<Duration>>),
}

impl Clock {
    pub(crate) fn real(scheduler: Arc<Scheduler>) -> Self {
        Self {
            time: Time::Real(Instant::now()),
            scheduler,
        }
    }

    pub(crate) fn simulated(scheduler: Arc<Scheduler>) -> Self {
        Self {
            time: Time::Simulated(Arc::default()),
            scheduler,
        }
    }

    /// Now.
    pub fn now(&self) -> Duration {
        match &self.time {
            Time::Real(start) => start.elapsed(),
            Time::Simulated(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Ready from that time on; before it, the task is woken then.
    pub fn poll_at(&self, at: Duration, context: &mut Context<'_>) -> Poll<()> {
        if self.now() >= at {
            return Poll::Ready(());
        }
        self.scheduler.wake_at(at, context.waker());
        Poll::Pending
    }

    pub(super) fn jump(&self, to: Duration) {
        if let Time::Simulated(now) = &self.time {
            *now.lock().unwrap_or_else(PoisonError::into_inner) = to;
        }
    }
}
