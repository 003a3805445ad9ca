//! The thread that ends calls which take too long.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// How exactly deadlines are kept.
pub(super) const TICK_MS: u64 = 100;

/// Advances the engine's epoch while calls run, and sleeps while none does.
pub(super) struct Clock {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    ended: AtomicBool,
}

/// A call runs as long as this lives.
pub(super) struct Running<'a>(&'a Shared);

impl Clock {
    /// Starts the thread; it ends with the clock.
    pub(super) fn start(engine: Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn(move || tick(&engine, &seen))?
            .thread()
            .clone();
        Ok(Self { shared, thread })
    }

    /// Keeps the time of a call.
    pub(super) fn run(&self) -> Running<'_> {
        if self.shared.running.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Running(&self.shared)
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    while !shared.ended.load(Ordering::Acquire) {
        if shared.running.load(Ordering::Acquire) > 0 {
            thread::sleep(Duration::from_millis(TICK_MS));
            engine.increment_epoch();
        } else {
            thread::park();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
