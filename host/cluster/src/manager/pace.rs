//! Rates and shares of the operators of the dataflow, from what they have done since they began: nobody else computes any.

use std::time::Duration;

use crate::events::{
    FeedCounts, OperatorCounts, OperatorPart, OperatorProgress, ProgressEvent, rate,
};
use crate::wire::cluster::{
    DataflowProgress, FeedProgress, OperatorPart as Part, OperatorProgress as Told,
};
use crate::wire::node_id;

/// How often progress goes to `events.jsonl`; it goes to those who watch whenever it comes.
const KEPT_EVERY_MS: u64 = 10_000;
/// Two messages that came sooner after each other say nothing of the time between.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How fast the running attempt is.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// What was told before; absent where this application manager has heard nothing of the attempt.
    before: Option<DataflowProgress>,
    latest: Option<Vec<OperatorProgress>>,
    kept_ms: u64,
}

impl Pace {
    /// An attempt begins: nothing was done before.
    pub(super) fn begin(&mut self, now_ms: u64) {
        *self = Self {
            before: Some(DataflowProgress::default()),
            latest: None,
            kept_ms: now_ms,
        };
    }

    /// What there is to say; nothing at first, where there is nothing to compare it with.
    pub(super) fn take(&mut self, now_ms: u64, told: &DataflowProgress) -> Option<ProgressEvent> {
        let Some(before) = &self.before else {
            self.before = Some(told.clone());
            return None;
        };
        let interval = Duration::from_micros(told.running_us.saturating_sub(before.running_us));
        if interval < INTERVAL_MIN {
            return None;
        }
        let operators = told.operators.iter().map(|operator| {
            let mut before = before.operators.iter();
            let before = before.find(|before| before.operator == operator.operator);
            progress(
                operator,
                before.unwrap_or(&Told::default()),
                interval,
                now_ms,
            )
        });
        let operators: Vec<_> = operators.collect();
        self.before = Some(told.clone());
        self.latest = Some(operators.clone());
        Some(ProgressEvent {
            attempt: told.attempt,
            running_ms: told.running_us / 1_000,
            operators,
            feeds: told.feeds.iter().map(feed_counts).collect(),
        })
    }

    /// Whether it is time for `events.jsonl`; if so, the next time is later.
    pub(super) fn is_kept(&mut self, now_ms: u64) -> bool {
        let is_due = now_ms >= self.kept_ms.saturating_add(KEPT_EVERY_MS);
        if is_due {
            self.kept_ms = now_ms;
        }
        is_due
    }

    pub(super) fn latest(&self) -> Option<&[OperatorProgress]> {
        self.latest.as_deref()
    }
}

pub(super) fn counts(told: &Told) -> OperatorCounts {
    OperatorCounts {
        operator: told.operator.clone(),
        part: match told.part() {
            Part::Transform => OperatorPart::Transform,
            Part::Source => OperatorPart::Source,
            Part::Sink => OperatorPart::Sink,
            Part::Role => OperatorPart::Role,
        },
        tasks: told.tasks,
        ended: told.ended,
        rows_in: told.rows_in,
        rows_out: told.rows_out,
        late: told.late,
        malformed: told.malformed,
        dropped: told.dropped,
    }
}

pub(super) fn feed_counts(told: &FeedProgress) -> FeedCounts {
    FeedCounts {
        node: node_id(told.node.as_ref()).to_string(),
        rows: told.rows,
        bytes: told.bytes,
        answered: told.answered,
        pass: told.pass,
        ring_bytes: told.ring_bytes,
        occupied_bytes: told.occupied_bytes,
        held_bytes: told.held_bytes,
        dataflow_waited_ms: told.dataflow_waited_us / 1_000,
        node_waited_ms: told.node_waited_us / 1_000,
        node_waited_for_room_ms: told.node_waited_for_room_us / 1_000,
        ended: told.ended,
    }
}

fn progress(now: &Told, before: &Told, interval: Duration, now_ms: u64) -> OperatorProgress {
    let spent = |of: fn(&Told) -> u64| of(now).saturating_sub(of(before));
    let busy = spent(|told| told.busy_us);
    let idle = spent(|told| told.idle_us);
    let back_pressured = spent(|told| told.back_pressured_us);
    let all = Duration::from_micros(busy + idle + back_pressured);
    let share = |us: u64| rate(us, all) / 1e6;
    let watermark_ms = now.watermark_us.map(|us| us.div_euclid(1_000));
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    OperatorProgress {
        counts: counts(now),
        rows_per_second: rate(spent(|told| told.rows_in), interval),
        watermark_ms,
        watermark_lag_ms: watermark_ms.map(|ms| now_ms.saturating_sub(ms)),
        idle: now.idle,
        queued_rows: now.queued_rows,
        queued_bytes: now.queued_bytes,
        busy: share(busy),
        waiting: share(idle),
        back_pressured: share(back_pressured),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(running_us: u64, rows_in: u64, busy_us: u64, idle_us: u64) -> DataflowProgress {
        let operator = Told {
            operator: "rows".into(),
            tasks: 2,
            rows_in,
            busy_us,
            idle_us,
            watermark_us: Some(-1),
            ..Told::default()
        };
        DataflowProgress {
            attempt: 1,
            operators: vec![operator],
            running_us,
            feeds: Vec::new(),
        }
    }

    fn shown(event: Option<ProgressEvent>) -> Option<(f64, f64, f64)> {
        let operator = event?.operators.pop()?;
        Some((operator.rows_per_second, operator.busy, operator.waiting))
    }

    #[test]
    fn rates_and_shares_are_those_of_the_last_interval() {
        let mut pace = Pace::default();
        pace.begin(0);
        let first = pace.take(2_000, &told(2_000_000, 100, 1_000_000, 3_000_000));
        assert_eq!(shown(first), Some((50.0, 0.25, 0.75)));
        let second = pace.take(2_500, &told(2_500_000, 110, 2_000_000, 3_000_000));
        assert_eq!(shown(second), Some((20.0, 1.0, 0.0)));
        let ended = pace.take(3_500, &told(3_500_000, 110, 2_000_000, 3_000_000));
        assert_eq!(shown(ended), Some((0.0, 0.0, 0.0)));
    }

    #[test]
    fn without_something_before_there_is_nothing_to_say() {
        let mut pace = Pace::default();
        assert_eq!(pace.take(0, &told(60_000_000, 1_000, 0, 0)), None);
        let next = pace.take(1_000, &told(61_000_000, 1_010, 0, 0));
        assert_eq!(shown(next), Some((10.0, 0.0, 0.0)));
        let burst = pace.take(1_000, &told(61_000_001, 1_020, 0, 0));
        assert_eq!(burst, None, "a rate of no time at all");
    }

    #[test]
    fn the_event_time_is_compared_with_the_clock() {
        let mut pace = Pace::default();
        pace.begin(0);
        let event = pace.take(5, &told(1_000_000, 0, 0, 0)).unwrap();
        let operator = &event.operators[0];
        assert_eq!(operator.watermark_ms, Some(-1));
        assert_eq!(operator.watermark_lag_ms, Some(6));
    }

    #[test]
    fn every_ten_seconds_one_is_kept() {
        let mut pace = Pace::default();
        pace.begin(1_000);
        let kept = (1_000..40_000)
            .step_by(1_000)
            .filter(|at| pace.is_kept(*at));
        assert_eq!(kept.collect::<Vec<_>>(), [11_000, 21_000, 31_000]);
    }
}
