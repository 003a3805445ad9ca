//! What is wrong with the dataflow of a job, and where.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use arrow_schema::Schema;
use forebay_dataflow::sentence;
use forebay_job::{Diagnostic, nearest};
use forebay_sql::Place;

/// Stable codes of the problems that this crate reports. `docs/dataflow.md` explains each.
pub mod code {
    /// Files of a source are not there, cannot be read, or are not what the job says.
    pub const SOURCE: &str = "source/unusable";
    /// The type of a column is none.
    pub const COLUMN_TYPE: &str = "source/column-type";
    /// The event time of a source is not there, or no timestamp.
    pub const EVENT_TIME: &str = "source/event-time";
    /// The file of a query cannot be read.
    pub const SQL_FILE: &str = "sql/missing-file";
    /// A query that does not parse, does not fit what it reads, or would need unbounded state.
    pub const SQL: &str = "sql/invalid";
    /// A query that takes texts for something else, and fails at the first one that is none.
    pub const CAST: &str = "sql/implicit-cast";
    /// Transforms that read each other in a circle.
    pub const CYCLE: &str = "transform/cycle";
    /// A component that cannot be loaded.
    pub const OPERATOR: &str = "operator/unusable";
    /// A component that does not take its config or its columns.
    pub const OPERATOR_REFUSED: &str = "operator/refused";
    /// A sink whose place or columns cannot be written.
    pub const SINK: &str = "sink/unusable";
    /// A role that cannot be fed so.
    pub const ROLE: &str = "role/unusable";
    /// A source or transform that feeds nothing.
    pub const UNUSED: &str = "dataflow/unused";

    /// All of them.
    pub const ALL: &[&str] = &[
        SOURCE,
        COLUMN_TYPE,
        EVENT_TIME,
        SQL_FILE,
        SQL,
        CAST,
        CYCLE,
        OPERATOR,
        OPERATOR_REFUSED,
        SINK,
        ROLE,
        UNUSED,
    ];
}

/// One problem, at a key of the job file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong; without a location.
    pub diagnostic: Diagnostic,
    /// Where, within the value of the key.
    pub spot: Option<Spot>,
}

/// A place in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file of the query, as the job names it; `None`: it stands in the job file.
    pub file: Option<PathBuf>,
    /// Where in the query.
    pub place: Place,
}

impl From<Diagnostic> for Problem {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            diagnostic,
            spot: None,
        }
    }
}

/// A problem of this error, with its causes.
pub(crate) fn problem(
    code: &'static str,
    key: impl Into<String>,
    error: &(dyn Error + 'static),
    hint: Option<String>,
) -> Problem {
    hinted(Diagnostic::error(code, key, sentence(error)), hint)
}

/// A problem with a way out, where one is known.
pub(crate) fn hinted(diagnostic: Diagnostic, hint: Option<String>) -> Problem {
    match hint {
        Some(hint) => diagnostic.with_hint(hint).into(),
        None => diagnostic.into(),
    }
}

/// A file that a transform names and that cannot be read; what that is depends on why.
pub(crate) fn unreadable(
    code: &'static str,
    key: impl Into<String>,
    (what, path): (&str, &Path),
    error: &io::Error,
) -> Problem {
    let (why, hint) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (
            "there is no such file",
            "the path is relative to the folder of the job file",
        ),
        io::ErrorKind::PermissionDenied => (
            "permission denied",
            "change its permissions, or run as another user",
        ),
        io::ErrorKind::IsADirectory => ("it is a directory", "name a file in it"),
        io::ErrorKind::InvalidData => ("it is not UTF-8", "save it as UTF-8"),
        _ => {
            let message = format!("cannot read {what} `{}`: {error}", path.display());
            return Diagnostic::error(code, key, message).into();
        }
    };
    let message = format!("cannot read {what} `{}`: {why}", path.display());
    Diagnostic::error(code, key, message).with_hint(hint).into()
}

/// What may have been meant by a column that is not there.
pub(crate) fn column_hint(column: &str, schema: &Schema) -> String {
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    nearest(column, &names).map_or_else(
        || {
            let all: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            format!("the columns are: {}", all.join(", "))
        },
        |name| format!("did you mean `{name}`?"),
    )
}
