//! The same tasks in the caller's thread, in an order that a seed decides, in a time that costs nothing.

use std::sync::Arc;

use fastrand::Rng;

use super::Clock;
use super::scheduler::{Cell, Scheduler, Task};
use crate::error::Error;

/// Tasks that run step by step.
#[derive(Debug)]
pub(crate) struct Simulated {
    scheduler: Arc<Scheduler>,
    clock: Clock,
    cells: Vec<Arc<Cell>>,
    rng: Rng,
}

impl Simulated {
    pub(crate) fn start(
        scheduler: &Arc<Scheduler>,
        clock: &Clock,
        tasks: Vec<Task>,
        seed: u64,
    ) -> Self {
        let cells = scheduler.admit(tasks);
        Self {
            scheduler: scheduler.clone(),
            clock: clock.clone(),
            cells,
            rng: Rng::with_seed(seed),
        }
    }

    /// Lets one ready task run. `false` when all is over, or nobody can go on.
    pub(crate) fn step(&mut self) -> bool {
        if self.scheduler.is_over() {
            return false;
        }
        let rng = &mut self.rng;
        let picked = self.scheduler.pick(|count| rng.usize(..count));
        match (picked, self.scheduler.next_alarm()) {
            (Some(cell), _) => cell.run(),
            (None, Some(alarm)) => {
                self.clock.jump(alarm);
                self.scheduler.ring(alarm);
            }
            (None, None) => {
                let waiting = self
                    .cells
                    .iter()
                    .filter(|cell| cell.is_live())
                    .map(|cell| cell.is_waiting_for());
                self.scheduler.stop(Error::Stalled {
                    waiting: waiting.collect(),
                });
                return false;
            }
        }
        true
    }

    pub(crate) fn run(mut self) -> Result<(), Error> {
        while self.step() {}
        self.scheduler.outcome()
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.cells.drain(..).for_each(|cell| cell.drop_work());
        self.scheduler.stop(Error::Stopped);
    }
}
