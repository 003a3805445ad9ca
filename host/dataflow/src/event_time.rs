//! The event time of a source's rows, and the watermark that follows from it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, TimeUnit};

use crate::chain::Owner;
use crate::error::{Cause, Error};
use crate::operator::EventTime;

/// Whether a column of this type can be an event time.
pub(crate) fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..))
}

/// The event times of these rows, in microseconds since 1970, UTC.
pub(crate) fn times(batch: &RecordBatch, column: usize) -> Result<ScalarBuffer<i64>, Cause> {
    let times = batch.column(column);
    if times.null_count() > 0 {
        let name = batch.schema_ref().field(column).name();
        return Err(format!("the event time `{name}` is null").into());
    }
    micros(times)
}

/// The values of a column of timestamps in microseconds since 1970, UTC; those of nulls mean nothing.
fn micros(column: &dyn Array) -> Result<ScalarBuffer<i64>, Cause> {
    let DataType::Timestamp(unit, _) = column.data_type() else {
        return Err(format!("an event time cannot be {}", column.data_type()).into());
    };
    let scaled = |values: &[i64], factor: i64| {
        values
            .iter()
            .map(|value| value.saturating_mul(factor))
            .collect()
    };
    Ok(match unit {
        TimeUnit::Second => scaled(
            column.as_primitive::<TimestampSecondType>().values(),
            1_000_000,
        ),
        TimeUnit::Millisecond => scaled(
            column.as_primitive::<TimestampMillisecondType>().values(),
            1_000,
        ),
        TimeUnit::Microsecond => column
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .clone(),
        TimeUnit::Nanosecond => {
            let values = column.as_primitive::<TimestampNanosecondType>().values();
            values.iter().map(|value| value.div_euclid(1_000)).collect()
        }
    })
}

/// Follows the event time of one source task.
#[derive(Debug)]
pub(crate) struct Stamps {
    settings: EventTime,
    column: usize,
    watermark: i64,
    rows: u64,
}

impl Stamps {
    pub(crate) fn new(settings: EventTime, column: usize) -> Self {
        Self {
            settings,
            column,
            watermark: i64::MIN,
            rows: 0,
        }
    }

    pub(crate) fn watermark(&self) -> i64 {
        self.watermark
    }

    pub(crate) fn idle_after(&self) -> Option<Duration> {
        self.settings.idle_after
    }

    pub(crate) fn restore(&mut self, watermark: i64) {
        self.watermark = watermark;
    }

    /// Takes note of the times of these rows, which have not been emitted yet.
    pub(crate) fn see(&mut self, batch: &RecordBatch, owner: &Owner) -> Result<(), Error> {
        let column = batch.column(self.column);
        if let Some(null) = column
            .nulls()
            .and_then(|nulls| (0..nulls.len()).find(|&row| nulls.is_null(row)))
        {
            let (operator, column) = (owner.operator.clone(), self.settings.column.clone());
            return Err(Error::EventTimeIsNull {
                operator,
                column,
                row: self.rows + null as u64 + 1,
            });
        }
        let times = micros(column).map_err(|cause| owner.blame(cause))?;
        let late = times.iter().filter(|&&time| time < self.watermark).count();
        owner.counters.late.fetch_add(late as u64, Relaxed);
        if let Some(latest) = times.iter().max() {
            let behind =
                i64::try_from(self.settings.out_of_orderness.as_micros()).unwrap_or(i64::MAX);
            self.watermark = self.watermark.max(latest.saturating_sub(behind));
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }
}
