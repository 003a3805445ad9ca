//! Arrow's own format: the one with a footer is the one without it, between two marks.

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::{ArrowError, SchemaRef};
use futures_util::TryStreamExt;

use crate::bytes::ByteStream;
use crate::error::Error;
use crate::reading::{BatchReader, Reading, project};

const MAGIC: &[u8] = b"ARROW1";

/// The magic and what fills it up are never longer.
const HEAD_BYTES: u64 = 128;

/// Messages begin at multiples of this.
const WORD_BYTES: usize = 8;

/// The length of the footer and the magic.
const SUFFIX_BYTES: u64 = 10;

/// A file that is read.
pub(crate) struct IpcFile {
    reading: Reading,
    messages: Messages,
    /// Where the wanted columns are in the file.
    columns: Vec<usize>,
    output: SchemaRef,
    /// What is left of a batch of the file.
    rest: Option<RecordBatch>,
}

struct Messages {
    bytes: ByteStream,
    buffer: Buffer,
    decoder: StreamDecoder,
}

impl Messages {
    async fn open(reading: &Reading) -> Result<Self, Error> {
        let (file, runtime) = (&reading.file, &reading.runtime);
        let head = file.fetch(runtime, 0..file.size.min(HEAD_BYTES)).await?;
        let range = match start_of_messages(&head) {
            Some(start) => start..end_of_messages(reading, start).await?,
            None => 0..file.size,
        };
        Ok(Self {
            bytes: file.chunks(runtime, range),
            buffer: Buffer::from(Vec::<u8>::new()),
            decoder: StreamDecoder::new(),
        })
    }

    /// The next batch, or (once) `None` when the schema has come.
    async fn next(&mut self, until_schema: bool) -> Result<Option<RecordBatch>, Problem> {
        loop {
            if let Some(batch) = self.decoder.decode(&mut self.buffer)? {
                return Ok(Some(batch));
            }
            let Some(bytes) = self.bytes.try_next().await? else {
                self.decoder.finish()?;
                return Ok(None);
            };
            self.buffer = bytes.into();
            if until_schema && self.decoder.schema().is_some() {
                return Ok(None);
            }
        }
    }
}

/// Reading or decoding has failed.
enum Problem {
    Read(Error),
    Decode(ArrowError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Read(error)
    }
}

impl From<ArrowError> for Problem {
    fn from(error: ArrowError) -> Self {
        Self::Decode(error)
    }
}

impl Problem {
    fn of(self, reading: &Reading) -> Error {
        match self {
            Self::Read(error) => error,
            Self::Decode(error) => Error::damaged(&reading.file.name, "Arrow", error),
        }
    }
}

/// The first message of a file with a footer begins here; `None`: it has none. The magic is filled up with zeros, and no message
/// begins with them.
fn start_of_messages(head: &[u8]) -> Option<u64> {
    let filling = head.starts_with(MAGIC).then_some(head)?;
    let words = filling.chunks(WORD_BYTES).skip(1);
    let zeros = words.take_while(|word| word.iter().all(|byte| *byte == 0));
    Some(((1 + zeros.count()) * WORD_BYTES) as u64)
}

/// The footer begins here.
async fn end_of_messages(reading: &Reading, messages: u64) -> Result<u64, Error> {
    let file = &reading.file;
    let cut_off = || Error::damaged(&file.name, "Arrow", "it has no footer: is it whole?");
    let start = file.size.checked_sub(SUFFIX_BYTES).ok_or_else(cut_off)?;
    let tail = file.fetch(&reading.runtime, start..file.size).await?;
    let (length, magic) = tail.split_first_chunk().ok_or_else(cut_off)?;
    let length = u64::try_from(i32::from_le_bytes(*length)).map_err(|_| cut_off())?;
    let end = start.checked_sub(length).filter(|end| *end >= messages);
    match end {
        Some(end) if magic == MAGIC => Ok(end),
        _ => Err(cut_off()),
    }
}

/// The schema that the file says it has.
pub(crate) async fn schema(reading: &Reading) -> Result<SchemaRef, Error> {
    if reading.file.size == 0 {
        return Err(Error::Empty(reading.file.name.to_string()));
    }
    let mut messages = Messages::open(reading).await?;
    messages
        .next(true)
        .await
        .map_err(|error| error.of(reading))?;
    let schema = messages.decoder.schema();
    schema.ok_or_else(|| Error::damaged(&reading.file.name, "Arrow", "it has no schema"))
}

impl BatchReader for IpcFile {
    async fn open(reading: Reading) -> Result<Self, Error> {
        let found = schema(&reading).await?;
        let positions = reading.positions_in(&found)?;
        Ok(Self {
            messages: Messages::open(&reading).await?,
            columns: reading
                .columns
                .iter()
                .map(|column| positions[*column])
                .collect(),
            output: reading.output(),
            reading,
            rest: None,
        })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            if let Some(rest) = self.rest.take().filter(|rest| rest.num_rows() > 0) {
                let rows = rest.num_rows().min(self.reading.batch_rows);
                self.rest = Some(rest.slice(rows, rest.num_rows() - rows));
                return Ok(Some(rest.slice(0, rows)));
            }
            let next = self.messages.next(false).await;
            let Some(batch) = next.map_err(|error| error.of(&self.reading))? else {
                return Ok(None);
            };
            let batch = project(&batch, &self.columns, &self.output)
                .map_err(|error| Problem::Decode(error).of(&self.reading))?;
            self.rest = Some(batch);
        }
    }
}
