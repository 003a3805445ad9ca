//! `forebay sql`

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use clap::{Args, ValueEnum};
use forebay_connectors::{Access, FileSource, Malformed, SourceConnector};
use forebay_dataflow::{Cause, Exchange, Graph, Operator, Options, Output, Stream, TaskContext};
use forebay_sql::{Query, Relation, Relations, Resources};
use tokio::runtime::Handle;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{print, tell, written};
use crate::text::count;

/// Runs a query over files and prints its rows
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay sql --source flights=flights.csv --null NA \"SELECT origin, avg(dep_delay) FROM flights GROUP BY origin\""
)]
pub(crate) struct Sql {
    /// The query; `-`: standard input
    query: String,
    /// A file, a pattern of files or a folder (with a `/` at its end), and its name in the query; may be given more than once
    #[arg(long = "source", value_name = "NAME=PATH")]
    sources: Vec<Named>,
    /// A text that means no value in CSV files, beside nothing at all; may be given more than once
    #[arg(long = "null", value_name = "TEXT")]
    nulls: Vec<String>,
    /// Leave out so many rows that cannot be read, instead of none
    #[arg(long, value_name = "ROWS")]
    skip_malformed: Option<u64>,
    /// How rows are written
    #[arg(long = "as", value_enum, default_value_t)]
    form: Form,
    /// Rows of a table that are shown; 0: all
    #[arg(long, value_name = "NUMBER", default_value_t = 40)]
    rows: usize,
}

/// `NAME=PATH`
#[derive(Clone, Debug)]
struct Named {
    name: String,
    path: String,
}
