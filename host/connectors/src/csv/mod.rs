//! Values separated by commas.

mod columns;
mod records;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Field, FieldRef, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use bytes::{Buf, Bytes};
use futures_util::TryStreamExt;

use self::columns::{BadRows, Rows};
pub(crate) use self::columns::{boolean, is_held};
use self::records::{Bad, Framer, Records};
use crate::bytes::ByteStream;
use crate::error::Error;
use crate::format::{CsvOptions, Format};
use crate::guess::Guess;
use crate::malformed::{MalformedRow, Rejects, RowPlace};
use crate::reading::{BatchReader, Reading, TimeColumn, project};

/// A file that is read.
pub(crate) struct CsvFile {
    name: Arc<str>,
    records: RecordReader,
    /// What is made of it: position in the file, and what it is.
    columns: Vec<(usize, FieldRef)>,
    width: usize,
    null_values: Vec<String>,
    output: SchemaRef,
    event_time: TimeColumn,
    rejects: Rejects,
}

/// Records of a stream of bytes.
struct RecordReader {
    bytes: ByteStream,
    chunk: Bytes,
    framer: Framer,
    records: Records,
}

impl RecordReader {
    fn new(reading: &Reading, options: &CsvOptions, columns: Option<usize>) -> Self {
        Self {
            bytes: reading.file.content(reading.compression, &reading.runtime),
            chunk: Bytes::new(),
            framer: Framer::new(options, columns, reading.record_bytes_max),
            records: Records::new(1),
        }
    }

    /// The fields of the next record, however many; `None` at the end.
    async fn header(&mut self, name: &Arc<str>) -> Result<Option<Vec<String>>, Error> {
        self.fill().await?;
        let (text, ends) = self.records.text();
        let rows = Rows::of(text, ends, ends.len(), &[]);
        let fields: Vec<String> = (0..ends.len())
            .flat_map(|position| rows.fields(position))
            .map(str::to_owned)
            .collect();
        if let Some(bad) = self.records.take_bad().into_iter().next() {
            return Err(Error::Malformed(bad.of(name)));
        }
        self.records.clear();
        Ok((!fields.is_empty()).then_some(fields))
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

    fn begin_rows(&mut self, columns: usize, batch_rows: usize) {
        self.framer.expect_columns(columns);
        self.records = Records::new(batch_rows);
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
        let mut records = RecordReader::new(&reading, options, None);
        let width = reading.schema.fields().len();
        let mut positions: Vec<usize> = (0..width).collect();
        // A file without any byte has no rows, either.
        if options.header
            && let Some(header) = records.header(&reading.file.name).await?
        {
            positions = match_columns(&reading, &header)?;
        }
        records.begin_rows(width, reading.batch_rows);
        let output = reading.output();
        let wanted = reading.columns.iter().zip(output.fields());
        Ok(Self {
            columns: wanted
                .map(|(column, field)| (positions[*column], field.clone()))
                .collect(),
            null_values: options.null_values.clone(),
            name: reading.file.name,
            records,
            width,
            output,
            event_time: reading.event_time,
            rejects: reading.rejects,
        })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            self.records.fill().await?;
            let is_end = !self.records.records.is_full();
            let batch = self.batch()?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
            if is_end {
                return Ok(None);
            }
        }
    }
}

impl CsvFile {
    /// The records that were read, as a batch.
    fn batch(&mut self) -> Result<RecordBatch, Error> {
        let records = &mut self.records.records;
        let (text, ends) = records.text();
        let rows = Rows::of(text, ends, self.width, &self.null_values);
        let mut bad_rows = BadRows::new();
        let batch = parse(&rows, &self.columns, &self.output, &mut bad_rows);
        let (batch, count) = (
            batch.map_err(|error| Error::damaged(&self.name, "CSV", error))?,
            rows.count(),
        );
        for row in self.event_time.missing(&batch) {
            let blamed = bad_rows.entry(row);
            blamed.or_insert_with(|| self.event_time.problem());
        }
        let keep: Option<BooleanArray> = (!bad_rows.is_empty()).then(|| {
            let keep = (0..count).map(|row| !bad_rows.contains_key(&row));
            keep.collect::<Vec<_>>().into()
        });
        let mut bad = records.take_bad();
        bad.extend(bad_rows.into_iter().map(|(row, (column, problem))| Bad {
            line: records.line(row),
            column: Some(column),
            problem,
        }));
        records.clear();
        bad.sort_by_key(|bad| bad.line);
        for bad in bad {
            self.rejects.reject(bad.of(&self.name))?;
        }
        let Some(keep) = keep else {
            return Ok(batch);
        };
        // What is left may be declared without nulls again.
        let all: Vec<usize> = (0..self.columns.len()).collect();
        filter_record_batch(&batch, &keep)
            .and_then(|batch| project(&batch, &all, &self.output))
            .map_err(|error| Error::damaged(&self.name, "CSV", error))
    }
}

fn parse(
    rows: &Rows<'_>,
    columns: &[(usize, FieldRef)],
    output: &SchemaRef,
    bad: &mut BadRows,
) -> Result<RecordBatch, ArrowError> {
    let arrays = columns
        .iter()
        .map(|(position, field)| rows.column(*position, field, bad));
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.count()));
    if bad.is_empty() {
        return RecordBatch::try_new_with_options(output.clone(), arrays, &options);
    }
    // The bad rows may hold nulls where none are allowed, until they are taken out.
    let fields = output.fields().iter();
    let nullable: Vec<_> = fields
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    RecordBatch::try_new_with_options(Schema::new(nullable).into(), arrays, &options)
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
    let positions = fields.iter().map(|field| {
        let position = header.iter().position(|name| name == field.name());
        position.ok_or_else(|| Error::ColumnMissing {
            path: file.to_string(),
            column: field.name().clone(),
        })
    });
    let positions: Vec<usize> = positions.collect::<Result<_, _>>()?;
    let unknown = header
        .iter()
        .find(|name| fields.iter().all(|field| field.name() != *name));
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
    let mut reader = RecordReader::new(reading, options, None);
    let Some(first) = reader.header(name).await? else {
        return Ok(None);
    };
    let names = if options.header {
        check_header(name, &first)?;
        first
    } else {
        reader = RecordReader::new(reading, options, None);
        (1..=first.len())
            .map(|position| format!("column_{position}"))
            .collect()
    };
    reader.begin_rows(names.len(), rows);
    reader.fill().await?;
    let (text, ends) = reader.records.text();
    let rows = Rows::of(text, ends, names.len(), &options.null_values);
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
