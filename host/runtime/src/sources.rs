//! Sources: files, replayed files, and rows that are made up.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use forebay_connectors::{
    Access, Column, Compression, CsvOptions, FileSource, FileSourceOptions, Format, Generator,
    GeneratorOptions, Malformed, MalformedRow, Replay, ReplayOptions, SourceConnector, Speed,
    Values, add_source, type_of, type_text,
};
use forebay_dataflow::{Cause, EventTime, Graph, Source as TaskSource, Stream, TaskContext};
use forebay_job as job;
use forebay_job::{Diagnostic, FileFormat, FormatKind, Origin, Quote, SourceFiles, SourceTime};
use forebay_sql::{Lineage, Relation, Resources};

use crate::problem::{Problem, code, column_hint, problem};
use crate::time::micros_of;

/// A source that can be read.
pub(crate) struct Source {
    pub(crate) name: String,
    tasks: usize,
    rows: Rows,
    /// `None`: nobody behind it looks at its time, for it is a table.
    event_time: Option<EventTime>,
    pub(crate) relation: Relation,
}

enum Rows {
    Files(FileSource),
    Replayed(FileSource, ReplayOptions),
    Generated(Generator),
}

/// What the sources of one dataflow have in common.
pub(crate) struct Shared {
    pub(crate) resources: Resources,
    /// Where replays begin.
    pub(crate) origin: forebay_connectors::Origin,
}

/// Looks at what a source names.
pub(crate) async fn prepare(source: &job::Source, access: &Access) -> Result<Source, Vec<Problem>> {
    let rows = match &source.origin {
        Origin::Files(files) => prepare_files(source, files, access).await?,
        Origin::Generator(made) => Rows::Generated(generator(source, made)?),
    };
    let schema = rows.schema();
    if let Some(time) = &source.event_time {
        check_time(&source.name, time, &schema)?;
    }
    let is_unbounded = source.is_unbounded();
    Ok(Source {
        name: source.name.clone(),
        tasks: rows.tasks(source.parallelism),
        event_time: source
            .event_time
            .as_ref()
            .filter(|_| is_unbounded)
            .map(event_time),
        relation: Relation {
            event_time: source
                .event_time
                .as_ref()
                .filter(|_| is_unbounded)
                .map(|time| time.column.clone()),
            is_bounded: !is_unbounded,
            bytes: rows.bytes(),
            lineage: Lineage::default(),
            schema,
        },
        rows,
    })
}

impl Source {
    /// Adds it to a graph; of its columns at least these. `None`: all.
    pub(crate) fn add(
        &self,
        graph: &mut Graph,
        columns: Option<&BTreeSet<String>>,
        shared: &Shared,
    ) -> Result<Stream, Cause> {
        let files = |files: &FileSource| match columns {
            Some(columns) => files.with_columns(&self.with_time(columns)),
            None => Ok(files.clone()),
        };
        let (name, tasks, time) = (self.name.as_str(), self.tasks, self.event_time.clone());
        let stream = match &self.rows {
            Rows::Files(all) => add_source(graph, name, tasks, time, files(all)?),
            Rows::Replayed(all, options) => {
                let sorted = SortedFiles {
                    files: files(all)?.with_event_time(&options.event_time),
                    column: options.event_time.clone(),
                    resources: shared.resources.clone(),
                };
                let replay = Replay::new(sorted, options.clone())?.together(&shared.origin);
                add_source(graph, name, tasks, time, replay)
            }
            Rows::Generated(generator) => add_source(graph, name, tasks, time, generator.clone()),
        };
        Ok(stream?)
    }

    fn with_time(&self, columns: &BTreeSet<String>) -> Vec<String> {
        let time = match &self.rows {
            Rows::Replayed(_, options) => Some(&options.event_time),
            _ => self.event_time.as_ref().map(|time| &time.column),
        };
        let missing = time.filter(|time| !columns.contains(*time));
        columns.iter().chain(missing).cloned().collect()
    }

    /// All columns of its files.
    pub(crate) fn file_schema(&self) -> Option<&SchemaRef> {
        match &self.rows {
            Rows::Files(files) | Rows::Replayed(files, _) => Some(files.file_schema()),
            Rows::Generated(_) => None,
        }
    }

    /// The first rows that were left out.
    pub(crate) fn malformed_rows(&self) -> Vec<MalformedRow> {
        match &self.rows {
            Rows::Files(files) | Rows::Replayed(files, _) => files.malformed_rows(),
            Rows::Generated(_) => Vec::new(),
        }
    }
}

impl Rows {
    fn schema(&self) -> SchemaRef {
        match self {
            Self::Files(files) | Self::Replayed(files, _) => files.schema(),
            Self::Generated(generator) => generator.schema(),
        }
    }

