//! One batch after the other, each for itself.

use arrow_array::RecordBatch;
use async_trait::async_trait;

use crate::{Cause, Operator, Output};

/// Makes a batch of each batch: projections, filters, sinks that only look.
pub struct Each<F>(pub F);

#[async_trait]
impl<F> Operator for Each<F>
where
    F: FnMut(RecordBatch) -> Result<RecordBatch, Cause> + Send,
{
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        output.emit((self.0)(batch)?).await
    }
}
