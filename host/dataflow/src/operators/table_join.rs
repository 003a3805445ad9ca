//! A stream and a table: each row of the stream with what the table says of its key.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use async_trait::async_trait;

use super::held::beside;
use super::interval_join::with_nulls;
use super::keys::{ByKey, Keys};
use super::{Condition, ROWS_AT_ONCE};
use crate::error::Cause;
use crate::state::{batch_bytes, batch_of_bytes, parts, split_parts};
use crate::{Operator, Output, Reads};

/// The input of the stream, and that of the table.
const STREAM: usize = 0;
const TABLE: usize = 1;

/// Which rows of a stream are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableJoinKind {
    /// Those with a partner, once for each, with the columns of the partner.
    Inner,
    /// Those without one too, with nulls beside them.
    Left,
    /// Those with a partner, once and alone.
    Semi,
    /// Those without one, alone.
    Anti,
}

impl TableJoinKind {
    fn has_pairs(self) -> bool {
        matches!(self, Self::Inner | Self::Left)
    }
}

/// What is joined with what. Columns are positions. The stream is input 0, the table input 1.
#[derive(Debug, Clone)]
pub struct TableJoinPlan {
    /// The schemas of the stream and of the table.
    pub schemas: [SchemaRef; 2],
    /// The columns that must be equal, of each, in the same order and of the same types.
    pub keys: [Vec<usize>; 2],
    /// Which rows of the stream are asked for.
    pub kind: TableJoinKind,
    /// The columns of the stream, then those of the table where partners are asked for.
    pub output: SchemaRef,
}

/// The join of a stream with a table, which is read to its end first and then kept whole.
pub struct TableJoin {
    plan: TableJoinPlan,
    condition: Option<Condition>,
    keys: [Keys; 2],
    /// The columns of the stream, then those of the table.
    pairs: SchemaRef,
    table: Vec<RecordBatch>,
    /// Rows by key, once the table is whole.
    index: Option<ByKey<Vec<u64>>>,
    /// Rows of the stream that a barrier pushed before the end of the table.
    early: Vec<RecordBatch>,
}

impl TableJoin {
    /// The join of one task. The condition sees the columns of the stream, then those of the table.
    ///
    /// # Errors
    ///
    /// A key is of a type that cannot be compared.
    pub fn new(plan: TableJoinPlan, condition: Option<Condition>) -> Result<Self, Cause> {
        let keys = |input: usize| Keys::new(&plan.schemas[input], &plan.keys[input]);
        let keys = [keys(STREAM)?, keys(TABLE)?];
        let pairs = if plan.kind.has_pairs() {
            plan.output.clone()
        } else {
            let fields = plan.schemas.iter().flat_map(|schema| schema.fields());
            Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
        };
        Ok(Self {
            plan,
            condition,
            keys,
            pairs,
            table: Vec::new(),
            index: None,
            early: Vec::new(),
        })
    }

    /// Makes one batch and an index of the table.
    fn close_table(&mut self) -> Result<(), Cause> {
        let whole = concat_batches(&self.plan.schemas[TABLE], &self.table)?;
        let (keys, nulls) = (self.keys[TABLE].of(&whole)?, self.keys[TABLE].nulls(&whole));
        let mut index = ByKey::<Vec<u64>>::default();
        for (row, key) in keys.iter().enumerate().filter(|(row, _)| !nulls[*row]) {
            match index.get_mut(key.as_ref()) {
                Some(rows) => rows.push(row as u64),
                None => drop(index.insert(key.as_ref().into(), vec![row as u64])),
            }
        }
        (self.table, self.index) = (vec![whole], Some(index));
        Ok(())
    }

    async fn join(
        &self,
        index: &ByKey<Vec<u64>>,
        rows: &RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let keys = self.keys[STREAM].of(rows)?;
        let mut matched = vec![false; rows.num_rows()];
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (row, key) in keys.iter().enumerate() {
            let partners = index.get(key.as_ref()).map_or(&[][..], Vec::as_slice);
            left.extend(std::iter::repeat_n(row as u64, partners.len()));
            right.extend_from_slice(partners);
            if left.len() >= ROWS_AT_ONCE {
                self.emit(rows, &mut matched, (&mut left, &mut right), output)
                    .await?;
            }
        }
        self.emit(rows, &mut matched, (&mut left, &mut right), output)
            .await?;
        let those = |with: bool| {
            let chosen = matched.iter().map(|matched| Some(*matched == with));
            filter_record_batch(rows, &chosen.collect())
        };
        let rest = match self.plan.kind {
            TableJoinKind::Inner => return Ok(()),
            TableJoinKind::Left => with_nulls(&self.plan.output, &those(false)?)?,
            TableJoinKind::Semi => those(true)?.with_schema(self.plan.output.clone())?,
            TableJoinKind::Anti => those(false)?.with_schema(self.plan.output.clone())?,
        };
        output.emit(rest).await
    }

    /// Emits these pairs of rows, and notes which rows of the stream had a partner.
    async fn emit(
        &self,
        rows: &RecordBatch,
        matched: &mut [bool],
        (left, right): (&mut Vec<u64>, &mut Vec<u64>),
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let pairs = left
            .iter()
            .map(|&row| usize::try_from(row))
            .collect::<Result<Vec<_>, _>>()?;
        let left = take_record_batch(rows, &UInt64Array::from(std::mem::take(left)))?;
        let right = take_record_batch(&self.table[0], &UInt64Array::from(std::mem::take(right)))?;
        let mut joined = beside(&self.pairs, &left, &right)?;
        match &self.condition {
            None => pairs.into_iter().for_each(|row| matched[row] = true),
            Some(condition) => {
                let holds = condition(&joined)?;
                let holding = pairs
                    .into_iter()
                    .zip(&holds)
                    .filter(|(_, holds)| *holds == Some(true));
                holding.for_each(|(row, _)| matched[row] = true);
                joined = filter_record_batch(&joined, &holds)?;
            }
        }
        if self.plan.kind.has_pairs() {
            output.emit(joined).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Operator for TableJoin {
    async fn process(
        &mut self,
        input: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        match (&self.index, input) {
            (_, TABLE) => self.table.push(batch),
            (None, _) => self.early.push(batch),
            (Some(index), _) => self.join(index, &batch, output).await?,
        }
        Ok(())
    }

    async fn input_ended(&mut self, input: usize, output: &mut Output<'_>) -> Result<(), Cause> {
        if input == TABLE {
            self.close_table()?;
            for batch in std::mem::take(&mut self.early) {
                self.process(STREAM, batch, output).await?;
            }
        }
        Ok(())
    }

    fn reads(&self) -> Reads {
        Reads::First(TABLE)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        let table = concat_batches(&self.plan.schemas[TABLE], &self.table)?;
        let early = concat_batches(&self.plan.schemas[STREAM], &self.early)?;
        Ok(parts([batch_bytes(&table)?, batch_bytes(&early)?]))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        let [table, early] = split_parts(state)?;
        let of = |input: usize, bytes: &[u8]| -> Result<RecordBatch, Cause> {
            Ok(batch_of_bytes(bytes)?.with_schema(Arc::clone(&self.plan.schemas[input]))?)
        };
        // The end of a table that was whole comes once more.
        (self.table, self.early) = (vec![of(TABLE, table)?], vec![of(STREAM, early)?]);
        Ok(())
    }
}
