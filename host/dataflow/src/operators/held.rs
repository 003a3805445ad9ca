//! One side of a join: rows that wait for partners, found by key.

use std::collections::{BTreeMap, VecDeque};

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::ScalarBuffer;
use arrow_row::Rows;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave_record_batch;

use super::keys::{ByKey, Keys};
use crate::error::Cause;
use crate::event_time::times;
use crate::state::{batch_bytes, batch_of_bytes};

/// Rows that lie one behind the other are copied together where so many do, on average.
const LONG_RUN: usize = 8;

/// A row that is held: its batch and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowId {
    batch: u64,
    row: usize,
}

impl RowId {
    /// Whether the other one is the next row of its batch.
    fn is_before(self, other: Self) -> bool {
        self.batch == other.batch && self.row + 1 == other.row
    }
}

struct Held {
    rows: RecordBatch,
    keys: Rows,
    times: ScalarBuffer<i64>,
    earliest: i64,
    latest: i64,
    /// Rows that need no answer any more: they had a partner, or were emitted without one.
    settled: Vec<bool>,
}

/// All rows of one side that may still find partners.
pub(super) struct Side {
    schema: SchemaRef,
    time: usize,
    keys: Keys,
    held: BTreeMap<u64, Held>,
    next: u64,
    /// Rows by key, in the order in which they came.
    index: ByKey<VecDeque<RowId>>,
}

impl Side {
    pub(super) fn new(schema: SchemaRef, keys: &[usize], time: usize) -> Result<Self, Cause> {
        let keys = Keys::new(&schema, keys)?;
        Ok(Self {
            schema,
            time,
            keys,
            held: BTreeMap::new(),
            next: 0,
            index: ByKey::default(),
        })
    }

    /// The event times of a batch of this side.
    pub(super) fn times(&self, rows: &RecordBatch) -> Result<ScalarBuffer<i64>, Cause> {
        times(rows, self.time)
    }

    /// Takes rows in.
    pub(super) fn hold(
        &mut self,
        rows: RecordBatch,
    ) -> Result<impl Iterator<Item = RowId> + use<>, Cause> {
        let settled = vec![false; rows.num_rows()];
        let ids = 0..rows.num_rows();
        let batch = self.hold_settled(rows, settled)?;
        Ok(ids.map(move |row| RowId { batch, row }))
    }

    fn hold_settled(&mut self, rows: RecordBatch, settled: Vec<bool>) -> Result<u64, Cause> {
        let number = self.next;
        self.next += 1;
        let (keys, nulls, times) = (
            self.keys.of(&rows)?,
            self.keys.nulls(&rows),
            self.times(&rows)?,
        );
        for (row, key) in keys.iter().enumerate().filter(|(row, _)| !nulls[*row]) {
            let id = RowId { batch: number, row };
            match self.index.get_mut(key.as_ref()) {
                Some(rows) => rows.push_back(id),
                None => drop(self.index.insert(key.as_ref().into(), VecDeque::from([id]))),
            }
        }
        let latest = times.iter().copied().max().unwrap_or(i64::MIN);
        let earliest = times.iter().copied().min().unwrap_or(i64::MAX);
        self.held.insert(
            number,
            Held {
                rows,
                keys,
                times,
                earliest,
                latest,
                settled,
            },
        );
        Ok(number)
    }