    fn bytes(&self) -> Option<u64> {
        match self {
            Self::Files(files) | Self::Replayed(files, _) => Some(files.bytes()),
            Self::Generated(_) => None,
        }
    }

    fn tasks(&self, wanted: u32) -> usize {
        let most = match self {
            Self::Files(files) | Self::Replayed(files, _) => files.tasks_max(),
            Self::Generated(generator) => generator.tasks_max(),
        };
        count(wanted).clamp(1, most)
    }
}

/// Files whose rows come in the order of their event times.
struct SortedFiles {
    files: FileSource,
    column: String,
    resources: Resources,
}

impl SourceConnector for SortedFiles {
    fn schema(&self) -> SchemaRef {
        self.files.schema()
    }

    fn tasks_max(&self) -> usize {
        self.files.tasks_max()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn open(&self, context: TaskContext) -> Result<Box<dyn TaskSource>, Cause> {
        let (source, schema) = (self.files.open(context)?, self.files.schema());
        let sorted = forebay_sql::sorted(source, &schema, &self.column, &self.resources)?;
        Ok(Box::new(sorted))
    }
}

async fn prepare_files(
    source: &job::Source,
    files: &SourceFiles,
    access: &Access,
) -> Result<Rows, Vec<Problem>> {
    let key = format!("sources.{}", source.name);
    let schema = files
        .schema
        .as_ref()
        .map(|columns| schema_of(&key, columns))
        .transpose()?;
    let is_pinned = schema.is_some();
    let unusable = |error: forebay_connectors::Error| vec![source_problem(&key, &error, is_pinned)];
    let options = FileSourceOptions {
        path: files.path.clone(),
        format: source_format(&files.path, &files.format).map_err(unusable)?,
        compression: files.compression.map(compression),
        schema,
        columns: None,
        malformed: match files.skip_malformed {
            Some(limit) => Malformed::Skip { limit },
            None => Malformed::Fail,
        },
        batch_rows: count(source.batch_rows),
        record_bytes_max: usize::try_from(files.record_bytes).unwrap_or(usize::MAX),
    };
    let found = FileSource::prepare(options, access)
        .await
        .map_err(unusable)?;
    match (&source.replay, &source.event_time) {
        (Some(replay), Some(time)) => {
            let options = replay_options(&key, replay, time)?;
            Ok(Rows::Replayed(found, options))
        }
        _ => Ok(Rows::Files(found)),
    }
}

/// Memory is larger than any number of the job file.
pub(crate) fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// At the key that is most likely to be mended.
fn source_problem(key: &str, error: &forebay_connectors::Error, is_pinned: bool) -> Problem {
    use forebay_connectors::Error;
    let (part, hint) = match error {
        Error::ColumnUnknown { .. } | Error::ColumnMissing { .. } | Error::ColumnType { .. }
            if is_pinned =>
        {
            let hint = "the files have changed, or `schema` is wrong: mend one of them, or leave `schema` out to have it read from the files";
            ("schema", Some(hint))
        }
        Error::NotFound(_) | Error::NoMatch(_) | Error::EmptyFolder(_) => (
            "path",
            Some("the path is relative to the folder of the job file"),
        ),
        _ => ("path", None),
    };
    problem(
        code::SOURCE,
        format!("{key}.{part}"),
        error,
        hint.map(str::to_owned),
    )
}

fn schema_of(key: &str, columns: &[(String, String)]) -> Result<SchemaRef, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut fields = Vec::new();
    for (column, text) in columns {
        match type_of(text) {
            Ok(kind) => fields.push(Field::new(column, kind, true)),
            Err(hint) => {
                let message = format!("`{text}` is not a type of columns");
                let place = format!("{key}.schema.{}", quoted(column));
                let found = Diagnostic::error(code::COLUMN_TYPE, place, message);
                problems.push(found.with_hint(hint).into());
            }
        }
    }
    if problems.is_empty() {
        Ok(Arc::new(Schema::new(fields)))
    } else {
        Err(problems)
    }
}

