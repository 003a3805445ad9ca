//! Partitions of a plan one after the other, where DataFusion would start a task for each: a stage is one task.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr,
    PlanProperties,
};
use futures_util::{StreamExt, stream};

/// All rows of a plan: those of its first partition first.
pub(crate) fn in_turn(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let partitions = plan.output_partitioning().partition_count();
    let streams = (0..partitions)
        .map(|partition| plan.execute(partition, context.clone()))
        .collect::<Result<Vec<_>>>()?;
    let rows = stream::iter(streams).flatten();
    Ok(Box::pin(RecordBatchStreamAdapter::new(plan.schema(), rows)))
}

/// Puts [`InTurn`] in the place of what reads partitions at the same time.
#[derive(Debug)]
pub(crate) struct ReadInTurn;

impl PhysicalOptimizerRule for ReadInTurn {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(together) = plan.downcast_ref::<CoalescePartitionsExec>() else {
                return Ok(Transformed::no(plan));
            };
            if together.fetch().is_some() {
                return Ok(Transformed::no(plan));
            }
            let in_turn = InTurn {
                input: together.input().clone(),
                properties: together.properties().clone(),
            };
            Ok(Transformed::yes(Arc::new(in_turn) as _))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "read_in_turn"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct InTurn {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for InTurn {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InTurn")
    }
}

impl ExecutionPlan for InTurn {
    fn name(&self) -> &'static str {
        "InTurn"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            input: children.swap_remove(0),
            properties: self.properties.clone(),
        }))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        in_turn(&self.input, &context)
    }
}
