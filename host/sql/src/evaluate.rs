//! Expressions of DataFusion as functions over batches.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, SchemaRef};
use arrow_select::filter::filter_record_batch;
use datafusion::physical_plan::PhysicalExpr;
use forebay_dataflow::Cause;

/// One batch of each batch.
pub(crate) type Function = Arc<dyn Fn(RecordBatch) -> Result<RecordBatch, Cause> + Send + Sync>;

/// The values of these expressions, under this schema.
pub(crate) fn projection(expressions: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef) -> Function {
    Arc::new(move |batch| {
        let rows = batch.num_rows();
        let columns = expressions
            .iter()
            .map(|expression| expression.evaluate(&batch)?.into_array(rows));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            schema.clone(),
            columns.collect::<Result<_, _>>()?,
            &options,
        )?)
    })
}

/// These columns, by position, under this schema.
pub(crate) fn columns(positions: Vec<usize>, schema: SchemaRef) -> Function {
    Arc::new(move |batch| {
        let columns = positions
            .iter()
            .map(|&position| batch.column(position).clone())
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            schema.clone(),
            columns,
            &options,
        )?)
    })
}

/// The columns of this schema, by name.
pub(crate) fn columns_named(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Cause> {
    let column = |field: &Arc<Field>| {
        let missing = || format!("the column `{}` is not there", field.name());
        batch
            .column_by_name(field.name())
            .cloned()
            .ok_or_else(missing)
    };
    let columns = schema.fields().iter().map(column);
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns.collect::<Result<_, _>>()?,
        &options,
    )?)
}

/// The columns of these names, under this schema.
pub(crate) fn scan(named: SchemaRef, schema: SchemaRef) -> Function {
    let select = columns((0..named.fields().len()).collect(), schema);
    Arc::new(move |batch| select(columns_named(&batch, &named)?))
}

/// One after the other.
pub(crate) fn in_turn(functions: Vec<Function>) -> Function {
    Arc::new(move |batch| {
        functions
            .iter()
            .try_fold(batch, |batch, function| function(batch))
    })
}

/// The rows for which this holds.
pub(crate) fn filter(predicate: Arc<dyn PhysicalExpr>) -> Function {
    Arc::new(move |batch| Ok(filter_record_batch(&batch, &holds(&*predicate, &batch)?)?))
}

/// For each row, whether this holds.
pub(crate) fn holds(
    predicate: &dyn PhysicalExpr,
    batch: &RecordBatch,
) -> Result<BooleanArray, Cause> {
    let values = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
    Ok(values.as_boolean().clone())
}
