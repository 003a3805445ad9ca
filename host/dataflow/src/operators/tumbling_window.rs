//! Event time in pieces of one length: an answer for each piece and key.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow_array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::SchemaRef;
use arrow_select::take::take_record_batch;
use async_trait::async_trait;

use super::keys::{ByKey, Keys};
use crate::error::Cause;
use crate::event_time::times;
use crate::state::{batch_bytes, batch_of_bytes, parts, split, split_parts};
use crate::{Counters, Operator, Output, TaskContext};

/// What is computed of the rows of one window. Groups are numbered from 0 as they come.
pub trait Aggregates: Send {
    /// Rows of these groups have come; so many groups there are now.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    fn update(&mut self, rows: &RecordBatch, groups: &[usize], count: usize) -> Result<(), Cause>;

    /// What to answer: one value for each group, one column for each aggregate.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    fn finish(&mut self) -> Result<Vec<ArrayRef>, Cause>;

    /// All that it knows, one row for each group, in columns that [`restore`](Self::restore) takes. It goes on afterwards.
    ///
    /// # Errors
    ///
    /// The whole dataflow ends with it.
    fn snapshot(&mut self) -> Result<RecordBatch, Cause>;

    /// Takes up what another one knew, before any rows come.
    ///
    /// # Errors
    ///
    /// This is no such state.
    fn restore(&mut self, state: &RecordBatch) -> Result<(), Cause>;
}

/// Which end of its window is the event time of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowTime {
    /// The first microsecond.
    Start,
    /// The first microsecond after it.
    End,
}

/// What is computed. Columns are positions.
#[derive(Debug, Clone)]
pub struct TumblingWindowPlan {
    /// The schema of the input.
    pub input: SchemaRef,
    /// Its event time.
    pub time: usize,
    /// The columns of the key; none: all rows of a window are one group.
    pub keys: Vec<usize>,
    /// The length of a window in microseconds, at least 1.
    pub size: i64,
    /// Windows begin at multiples of their length since 1970, UTC, and so many microseconds.
    pub offset: i64,
    /// The first two columns are start and end of the window (timestamps in microseconds, of any time zone), then come those of the
    /// key, then those of the aggregates.
    pub output: SchemaRef,
    /// The event time of the output.
    pub event_time: WindowTime,
}

/// Makes the aggregates of a window.
pub type Open = Box<dyn Fn() -> Result<Box<dyn Aggregates>, Cause> + Send + Sync>;

/// One open window.
struct Window {
    groups: ByKey<usize>,
    aggregates: Box<dyn Aggregates>,
}

/// Answers for each window and key when the watermark has passed the end of the window. Rows that come later still are left out and
/// counted.
pub struct TumblingWindow {
    plan: TumblingWindowPlan,
    open: Open,
    keys: Option<Keys>,
    windows: BTreeMap<i64, Window>,
    watermark: i64,
    counters: Arc<Counters>,
}

impl TumblingWindow {
    /// The windows of one task; `open` makes the aggregates of a window.
    ///
    /// # Errors
    ///
    /// A key is of a type that cannot be compared.
    pub fn new(plan: TumblingWindowPlan, open: Open, context: &TaskContext) -> Result<Self, Cause> {
        let keys = (!plan.keys.is_empty())
            .then(|| Keys::new(&plan.input, &plan.keys))
            .transpose()?;
        let (windows, counters) = (BTreeMap::new(), context.counters.clone());
        Ok(Self {
            plan,
            open,
            keys,
            windows,
            watermark: i64::MIN,
            counters,
        })
    }

    fn start_of(&self, time: i64) -> i64 {
        let into = time
            .saturating_sub(self.plan.offset)
            .rem_euclid(self.plan.size);
        time.saturating_sub(into)
    }

    fn is_over(&self, start: i64) -> bool {
        start.saturating_add(self.plan.size) <= self.watermark
    }

    /// The rows of each window, by its start.
    fn by_window(&self, times: &ScalarBuffer<i64>) -> BTreeMap<i64, Vec<u32>> {
        let mut windows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        // Neighbours are mostly of one window.
        let (mut start, mut rows) = (i64::MIN, Vec::new());
        for (row, &time) in (0..).zip(times) {
            let of = self.start_of(time);
            if of != start {
                windows.entry(start).or_default().append(&mut rows);
                start = of;
            }
            rows.push(row);
        }
        windows.entry(start).or_default().append(&mut rows);
        windows.retain(|_, rows| !rows.is_empty());
        windows
    }

