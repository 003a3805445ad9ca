//! The dataflow of a job: where rows come from, what is made of them, and where they go.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{milliseconds, optional_milliseconds};

/// Sources, transforms and sinks, each in the order of the job file. Names are unique over all three and the roles with an output.
///
/// A name is lower-case letters, digits, underscores and dashes, a letter first, at most 63 characters; SQL wants quotes around
/// one with a dash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dataflow {
    /// Where rows come from.
    pub sources: Vec<Source>,
    /// What is made of them.
    pub transforms: Vec<Transform>,
    /// Where they go.
    pub sinks: Vec<Sink>,
    /// How it runs.
    pub settings: DataflowSettings,
}

impl Dataflow {
    /// Whether the job has no dataflow.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.transforms.is_empty() && self.sinks.is_empty()
    }
}

/// How the dataflow runs (`[dataflow]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataflowSettings {
    /// Tasks of each transform that states none. Default: 1.
    pub parallelism: u32,
    /// Threads that run tasks. Default: as many as the machine has processors.
    pub threads: Option<u32>,
    /// Bytes that each sort and each part that only reads bounded relations may hold; what is sorted beyond that goes to files, a
    /// join fails. Default: 1 GiB.
    pub memory_bytes: u64,
    /// Rows that may wait between two tasks. Default: 16,384.
    pub queue_rows: u32,
    /// Bytes that may wait between two tasks. Default: 4 MiB.
    pub queue_bytes: u64,
}

impl Default for DataflowSettings {
    fn default() -> Self {
        Self {
            parallelism: 1,
            threads: None,
            memory_bytes: 1 << 30,
            queue_rows: 16_384,
            queue_bytes: 4 << 20,
        }
    }
}

/// Where rows come from (`[sources.NAME]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// What SQL and `input` call it.
    pub name: String,
    /// Files, or rows that are made up.
    pub origin: Origin,
    /// Tasks that read. Default: 1, which keeps the order of files.
    pub parallelism: u32,
    /// So many rows are handed on together at most. Default: 8192.
    pub batch_rows: u32,
    /// The column of its event time; `None`: it has none.
    pub event_time: Option<SourceTime>,
    /// As a stream, at the pace of its event times; `None`: as a table.
    pub replay: Option<Replay>,
}

/// See [`Source::origin`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `path`
    Files(Box<SourceFiles>),
    /// `generate`
    Generator(Generate),
}

/// Files that are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFiles {
    /// A path, a pattern (`data/*.csv`), a folder (`data/`) or a URL. A relative path is relative to [`Job::base`](super::Job::base),
    /// and may lead elsewhere.
    pub path: String,
    /// What the files are and how their text is written.
    pub format: FileFormat,
    /// How they are compressed. Default: what their names tell.
    pub compression: Option<Compression>,
    /// All columns in their order, each with its type as `docs/job-file.md` lists them. Default: what the files tell; a job that was
    /// submitted has it.
    pub schema: Option<Vec<(String, String)>>,
    /// So many rows that cannot be read are left out and counted; `None`: the first one ends the dataflow.
    pub skip_malformed: Option<u64>,
    /// A longer row of text is malformed. Default: 16 MiB.
    pub record_bytes: u64,
}

/// What files are, and how text in them is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFormat {
    /// Default: what names tell.
    pub kind: Option<FormatKind>,
    /// Between two values of CSV, one character of ASCII. Default: a comma; a tab in `.tsv`.
    pub delimiter: Option<char>,
    /// Around values of CSV. Default: `"`.
    pub quote: Quote,
    /// Before a quote in a quoted value of CSV. Default: none, a quote is doubled.
    pub escape: Option<char>,
    /// Whether the first record of CSV names the columns. Default: true.
    pub header: Option<bool>,
    /// Values of CSV that mean null, beside the empty one; a sink writes the first. Default: none.
    pub null_values: Vec<String>,
}

/// What is around values of CSV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quote {
    /// `"`
    #[default]
    Double,
    /// This character of ASCII.
    Character(char),
    /// Nothing: `quote = ""`.
    Absent,
}

/// `format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormatKind {
    /// `csv`
    Csv,
    /// `jsonl`
    Jsonl,
    /// `parquet`
    Parquet,
    /// `arrow`: with a footer.
    Arrow,
    /// `arrow-stream`: without a footer.
    ArrowStream,
}

/// `compression`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// `none`
    None,
    /// `gzip`
    Gzip,
    /// `zstd`
    Zstd,
}

/// The event time of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTime {
    /// A column of timestamps (`event_time`).
    pub column: String,
    /// How far out of order rows may be (`watermark`). Default: zero.
    #[serde(rename = "watermark_ms", with = "milliseconds")]
    pub watermark: Duration,
    /// After such a silence nobody waits for the source any more (`idle_after`). Default: everybody does.
    #[serde(rename = "idle_after_ms", with = "optional_milliseconds")]
    pub idle_after: Option<Duration>,
}

