//! A source.

use std::time::Duration;

use toml_edit::{InlineTable, Item, Table, Value, value};

use super::entry::{Entry, list, types_table, whole};
use super::format::set_format;
use crate::check::{BATCH_ROWS, RECORD_BYTES};
use crate::model::{
    Compression, FileFormat, Generate, Origin, Replay, Source, SourceFiles, SourceTime, Values,
};
use crate::values::{duration_text, size_text};

/// A source of a job under construction: files (`path`), or rows that are made up (`generate`). What is not set has the default of
/// the job file.
#[derive(Clone, Debug)]
#[must_use]
pub struct SourceBuilder {
    entry: Entry,
}

impl SourceBuilder {
    /// A source of this name, which SQL and inputs call it by.
    pub fn new(name: &str) -> Self {
        Self {
            entry: Entry::new(name),
        }
    }

    /// Reads files: a path, a pattern, a folder or a URL. A relative path is relative to the job's folder.
    pub fn path(self, path: &str) -> Self {
        self.set("path", path)
    }

    /// What the files are and how their text is written. Default: what their names tell.
    pub fn format(mut self, format: &FileFormat) -> Self {
        set_format(&mut self.entry, format);
        self
    }

    /// How the files are compressed. Default: what their names tell.
    pub fn compression(self, compression: Compression) -> Self {
        let word = match compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        };
        self.set("compression", word)
    }

    /// All columns of the files in their order, each with its type. Default: what the files tell.
    pub fn schema<N: AsRef<str>, T: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        self.entry.table["schema"] = Item::Table(types_table(columns));
        self
    }

    /// Leaves out up to so many rows that cannot be read, and counts them. Default: the first one ends the dataflow.
    pub fn skip_malformed(self, rows: u64) -> Self {
        self.set("malformed", InlineTable::from_iter([("skip", whole(rows))]))
    }

    /// A longer row of text, in bytes, is malformed: 1 KiB to 1 GiB. Default: 16 MiB.
    pub fn record_bytes(self, bytes: u64) -> Self {
        self.set("record_bytes", size_text(bytes))
    }

    /// Makes rows up.
    pub fn generate(mut self, made: &Generate) -> Self {
        let mut table = Table::new();
        if let Some(rate) = made.rate {
            table["rate"] = value(rate);
        }
        if let Some(rows) = made.rows {
            table["rows"] = value(whole(rows));
        }
        if made.seed != 0 {
            table["seed"] = value(whole(made.seed));
        }
        let columns = table.entry("columns").or_insert_with(toml_edit::table);
        for (name, values) in &made.columns {
            columns[name] = value(column(values));
        }
        self.entry.table["generate"] = toml_edit::Item::Table(table);
        self
    }

    /// Tasks that read. Default: 1.
    pub fn parallelism(self, tasks: u32) -> Self {
        self.set("parallelism", i64::from(tasks))
    }

    /// So many rows are handed on together at most. Default: 8192.
    pub fn batch_rows(self, rows: u32) -> Self {
        self.set("batch_rows", i64::from(rows))
    }

    /// The column of the event time. Default: there is none.
    pub fn event_time(self, column: &str) -> Self {
        self.set("event_time", column)
    }

    /// How far out of order rows may be, in whole milliseconds. Default: zero.
    pub fn watermark(self, distance: Duration) -> Self {
        self.set("watermark", duration_text(distance))
    }

    /// After such a silence, in whole milliseconds, nobody waits for the source any more. Default: everybody does.
    pub fn idle_after(self, silence: Duration) -> Self {
        self.set("idle_after", duration_text(silence))
    }

    /// Makes a stream of files, at the pace of their event times. Default: they are a table.
    pub fn replay(self, replay: &Replay) -> Self {
        let mut table = InlineTable::new();
        let speed = replay.speed.map_or_else(|| "max".into(), Value::from);
        table.insert("speed", speed);
        if let Some(start) = &replay.start {
            table.insert("start", start.into());
        }
        self.set("replay", table)
    }

    fn set(mut self, key: &str, content: impl Into<Value>) -> Self {
        self.entry.set(key, content);
        self
    }

    /// A job file of nothing but this source.
    pub(super) fn to_toml(&self) -> String {
        self.entry.to_toml("sources")
    }
}

/// `{ kind = "integers", least = 1, most = 6 }`
fn column(values: &Values) -> InlineTable {
    let mut table = InlineTable::new();
    let mut set = |key: &str, content: Value| {
        table.insert(key, content);
    };
    match values {
        Values::Sequence => set("kind", "sequence".into()),
        Values::Integers { least, most } => {
            set("kind", "integers".into());
            set("least", (*least).into());
            set("most", (*most).into());
        }
        Values::Floats { least, most } => {
            set("kind", "floats".into());
            set("least", (*least).into());
            set("most", (*most).into());
        }
        Values::Normal { mean, deviation } => {
            set("kind", "normal".into());
            set("mean", (*mean).into());
            set("deviation", (*deviation).into());
        }
        Values::Choice { of } => {
            set("kind", "choice".into());
            set("of", list(of).into());
        }
        Values::Booleans { share } => {
            set("kind", "booleans".into());
            set("share", (*share).into());
        }
        Values::EventTime { start, step } => {
            set("kind", "event-time".into());
            if let Some(start) = start {
                set("start", start.into());
            }
            if let Some(step) = step {
                set("step", duration_text(*step).into());
            }
        }
    }
    table
}

pub(super) fn source_builder(source: &Source) -> SourceBuilder {
    let mut builder = SourceBuilder::new(&source.name);
    builder = match &source.origin {
        Origin::Files(files) => with_files(builder, files),
        Origin::Generator(made) => builder.generate(made),
    };
    if source.parallelism != 1 {
        builder = builder.parallelism(source.parallelism);
    }
    if source.batch_rows != BATCH_ROWS {
        builder = builder.batch_rows(source.batch_rows);
    }
    if let Some(time) = &source.event_time {
        builder = with_event_time(builder, time);
    }
    match &source.replay {
        Some(replay) => builder.replay(replay),
        None => builder,
    }
}

fn with_files(builder: SourceBuilder, files: &SourceFiles) -> SourceBuilder {
    let mut builder = builder.path(&files.path).format(&files.format);
    if let Some(compression) = files.compression {
        builder = builder.compression(compression);
    }
    if let Some(schema) = &files.schema {
        let columns = schema.iter().map(|(name, kind)| (name, kind));
        builder = builder.schema(columns);
    }
    if let Some(rows) = files.skip_malformed {
        builder = builder.skip_malformed(rows);
    }
    if files.record_bytes != RECORD_BYTES {
        builder = builder.record_bytes(files.record_bytes);
    }
    builder
}

fn with_event_time(builder: SourceBuilder, time: &SourceTime) -> SourceBuilder {
    let mut builder = builder.event_time(&time.column);
    if time.watermark != Duration::ZERO {
        builder = builder.watermark(time.watermark);
    }
    match time.idle_after {
        Some(silence) => builder.idle_after(silence),
        None => builder,
    }
}
