//! Worker threads, each of which runs whatever task is ready.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::Clock;
use super::scheduler::{Cell, Scheduler, Task};
use crate::error::Error;

/// Threads at work.
#[derive(Debug)]
pub(crate) struct Threads {
    scheduler: Arc<Scheduler>,
    cells: Vec<Arc<Cell>>,
    workers: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts so many threads, at least one.
    pub(crate) fn start(
        scheduler: &Arc<Scheduler>,
        clock: &Clock,
        tasks: Vec<Task>,
        threads: usize,
    ) -> std::io::Result<Self> {
        let cells = scheduler.admit(tasks);
        let mut started = Self {
            scheduler: scheduler.clone(),
            cells,
            workers: Vec::new(),
        };
        for number in 0..threads.max(1) {
            let (scheduler, clock) = (scheduler.clone(), clock.clone());
            let work = move || {
                while let Some(cell) = scheduler.next(&clock) {
                    cell.run();
                }
            };
            started.workers.push(
                Builder::new()
                    .name(format!("forebay-dataflow-{number}"))
                    .spawn(work)?,
            );
        }
        Ok(started)
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Result<(), Error> {
        self.join();
        self.scheduler.outcome()
    }

    fn join(&mut self) {
        for thread in self.workers.drain(..) {
            // A panic of a task is caught where it runs.
            let _ = thread.join();
        }
        self.cells.drain(..).for_each(|cell| cell.drop_work());
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.scheduler.stop(Error::Stopped);
        self.join();
    }
}