/// How a file becomes a stream (`replay`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Seconds of event time in a second; `None` (`"max"`): as fast as it goes.
    pub speed: Option<f64>,
    /// The event time at which the dataflow begins, as RFC 3339 writes it. Default: that of the first row.
    pub start: Option<String>,
}

/// Rows that are made up (`generate`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// Rows a second, of all tasks together. Default: as fast as they are taken.
    pub rate: Option<f64>,
    /// So many rows, of all tasks together. Default: endless.
    pub rows: Option<u64>,
    /// Another seed, other rows. Default: 0.
    pub seed: u64,
    /// Name and values of each column, in this order.
    pub columns: Vec<(String, Values)>,
}

/// How the values of a made up column are made (`kind` and its own keys).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Values {
    /// The number of the row, from 0.
    Sequence,
    /// Whole numbers, both ends included.
    Integers {
        /// The least.
        least: i64,
        /// The greatest.
        most: i64,
    },
    /// Numbers, without the upper end.
    Floats {
        /// The least.
        least: f64,
        /// Above the greatest.
        most: f64,
    },
    /// Normally distributed numbers.
    Normal {
        /// Their mean. Default: 0.
        mean: f64,
        /// Their standard deviation. Default: 1.
        deviation: f64,
    },
    /// One of these texts.
    Choice {
        /// All as likely.
        of: Vec<String>,
    },
    /// True so often.
    Booleans {
        /// A share from 0 to 1. Default: 0.5.
        share: f64,
    },
    /// A timestamp that grows from row to row.
    EventTime {
        /// Of the first row, as RFC 3339 writes it. Default: 1970-01-01T00:00:00Z.
        start: Option<String>,
        /// From one row to the next. Default: a second divided by the rate; a millisecond without a rate.
        #[serde(rename = "step_ms", with = "optional_milliseconds")]
        step: Option<Duration>,
    },
}

/// Rows that are made of other rows (`[transforms.NAME]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transform {
    /// What SQL and `input` call it.
    pub name: String,
    /// What makes them.
    pub kind: TransformKind,
    /// Tasks of its operators that have state, or of the component. Default: [`DataflowSettings::parallelism`].
    pub parallelism: u32,
}

/// See [`Transform::kind`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransformKind {
    /// A query over sources, other transforms and roles with an output.
    Sql(SqlText),
    /// A WebAssembly component.
    Operator(Box<OperatorUse>),
}

/// Where a query stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SqlText {
    /// `sql`
    Inline(String),
    /// `sql_file`, relative to [`Job::base`](super::Job::base). A job that was submitted has the text itself.
    File(PathBuf),
}

/// A component as a transform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorUse {
    /// The source, transform or role with an output that it is fed by (`input`).
    pub input: String,
    /// Path of the component, relative to [`Job::base`](super::Job::base); it may lead elsewhere (`operator`).
    pub component: PathBuf,
    /// What the component is told, as JSON (`config`). Default: `{}`.
    pub config: String,
    /// Rows with equal values of these columns go to the same task (`key`). Default: none, rows stay with the task that they come
    /// from where both have as many tasks, and are dealt in turn otherwise.
    pub key: Vec<String>,
}

/// Where rows go (`[sinks.NAME]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// For people.
    pub name: String,
    /// The source, transform or role with an output that it takes all rows of.
    pub input: String,
    /// Where they go.
    pub target: Target,
    /// Tasks that write. Default: 1 into one file, or to standard output; else as many as feed it.
    pub parallelism: Option<u32>,
}

/// See [`Sink::target`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// `path`
    Files(Box<SinkFiles>),
    /// `to = "stdout"`: text, CSV or JSON lines (the default).
    Stdout(FileFormat),
    /// `to = "blackhole"`: rows are counted and forgotten.
    Blackhole,
}

/// Files that are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkFiles {
    /// A file, a folder that gets a file of each task, or a URL. A relative path is relative to [`Job::base`](super::Job::base), and may
    /// lead elsewhere.
    pub path: String,
    /// What the files are and how their text is written.
    pub format: FileFormat,
    /// Whether files that are there are replaced. Default: false, they are refused.
    pub overwrite: bool,
}

impl Source {
    /// Whether it is a stream: it ends, if ever, without that anybody could wait for it. Files are one when they are replayed, rows that
    /// are made up when they have an event time or no end.
    pub fn is_unbounded(&self) -> bool {
        let is_stream = match &self.origin {
            Origin::Files(_) => false,
            Origin::Generator(made) => made.rows.is_none() || self.event_time.is_some(),
        };
        is_stream || self.replay.is_some()
    }
}
