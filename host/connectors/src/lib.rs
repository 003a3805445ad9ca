//! Sources and sinks of the dataflow: files and object stores, generated rows, and streams that are made of tables.
//!
//! It knows formats and where bytes are; it knows nothing of SQL, jobs or processes. A connector is checked when it is made, before
//! anything runs: [`FileSource::prepare`] and [`FileSink::prepare`] find what is missing, damaged or cannot be held. Then
//! [`add_source`] and [`add_sink`] put it into a [`Graph`](forebay_dataflow::Graph).
//!
//! Bytes are read and written in threads of tokio; rows are decoded and encoded in the task that they belong to.

mod access;
mod bytes;
mod connector;
mod csv;
mod error;
mod files;
mod format;
mod generator;
mod guess;
mod ipc;
mod json;
mod malformed;
mod parquet;
mod reading;
mod replay;
mod sink;

pub use self::access::Access;
pub use self::connector::{SinkConnector, SourceConnector, add_sink, add_source};
pub use self::error::Error;
pub use self::files::{FileSource, FileSourceOptions};
pub use self::format::{Compression, CsvOptions, Format};
pub use self::generator::{Column, Generator, GeneratorOptions, Values};
pub use self::malformed::{Malformed, MalformedRow};
pub use self::replay::{Replay, ReplayOptions, Speed};
pub use self::sink::{Blackhole, FileSink, FileSinkOptions, WriterSink};
