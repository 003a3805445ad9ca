//! Rows that cannot be read: what becomes of them, and what is known of them.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use forebay_dataflow::Counters;

use crate::error::Error;

/// How many malformed rows a source remembers for people.
const REMEMBERED: usize = 10;

/// What becomes of rows that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Malformed {
    /// The first one ends the dataflow.
    #[default]
    Fail,
    /// They are left out and counted.
    Skip {
        /// So many for each task; one more ends the dataflow.
        limit: u64,
    },
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedRow {
    /// The file, as it was found.
    pub file: Arc<str>,
    /// Where in the file.
    pub place: RowPlace,
    /// The column, if one is to blame.
    pub column: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for MalformedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.file, self.place)?;
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Where a row is in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowPlace {
    /// The line on which the row begins, from 1.
    Line(u64),
    /// Its number, from 1, where a file has no lines.
    Row(u64),
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// The first malformed rows of a source, from all its tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report(Arc<Mutex<Vec<MalformedRow>>>);

impl Report {
    pub(crate) fn rows(&self) -> Vec<MalformedRow> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn add(&self, row: MalformedRow) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() < REMEMBERED {
            rows.push(row);
        }
    }
}

/// Takes the malformed rows of one task. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Rejects {
    policy: Malformed,
    counters: Arc<Counters>,
    report: Report,
    count: Arc<AtomicU64>,
}

impl Rejects {
    pub(crate) fn new(policy: Malformed, counters: Arc<Counters>, report: Report) -> Self {
        Self {
            policy,
            counters,
            report,
            count: Arc::default(),
        }
    }

    /// For a look at files before a run: the first one is an error.
    pub(crate) fn strict() -> Self {
        Self::new(Malformed::Fail, Arc::default(), Report::default())
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Goes on with so many.
    pub(crate) fn resume(&self, count: u64) {
        self.count.store(count, Relaxed);
    }

    /// Leaves the row out, if it may.
    pub(crate) fn reject(&self, row: MalformedRow) -> Result<(), Error> {
        let Malformed::Skip { limit } = self.policy else {
            return Err(Error::Malformed(row));
        };
        if self.count() >= limit {
            return Err(Error::TooManyMalformed { limit, row });
        }
        self.count.fetch_add(1, Relaxed);
        self.counters.malformed.fetch_add(1, Relaxed);
        self.report.add(row);
        Ok(())
    }
}
