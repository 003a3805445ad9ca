//! One JSON object a line.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_json::reader::{Decoder, infer_json_schema};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use bytes::{Buf, Bytes};
use futures_util::TryStreamExt;

use crate::bytes::ByteStream;
use crate::error::Error;
use crate::guess::Guess;
use crate::malformed::{MalformedRow, Rejects, RowPlace};
use crate::reading::{BatchReader, Reading, TimeColumn};

/// A batch ends when it has so much text, however few rows that are.
const BATCH_BYTES: usize = 16 << 20;

/// A file that is read.
pub(crate) struct JsonFile {
    name: Arc<str>,
    lines: LineReader,
    batch_rows: usize,
    output: SchemaRef,
    decoder: Decoder,
    event_time: TimeColumn,
    rejects: Rejects,
}

/// Whole lines of a stream of bytes, less the blank ones.
struct LineReader {
    bytes: ByteStream,
    chunk: Bytes,
    line_bytes_max: usize,
    /// The line that comes next, from 1.
    line: u64,
    block: Vec<u8>,
    /// Where the unfinished line begins.
    start: usize,
    is_too_long: bool,
    /// Number and end of each line in the block.
    lines: Vec<(u64, usize)>,
    too_long: Vec<u64>,
}

impl LineReader {
    fn new(reading: &Reading) -> Self {
        Self {
            bytes: reading.file.content(reading.compression, &reading.runtime),
            chunk: Bytes::new(),
            line_bytes_max: reading.record_bytes_max,
            line: 1,
            block: Vec::new(),
            start: 0,
            is_too_long: false,
            lines: Vec::new(),
            too_long: Vec::new(),
        }
    }

    /// Takes the lines of the block for done.
    fn clear(&mut self) {
        self.block.drain(..self.start);
        self.start = 0;
        self.lines.clear();
    }

    fn is_full(&self, lines_max: usize) -> bool {
        self.lines.len() + self.too_long.len() >= lines_max || self.start >= BATCH_BYTES
    }

    /// Reads until there are enough lines; `false`: these are the last ones.
    async fn fill(&mut self, lines_max: usize) -> Result<bool, Error> {
        while !self.is_full(lines_max) {
            if self.chunk.is_empty() {
                let Some(chunk) = self.bytes.try_next().await? else {
                    self.end_line();
                    return Ok(false);
                };
                self.chunk = chunk;
            }
            let end = self.chunk.iter().position(|byte| *byte == b'\n');
            self.append(end.unwrap_or(self.chunk.len()));
            if end.is_some() {
                self.chunk.advance(1);
                self.end_line();
            }
        }
        Ok(true)
    }

    /// So many bytes of the chunk belong to the line.
    fn append(&mut self, count: usize) {
        let length = self.block.len() - self.start + count;
        if self.is_too_long || length > self.line_bytes_max {
            self.is_too_long = true;
            self.block.truncate(self.start);
        } else {
            self.block.extend_from_slice(&self.chunk[..count]);
        }
        self.chunk.advance(count);
    }

    fn end_line(&mut self) {
        if self.is_too_long {
            self.too_long.push(self.line);
            self.is_too_long = false;
        } else if self.block[self.start..].trim_ascii().is_empty() {
            self.block.truncate(self.start);
        } else {
            self.block.push(b'\n');
            self.start = self.block.len();
            self.lines.push((self.line, self.start));
        }
        self.line += 1;
    }
}

impl BatchReader for JsonFile {
    async fn open(reading: Reading) -> Result<Self, Error> {
        let output = reading.output();
        let decoder = decoder(&output, reading.batch_rows);
        Ok(Self {
            lines: LineReader::new(&reading),
            decoder: decoder.map_err(|error| Error::Setting(error.to_string()))?,
            batch_rows: reading.batch_rows,
            output,
            name: reading.file.name,
            event_time: reading.event_time,
            rejects: reading.rejects,
        })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let is_more = self.lines.fill(self.batch_rows).await?;
            let batch = match self.decode() {
                Some(batch) => batch,
                None => self.decode_one_by_one()?,
            };
            self.lines.clear();
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
            if !is_more {
                return Ok(None);
            }
        }
    }
}

fn decoder(schema: &SchemaRef, rows: usize) -> Result<Decoder, ArrowError> {
    arrow_json::ReaderBuilder::new(schema.clone())
        .with_batch_size(rows)
        // A column of texts and numbers is one of texts.
        .with_coerce_primitive(true)
        .build_decoder()
}

/// The rows of some whole lines, if there are as many.
fn decode(decoder: &mut Decoder, text: &[u8], lines: usize) -> Result<RecordBatch, ArrowError> {
    let used = decoder.decode(text)?;
    if decoder.has_partial_record() {
        return Err(ArrowError::JsonError(
            "the object does not end on its line".into(),
        ));
    }
    if decoder.len() != lines || !text[used..].trim_ascii().is_empty() {
        return Err(ArrowError::JsonError("it is not one object".into()));
    }
    let batch = decoder.flush()?;
    batch.ok_or_else(|| ArrowError::JsonError("it is not one object".into()))
}

impl JsonFile {
    /// All lines at once; `None`: one of them cannot be read.
    fn decode(&mut self) -> Option<RecordBatch> {
        let LineReader { block, lines, .. } = &self.lines;
        if !self.lines.too_long.is_empty() || lines.is_empty() {
            return None;
        }
        let text = &block[..self.lines.start];
        let batch = decode(&mut self.decoder, text, lines.len()).ok()?;
        self.event_time.missing(&batch).is_empty().then_some(batch)
    }

