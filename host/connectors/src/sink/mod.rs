//! Where rows go.

mod encode;
mod file;
mod folders;
mod local;
mod remote;
mod writer;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use forebay_dataflow::{Cause, Operator, Output, TaskContext};

pub use self::file::{FileSink, FileSinkOptions};
pub(crate) use self::folders::Folders;
pub use self::writer::WriterSink;
use crate::connector::SinkConnector;

/// Takes all rows and keeps none: to see how fast the rest is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blackhole;

impl SinkConnector for Blackhole {
    fn open(&self, _: TaskContext) -> Result<Box<dyn Operator>, Cause> {
        Ok(Box::new(Self))
    }
}

#[async_trait]
impl Operator for Blackhole {
    async fn process(&mut self, _: usize, _: RecordBatch, _: &mut Output<'_>) -> Result<(), Cause> {
        Ok(())
    }
}
