//! Several streams of one schema as one.

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use async_trait::async_trait;

use crate::{Cause, Operator, Output, Reads};

/// All rows of all inputs, whose columns fit by position, in the order of event time as far as batches allow.
pub struct Union(
    /// The schema of its output.
    pub SchemaRef,
);

#[async_trait]
impl Operator for Union {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns().to_vec();
        let batch = RecordBatch::try_new_with_options(self.0.clone(), columns, &options)?;
        output.emit(batch).await
    }

    fn reads(&self) -> Reads {
        Reads::Lagging
    }
}
