//! Where the tasks of one operator wait for each other.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// A place where all tasks of an operator of one running dataflow meet, once. Clones are the same place.
#[derive(Debug, Clone)]
pub struct Meeting(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Tasks that have not come.
    missing: usize,
    waiting: Vec<Waker>,
}

impl Meeting {
    pub(crate) fn of(tasks: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            missing: tasks,
            waiting: Vec::new(),
        })))
    }

    /// Comes, and waits until all have come; each task comes once. Where one of them fails, the others wait until the dataflow ends them.
    pub async fn all(&self) {
        let mut has_come = false;
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !has_come {
                has_come = true;
                state.missing = state.missing.saturating_sub(1);
            }
            if state.missing > 0 {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
            Poll::Ready(())
        })
        .await;
    }
}