    /// The rows of the other side whose key is that of a row which is held here, and whose time `fits` its own.
    pub(super) fn partners<'a>(
        &self,
        id: RowId,
        other: &'a Self,
        fits: impl Fn(i64, i64) -> bool + 'a,
    ) -> impl Iterator<Item = RowId> + 'a {
        let held = &self.held[&id.batch];
        let (key, time) = (held.keys.row(id.row), held.times[id.row]);
        let equal = other.index.get(key.as_ref()).into_iter().flatten().copied();
        equal.filter(move |partner| fits(time, other.held[&partner.batch].times[partner.row]))
    }

    pub(super) fn settle(&mut self, id: RowId) {
        if let Some(held) = self.held.get_mut(&id.batch) {
            held.settled[id.row] = true;
        }
    }

    /// These rows, in this order.
    pub(super) fn rows(&self, ids: impl IntoIterator<Item = RowId>) -> Result<RecordBatch, Cause> {
        let ids: Vec<_> = ids.into_iter().collect();
        let runs: Vec<_> = ids.chunk_by(|id, next| id.is_before(*next)).collect();
        match runs[..] {
            [] => Ok(RecordBatch::new_empty(self.schema.clone())),
            [run] if is_most_of(&self.held[&run[0].batch].rows, run.len()) => Ok(self.run(run)),
            [_, _, ..] if ids.len() >= LONG_RUN * runs.len() => {
                let runs: Vec<_> = runs.into_iter().map(|run| self.run(run)).collect();
                Ok(concat_batches(&self.schema, &runs)?)
            }
            _ => self.one_by_one(&ids),
        }
    }

    /// Rows that lie one behind the other; nothing is copied.
    fn run(&self, ids: &[RowId]) -> RecordBatch {
        self.held[&ids[0].batch].rows.slice(ids[0].row, ids.len())
    }

    fn one_by_one(&self, ids: &[RowId]) -> Result<RecordBatch, Cause> {
        let mut batches: Vec<&RecordBatch> = Vec::new();
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        let mut place = |batch: u64| {
            *places.entry(batch).or_insert_with(|| {
                batches.push(&self.held[&batch].rows);
                batches.len() - 1
            })
        };
        let ids: Vec<_> = ids.iter().map(|id| (place(id.batch), id.row)).collect();
        Ok(interleave_record_batch(&batches, &ids)?)
    }

    /// The rows before this time that nobody has settled; they are settled with it.
    pub(super) fn settle_before(&mut self, time: i64) -> Vec<RowId> {
        let mut due = Vec::new();
        for (&batch, held) in self
            .held
            .iter_mut()
            .filter(|(_, held)| held.earliest < time)
        {
            for (row, settled) in held.settled.iter_mut().enumerate() {
                if held.times[row] < time && !*settled {
                    *settled = true;
                    due.push(RowId { batch, row });
                }
            }
        }
        due
    }

    /// Forgets batches whose rows are all before this time.
    pub(super) fn forget_before(&mut self, time: i64) {
        let Self { held, index, .. } = self;
        for (number, gone) in held.extract_if(.., |_, held| held.latest < time) {
            for key in &gone.keys {
                let Some(rows) = index.get_mut(key.as_ref()) else {
                    continue;
                };
                let first = rows.partition_point(|id| id.batch < number);
                let end = rows.partition_point(|id| id.batch <= number);
                rows.drain(first..end);
                if rows.is_empty() {
                    index.remove(key.as_ref());
                }
            }
        }
    }

    /// All rows, each with whether it is settled.
    pub(super) fn snapshot(&self) -> Result<Vec<u8>, Cause> {
        let rows = concat_batches(&self.schema, self.held.values().map(|held| &held.rows))?;
        let settled = self
            .held
            .values()
            .flat_map(|held| held.settled.iter().copied());
        let settled: BooleanArray = settled.map(Some).collect();
        batch_bytes(&with_mark(&rows, settled)?)
    }

    pub(super) fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        let marked = batch_of_bytes(state)?;
        let mark = marked.num_columns() - 1;
        let settled = marked.column(mark).as_boolean().values().iter().collect();
        let rows = RecordBatch::try_new(self.schema.clone(), marked.columns()[..mark].to_vec())?;
        if rows.num_rows() > 0 {
            self.hold_settled(rows, settled)?;
        }
        Ok(())
    }
}

fn with_mark(rows: &RecordBatch, mark: BooleanArray) -> Result<RecordBatch, Cause> {
    let fields = rows
        .schema_ref()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone());
    let fields = fields.chain([Field::new("settled", DataType::Boolean, false)]);
    let columns = rows
        .columns()
        .iter()
        .cloned()
        .chain([std::sync::Arc::new(mark) as ArrayRef]);
    Ok(RecordBatch::try_new(
        std::sync::Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        columns.collect(),
    )?)
}

/// A batch and columns of equal length as one of this schema.
pub(super) fn beside(
    schema: &SchemaRef,
    left: &RecordBatch,
    right: &[ArrayRef],
) -> Result<RecordBatch, Cause> {
    let columns = left.columns().iter().chain(right).cloned().collect();
    let options = RecordBatchOptions::new().with_row_count(Some(left.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

/// Whether so many rows are that much of a batch that they may keep all of it.
pub(super) fn is_most_of(batch: &RecordBatch, rows: usize) -> bool {
    2 * rows >= batch.num_rows()
}

/// Rows that are not late; how many were.
pub(super) fn in_time(
    rows: RecordBatch,
    times: &[i64],
    watermark: i64,
) -> Result<(RecordBatch, usize), Cause> {
    if times.iter().all(|&time| time >= watermark) {
        return Ok((rows, 0));
    }
    let is_in_time: BooleanArray = times.iter().map(|&time| Some(time >= watermark)).collect();
    let late = is_in_time.false_count();
    Ok((filter_record_batch(&rows, &is_in_time)?, late))
}
