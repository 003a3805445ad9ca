//! A stream and a table: each row of the stream with what the table says of its key.

use std::sync::Arc;
use std::{iter, mem};

use arrow_array::{ArrayRef, RecordBatch, UInt64Array, new_null_array};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::concat::{concat, concat_batches};
use arrow_select::filter::filter_record_batch;
use arrow_select::take::{take_arrays, take_record_batch};
use async_trait::async_trait;

use super::held::{beside, is_most_of};
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
    /// What has come of the table.
    table: Vec<RecordBatch>,
    /// All of it, once it is whole.
    whole: Option<Table>,
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
            whole: None,
            early: Vec::new(),
        })
    }

    fn close_table(&mut self) -> Result<(), Cause> {
        let rows = concat_batches(&self.plan.schemas[TABLE], &mem::take(&mut self.table))?;
        self.whole = Some(Table::new(&rows, &self.keys[TABLE])?);
        Ok(())
    }

    async fn join(
        &self,
        table: &Table,
        rows: &RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let keys = self.keys[STREAM].of(rows)?;
        let mut pairs = Pairs::new(rows.num_rows());
        for (row, key) in keys.iter().enumerate() {
            match table.index.get(key.as_ref()) {
                Some(partners) => pairs.add(row, partners),
                None if self.emits_alone_at_once() => pairs.add(row, &[table.nulls()]),
                None => {}
            }
            if pairs.left.len() >= ROWS_AT_ONCE {
                self.emit(table, rows, &mut pairs, output).await?;
            }
        }
        self.emit(table, rows, &mut pairs, output).await?;
        let those = |with: bool| {
            let chosen = pairs.matched.iter().map(|matched| Some(*matched == with));
            filter_record_batch(rows, &chosen.collect())
        };
        let rest = match self.plan.kind {
            TableJoinKind::Inner => return Ok(()),
            TableJoinKind::Left if self.emits_alone_at_once() => return Ok(()),
            TableJoinKind::Left => with_nulls(&self.plan.output, &those(false)?)?,
            TableJoinKind::Semi => those(true)?.with_schema(self.plan.output.clone())?,
            TableJoinKind::Anti => those(false)?.with_schema(self.plan.output.clone())?,
        };
        output.emit(rest).await
    }

    /// Whether a row without a partner is emitted in its place: with a condition nobody knows before all pairs are looked at.
    fn emits_alone_at_once(&self) -> bool {
        self.plan.kind == TableJoinKind::Left && self.condition.is_none()
    }

    /// Emits these pairs of rows, and notes which rows of the stream had a partner.
    async fn emit(
        &self,
        table: &Table,
        rows: &RecordBatch,
        pairs: &mut Pairs,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let (left, right) = (mem::take(&mut pairs.left), mem::take(&mut pairs.right));
        let right = take_arrays(&table.columns, &UInt64Array::from(right), None)?;
        let mut joined = beside(&self.pairs, &rows_at(rows, &left)?, &right)?;
        match &self.condition {
            None => left.into_iter().for_each(|row| pairs.matched[row] = true),
            Some(condition) => {
                let holds = condition(&joined)?;
                let holding = left
                    .into_iter()
                    .zip(&holds)
                    .filter(|(_, holds)| *holds == Some(true));
                holding.for_each(|(row, _)| pairs.matched[row] = true);
                joined = filter_record_batch(&joined, &holds)?;
            }
        }
        if self.plan.kind.has_pairs() {
            output.emit(joined).await?;
        }
        Ok(())
    }
}

/// A table that is whole.
struct Table {
    /// Its rows, and behind them one of nulls, even where it has none itself.
    columns: Vec<ArrayRef>,
    rows: usize,
    index: ByKey<Vec<u64>>,
}

impl Table {
    fn new(rows: &RecordBatch, keys: &Keys) -> Result<Self, Cause> {
        let (keys, nulls) = (keys.of(rows)?, keys.nulls(rows));
        let mut index = ByKey::<Vec<u64>>::default();
        for (row, key) in keys.iter().enumerate().filter(|(row, _)| !nulls[*row]) {
            match index.get_mut(key.as_ref()) {
                Some(rows) => rows.push(row as u64),
                None => drop(index.insert(key.as_ref().into(), vec![row as u64])),
            }
        }
        let columns = rows.columns().iter().map(|column| {
            let nulls = new_null_array(column.data_type(), 1);
            concat(&[column.as_ref(), nulls.as_ref()])
        });
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            rows: rows.num_rows(),
            index,
        })
    }

    /// The row of nulls.
    fn nulls(&self) -> u64 {
        self.rows as u64
    }

    fn rows(&self, schema: &SchemaRef) -> Result<RecordBatch, Cause> {
        let columns = self.columns.iter().map(|column| column.slice(0, self.rows));
        Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
    }
}

/// Rows of a batch of the stream with their partners in the table, in the order of the stream.
struct Pairs {
    left: Vec<usize>,
    right: Vec<u64>,
    /// For each row of the batch, whether it has a partner, or none and nothing more to come.
    matched: Vec<bool>,
}

impl Pairs {
    fn new(rows: usize) -> Self {
        Self {
            left: Vec::with_capacity(rows),
            right: Vec::with_capacity(rows),
            matched: vec![false; rows],
        }
    }

    fn add(&mut self, row: usize, partners: &[u64]) {
        self.left.extend(iter::repeat_n(row, partners.len()));
        self.right.extend_from_slice(partners);
    }
}

/// These rows of a batch, in this order. Where they lie one behind the other and are most of it, nothing is copied.
fn rows_at(batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch, Cause> {
    if is_most_of(batch, rows.len()) && rows.is_sorted_by(|row, next| row + 1 == *next) {
        let first = rows.first().copied().unwrap_or_default();
        return Ok(batch.slice(first, rows.len()));
    }
    let rows = rows.iter().map(|&row| row as u64);
    Ok(take_record_batch(
        batch,
        &UInt64Array::from_iter_values(rows),
    )?)
}

#[async_trait]
impl Operator for TableJoin {
    async fn process(
        &mut self,
        input: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        match (&self.whole, input) {
            (_, TABLE) => self.table.push(batch),
            (None, _) => self.early.push(batch),
            (Some(table), _) => self.join(table, &batch, output).await?,
        }
        Ok(())
    }

    async fn input_ended(&mut self, input: usize, output: &mut Output<'_>) -> Result<(), Cause> {
        if input == TABLE {
            self.close_table()?;
            for batch in mem::take(&mut self.early) {
                self.process(STREAM, batch, output).await?;
            }
        }
        Ok(())
    }

    fn reads(&self) -> Reads {
        Reads::First(TABLE)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        let table = match &self.whole {
            Some(table) => table.rows(&self.plan.schemas[TABLE])?,
            None => concat_batches(&self.plan.schemas[TABLE], &self.table)?,
        };
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
