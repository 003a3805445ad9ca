//! Files as a source.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use forebay_dataflow::{Cause, Source, TaskContext};
use futures_util::StreamExt;

use crate::access::{Access, InputFile};
use crate::connector::SourceConnector;
use crate::error::Error;
use crate::format::{Compression, Format};
use crate::guess::Guess;
use crate::malformed::{Malformed, MalformedRow, Rejects, Report};
use crate::reading::{BatchStream, Reading, TimeColumn};
use crate::{csv, ipc, json, parquet};

/// How many files are looked at before a run.
const SAMPLE_FILES: usize = 8;

/// How many rows of each of them.
const SAMPLE_ROWS: usize = 10_000;

/// No row of text may be longer: where fields of CSV lie is kept in 32 bits.
const RECORD_BYTES_MOST: usize = 1 << 30;

/// What is read, and how.
#[derive(Debug, Clone)]
pub struct FileSourceOptions {
    /// A path, a pattern (`data/*.csv`), a folder (`data/`), or a URL; relative paths are relative to the base of [`Access`].
    pub path: String,
    /// What the files are; what their names tell unless said otherwise (see [`Format::of_name`]).
    pub format: Option<Format>,
    /// How they are compressed; what their names tell unless said otherwise.
    pub compression: Option<Compression>,
    /// All columns of the files; what they say themselves unless said otherwise. Of text that is what the first 10,000 rows of the
    /// first 8 files tell.
    pub schema: Option<SchemaRef>,
    /// The columns that are wanted, in this order; all unless said otherwise. Others are not parsed, nor read where the format
    /// allows it.
    pub columns: Option<Vec<String>>,
    /// What becomes of rows that cannot be read.
    pub malformed: Malformed,
    /// So many rows are handed on together; 8192 unless said otherwise, at least 1.
    pub batch_rows: usize,
    /// A longer row of text is malformed, and never held in memory; 16 MiB unless said otherwise, at most 1 GiB.
    pub record_bytes_max: usize,
}

impl FileSourceOptions {
    /// As everything is unless said otherwise.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            format: None,
            compression: None,
            schema: None,
            columns: None,
            malformed: Malformed::Fail,
            batch_rows: 8192,
            record_bytes_max: 16 << 20,
        }
    }
}

/// Files that are there and have the columns that they should.
///
/// Each task reads whole files: task `t` of `n` those whose number in the order of their names is `t` modulo `n`.
#[derive(Clone)]
pub struct FileSource {
    readings: Vec<Reading>,
    schema: SchemaRef,
    output: SchemaRef,
    malformed: Malformed,
    report: Report,
}

impl FileSource {
    /// Looks for the files, and at the beginning of the first 8 of them.
    ///
    /// # Errors
    ///
    /// There is no such file, or it cannot be read, or is not what the options say.
    pub async fn prepare(options: FileSourceOptions, access: &Access) -> Result<Self, Error> {
        if options.batch_rows == 0 || options.record_bytes_max == 0 {
            let text = "`batch_rows` and `record_bytes_max` are at least 1";
            return Err(Error::Setting(text.into()));
        }
        if options.record_bytes_max > RECORD_BYTES_MOST {
            return Err(Error::Setting("`record_bytes_max` is at most 1 GiB".into()));
        }
        let files = access.list(&options.path).await?;
        let mut readings = Vec::new();
        for file in files {
            readings.push(reading(file, &options, access)?);
        }
        let schema = match &options.schema {
            Some(schema) => schema.clone(),
            None => infer(&readings).await?.into(),
        };
        let columns = positions(&schema, options.columns.as_deref())?;
        for reading in &mut readings {
            reading.schema = schema.clone();
            reading.columns.clone_from(&columns);
            check_schema(reading)?;
        }
        for reading in readings.iter().take(SAMPLE_FILES) {
            reading.clone().check().await?;
        }
        let output = readings[0].output();
        Ok(Self {
            readings,
            schema,
            output,
            malformed: options.malformed,
            report: Report::default(),
        })
    }

    /// All columns of the files, also those that are not wanted: what a later run may declare, to be sure that nothing has changed.
    pub fn file_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The same files, of which these columns are read, in this order; of none, the first, for rows have to be counted.
    ///
    /// # Errors
    ///
    /// A column is not there.
    pub fn with_columns(&self, columns: &[String]) -> Result<Self, Error> {
        let mut wanted = positions(&self.schema, Some(columns))?;
        if wanted.is_empty() && !self.schema.fields().is_empty() {
            wanted.push(0);
        }
        let mut narrow = self.clone();
        for reading in &mut narrow.readings {
            reading.columns.clone_from(&wanted);
        }
        narrow.output = narrow.readings[0].output();
        Ok(narrow)
    }

