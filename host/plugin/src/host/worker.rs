//! The thread that runs plugins, and the one that ends calls which take too long.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// How exactly deadlines are kept.
pub(super) const TICK_MS: u64 = 100;

/// Stack that the host's own functions need beside the guest's: with less than `max_wasm_stack` left on the calling
/// thread, an endless recursion of a guest would abort the process.
const HOST_STACK_BYTES: usize = 2 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// Runs one call after the other on one long-lived thread.
pub(super) struct Worker {
    jobs: Sender<Job>,
}

impl Worker {
    /// Starts both threads; they end with the worker.
    pub(super) fn start(engine: Engine, guest_stack_bytes: usize) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let clock = Clock::start(engine)?;
        thread::Builder::new()
            .name("plugin".to_owned())
            .stack_size(guest_stack_bytes + HOST_STACK_BYTES)
            .spawn(move || work(&queue, &clock))?;
        Ok(Self { jobs })
    }

    /// Runs `job` on the thread and waits for it. Nothing comes back if the thread has ended, by a mistake of the host.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = sync_channel(1);
        // Whoever asked may be gone; then nobody wants the answer.
        let job = Box::new(move || drop(answer.send(job())));
        self.jobs.send(job).ok()?;
        answered.recv().ok()
    }
}

fn work(queue: &Receiver<Job>, clock: &Clock) {
    while let Ok(job) = queue.recv() {
        clock.run();
        job();
        clock.rest();
    }
}

/// Advances the engine's epoch while a call runs, and sleeps while none does.
struct Clock {
    running: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Thread,
}

impl Clock {
    fn start(engine: Engine) -> io::Result<Self> {
        let running = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicBool::new(false));
        let (is_running, has_ended) = (Arc::clone(&running), Arc::clone(&ended));
        let tick = move || {
            while !has_ended.load(Ordering::Acquire) {
                if is_running.load(Ordering::Acquire) {
                    thread::sleep(Duration::from_millis(TICK_MS));
                    engine.increment_epoch();
                } else {
                    thread::park();
                }
            }
        };
        let thread = thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn(tick)?
            .thread()
            .clone();
        Ok(Self {
            running,
            ended,
            thread,
        })
    }

    fn run(&self) {
        self.running.store(true, Ordering::Release);
        self.thread.unpark();
    }

    fn rest(&self) {
        self.running.store(false, Ordering::Release);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
