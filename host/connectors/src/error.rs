//! What can go wrong.

use std::fmt;
use std::io;

use arrow_schema::DataType;
use forebay_dataflow::Cause;

use crate::column_types::type_text;
use crate::malformed::MalformedRow;

/// Why a source or a sink cannot be used, or could not go on. The texts name the file or column and say how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing there.
    #[error("there is no file `{0}`")]
    NotFound(String),
    /// A pattern that no file matches.
    #[error("no file matches `{0}`")]
    NoMatch(String),
    /// A folder in which is nothing to read.
    #[error("there is no file in the folder `{0}` (names that begin with `.` or `_` do not count)")]
    EmptyFolder(String),
    /// A directory, and nobody said that its files are meant.
    #[error("`{0}` is a directory; end it with `/` to read all files in it")]
    IsDirectory(String),
    /// Permissions.
    #[error(
        "`{path}` cannot be {verb}: permission denied; change its permissions, or run as another user"
    )]
    NotPermitted {
        /// The file or folder.
        path: String,
        /// `read` or `written`.
        verb: &'static str,
    },
    /// A file system that nobody may change.
    #[error("`{0}` cannot be written: its file system is read-only; choose another path")]
    ReadOnly(String),
    /// A pattern that is none.
    #[error("`{pattern}` is no pattern for files: {problem}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// Why it is none.
        problem: String,
    },
    /// A URL that is none, or that names what nobody has.
    #[error("`{url}` cannot be used: {problem}")]
    Url {
        /// What was given.
        url: String,
        /// Why.
        problem: String,
    },
    /// A store that this build does not have.
    #[error(
        "`{url}`: this build cannot reach `{scheme}://`; build it with the feature `{feature}`"
    )]
    NoFeature {
        /// What was given.
        url: String,
        /// Its scheme.
        scheme: String,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// An extension that says nothing.
    #[error(
        "the format of `{0}` is not known by its name; name the format (csv, jsonl, parquet, arrow), or use such an extension"
    )]
    UnknownFormat(String),
    /// A setting that cannot be.
    #[error("{0}")]
    Setting(String),
    /// Reading has failed.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: Cause,
    },
    /// A file that is not of the format it should be.
    #[error("`{path}` is damaged, or no {format} file")]
    Damaged {
        /// The file.
        path: String,
        /// What it should be.
        format: &'static str,
        /// What is wrong in it.
        source: Cause,
    },
    /// A file without any content, and nothing else says what columns it has.
    #[error(
        "`{0}` is empty, so nothing says which columns it has; declare a schema, or leave it out"
    )]
    Empty(String),
    /// A header that names no columns.
    #[error("`{path}`: column {position} of the header {problem}")]
    Header {
        /// The file.
        path: String,
        /// From 1.
        position: usize,
        /// What is wrong.
        problem: String,
    },
    /// A column that a file should have.
    #[error("`{path}` has no column `{column}`, which the source has")]
    ColumnMissing {
        /// The file.
        path: String,
        /// The column.
        column: String,
    },
    /// A column that a file should not have.
    #[error("`{path}` has a column `{column}`, which the source does not have")]
    ColumnUnknown {
        /// The file.
        path: String,
        /// The column.
        column: String,
    },
    /// A column of another type than the schema says.
    #[error(
        "column `{column}` of `{path}` is {}, but the schema says {}",
        type_text(.found),
        type_text(.expected)
    )]
    ColumnType {
        /// The file.
        path: String,
        /// The column.
        column: String,
        /// The type in the file.
        found: Box<DataType>,
        /// The type in the schema.
        expected: Box<DataType>,
    },
    /// A column that is asked for.
    #[error("there is no column `{column}`; there are: {}", .columns.join(", "))]
    NoColumn {
        /// What was asked for.
        column: String,
        /// What there is.
        columns: Vec<String>,
    },
    /// A type that a format does not have.
    #[error(
        "column `{column}` is {}, which {format} cannot hold; convert it, or choose another format",
        type_text(.kind)
    )]
    ColumnKind {
        /// The column.
        column: String,
        /// Its type.
        kind: Box<DataType>,
        /// The format.
        format: &'static str,
    },
    /// A row that cannot be read.
    #[error("{0}")]
    Malformed(MalformedRow),
    /// More such rows than may be left out.
    #[error("more than {limit} malformed rows; the next one is {row}")]
    TooManyMalformed {
        /// So many may be left out.
        limit: u64,
        /// The first one that was too many.
        row: MalformedRow,
    },
    /// A position in files that are not the same any more.
    #[error("cannot go on in `{path}`: {problem}")]
    Position {
        /// The file.
        path: String,
        /// What has changed.
        problem: String,
    },
    /// There is something already.
    #[error("`{0}` exists; choose another path, remove it, or set `overwrite`")]
    Exists(String),
    /// A folder with something in it.
    #[error("the folder `{0}` is not empty; choose another one, or empty it")]
    NotEmpty(String),
    /// A sink with several tasks, and something else where its folder should be.
    #[error("`{0}` is a file, but must be a folder: it gets one file for each task")]
    NotAFolder(String),
    /// Something else where the folder of a file should be.
    #[error("`{parent}` is no folder, so `{path}` cannot be in it; choose another path")]
    ParentNotAFolder {
        /// What is in the way.
        parent: String,
        /// The file or folder that was to be written.
        path: String,
    },
    /// No room.
    #[error(
        "{limit}: {written} bytes of `{path}` were written, and are gone again; free some space, or choose another path"
    )]
    DiskFull {
        /// What there is no more of.
        limit: &'static str,
        /// The file.
        path: String,
        /// Bytes that had been written.
        written: u64,
    },
    /// Writing has failed.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: Cause,
    },
    /// Rows that cannot be encoded.
    #[error("cannot encode rows as {format} for `{path}`")]
    Encode {
        /// The file.
        path: String,
        /// The format.
        format: &'static str,
        /// Why.
        source: Cause,
    },
    /// Whoever read the output has gone (`| head`): an end, not a failure.
    #[error("nobody reads the output any more")]
    OutputClosed,
}

