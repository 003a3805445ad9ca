//! What all formats are given to read a file, and what they make of it.

use std::sync::Arc;

use arrow_array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use tokio::runtime::Handle;

use crate::access::InputFile;
use crate::csv::CsvFile;
use crate::error::Error;
use crate::format::{Compression, Format};
use crate::ipc::IpcFile;
use crate::json::JsonFile;
use crate::malformed::{MalformedRow, Rejects, RowPlace};

/// The rows of a file in their order.
pub(crate) type BatchStream = BoxStream<'static, Result<RecordBatch, Error>>;

/// A file to be read.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) file: InputFile,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    /// All columns that the file must have.
    pub(crate) schema: SchemaRef,
    /// Those that are wanted, by position in the schema.
    pub(crate) columns: Vec<usize>,
    pub(crate) batch_rows: usize,
    pub(crate) record_bytes_max: usize,
    pub(crate) event_time: TimeColumn,
    pub(crate) rejects: Rejects,
    pub(crate) runtime: Handle,
}

/// The event time of rows that are a stream: a row in which it is null is malformed.
#[derive(Debug, Clone, Default)]
pub(crate) struct TimeColumn(Option<Arc<str>>);

impl TimeColumn {
    pub(crate) fn of(column: &str) -> Self {
        Self(Some(column.into()))
    }

    fn of_batch<'a>(&self, batch: &'a RecordBatch) -> Option<&'a dyn Array> {
        let column = batch.column_by_name(self.0.as_deref()?)?;
        (column.null_count() > 0).then_some(column.as_ref())
    }

    /// The rows of a batch that have none.
    pub(crate) fn missing(&self, batch: &RecordBatch) -> Vec<usize> {
        let column = self.of_batch(batch).into_iter();
        column
            .flat_map(|column| (0..column.len()).filter(move |row| column.is_null(*row)))
            .collect()
    }

    /// What is wrong with such a row: column and problem.
    pub(crate) fn problem(&self) -> (String, String) {
        let column = self.0.as_deref().unwrap_or_default();
        (column.to_owned(), "the event time is null".to_owned())
    }

    pub(crate) fn row(&self, file: &Arc<str>, place: RowPlace) -> MalformedRow {
        let (column, problem) = self.problem();
        MalformedRow {
            file: file.clone(),
            place,
            column: Some(column),
            problem,
        }
    }
}

/// A file of one format that is open.
pub(crate) trait BatchReader: Sized + Send + 'static {
    /// Looks at its beginning.
    fn open(reading: Reading) -> impl Future<Output = Result<Self, Error>> + Send;

    /// The next rows.
    fn next(&mut self) -> impl Future<Output = Result<Option<RecordBatch>, Error>> + Send;
}

impl Reading {
    /// The schema of what is read.
    pub(crate) fn output(&self) -> SchemaRef {
        let fields: Vec<_> = self
            .columns
            .iter()
            .map(|column| self.schema.fields()[*column].clone())
            .collect();
        Schema::new_with_metadata(fields, self.schema.metadata().clone()).into()
    }

    /// The rows behind the first `skip` ones.
    pub(crate) fn batches(self, skip: u64) -> BatchStream {
        match self.format {
            Format::Csv(_) => skipping(batches_of::<CsvFile>(self), skip),
            Format::JsonLines => skipping(batches_of::<JsonFile>(self), skip),
            Format::Arrow | Format::ArrowStream => {
                let batches = batches_of::<IpcFile>(self.clone());
                skipping(self.timed(batches), skip)
            }
            // Which rows are left out is not known before they are read.
            Format::Parquet if self.event_time.0.is_some() => {
                let batches = batches_of_parquet(self.clone(), 0);
                skipping(self.timed(batches), skip)
            }
            Format::Parquet => batches_of_parquet(self, skip),
        }
    }

    /// The batches of a file without lines, less the rows that have no event time.
    fn timed(self, batches: BatchStream) -> BatchStream {
        let mut before = 0;
        let timed = move |batch: RecordBatch| {
            let first = before + 1;
            before += batch.num_rows() as u64;
            std::future::ready(self.with_times(batch, first))
        };
        batches.try_filter_map(timed).boxed()
    }

    /// The rows of a batch that have an event time; `first`: the number of the first row.
    fn with_times(&self, batch: RecordBatch, first: u64) -> Result<Option<RecordBatch>, Error> {
        let file = &self.file.name;
        for row in self.event_time.missing(&batch) {
            let place = RowPlace::Row(first + row as u64);
            self.rejects.reject(self.event_time.row(file, place))?;
        }
        let Some(times) = self.event_time.of_batch(&batch) else {
            return Ok(Some(batch));
        };
        let keep: BooleanArray = (0..batch.num_rows())
            .map(|row| Some(times.is_valid(row)))
            .collect();
        let left = filter_record_batch(&batch, &keep)
            .map_err(|error| Error::damaged(file, self.format.name(), error))?;
        Ok((left.num_rows() > 0).then_some(left))
    }
}

impl Reading {
    /// Where the columns of the schema are in a file that says itself what it has.
    ///
    /// # Errors
    ///
    /// It has not all of them, or others, or they are of other types.
    pub(crate) fn positions_in(&self, found: &Schema) -> Result<Vec<usize>, Error> {
        let path = || self.file.name.to_string();
        let unknown = found
            .fields()
            .iter()
            .find(|field| self.schema.column_with_name(field.name()).is_none());
        if let Some(field) = unknown {
            return Err(Error::ColumnUnknown {
                path: path(),
                column: field.name().clone(),
            });
        }
        let positions = self.schema.fields().iter().map(|field| {
            let column = field.name().clone();
            let Some((position, in_file)) = found.column_with_name(&column) else {
                return Err(Error::ColumnMissing {
                    path: path(),
                    column,
                });
            };
            if in_file.data_type() == field.data_type() {
                return Ok(position);
            }
            Err(Error::ColumnType {
                path: path(),
                column,
                found: Box::new(in_file.data_type().clone()),
                expected: Box::new(field.data_type().clone()),
            })
        });
        positions.collect()
    }
}

/// These columns of a batch, as the schema says.
pub(crate) fn project(
    batch: &RecordBatch,
    columns: &[usize],
    output: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let arrays = columns
        .iter()
        .map(|column| batch.column(*column).clone())
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(output.clone(), arrays, &options)
}

fn batches_of<R: BatchReader>(reading: Reading) -> BatchStream {
    let read = async move |mut reader: R| {
        let batch = reader.next().await?;
        Ok(batch.map(|batch| (batch, reader)))
    };
    stream::once(R::open(reading))
        .map_ok(move |reader| stream::try_unfold(reader, read))
        .try_flatten()
        .boxed()
}

fn batches_of_parquet(reading: Reading, skip: u64) -> BatchStream {
    stream::once(crate::parquet::open(reading, skip))
        .try_flatten()
        .boxed()
}

fn skipping(batches: BatchStream, skip: u64) -> BatchStream {
    if skip == 0 {
        return batches;
    }
    let mut left = usize::try_from(skip).unwrap_or(usize::MAX);
    let rest = move |batch: RecordBatch| {
        let skipped = left.min(batch.num_rows());
        left -= skipped;
        let batch = batch.slice(skipped, batch.num_rows() - skipped);
        std::future::ready(Ok((batch.num_rows() > 0).then_some(batch)))
    };
    batches.try_filter_map(rest).boxed()
}
