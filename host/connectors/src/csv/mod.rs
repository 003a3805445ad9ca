//! Values separated by commas.

mod columns;
mod records;

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Field, FieldRef, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use bytes::{Buf, Bytes};
use futures_util::TryStreamExt;
use futures_util::future::{Either, Pending, Ready, pending, ready, select};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

use self::columns::{BadRows, Rows};
pub(crate) use self::columns::{boolean, is_held};
use self::records::{Bad, Framer, Records};
use crate::bytes::ByteStream;
use crate::error::Error;
use crate::format::{CsvOptions, Format};
use crate::guess::Guess;
use crate::malformed::{MalformedRow, Rejects, RowPlace};
use crate::reading::{BatchReader, Reading, TimeColumn, project};

/// How many batches are parsed, each in a thread of the runtime, while the next records are looked for.
const BATCHES_AHEAD: usize = 2;

/// So little text is parsed sooner than a thread hears of it.
const LITTLE_BYTES: usize = 16 << 10;

/// A file that is read.
pub(crate) struct CsvFile {
    reader: RecordReader,
    /// Whether there may be more records, or why there are none.
    has_more: Result<bool, Error>,
    parser: Arc<Parser>,
    /// In the order of their records.
    parsing: VecDeque<Parsing>,
    /// Room that was used before.
    spare: Vec<Records>,
    rejects: Rejects,
    runtime: Handle,
}

/// What becomes of records.
struct Parser {
    name: Arc<str>,
    /// What is made of them: the column of the records, and what it is.
    columns: Vec<(usize, FieldRef)>,
    null_values: Vec<String>,
    output: SchemaRef,
    event_time: TimeColumn,
}

/// A batch, what is wrong in its rows, and the room of its records.
type Parsed = (Result<RecordBatch, Error>, Vec<Bad>, Records);

/// A batch that is parsed in a thread, or has been.
type Parsing = Either<JoinHandle<Parsed>, Ready<Result<Parsed, JoinError>>>;

/// Records of a stream of bytes.
struct RecordReader {
    bytes: ByteStream,
    chunk: Bytes,
    framer: Framer,
    records: Records,
}

impl RecordReader {
    fn new(reading: &Reading, options: &CsvOptions) -> Self {
        Self {
            bytes: reading.file.content(reading.compression, &reading.runtime),
            chunk: Bytes::new(),
            framer: Framer::new(options, reading.record_bytes_max),
            records: Records::default(),
        }
    }

    /// The fields of the next record, however many; `None` at the end.
    async fn header(&mut self, name: &Arc<str>) -> Result<Option<Vec<String>>, Error> {
        let record = loop {
            if self.chunk.is_empty() {
                match self.bytes.try_next().await? {
                    Some(chunk) => self.chunk = chunk,
                    None => break self.framer.end_of_header(),
                }
            }
            let (used, record) = self.framer.header(&self.chunk);
            self.chunk.advance(used);
            if record.is_some() {
                break record;
            }
        };
        let malformed = |bad: Bad| Error::Malformed(bad.of(name));
        record.transpose().map_err(malformed)
    }

    /// Reads until there are enough records, or no more.
    async fn fill(&mut self) -> Result<(), Error> {
        while !self.records.is_full() {
            if self.chunk.is_empty() {
                let Some(chunk) = self.bytes.try_next().await? else {
                    self.framer.finish(&mut self.records);
                    break;
                };
                self.chunk = chunk;
            }
            let used = self.framer.frame(&self.chunk, &mut self.records);
            self.chunk.advance(used);
        }
        Ok(())
    }

    /// Behind the header; `places`: see [`Records::new`].
    fn begin_rows(&mut self, places: Vec<Option<usize>>, batch_rows: usize) {
        self.records = Records::new(places, batch_rows);
    }
}

impl Bad {
    fn of(self, file: &Arc<str>) -> MalformedRow {
        MalformedRow {
            file: file.clone(),
            place: RowPlace::Line(self.line),
            column: self.column,
            problem: self.problem,
        }
    }
}