impl Error {
    /// Why a path cannot be read or written, in our own words where the reason is a common one.
    pub(crate) fn io(path: impl fmt::Display, verb: Verb, error: io::Error) -> Self {
        let path = path.to_string();
        match (error.kind(), verb) {
            (io::ErrorKind::NotFound, Verb::Read) => Self::NotFound(path),
            (io::ErrorKind::PermissionDenied, _) => Self::NotPermitted {
                path,
                verb: verb.participle(),
            },
            (io::ErrorKind::ReadOnlyFilesystem, _) => Self::ReadOnly(path),
            (io::ErrorKind::AlreadyExists, Verb::Write) => Self::Exists(path),
            (io::ErrorKind::BrokenPipe, Verb::Write) => Self::OutputClosed,
            (_, Verb::Read) => Self::Read {
                path,
                source: error.into(),
            },
            (_, Verb::Write) => Self::Write {
                path,
                source: error.into(),
            },
        }
    }

    /// The same of an object store.
    pub(crate) fn store(path: &str, verb: Verb, error: object_store::Error) -> Self {
        match (error, verb) {
            (object_store::Error::NotFound { .. }, Verb::Read) => Self::NotFound(path.to_owned()),
            (
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. },
                _,
            ) => Self::NotPermitted {
                path: path.to_owned(),
                verb: verb.participle(),
            },
            (error, Verb::Read) => Self::Read {
                path: path.to_owned(),
                source: error.into(),
            },
            (error, Verb::Write) => Self::Write {
                path: path.to_owned(),
                source: error.into(),
            },
        }
    }

    pub(crate) fn damaged(path: &str, format: &'static str, source: impl Into<Cause>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            format,
            source: source.into(),
        }
    }
}

/// What was to be done with a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Read,
    Write,
}

impl Verb {
    fn participle(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "written",
        }
    }
}
