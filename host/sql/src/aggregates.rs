//! Aggregate functions of DataFusion as what a window computes.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::Schema;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{EmitTo, Expr, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_plan::PhysicalExpr;
use forebay_dataflow::Cause;
use forebay_dataflow::operators::Aggregates;

use crate::Error;

/// One aggregate of a query.
pub(crate) struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

pub(crate) fn plan(
    state: &SessionState,
    expressions: &[Expr],
    logical: &DFSchema,
    physical: &Schema,
) -> Result<Vec<Aggregate>, Error> {
    let context = PhysicalPlanningContext::default();
    let lower = |expression: &Expr| {
        let properties = state.execution_props();
        let lowered =
            LoweredAggregateBuilder::new(expression, logical, physical, properties, &context)
                .build()?;
        if !lowered.order_bys.is_empty() {
            return Err(
                Error::new("ORDER BY in an aggregate of a stream is not known")
                    .with_hint("rows of a stream are in no order; take it out"),
            );
        }
        Ok(Aggregate {
            arguments: lowered.aggregate.expressions(),
            filter: lowered.filter,
            function: lowered.aggregate,
        })
    };
    expressions.iter().map(lower).collect()
}

impl Aggregate {
    fn open(&self) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        let function = self.function.clone();
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || {
            function.create_accumulator()
        })))
    }

    fn filter(&self, rows: &RecordBatch) -> Result<Option<BooleanArray>, Cause> {
        let Some(filter) = &self.filter else {
            return Ok(None);
        };
        let holds = filter.evaluate(rows)?.into_array(rows.num_rows())?;
        Ok(Some(holds.as_boolean().clone()))
    }
}

/// The aggregates of one window.
pub(crate) struct WindowAggregates {
    aggregates: Arc<[Aggregate]>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    groups: usize,
}

impl WindowAggregates {
    pub(crate) fn new(aggregates: Arc<[Aggregate]>) -> Result<Self, Cause> {
        let accumulators = aggregates
            .iter()
            .map(Aggregate::open)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            aggregates,
            accumulators,
            groups: 0,
        })
    }

    /// Takes up the states of each aggregate, one row for each group.
    fn merge(&mut self, states: &[Vec<ArrayRef>], groups: usize) -> Result<(), Cause> {
        let all: Vec<usize> = (0..groups).collect();
        for (accumulator, state) in self.accumulators.iter_mut().zip(states) {
            accumulator.merge_batch(state, &all, groups)?;
        }
        self.groups = groups;
        Ok(())
    }
}

impl Aggregates for WindowAggregates {
    fn update(&mut self, rows: &RecordBatch, groups: &[usize], count: usize) -> Result<(), Cause> {
        self.groups = count;
        for (aggregate, accumulator) in self.aggregates.iter().zip(&mut self.accumulators) {
            let arguments = aggregate
                .arguments
                .iter()
                .map(|argument| argument.evaluate(rows)?.into_array(rows.num_rows()))
                .collect::<Result<Vec<_>, _>>()?;
            accumulator.update_batch(
                &arguments,
                groups,
                aggregate.filter(rows)?.as_ref(),
                count,
            )?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, Cause> {
        let accumulators = self.accumulators.iter_mut();
        Ok(accumulators
            .map(|accumulator| accumulator.evaluate(EmitTo::All))
            .collect::<Result<_, _>>()?)
    }

    fn snapshot(&mut self) -> Result<RecordBatch, Cause> {
        let states = self
            .accumulators
            .iter_mut()
            .map(|accumulator| accumulator.state(EmitTo::All))
            .collect::<Result<Vec<_>, _>>()?;
        let groups = self.groups;
        // What it told it has no more.
        *self = Self::new(self.aggregates.clone())?;
        self.merge(&states, groups)?;
        let numbers: ArrayRef =
            Arc::new(arrow_array::UInt64Array::from_iter_values(0..groups as u64));
        let columns = std::iter::once(numbers).chain(states.into_iter().flatten());
        let named = columns
            .enumerate()
            .map(|(number, column)| (format!("{number}"), column, true));
        Ok(RecordBatch::try_from_iter_with_nullable(named)?)
    }

    fn restore(&mut self, state: &RecordBatch) -> Result<(), Cause> {
        let mut columns = state.columns().iter().skip(1).cloned();
        let states = self
            .aggregates
            .iter()
            .map(|aggregate| {
                let width = aggregate.function.state_fields()?.len();
                Ok(columns.by_ref().take(width).collect())
            })
            .collect::<Result<Vec<Vec<_>>, DataFusionError>>()?;
        self.merge(&states, state.num_rows())
    }
}