    fn add(&mut self, start: i64, rows: &RecordBatch) -> Result<(), Cause> {
        let window = match self.windows.entry(start) {
            Entry::Occupied(window) => window.into_mut(),
            Entry::Vacant(place) => place.insert(Window {
                groups: ByKey::default(),
                aggregates: (self.open)()?,
            }),
        };
        let groups = match &self.keys {
            Some(keys) => window.groups_of(&keys.of(rows)?),
            None => vec![window.group(&[]); rows.num_rows()],
        };
        window.aggregates.update(rows, &groups, window.groups.len())
    }

    fn answer(&self, start: i64, mut window: Window) -> Result<RecordBatch, Cause> {
        let count = window.groups.len();
        let bound = |column: usize, at: i64| -> Result<ArrayRef, Cause> {
            let times = TimestampMicrosecondArray::from_value(at, count);
            Ok(arrow_array::make_array(
                times
                    .to_data()
                    .into_builder()
                    .data_type(self.plan.output.field(column).data_type().clone())
                    .build()?,
            ))
        };
        let mut columns = vec![
            bound(0, start)?,
            bound(1, start.saturating_add(self.plan.size))?,
        ];
        if let Some(keys) = &self.keys {
            columns.extend(keys.columns_from(window.keys())?);
        }
        columns.extend(window.aggregates.finish()?);
        Ok(RecordBatch::try_new(self.plan.output.clone(), columns)?)
    }
}

impl Window {
    fn group(&mut self, key: &[u8]) -> usize {
        let next = self.groups.len();
        match self.groups.get(key) {
            Some(group) => *group,
            None => *self.groups.entry(key.into()).or_insert(next),
        }
    }

    fn groups_of(&mut self, keys: &arrow_row::Rows) -> Vec<usize> {
        keys.iter().map(|key| self.group(key.as_ref())).collect()
    }

    /// In the order of their groups.
    fn keys(&self) -> Vec<&[u8]> {
        let mut keys: Vec<(usize, &[u8])> = self
            .groups
            .iter()
            .map(|(key, group)| (*group, &**key))
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }
}

#[async_trait]
impl Operator for TumblingWindow {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        for (start, rows) in self.by_window(&times(&batch, self.plan.time)?) {
            if self.is_over(start) {
                self.counters.late.fetch_add(rows.len() as u64, Relaxed);
            } else if rows.len() == batch.num_rows() {
                self.add(start, &batch)?;
            } else {
                self.add(start, &take_record_batch(&batch, &UInt32Array::from(rows))?)?;
            }
        }
        Ok(())
    }

    async fn watermark(&mut self, at: i64, output: &mut Output<'_>) -> Result<i64, Cause> {
        self.watermark = at;
        while let Some(first) = self
            .windows
            .first_entry()
            .filter(|first| first.key().saturating_add(self.plan.size) <= at)
        {
            let (start, window) = first.remove_entry();
            let answer = self.answer(start, window)?;
            output.emit(answer).await?;
        }
        Ok(match self.plan.event_time {
            WindowTime::Start if at != i64::MAX => self.start_of(at),
            _ => at,
        })
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        let keys = self.keys.as_ref();
        let windows = self.windows.iter_mut().map(|(start, window)| {
            let of_keys = keys.map_or(Ok(Vec::new()), |keys| keys.batch_bytes(window.keys()))?;
            let aggregates = batch_bytes(&window.aggregates.snapshot()?)?;
            Ok(parts([start.to_le_bytes().to_vec(), of_keys, aggregates]))
        });
        let windows = windows.collect::<Result<Vec<_>, Cause>>()?;
        Ok(parts(
            [vec![self.watermark.to_le_bytes().to_vec()], windows].concat(),
        ))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        let states = split(state)?;
        let (watermark, windows) = states.split_first().ok_or("the state is empty")?;
        self.watermark = i64::from_le_bytes((*watermark).try_into()?);
        for window in windows {
            let [start, keys, aggregates] = split_parts(window)?;
            let mut window = Window {
                groups: ByKey::default(),
                aggregates: (self.open)()?,
            };
            match &self.keys {
                Some(of) => {
                    window.groups_of(&of.of_columns(batch_of_bytes(keys)?.columns())?);
                }
                None => {
                    window.group(&[]);
                }
            }
            window.aggregates.restore(&batch_of_bytes(aggregates)?)?;
            self.windows
                .insert(i64::from_le_bytes(start.try_into()?), window);
        }
        Ok(())
    }
}
