//! What waits to be sent: frames in order, and the one report that later reports merge into.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use forebay_protocol::encode;
use forebay_protocol::node::v1::{Report, Up, Value, up};

/// Most bytes that wait for the agent (4 MiB). What would exceed it is refused, except for reports: they merge.
const OUTBOX_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most names in one report; further ones are dropped until it has left.
pub(crate) const REPORT_NAMES_MAX: usize = 256;
/// Time between two reports of one process.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// The agent reads too slowly, or not at all.
#[derive(Debug)]
pub(crate) struct OutboxFull;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: VecDeque<u8>,
    report: Option<Report>,
    reported: Option<Instant>,
}

impl Outbox {
    pub(crate) fn push(&mut self, message: up::Message) -> Result<(), OutboxFull> {
        let frame = encode(&Up {
            message: Some(message),
        });
        if self.bytes.len() + frame.len() > OUTBOX_BYTES_MAX {
            return Err(OutboxFull);
        }
        self.bytes.extend(frame);
        Ok(())
    }

    /// The message after what has been reported so far, whatever the rate.
    pub(crate) fn push_after_report(&mut self, message: up::Message) -> Result<(), OutboxFull> {
        self.flush_report();
        self.push(message)
    }

    /// Keeps the latest step and the latest value of each name.
    pub(crate) fn report(&mut self, step: Option<u64>, values: BTreeMap<String, Value>) {
        let report = self.report.get_or_insert_default();
        report.step = step.or(report.step);
        report.time_ms = unix_ms();
        for (name, value) in values {
            if report.values.len() < REPORT_NAMES_MAX || report.values.contains_key(&name) {
                report.values.insert(name, value);
            }
        }
    }

    pub(crate) fn flush_report(&mut self) {
        if let Some(report) = self.report.take() {
            self.reported = Some(Instant::now());
            self.bytes.extend(encode(&Up {
                message: Some(up::Message::Report(report)),
            }));
        }
    }

    /// Moves a due report to the frames; otherwise says how long it has to wait. One that the agent is too slow for goes
    /// on merging.
    pub(crate) fn release_report(&mut self) -> Option<Duration> {
        if self.report.is_none() || !self.bytes.is_empty() {
            return None;
        }
        let wait = self.reported.map_or(Duration::ZERO, |last| {
            REPORT_INTERVAL.saturating_sub(last.elapsed())
        });
        if wait.is_zero() {
            self.flush_report();
            return None;
        }
        Some(wait)
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
