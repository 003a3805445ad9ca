//! Two streams, row by row: equal keys, and event times that lie near each other.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::SchemaRef;
use async_trait::async_trait;

use super::held::{Index, RowId, Side, beside, in_time};
use super::{Condition, JoinKind, ROWS_AT_ONCE};
use crate::error::Cause;
use crate::state::{parts, split_parts};
use crate::{Counters, Operator, Output, Reads, TaskContext};

/// What is joined with what. Columns are positions.
#[derive(Debug, Clone)]
pub struct IntervalJoinPlan {
    /// The schemas of the left and the right input.
    pub schemas: [SchemaRef; 2],
    /// The columns that must be equal, of each input, in the same order and of the same types.
    pub keys: [Vec<usize>; 2],
    /// The event time of each input.
    pub times: [usize; 2],
    /// A right row belongs to a left row if it is at least this much later, in microseconds; negative: earlier.
    pub from: i64,
    /// And at most this much.
    pub to: i64,
    /// Whether left rows without a partner are asked for.
    pub kind: JoinKind,
    /// The columns of the left input, then those of the right.
    pub output: SchemaRef,
    /// The input whose event time is that of the output: 0 or 1.
    pub time_of: usize,
}

/// The join of two streams. A row is kept until no partner can come any more; then, if it is a left row that had none and such rows
/// are asked for, it is emitted with nulls.
///
/// Rows that come before the watermark are late: they are left out and counted, since what they belong to may be gone.
pub struct IntervalJoin {
    plan: IntervalJoinPlan,
    condition: Option<Condition>,
    sides: [Side; 2],
    index: Index,
    watermark: i64,
    counters: Arc<Counters>,
}

impl IntervalJoin {
    /// The join of one task. The condition sees rows of the output's schema.
    ///
    /// # Errors
    ///
    /// A key is of a type that cannot be compared.
    pub fn new(
        plan: IntervalJoinPlan,
        condition: Option<Condition>,
        context: &TaskContext,
    ) -> Result<Self, Cause> {
        let side = |input: usize| {
            Side::new(
                input,
                plan.schemas[input].clone(),
                &plan.keys[input],
                plan.times[input],
            )
        };
        let sides = [side(0)?, side(1)?];
        Ok(Self {
            plan,
            condition,
            sides,
            index: Index::default(),
            watermark: i64::MIN,
            counters: context.counters.clone(),
        })
    }

    /// Adds the pairs that a new row makes with what was there, left row first.
    fn add_pairs(&self, input: usize, id: RowId, pairs: &mut Vec<(RowId, RowId)>) {
        let (from, to) = (self.plan.from, self.plan.to);
        let belongs =
            move |left: i64, right: i64| (from..=to).contains(&right.saturating_sub(left));
        let [left, right] = &self.sides;
        if input == 0 {
            let partners = left.partners(id, right, &self.index, belongs);
            pairs.extend(partners.map(|partner| (id, partner)));
        } else {
            let belongs = move |right, left| belongs(left, right);
            let partners = right.partners(id, left, &self.index, belongs);
            pairs.extend(partners.map(|partner| (partner, id)));
        }
    }

    async fn emit_pairs(
        &mut self,
        pairs: &[(RowId, RowId)],
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        for pairs in pairs.chunks(ROWS_AT_ONCE) {
            let left = self.sides[0].rows(pairs.iter().map(|(left, _)| *left))?;
            let right = self.sides[1].rows(pairs.iter().map(|(_, right)| *right))?;
            let joined = beside(&self.plan.output, &left, right.columns())?;
            let joined = match &self.condition {
                None => {
                    for (left, _) in pairs {
                        self.sides[0].settle(*left);
                    }
                    joined
                }
                Some(condition) => {
                    let holds = condition(&joined)?;
                    let holding = pairs
                        .iter()
                        .zip(&holds)
                        .filter(|(_, holds)| *holds == Some(true));
                    holding.for_each(|((left, _), _)| self.sides[0].settle(*left));
                    arrow_select::filter::filter_record_batch(&joined, &holds)?
                }
            };
            output.emit(joined).await?;
        }
        Ok(())
    }

    /// Left rows before this time have had all their chances.
    async fn emit_alone(&mut self, before: i64, output: &mut Output<'_>) -> Result<(), Cause> {
        let alone = self.sides[0].settle_before(before);
        for alone in alone.chunks(ROWS_AT_ONCE) {
            let left = self.sides[0].rows(alone.iter().copied())?;
            output.emit(with_nulls(&self.plan.output, &left)?).await?;
        }
        Ok(())
    }
}

/// Left rows with nulls beside them.
pub(super) fn with_nulls(schema: &SchemaRef, left: &RecordBatch) -> Result<RecordBatch, Cause> {
    let nothing = schema.fields()[left.num_columns()..].iter();
    let nothing = nothing.map(|field| new_null_array(field.data_type(), left.num_rows()));
    beside(schema, left, &nothing.collect::<Vec<_>>())
}

#[async_trait]
impl Operator for IntervalJoin {
    async fn process(
        &mut self,
        input: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let times = self.sides[input].times(&batch)?;
        let (rows, late) = in_time(batch, &times, self.watermark)?;
        self.counters.late.fetch_add(late as u64, Relaxed);
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut pairs = Vec::new();
        for id in self.sides[input].hold(rows, &mut self.index)? {
            self.add_pairs(input, id, &mut pairs);
            if pairs.len() >= ROWS_AT_ONCE {
                self.emit_pairs(&pairs, output).await?;
                pairs.clear();
            }
        }
        self.emit_pairs(&pairs, output).await
    }

    async fn watermark(&mut self, at: i64, output: &mut Output<'_>) -> Result<i64, Cause> {
        self.watermark = at;
        // Rows that still come are not before the watermark: those of the other side that they belong to are not before these.
        let (left, right) = match at {
            i64::MAX => (at, at),
            at => (
                at.saturating_sub(self.plan.to),
                at.saturating_add(self.plan.from),
            ),
        };
        if self.plan.kind == JoinKind::Left {
            self.emit_alone(left, output).await?;
        }
        self.sides[0].forget_before(left, &mut self.index);
        self.sides[1].forget_before(right, &mut self.index);
        Ok(at.min(if self.plan.time_of == 0 { left } else { right }))
    }

    fn reads(&self) -> Reads {
        Reads::Lagging
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        let [left, right] = &self.sides;
        Ok(parts([
            self.watermark.to_le_bytes().to_vec(),
            left.snapshot()?,
            right.snapshot()?,
        ]))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        let [watermark, left, right] = split_parts(state)?;
        self.watermark = i64::from_le_bytes(watermark.try_into()?);
        self.sides[0].restore(left, &mut self.index)?;
        self.sides[1].restore(right, &mut self.index)
    }
}