impl BatchReader for CsvFile {
    async fn open(reading: Reading) -> Result<Self, Error> {
        let options = csv_options(&reading.format);
        let mut records = RecordReader::new(&reading, options);
        let width = reading.schema.fields().len();
        let mut positions: Vec<usize> = (0..width).collect();
        // A file without any byte has no rows, either.
        if options.header
            && let Some(header) = records.header(&reading.file.name).await?
        {
            positions = match_columns(&reading, &header)?;
        }
        let output = reading.output();
        let wanted = reading.columns.iter().map(|column| positions[*column]);
        let (places, columns) = places(width, wanted);
        records.begin_rows(places, reading.batch_rows);
        let fields = output.fields().iter().cloned();
        let parser = Parser {
            name: reading.file.name.clone(),
            columns: columns.into_iter().zip(fields).collect(),
            null_values: options.null_values.clone(),
            output,
            event_time: reading.event_time,
        };
        Ok(Self {
            reader: records,
            has_more: Ok(true),
            parser: Arc::new(parser),
            parsing: VecDeque::new(),
            spare: Vec::new(),
            rejects: reading.rejects,
            runtime: reading.runtime,
        })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let may_read = matches!(self.has_more, Ok(true)) && self.parsing.len() < BATCHES_AHEAD;
            if self.parsing.is_empty() && !may_read {
                return mem::replace(&mut self.has_more, Ok(false)).map(|_| None);
            }
            match self.progress(may_read).await {
                Either::Left(parsed) => {
                    self.parsing.pop_front();
                    if let Some(batch) = self.hand_on(parsed)? {
                        return Ok(Some(batch));
                    }
                }
                Either::Right(read) => self.have_parsed(read),
            }
        }
    }
}

/// What this future gives; without one, nothing ever.
fn or_never<F: Future + Unpin>(future: Option<F>) -> Either<F, Pending<F::Output>> {
    future.map_or_else(|| Either::Right(pending()), Either::Left)
}

impl CsvFile {
    /// The first batch is parsed, or the next records are read: what comes first. The other one has lost nothing by being dropped.
    async fn progress(
        &mut self,
        may_read: bool,
    ) -> Either<Result<Parsed, JoinError>, Result<(), Error>> {
        let parsed = or_never(self.parsing.front_mut());
        let read = or_never(may_read.then(|| Box::pin(self.reader.fill())));
        match select(parsed, read).await {
            Either::Left((parsed, _)) => Either::Left(parsed),
            Either::Right((read, _)) => Either::Right(read),
        }
    }

    /// Has the records parsed that were read, if they were.
    fn have_parsed(&mut self, read: Result<(), Error>) {
        if let Err(error) = read {
            self.has_more = Err(error);
            return;
        }
        self.has_more = Ok(self.reader.records.is_full());
        let room = self.spare.pop();
        let room = room.unwrap_or_else(|| self.reader.records.as_empty());
        let records = mem::replace(&mut self.reader.records, room);
        self.parsing.push_back(if records.bytes() < LITTLE_BYTES {
            Either::Right(ready(Ok(self.parser.parse(records))))
        } else {
            let parser = Arc::clone(&self.parser);
            let parse = move || parser.parse(records);
            Either::Left(self.runtime.spawn_blocking(parse))
        });
    }

    /// The batch, unless it has no rows.
    fn hand_on(&mut self, parsed: Result<Parsed, JoinError>) -> Result<Option<RecordBatch>, Error> {
        let (batch, bad, room) = parsed.map_err(|gone| Error::Read {
            path: self.parser.name.to_string(),
            source: gone.into(),
        })?;
        self.spare.push(room);
        let batch = batch?;
        for bad in bad {
            self.rejects.reject(bad.of(&self.parser.name))?;
        }
        Ok((batch.num_rows() > 0).then_some(batch))
    }
}

impl Parser {
    fn parse(&self, mut records: Records) -> Parsed {
        records.drop_broken_rows();
        let mut bad = records.take_bad();
        let batch = self.batch(&records, &mut bad);
        records.clear();
        (batch, bad, records)
    }

    /// The records as a batch, less the bad ones, which are added to the others, in their order.
    fn batch(&self, records: &Records, bad: &mut Vec<Bad>) -> Result<RecordBatch, Error> {
        let damaged = |error| Error::damaged(&self.name, "CSV", error);
        let rows = Rows::of(records, &self.null_values);
        let mut bad_rows = BadRows::new();
        let batch = self.all_rows(&rows, &mut bad_rows).map_err(damaged)?;
        for row in self.event_time.missing(&batch) {
            let blamed = bad_rows.entry(row);
            blamed.or_insert_with(|| self.event_time.problem());
        }
        let keep: Option<BooleanArray> = (!bad_rows.is_empty()).then(|| {
            let keep = (0..rows.count()).map(|row| !bad_rows.contains_key(&row));
            keep.collect::<Vec<_>>().into()
        });
        bad.extend(bad_rows.into_iter().map(|(row, (column, problem))| Bad {
            line: records.line(row),
            column: Some(column),
            problem,
        }));
        bad.sort_by_key(|bad| bad.line);
        let Some(keep) = keep else {
            return Ok(batch);
        };
        // What is left may be declared without nulls again.
        let all: Vec<usize> = (0..self.columns.len()).collect();
        filter_record_batch(&batch, &keep)
            .and_then(|batch| project(&batch, &all, &self.output))
            .map_err(damaged)
    }

