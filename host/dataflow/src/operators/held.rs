//! The sides of a join: rows that wait for partners, found by key.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::ScalarBuffer;
use arrow_row::Row;
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

/// For so many rows of a key the room is kept for the next key.
const ROOM_KEPT: usize = 64;

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

/// The number of a key in an [`Index`].
type KeyNumber = usize;

/// The rows of both sides by their key.
#[derive(Default)]
pub(super) struct Index {
    numbers: ByKey<KeyNumber>,
    keys: Vec<OfKey>,
    /// Numbers of keys that no row has any more; the next new keys get them, with the room of their lists.
    free: Vec<KeyNumber>,
}

/// The rows of a key.
#[derive(Default)]
struct OfKey {
    key: Box<[u8]>,
    /// Those of each side, in the order in which they came.
    rows: [VecDeque<RowId>; 2],
}

impl Index {
    fn number(&mut self, key: &[u8]) -> KeyNumber {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.keys.push(OfKey::default());
            self.keys.len() - 1
        });
        self.keys[number].key = key.into();
        self.numbers.insert(key.into(), number);
        number
    }

    /// Forgets the rows of a batch of one side that have this key.
    fn forget(&mut self, number: KeyNumber, side: usize, batch: u64) {
        let OfKey { key, rows } = &mut self.keys[number];
        let of_side = &mut rows[side];
        let first = of_side.partition_point(|id| id.batch < batch);
        let end = of_side.partition_point(|id| id.batch <= batch);
        if first == end {
            return;
        }
        of_side.drain(first..end);
        if of_side.is_empty() {
            of_side.shrink_to(ROOM_KEPT);
        }
        if rows.iter().all(VecDeque::is_empty) {
            self.numbers.remove(&mem::take(key));
            self.free.push(number);
        }
    }
}

struct Held {
    rows: RecordBatch,
    /// `None` where a part of it is null.
    keys: Vec<Option<KeyNumber>>,
    times: ScalarBuffer<i64>,
    earliest: i64,
    latest: i64,
    /// Rows that need no answer any more: they had a partner, or were emitted without one.
    settled: Vec<bool>,
}

/// All rows of one side that may still find partners.
pub(super) struct Side {
    /// 0 or 1.
    number: usize,
    schema: SchemaRef,
    time: usize,
    keys: Keys,
    held: BTreeMap<u64, Held>,
    next: u64,
}

impl Side {
    pub(super) fn new(
        number: usize,
        schema: SchemaRef,
        keys: &[usize],
        time: usize,
    ) -> Result<Self, Cause> {
        let keys = Keys::new(&schema, keys)?;
        Ok(Self {
            number,
            schema,
            time,
            keys,
            held: BTreeMap::new(),
            next: 0,
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
        index: &mut Index,
    ) -> Result<impl Iterator<Item = RowId> + use<>, Cause> {
        let settled = vec![false; rows.num_rows()];
        let ids = 0..rows.num_rows();
        let batch = self.hold_settled(rows, settled, index)?;
        Ok(ids.map(move |row| RowId { batch, row }))
    }

    fn hold_settled(
        &mut self,
        rows: RecordBatch,
        settled: Vec<bool>,
        index: &mut Index,
    ) -> Result<u64, Cause> {
        let number = self.next;
        self.next += 1;
        let (keys, nulls, times) = (
            self.keys.of(&rows)?,
            self.keys.nulls(&rows),
            self.times(&rows)?,
        );
        let add = |(row, (key, is_null)): (usize, (Row<'_>, bool))| {
            if is_null {
                return None;
            }
            let key = index.number(key.as_ref());
            index.keys[key].rows[self.number].push_back(RowId { batch: number, row });
            Some(key)
        };
        let keys = keys.iter().zip(nulls).enumerate().map(add).collect();
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
        index: &'a Index,
        fits: impl Fn(i64, i64) -> bool + 'a,
    ) -> impl Iterator<Item = RowId> + 'a {
        let held = &self.held[&id.batch];
        let (key, time) = (held.keys[id.row], held.times[id.row]);
        let equal = key.map(|key| &index.keys[key].rows[other.number]);
        let equal = equal.into_iter().flatten().copied();
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
    pub(super) fn forget_before(&mut self, time: i64, index: &mut Index) {
        for (number, gone) in self.held.extract_if(.., |_, held| held.latest < time) {
            for key in gone.keys.into_iter().flatten() {
                index.forget(key, self.number, number);
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

    pub(super) fn restore(&mut self, state: &[u8], index: &mut Index) -> Result<(), Cause> {
        let marked = batch_of_bytes(state)?;
        let mark = marked.num_columns() - 1;
        let settled = marked.column(mark).as_boolean().values().iter().collect();
        let rows = RecordBatch::try_new(self.schema.clone(), marked.columns()[..mark].to_vec())?;
        if rows.num_rows() > 0 {
            self.hold_settled(rows, settled, index)?;
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
