//! Several streams of one schema as one.

use arrow_array::RecordBatch;
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
        let columns = batch.columns().to_vec();
        output
            .emit(RecordBatch::try_new(self.0.clone(), columns)?)
            .await
    }

    fn reads(&self) -> Reads {
        Reads::Lagging
    }
}
