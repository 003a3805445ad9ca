//! A component as an operator of the dataflow.

use arrow_array::RecordBatch;
use async_trait::async_trait;
use forebay_dataflow::{Cause, Operator, Output};
use forebay_plugin::BatchOperator;

/// Rows that a component is given at a time at most: what it answers goes through its memory and ours while the caches of a processor have it.
const ROWS_AT_ONCE: usize = 1024;

/// One instance, in one task. Its calls take the thread of the task, as those of any operator.
pub(crate) struct ComponentOperator(pub(crate) BatchOperator);

impl ComponentOperator {
    async fn emit(batches: Vec<RecordBatch>, output: &mut Output<'_>) -> Result<(), Cause> {
        for batch in batches {
            output.emit(batch).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Operator for ComponentOperator {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        for start in (0..batch.num_rows()).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(batch.num_rows() - start);
            let batches = self.0.process(&batch.slice(start, rows))?;
            Self::emit(batches, output).await?;
        }
        Ok(())
    }

    /// What it emits for this watermark may be as early as the watermark before it; what is behind hears of it afterwards.
    async fn watermark(&mut self, at: i64, output: &mut Output<'_>) -> Result<i64, Cause> {
        let batches = self.0.watermark(at)?;
        Self::emit(batches, output).await?;
        Ok(at)
    }

    async fn end(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        let batches = self.0.end()?;
        Self::emit(batches, output).await
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(self.0.snapshot()?)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        Ok(self.0.restore(state)?)
    }
}
