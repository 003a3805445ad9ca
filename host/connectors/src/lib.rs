//! Sources and sinks of the dataflow: files and object stores, generated rows, and streams that are made of tables.
//!
//! It knows formats and where bytes are; it knows nothing of SQL, jobs or processes. A connector is checked when it is made, before
//! anything runs: [`FileSource::prepare`] and [`FileSink::prepare`] find what is missing, damaged or cannot be held. Then
//! [`add_source`] and [`add_sink`] put it into a [`Graph`](forebay_dataflow::Graph).
//!
//! Bytes are read and written in threads of tokio; rows are decoded and encoded in the task that they belong to. A simulated dataflow
//! waits for no thread, so only [`Generator`], [`Replay`] and [`Blackhole`] work in it.
//!
//! ```
//! use forebay_connectors::{Access, FileSink, FileSinkOptions, FileSource, FileSourceOptions};
//! use forebay_connectors::{SourceConnector, add_sink, add_source};
//! use forebay_dataflow::{Exchange, Graph, Options};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! std::fs::write(folder.join("flights.csv"), "origin,delay\nEWR,2\nJFK,\n")?;
//! let runtime = tokio::runtime::Runtime::new()?;
//! let access = Access::new(folder, runtime.handle().clone());
//! let source = FileSource::prepare(FileSourceOptions::new("flights.csv"), &access);
//! let source = runtime.block_on(source)?;
//! let sink = FileSinkOptions::new("flights.parquet");
//! let sink = runtime.block_on(FileSink::prepare(sink, &access, source.schema(), 1))?;
//!
//! let mut graph = Graph::new();
//! let flights = add_source(&mut graph, "flights", 1, None, source)?;
//! add_sink(&mut graph, "parquet", 1, (&flights, Exchange::Forward), sink)?;
//! let progress = graph.start(&Options::default())?.wait()?;
//! assert_eq!(progress[1].rows_in, 2);
//! assert!(folder.join("flights.parquet").exists());
//! # Ok::<(), forebay_dataflow::Cause>(())
//! ```

mod access;
mod bytes;
mod column_types;
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
pub use self::column_types::{type_of, type_text};
pub use self::connector::{SinkConnector, SourceConnector, add_sink, add_source};
pub use self::error::Error;
pub use self::files::{FileSource, FileSourceOptions};
pub use self::format::{Compression, CsvOptions, Format};
pub use self::generator::{Column, Generator, GeneratorOptions, Values};
pub use self::malformed::{Malformed, MalformedRow, RowPlace};
pub use self::replay::{Origin, Replay, ReplayOptions, Speed};
pub use self::sink::{Blackhole, FileSink, FileSinkOptions, WriterSink};
