//! The thread that runs plugins.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;

use wasmtime::Engine;

use super::clock::Clock;

/// Stack that the host's own functions need beside the guest's: with less than `max_wasm_stack` left on the calling
/// thread, an endless recursion of a guest would abort the process.
pub(super) const HOST_STACK_BYTES: usize = 2 << 20;

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
        let _running = clock.run();
        job();
    }
}
