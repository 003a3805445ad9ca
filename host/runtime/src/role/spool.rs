//! The rows of one node, kept for the next passes: an Arrow IPC stream in a file without a name, which goes away with the process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use forebay_dataflow::Cause;
use tokio::runtime::Handle;

/// Bytes that are written or read together.
const BUFFER_BYTES: usize = 1 << 20;

/// Why rows cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("rows cannot be kept for the next pass in `{}`", folder.display())]
pub(crate) struct SpoolError {
    folder: PathBuf,
    #[source]
    source: ArrowError,
}

/// Rows that are being kept.
pub(crate) struct Spool {
    folder: PathBuf,
    runtime: Handle,
    /// Absent while a thread has it.
    writer: Option<StreamWriter<BufWriter<File>>>,
    batches: u64,
    /// How many rows at the end of a batch only fill up a round, by its number; nothing where there are none.
    paddings: BTreeMap<u64, usize>,
}

/// Rows that were kept, from the first on.
pub(crate) struct Spooled {
    folder: PathBuf,
    runtime: Handle,
    reader: Option<StreamReader<BufReader<File>>>,
    batches: u64,
    paddings: BTreeMap<u64, usize>,
}

impl Spool {
    /// An empty one, below this folder, which is made.
    pub(crate) fn new(folder: &Path, schema: &SchemaRef, runtime: Handle) -> Result<Self, Cause> {
        let failed = |source: ArrowError| SpoolError {
            folder: folder.to_owned(),
            source,
        };
        let file = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        let file = file.map_err(|error| failed(error.into()))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let writer = StreamWriter::try_new(file, schema).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            runtime,
            writer: Some(writer),
            batches: 0,
            paddings: BTreeMap::new(),
        })
    }

    fn failed(folder: &Path, source: impl Into<ArrowError>) -> Cause {
        let source = source.into();
        let folder = folder.to_owned();
        SpoolError { folder, source }.into()
    }

    pub(crate) async fn keep(&mut self, batch: &RecordBatch, padding: usize) -> Result<(), Cause> {
        let Some(mut writer) = self.writer.take() else {
            return Err("an earlier row could not be kept".into());
        };
        let batch = batch.clone();
        let kept = self.runtime.spawn_blocking(move || {
            let written = writer.write(&batch);
            (writer, written)
        });
        let (writer, written) = kept.await?;
        written.map_err(|error| Self::failed(&self.folder, error))?;
        self.writer = Some(writer);
        if padding > 0 {
            self.paddings.insert(self.batches, padding);
        }
        self.batches += 1;
        Ok(())
    }

    /// No more rows come.
    pub(crate) async fn complete(self) -> Result<Spooled, Cause> {
        let Self {
            folder,
            runtime,
            writer,
            paddings,
            ..
        } = self;
        let writer = writer.ok_or("an earlier row could not be kept")?;
        let done = runtime.spawn_blocking(move || {
            let mut file = writer.into_inner()?;
            file.flush()?;
            let mut file = file.into_inner().map_err(io::Error::from)?;
            file.rewind()?;
            StreamReader::try_new(BufReader::with_capacity(BUFFER_BYTES, file), None)
        });
        let reader = done.await?.map_err(|error| Self::failed(&folder, error))?;
        Ok(Spooled {
            folder,
            runtime,
            reader: Some(reader),
            batches: 0,
            paddings,
        })
    }
}

impl Spooled {
    /// The next batch, and how many rows at its end only fill up a round; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<(RecordBatch, usize)>, Cause> {
        let Some(mut reader) = self.reader.take() else {
            return Err("an earlier row could not be read again".into());
        };
        let read = self.runtime.spawn_blocking(move || {
            let batch = reader.next().transpose();
            (reader, batch)
        });
        let (reader, batch) = read.await?;
        self.reader = Some(reader);
        let batch = batch.map_err(|error| Spool::failed(&self.folder, error))?;
        let padding = self.paddings.get(&self.batches).copied();
        self.batches += 1;
        Ok(batch.map(|batch| (batch, padding.unwrap_or(0))))
    }

    /// From the first row on again.
    pub(crate) async fn begin_again(&mut self) -> Result<(), Cause> {
        let reader = self.reader.take();
        let reader = reader.ok_or("an earlier row could not be read again")?;
        let begun = self.runtime.spawn_blocking(move || {
            let file = reader_file(&reader);
            let mut file = file?;
            file.rewind()?;
            StreamReader::try_new(BufReader::with_capacity(BUFFER_BYTES, file), None)
        });
        let reader = begun.await?;
        self.reader = Some(reader.map_err(|error| Spool::failed(&self.folder, error))?);
        self.batches = 0;
        Ok(())
    }
}

fn reader_file(reader: &StreamReader<BufReader<File>>) -> Result<File, ArrowError> {
    Ok(reader.get_ref().get_ref().try_clone()?)
}
