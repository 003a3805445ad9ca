//! Equal batches of a fixed size, as many for every target.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow_array::{ArrayRef, RecordBatch, UInt64Array, new_null_array};
use arrow_schema::SchemaRef;
use arrow_select::concat::{concat, concat_batches};
use arrow_select::take::take_record_batch;

use super::Rest;
use crate::Watermark;
use crate::error::Cause;
use crate::progress::Counters;
use crate::state::{batch_bytes, batch_of_bytes};

/// Rows that wait for their round, and the watermarks that wait for those rows.
#[derive(Debug)]
pub(crate) struct Rounds {
    schema: SchemaRef,
    rows: usize,
    targets: usize,
    rest: Rest,
    counters: Arc<Counters>,
    waiting: RecordBatch,
    /// Watermarks that came between the rows: each after so many of those that wait.
    watermarks: Vec<(usize, Watermark)>,
}

impl Rounds {
    pub(crate) fn new(
        schema: &SchemaRef,
        rows: usize,
        targets: usize,
        rest: Rest,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            schema: schema.clone(),
            rows,
            targets,
            rest,
            counters,
            waiting: RecordBatch::new_empty(schema.clone()),
            watermarks: Vec::new(),
        }
    }

    pub(super) fn deal(&mut self, batch: RecordBatch) -> Result<Vec<(usize, RecordBatch)>, Cause> {
        self.waiting = if self.waiting.num_rows() == 0 {
            batch
        } else {
            concat_batches(&self.schema, [&self.waiting, &batch])?
        };
        let round = self.rows * self.targets;
        let full = self.waiting.num_rows() / round * round;
        let dealt = self.cut(full);
        self.waiting = self.waiting.slice(full, self.waiting.num_rows() - full);
        for (after, _) in &mut self.watermarks {
            *after = after.saturating_sub(full);
        }
        Ok(dealt)
    }

    fn cut(&self, rows: usize) -> Vec<(usize, RecordBatch)> {
        let batches = (0..rows)
            .step_by(self.rows)
            .map(|from| self.waiting.slice(from, self.rows));
        batches
            .enumerate()
            .map(|(number, batch)| (number % self.targets, batch))
            .collect()
    }

    pub(super) fn rest(&mut self) -> Result<Vec<(usize, RecordBatch)>, Cause> {
        let rows = self.waiting.num_rows();
        self.watermarks.clear();
        if rows == 0 {
            return Ok(Vec::new());
        }
        match &self.rest {
            Rest::Drop => {
                self.counters.dropped.fetch_add(rows as u64, Relaxed);
                self.waiting = RecordBatch::new_empty(self.schema.clone());
                Ok(Vec::new())
            }
            Rest::Pad { weight } => {
                self.waiting = padded(
                    &self.waiting,
                    self.rows * self.targets,
                    self.schema.index_of(weight)?,
                )?;
                let dealt = self.deal(RecordBatch::new_empty(self.schema.clone()))?;
                let marked = dealt.into_iter().map(|(target, batch)| {
                    let own = rows.saturating_sub(target * self.rows).min(self.rows);
                    Ok((target, marked(batch, self.rows - own)?))
                });
                marked.collect()
            }
        }
    }

    /// A watermark comes: when it may go on is told by [`due`](Self::due).
    pub(crate) fn hold(&mut self, watermark: Watermark) {
        let after = self.waiting.num_rows();
        self.watermarks.retain(|&(before, _)| before != after);
        self.watermarks.push((after, watermark));
    }

    /// The last watermark before which no row waits any more.
    pub(crate) fn due(&mut self) -> Option<Watermark> {
        let due = self
            .watermarks
            .iter()
            .take_while(|(after, _)| *after == 0)
            .count();
        self.watermarks
            .drain(..due)
            .next_back()
            .map(|(_, watermark)| watermark)
    }

    pub(super) fn snapshot(&self) -> Result<Vec<u8>, Cause> {
        batch_bytes(&self.waiting)
    }

    /// Watermarks are not part of it: the sources say theirs again.
    pub(super) fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.waiting = batch_of_bytes(state)?;
        Ok(())
    }
}

/// In the metadata of a batch: how many rows at its end only fill up a round.
const PADDING: &str = "forebay.padding";

fn marked(batch: RecordBatch, padding: usize) -> Result<RecordBatch, Cause> {
    let mut schema = batch.schema().as_ref().clone();
    schema.metadata.insert(PADDING.into(), padding.to_string());
    Ok(batch.with_schema(Arc::new(schema))?)
}

/// How many rows at the end of a batch only fill up a round ([`Rest::Pad`]).
pub fn padding_of(batch: &RecordBatch) -> usize {
    let padding = batch.schema_ref().metadata.get(PADDING);
    padding.map_or(0, |rows| rows.parse().unwrap_or(0))
}

/// So many rows: those of the batch, then copies of its last one without weight.
fn padded(batch: &RecordBatch, rows: usize, weight: usize) -> Result<RecordBatch, Cause> {
    let own = batch.num_rows() as u64;
    let copies = UInt64Array::from_iter_values((0..rows as u64).map(|row| row.min(own - 1)));
    let filled = take_record_batch(batch, &copies)?;
    let kind = batch.schema().field(weight).data_type().clone();
    let nothing = zeros(&kind, rows - batch.num_rows())?;
    let mut columns = filled.columns().to_vec();
    columns[weight] = concat(&[batch.column(weight), &nothing])?;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

fn zeros(kind: &arrow_schema::DataType, rows: usize) -> Result<ArrayRef, Cause> {
    // The buffers of a null array are zero; without its nulls they are zeros.
    let data = new_null_array(kind, rows)
        .to_data()
        .into_builder()
        .nulls(None)
        .build()?;
    Ok(arrow_array::make_array(data))
}