/// A part of a key, as TOML writes it.
fn quoted(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// What a source's text is; `None`: each file says so by its name.
fn source_format(
    path: &str,
    format: &FileFormat,
) -> Result<Option<Format>, forebay_connectors::Error> {
    if *format == FileFormat::default() {
        return Ok(None);
    }
    let mut found = format_of(path, format)?;
    if let Format::Csv(csv) = &mut found {
        csv.null_values.extend(format.null_values.iter().cloned());
    }
    Ok(Some(found))
}

/// The format with everything but its nulls.
pub(crate) fn format_of(
    path: &str,
    format: &FileFormat,
) -> Result<Format, forebay_connectors::Error> {
    let mut found = match format.kind {
        None => Format::of_name(path.trim_end_matches('/'))?.0,
        Some(FormatKind::Csv) => Format::Csv(CsvOptions::default()),
        Some(FormatKind::Jsonl) => Format::JsonLines,
        Some(FormatKind::Parquet) => Format::Parquet,
        Some(FormatKind::Arrow) => Format::Arrow,
        Some(FormatKind::ArrowStream) => Format::ArrowStream,
    };
    if let Format::Csv(csv) = &mut found {
        csv.delimiter = format.delimiter.map_or(csv.delimiter, byte);
        csv.quote = match format.quote {
            Quote::Double => csv.quote,
            Quote::Character(character) => Some(byte(character)),
            Quote::Absent => None,
        };
        csv.escape = format.escape.map(byte).or(csv.escape);
        csv.header = format.header.unwrap_or(csv.header);
    }
    Ok(found)
}

/// Not of ASCII, it is refused by the connector, as 255 is.
fn byte(character: char) -> u8 {
    u8::try_from(character).unwrap_or(u8::MAX)
}

fn compression(compression: job::Compression) -> Compression {
    match compression {
        job::Compression::None => Compression::None,
        job::Compression::Gzip => Compression::Gzip,
        job::Compression::Zstd => Compression::Zstd,
    }
}

fn event_time(time: &SourceTime) -> EventTime {
    EventTime {
        column: time.column.clone(),
        out_of_orderness: time.watermark,
        idle_after: time.idle_after,
    }
}

fn check_time(name: &str, time: &SourceTime, schema: &Schema) -> Result<(), Vec<Problem>> {
    let key = format!("sources.{name}.event_time");
    let column = &time.column;
    let (message, hint) = match schema.column_with_name(column) {
        Some((_, field)) if matches!(field.data_type(), DataType::Timestamp(..)) => return Ok(()),
        Some((_, field)) => (
            format!(
                "column `{column}` is {}, and only timestamps can be an event time",
                type_text(field.data_type())
            ),
            "declare all columns in `schema`, this one as `timestamp` or `timestamp-utc`"
                .to_owned(),
        ),
        None => (
            format!("the source has no column `{column}`"),
            column_hint(column, schema),
        ),
    };
    let diagnostic = Diagnostic::error(code::EVENT_TIME, key, message).with_hint(hint);
    Err(vec![diagnostic.into()])
}

fn replay_options(
    key: &str,
    replay: &job::Replay,
    time: &SourceTime,
) -> Result<ReplayOptions, Vec<Problem>> {
    let start = replay
        .start
        .as_ref()
        .map(|start| micros_at(&format!("{key}.replay.start"), start))
        .transpose()?;
    Ok(ReplayOptions {
        event_time: time.column.clone(),
        speed: replay.speed.map_or(Speed::Max, Speed::Factor),
        start,
    })
}

fn micros_at(key: &str, text: &str) -> Result<i64, Vec<Problem>> {
    micros_of(text).map_err(|error| {
        let hint = "write it as RFC 3339 does, such as `2013-01-01T00:00:00Z`".to_owned();
        vec![problem(code::EVENT_TIME, key, &error, Some(hint))]
    })
}

fn generator(source: &job::Source, made: &job::Generate) -> Result<Generator, Vec<Problem>> {
    let key = format!("sources.{}.generate", source.name);
    let mut columns = Vec::new();
    for (name, values) in &made.columns {
        let key = format!("{key}.columns.{}", quoted(name));
        columns.push(Column {
            name: name.clone(),
            values: values_of(&key, values)?,
        });
    }
    let options = GeneratorOptions {
        columns,
        rate: made.rate,
        seed: made.seed,
        rows: made.rows,
        batch_rows: count(source.batch_rows),
    };
    Generator::new(options).map_err(|error| vec![problem(code::SOURCE, key, &error, None)])
}

fn values_of(key: &str, values: &job::Values) -> Result<Values, Vec<Problem>> {
    Ok(match values {
        job::Values::Sequence => Values::Sequence,
        job::Values::Integers { least, most } => Values::Integers {
            least: *least,
            most: *most,
        },
        job::Values::Floats { least, most } => Values::Floats {
            least: *least,
            most: *most,
        },
        job::Values::Normal { mean, deviation } => Values::Normal {
            mean: *mean,
            deviation: *deviation,
        },
        job::Values::Choice { of } => Values::Choice(of.clone()),
        job::Values::Booleans { share } => Values::Booleans { share: *share },
        job::Values::EventTime { start, step } => Values::EventTime {
            start: start
                .as_ref()
                .map_or(Ok(0), |start| micros_at(&format!("{key}.start"), start))?,
            step: *step,
        },
    })
}