    /// The records as a batch; bad rows may hold nulls where none are allowed, until they are taken out.
    fn all_rows(&self, rows: &Rows<'_>, bad: &mut BadRows) -> Result<RecordBatch, ArrowError> {
        let columns = self.columns.iter();
        let arrays = columns.map(|(column, field)| rows.column(*column, field, bad));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.count()));
        if bad.is_empty() {
            return RecordBatch::try_new_with_options(self.output.clone(), arrays, &options);
        }
        let fields = self.output.fields().iter();
        let nullable: Vec<_> = fields
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        RecordBatch::try_new_with_options(Schema::new(nullable).into(), arrays, &options)
    }
}

/// For each field of a record the column that it belongs to, if it is wanted, and the columns of the wanted fields.
fn places(width: usize, wanted: impl Iterator<Item = usize>) -> (Vec<Option<usize>>, Vec<usize>) {
    let (mut places, mut count) = (vec![None; width], 0);
    let columns = wanted.map(|position| {
        *places[position].get_or_insert_with(|| {
            count += 1;
            count - 1
        })
    });
    let columns = columns.collect();
    (places, columns)
}

fn csv_options(format: &Format) -> &CsvOptions {
    match format {
        Format::Csv(options) => options,
        _ => unreachable!("only CSV files are read as such"),
    }
}

/// Checks the names of a header.
fn check_header(file: &str, header: &[String]) -> Result<(), Error> {
    let mut seen = HashMap::new();
    for (index, name) in header.iter().enumerate() {
        let problem = if name.trim().is_empty() {
            "has no name; name it, or set `header = false`".to_owned()
        } else if let Some(first) = seen.insert(name, index + 1) {
            format!("is named `{name}` like column {first}; rename one")
        } else {
            continue;
        };
        return Err(Error::Header {
            path: file.to_owned(),
            position: index + 1,
            problem,
        });
    }
    Ok(())
}

/// Where the columns of the schema are in a file with this header.
fn match_columns(reading: &Reading, header: &[String]) -> Result<Vec<usize>, Error> {
    let file = &reading.file.name;
    check_header(file, header)?;
    let fields = reading.schema.fields();
    let in_file = header.iter().enumerate();
    let in_file: HashMap<&String, usize> = in_file.map(|(at, name)| (name, at)).collect();
    let positions = fields.iter().map(|field| {
        let position = in_file.get(field.name()).copied();
        position.ok_or_else(|| Error::ColumnMissing {
            path: file.to_string(),
            column: field.name().clone(),
        })
    });
    let positions: Vec<usize> = positions.collect::<Result<_, _>>()?;
    let known: HashSet<&String> = fields.iter().map(|field| field.name()).collect();
    let unknown = header.iter().find(|name| !known.contains(name));
    match unknown {
        None => Ok(positions),
        Some(column) => Err(Error::ColumnUnknown {
            path: file.to_string(),
            column: column.clone(),
        }),
    }
}

/// What the first rows of a file say of its columns; `None`: it is empty.
pub(crate) async fn sample(
    reading: &Reading,
    rows: usize,
) -> Result<Option<Vec<(String, Guess)>>, Error> {
    let options = csv_options(&reading.format);
    let name = &reading.file.name;
    let mut reader = RecordReader::new(reading, options);
    let Some(first) = reader.header(name).await? else {
        return Ok(None);
    };
    let names = if options.header {
        check_header(name, &first)?;
        first
    } else {
        reader = RecordReader::new(reading, options);
        (1..=first.len())
            .map(|position| format!("column_{position}"))
            .collect()
    };
    let (places, _) = places(names.len(), 0..names.len());
    reader.begin_rows(places, rows);
    reader.fill().await?;
    reader.records.drop_broken_rows();
    let rows = Rows::of(&reader.records, &options.null_values);
    let guesses = names.into_iter().enumerate().map(|(position, name)| {
        let fields = rows.fields(position);
        let values = fields.filter(|field| !field.is_empty() && !rows.is_null(field));
        (name, values.collect())
    });
    Ok(Some(guesses.collect()))
}

/// Fields of a schema that a CSV file can hold.
pub(crate) fn check_field(field: &Field) -> Result<(), Error> {
    if is_held(field.data_type()) {
        return Ok(());
    }
    Err(Error::ColumnKind {
        column: field.name().clone(),
        kind: Box::new(field.data_type().clone()),
        format: "CSV",
    })
}
