//! A writer as a sink: standard output, say.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use forebay_dataflow::{Cause, Operator, Output, TaskContext};
use tokio::runtime::Handle;

use super::encode::{self, Encoder};
use crate::connector::SinkConnector;
use crate::error::{Error, Verb};
use crate::format::Format;

/// Writes rows as text, each batch as soon as it comes; all tasks into one writer.
///
/// When nobody reads any more, the dataflow ends with [`Error::OutputClosed`], which is no failure.
#[derive(Clone)]
pub struct WriterSink {
    shared: Arc<Mutex<Shared>>,
    runtime: Handle,
}

struct Shared {
    encoder: Encoder,
    writer: Box<dyn Write + Send>,
}

impl WriterSink {
    /// Standard output.
    ///
    /// # Errors
    ///
    /// See [`WriterSink::new`].
    pub fn stdout(format: &Format, schema: &SchemaRef, runtime: Handle) -> Result<Self, Error> {
        Self::new(format, schema, Box::new(io::stdout()), runtime)
    }

    /// Any writer; it is used in a thread of the runtime, and may block it.
    ///
    /// # Errors
    ///
    /// The format is not text, or cannot hold a column.
    pub fn new(
        format: &Format,
        schema: &SchemaRef,
        writer: Box<dyn Write + Send>,
        runtime: Handle,
    ) -> Result<Self, Error> {
        if !format.is_text() {
            let name = format.name();
            return Err(Error::Setting(format!(
                "{name} is not for people; write CSV or JSON lines, or into a file"
            )));
        }
        encode::check(format, schema)?;
        let encoder = Encoder::new(format, schema).map_err(failed_to_encode)?;
        Ok(Self {
            shared: Arc::new(Mutex::new(Shared { encoder, writer })),
            runtime,
        })
    }

    async fn write(&self, batch: Option<RecordBatch>) -> Result<(), Error> {
        let shared = self.shared.clone();
        let written = self.runtime.spawn_blocking(move || {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.write(batch.as_ref())
        });
        written.await.map_err(|gone| Error::Write {
            path: "the output".into(),
            source: gone.into(),
        })?
    }
}

fn failed_to_encode(source: Cause) -> Error {
    Error::Encode {
        path: "the output".into(),
        format: "text",
        source,
    }
}

impl Shared {
    fn write(&mut self, batch: Option<&RecordBatch>) -> Result<(), Error> {
        if let Some(batch) = batch {
            self.encoder.write(batch).map_err(failed_to_encode)?;
        }
        let bytes = std::mem::take(self.encoder.bytes());
        let written = self.writer.write_all(&bytes);
        written
            .and_then(|()| self.writer.flush())
            .map_err(|error| Error::io("the output", Verb::Write, error))
    }
}

impl SinkConnector for WriterSink {
    fn open(&self, _: TaskContext) -> Result<Box<dyn Operator>, Cause> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Operator for WriterSink {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        Ok(self.write(Some(batch)).await?)
    }

    async fn end(&mut self, _: &mut Output<'_>) -> Result<(), Cause> {
        Ok(self.write(None).await?)
    }
}
