//! What the speaker's thread and the threads of Python share.
//!
//! Order of locks: the interpreter's lock first, then this one. Nobody waits for the interpreter while holding this one.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use forebay_protocol::node::v1::{Cluster, Welcome};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::outbox::Outbox;

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) outbox: Outbox,
    /// The first welcome, its cluster moved to `cluster`.
    pub(crate) welcome: Option<Welcome>,
    pub(crate) cluster: Cluster,
    /// Why the node has been asked to stop.
    pub(crate) stop: Option<String>,
    /// This process hangs up once everything is sent, at this moment at the latest.
    pub(crate) closing: Option<Instant>,
    /// Why nothing can be said any more.
    pub(crate) over: Option<String>,
}

impl State {
    /// The script has begun and not ended.
    pub(crate) fn runs_script(&self) -> bool {
        let welcome = self.welcome.as_ref();
        welcome.is_some_and(|welcome| welcome.refusal.is_empty()) && self.closing.is_none()
    }

    /// The first reason stays.
    pub(crate) fn request_stop(&mut self, reason: String) {
        self.stop.get_or_insert(reason);
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    bell: OwnedFd,
}

impl Shared {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            bell,
        })
    }

    /// Changes the state, then wakes whoever waits for it.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and wakes the speaker.
    pub(crate) fn tell<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = self.update(change);
        // Fails only when the counter is full, and then the bell rings already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        result
    }

    pub(crate) fn silence_bell(&self) {
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Blocks until the condition holds. The caller must not hold the interpreter.
    pub(crate) fn wait_until(&self, mut holds: impl FnMut(&State) -> bool) {
        let state = self.lock();
        drop(self.changed.wait_while(state, |state| !holds(state)));
    }

    /// Like [`wait_until`](Self::wait_until), but no longer than `limit`; whether the condition held.
    pub(crate) fn wait_at_most(
        &self,
        limit: Duration,
        mut holds: impl FnMut(&State) -> bool,
    ) -> bool {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, limit, |state| !holds(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
