//! How far a running dataflow is.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::time::Duration;

use crate::Watermark;
use crate::description::Part;
use crate::exchange::Gauge;
use crate::executor::Meter;

/// What one task of an operator counts. Operators count what only they can see, the engine the rest.
#[derive(Debug)]
pub struct Counters {
    /// Rows that came in; for a source, rows that it read.
    pub rows_in: AtomicU64,
    /// Rows that it emitted.
    pub rows_out: AtomicU64,
    /// Rows that came after their time and were left out.
    pub late: AtomicU64,
    /// Rows that could not be read and were left out.
    pub malformed: AtomicU64,
    /// Rows that filled no round.
    pub dropped: AtomicU64,
    /// `i64::MIN`: none yet; `i64::MAX`: the end.
    watermark: AtomicI64,
    idle: AtomicBool,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            rows_in: AtomicU64::default(),
            rows_out: AtomicU64::default(),
            late: AtomicU64::default(),
            malformed: AtomicU64::default(),
            dropped: AtomicU64::default(),
            watermark: AtomicI64::new(i64::MIN),
            idle: AtomicBool::default(),
        }
    }
}

impl Counters {
    pub(crate) fn note(&self, watermark: Watermark) {
        match watermark {
            Watermark::At(at) => {
                self.watermark.store(at, Relaxed);
                self.idle.store(false, Relaxed);
            }
            Watermark::Idle => self.idle.store(true, Relaxed),
        }
    }

    fn watermark(&self) -> Watermark {
        if self.idle.load(Relaxed) {
            Watermark::Idle
        } else {
            Watermark::At(self.watermark.load(Relaxed))
        }
    }
}

/// One operator, all its tasks together.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Its name.
    pub operator: Arc<str>,
    /// What it is.
    pub part: Part,
    /// Its tasks.
    pub tasks: usize,
    /// Those that have ended.
    pub ended: usize,
    /// Rows that came in; for a source, rows that it read.
    pub rows_in: u64,
    /// Rows that it emitted.
    pub rows_out: u64,
    /// Rows that came after their time and were left out.
    pub late: u64,
    /// Rows that could not be read and were left out.
    pub malformed: u64,
    /// Rows that filled no round.
    pub dropped: u64,
    /// The event time that all its tasks have reached; `Watermark::START` where there is none.
    pub watermark: Watermark,
    /// Rows that wait before it.
    pub queued_rows: usize,
    /// Bytes that wait before it.
    pub queued_bytes: usize,
    /// Time that its tasks computed. Operators that share a task share its times.
    pub busy: Duration,
    /// Time that they waited for input.
    pub idle: Duration,
    /// Time that they waited for room behind them; of sinks, for what they write to.
    pub back_pressured: Duration,
}

/// What is watched of one operator.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) operator: Arc<str>,
    pub(crate) part: Part,
    pub(crate) tasks: Vec<WatchedTask>,
}

#[derive(Debug)]
pub(crate) struct WatchedTask {
    pub(crate) counters: Arc<Counters>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) queues: Vec<Gauge>,
}

impl Watched {
    pub(crate) fn progress(&self) -> Progress {
        let total = |count: fn(&Counters) -> &AtomicU64| {
            self.tasks
                .iter()
                .map(|task| count(&task.counters).load(Relaxed))
                .sum()
        };
        let loads = || {
            self.tasks
                .iter()
                .flat_map(|task| &task.queues)
                .map(Gauge::load)
        };
        let times = || self.tasks.iter().map(|task| task.meter.times());
        Progress {
            operator: self.operator.clone(),
            part: self.part,
            tasks: self.tasks.len(),
            ended: times().filter(|times| times.has_ended).count(),
            rows_in: total(|counters| &counters.rows_in),
            rows_out: total(|counters| &counters.rows_out),
            late: total(|counters| &counters.late),
            malformed: total(|counters| &counters.malformed),
            dropped: total(|counters| &counters.dropped),
            watermark: Watermark::of_all(self.tasks.iter().map(|task| task.counters.watermark()))
                .unwrap_or(Watermark::START),
            queued_rows: loads().map(|load| load.rows).sum(),
            queued_bytes: loads().map(|load| load.bytes).sum(),
            busy: times().map(|times| times.busy).sum(),
            idle: times().map(|times| times.idle).sum(),
            back_pressured: times().map(|times| times.back_pressured).sum(),
        }
    }
}