    fn decode_one_by_one(&mut self) -> Result<RecordBatch, Error> {
        let damaged = |error| Error::damaged(&self.name, "JSON lines", error);
        let mut bad: Vec<_> = std::mem::take(&mut self.lines.too_long)
            .into_iter()
            .map(|line| {
                let text = format!("it is longer than {} bytes", self.lines.line_bytes_max);
                malformed(&self.name, line, ArrowError::JsonError(text))
            })
            .collect();
        let (mut rows, mut start) = (Vec::new(), 0);
        let mut single = decoder(&self.output, 1).map_err(damaged)?;
        for (line, end) in &self.lines.lines {
            match decode(&mut single, &self.lines.block[start..*end], 1) {
                Ok(row) if self.event_time.missing(&row).is_empty() => rows.push(row),
                Ok(_) => bad.push(self.event_time.row(&self.name, RowPlace::Line(*line))),
                Err(error) => {
                    bad.push(malformed(&self.name, *line, error));
                    single = decoder(&self.output, 1).map_err(damaged)?;
                }
            }
            start = *end;
        }
        self.decoder = decoder(&self.output, self.batch_rows).map_err(damaged)?;
        bad.sort_by_key(|row| row.place);
        for row in bad {
            self.rejects.reject(row)?;
        }
        concat_batches(&self.output, &rows).map_err(damaged)
    }
}

/// The decoder's error in fewer words.
fn malformed(file: &Arc<str>, line: u64, error: ArrowError) -> MalformedRow {
    let text = match error {
        ArrowError::JsonError(text)
        | ArrowError::ParseError(text)
        | ArrowError::CastError(text)
        | ArrowError::InvalidArgumentError(text) => text,
        other => other.to_string(),
    };
    let blamed = text
        .strip_prefix("whilst decoding field '")
        .and_then(|rest| rest.split_once("': "));
    let (column, problem) = match blamed {
        Some((column, problem)) => (Some(column.to_owned()), problem),
        None => (None, text.as_str()),
    };
    let mut problem = problem.to_owned();
    for prefix in ["Json error: ", "Parser error: ", "Cast error: "] {
        if let Some(rest) = problem.strip_prefix(prefix) {
            problem = rest.to_owned();
        }
    }
    MalformedRow {
        file: file.clone(),
        place: RowPlace::Line(line),
        column,
        problem,
    }
}

/// What the first lines of a file say of its columns; `None`: there are none. Texts of dates and times become such; the columns are
/// in the order in which they appear.
///
/// # Errors
///
/// No line is a JSON object, or the file cannot be read. Single lines that are none are found when all are read.
pub(crate) async fn sample(reading: &Reading, rows: usize) -> Result<Option<Schema>, Error> {
    let mut lines = LineReader::new(reading);
    lines.fill(rows).await?;
    if lines.lines.is_empty() {
        return Ok(None);
    }
    let damaged = |error| Error::damaged(&reading.file.name, "JSON lines", error);
    let sample = match infer_json_schema(&lines.block[..lines.start], None) {
        Ok((schema, _)) => Sample {
            schema,
            rows: lines.lines.len(),
            text: lines.block[..lines.start].to_vec(),
        },
        Err(error) => Sample::of_good(&lines).ok_or_else(|| damaged(error))?,
    };
    sample.schema().map(Some).map_err(damaged)
}

/// Lines that are objects.
struct Sample {
    schema: Schema,
    rows: usize,
    text: Vec<u8>,
}

impl Sample {
    fn of_good(lines: &LineReader) -> Option<Self> {
        let starts = std::iter::once(0).chain(lines.lines.iter().map(|(_, end)| *end));
        let ends = lines.lines.iter().map(|(_, end)| *end);
        let texts = starts
            .zip(ends)
            .map(|(start, end)| &lines.block[start..end]);
        let good: Vec<_> = texts
            .filter(|text| infer_json_schema(*text, None).is_ok_and(|(_, rows)| rows == 1))
            .collect();
        let (rows, text) = (good.len(), good.concat());
        let (schema, _) = infer_json_schema(text.as_slice(), None).ok()?;
        (rows > 0).then_some(Self { schema, rows, text })
    }

    fn schema(self) -> Result<Schema, ArrowError> {
        let mut fields: Vec<Field> = self
            .schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        let text = String::from_utf8_lossy(&self.text);
        fields.sort_by_cached_key(|field| {
            let place = text.find(&format!("\"{}\"", field.name()));
            (place.unwrap_or(usize::MAX), field.name().clone())
        });
        let schema: SchemaRef = Schema::new(fields).into();
        let mut decoder = decoder(&schema, self.rows)?;
        let batch = decode(&mut decoder, &self.text, self.rows)?;
        let columns = schema.fields().iter().zip(batch.columns());
        let fields =
            columns.map(|(field, column)| field.as_ref().clone().with_data_type(kind_of(column)));
        Ok(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// The type of a column; where it is of texts, what the texts tell.
fn kind_of(column: &ArrayRef) -> DataType {
    match column.data_type() {
        DataType::Utf8 => {
            let guess: Guess = column.as_string::<i32>().iter().flatten().collect();
            let kind = guess.kind();
            if kind.is_temporal() {
                kind
            } else {
                DataType::Utf8
            }
        }
        DataType::Null => DataType::Utf8,
        other => other.clone(),
    }
}