    /// The same files as the rows of a stream: one in which this column is null is malformed.
    #[must_use]
    pub fn with_event_time(mut self, column: &str) -> Self {
        for reading in &mut self.readings {
            reading.event_time = TimeColumn::of(column);
        }
        self
    }

    /// How many bytes all files have.
    pub fn bytes(&self) -> u64 {
        self.readings.iter().map(|reading| reading.file.size).sum()
    }

    /// The first ten rows that were left out, from all tasks.
    pub fn malformed_rows(&self) -> Vec<MalformedRow> {
        self.report.rows()
    }
}

impl SourceConnector for FileSource {
    fn schema(&self) -> SchemaRef {
        self.output.clone()
    }

    fn tasks_max(&self) -> usize {
        self.readings.len()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn open(&self, context: TaskContext) -> Result<Box<dyn Source>, Cause> {
        let rejects = Rejects::new(self.malformed, context.counters, self.report.clone());
        let mine = self.readings.iter().skip(context.task);
        let mine = mine.step_by(context.parallelism.max(1));
        Ok(Box::new(FileTask {
            readings: mine
                .map(|reading| Reading {
                    rejects: rejects.clone(),
                    ..reading.clone()
                })
                .collect(),
            rejects,
            position: Position::default(),
            batches: None,
        }))
    }
}

fn reading(
    file: InputFile,
    options: &FileSourceOptions,
    access: &Access,
) -> Result<Reading, Error> {
    let compression = options
        .compression
        .unwrap_or_else(|| Compression::of_name(&file.name));
    let format = match &options.format {
        Some(format) => format.clone(),
        None => Format::of_name(&file.name)?.0,
    };
    format.check_compression(&file.name, compression)?;
    if let Format::Csv(csv) = &format {
        csv.check()?;
    }
    Ok(Reading {
        file,
        format,
        compression,
        schema: Schema::empty().into(),
        columns: Vec::new(),
        batch_rows: options.batch_rows,
        record_bytes_max: options.record_bytes_max,
        event_time: TimeColumn::default(),
        rejects: Rejects::strict(),
        runtime: access.runtime().clone(),
    })
}

impl Reading {
    /// Opens the file and reads nothing.
    async fn check(self) -> Result<(), Error> {
        use crate::reading::BatchReader;
        match self.format {
            Format::Csv(_) => csv::CsvFile::open(self).await.map(drop),
            Format::JsonLines => json::JsonFile::open(self).await.map(drop),
            Format::Arrow | Format::ArrowStream => ipc::IpcFile::open(self).await.map(drop),
            Format::Parquet => parquet::open(self, 0).await.map(drop),
        }
    }
}

/// Whether the format has all types of the schema.
fn check_schema(reading: &Reading) -> Result<(), Error> {
    let mut fields = reading.schema.fields().iter();
    match reading.format {
        Format::Csv(_) => fields.try_for_each(|field| csv::check_field(field)),
        _ => Ok(()),
    }
}

/// Where the wanted columns are.
fn positions(schema: &SchemaRef, columns: Option<&[String]>) -> Result<Vec<usize>, Error> {
    let Some(columns) = columns else {
        return Ok((0..schema.fields().len()).collect());
    };
    let names = || schema.fields().iter().map(|field| field.name().clone());
    columns
        .iter()
        .map(|column| {
            let position = names().position(|name| name == *column);
            position.ok_or_else(|| Error::NoColumn {
                column: column.clone(),
                columns: names().collect(),
            })
        })
        .collect()
}

/// What the files say of their columns.
async fn infer(readings: &[Reading]) -> Result<Schema, Error> {
    let sampled = &readings[..readings.len().min(SAMPLE_FILES)];
    match readings[0].format {
        Format::Csv(_) => infer_csv(sampled).await,
        Format::JsonLines => infer_json(sampled).await,
        Format::Arrow | Format::ArrowStream => {
            Ok(ipc::schema(&readings[0]).await?.as_ref().clone())
        }
        Format::Parquet => Ok(parquet::schema(&readings[0]).await?.as_ref().clone()),
    }
}

async fn infer_csv(readings: &[Reading]) -> Result<Schema, Error> {
    let mut order = Vec::new();
    let mut guesses = HashMap::<String, Guess>::new();
    for reading in readings.iter().filter(|reading| is_csv(reading)) {
        let columns = csv::sample(reading, SAMPLE_ROWS).await?;
        let columns = columns.ok_or_else(|| Error::Empty(reading.file.name.to_string()))?;
        if order.is_empty() {
            order = columns.iter().map(|(name, _)| name.clone()).collect();
        }
        for (name, guess) in columns {
            let known = guesses.entry(name).or_default();
            *known = known.or(guess);
        }
    }
    // Columns that only a later file has are its mistake, which is found when it is opened.
    let fields = order.into_iter().map(|name| {
        let kind = guesses
            .get(&name)
            .map_or(DataType::Utf8, |guess| guess.kind());
        Field::new(name, kind, true)
    });
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

fn is_csv(reading: &Reading) -> bool {
    matches!(reading.format, Format::Csv(_))
}

async fn infer_json(readings: &[Reading]) -> Result<Schema, Error> {
    let mut merged: Option<Schema> = None;
    for reading in readings {
        // A file without rows has no columns either: one of several that a sink has written.
        let Some(schema) = json::sample(reading, SAMPLE_ROWS).await? else {
            continue;
        };
        merged = Some(match merged {
            None => schema,
            Some(before) => merge(before, schema, &reading.file.name)?,
        });
    }
    merged.ok_or_else(|| Error::Empty(readings[0].file.name.to_string()))
}

fn merge(before: Schema, schema: Schema, path: &str) -> Result<Schema, Error> {
    let differing = schema.fields().iter().find_map(|field| {
        let (_, known) = before.column_with_name(field.name())?;
        (known.data_type() != field.data_type()).then_some((field, known))
    });
    if let Some((field, known)) = differing {
        return Err(Error::ColumnType {
            path: path.to_owned(),
            column: field.name().clone(),
            found: Box::new(field.data_type().clone()),
            expected: Box::new(known.data_type().clone()),
        });
    }
    Schema::try_merge([before, schema]).map_err(|error| Error::damaged(path, "JSON lines", error))
}

/// Where a task stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Position {
    /// Among the files of the task.
    file: usize,
    /// Rows of it that were handed on.
    rows: u64,
    /// Malformed rows in the files before it.
    malformed: u64,
}

struct FileTask {
    readings: Vec<Reading>,
    rejects: Rejects,
    position: Position,
    batches: Option<BatchStream>,
}

impl FileTask {
    /// What is known of the file at the position: it must be the same when a run goes on.
    fn fingerprint(&self, file: usize) -> (u64, Arc<str>) {
        let reading = self.readings.get(file);
        reading.map_or((0, "".into()), |reading| {
            (reading.file.size, reading.file.name.clone())
        })
    }
}

impl Source for FileTask {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        loop {
            let Some(reading) = self.readings.get(self.position.file) else {
                return Poll::Ready(Ok(None));
            };
            let batches = self
                .batches
                .get_or_insert_with(|| reading.clone().batches(self.position.rows));
            if let Some(batch) = ready!(batches.poll_next_unpin(context)) {
                let batch = batch?;
                self.position.rows += batch.num_rows() as u64;
                return Poll::Ready(Ok(Some(batch)));
            }
            self.batches = None;
            self.position = Position {
                file: self.position.file + 1,
                rows: 0,
                malformed: self.rejects.count(),
            };
        }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        let Position {
            file,
            rows,
            malformed,
        } = self.position;
        let (size, name) = self.fingerprint(file);
        Ok(format!("{file} {rows} {malformed} {size} {name}").into_bytes())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        let text = std::str::from_utf8(state)?;
        let parts: Vec<&str> = text.splitn(5, ' ').collect();
        let [file, rows, malformed, size, name] = parts[..] else {
            return Err("it is no position in files".into());
        };
        let position = Position {
            file: file.parse()?,
            rows: rows.parse()?,
            malformed: malformed.parse()?,
        };
        let (found_size, found_name) = self.fingerprint(position.file);
        let before: u64 = size.parse()?;
        let problem = if *found_name != *name {
            format!("`{found_name}` is in its place; the files have changed")
        } else if found_size != before {
            format!("it has {found_size} bytes now, and had {before}")
        } else {
            self.rejects.resume(position.malformed);
            self.position = position;
            return Ok(());
        };
        Err(Error::Position {
            path: name.to_owned(),
            problem,
        }
        .into())
    }
}
