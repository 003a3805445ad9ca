//! What is wrong with a job, and where.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::strings;

/// Stable codes of the problems that this crate reports. `docs/job-file.md` explains each.
pub mod code {
    /// The text is not TOML.
    pub const SYNTAX: &str = "job/syntax";
    /// The text is larger than a job file may be.
    pub const TOO_LARGE: &str = "job/too-large";
    /// One key stands twice, or one name stands for two roles, or for two of sources, transforms, sinks and roles with an output.
    pub const DUPLICATE_KEY: &str = "job/duplicate-key";
    /// A key that no version knows.
    pub const UNKNOWN_KEY: &str = "job/unknown-key";
    /// A key or value that a later version will know.
    pub const NOT_SUPPORTED: &str = "job/not-supported";
    /// A key that must be there is not.
    pub const MISSING_KEY: &str = "job/missing-key";
    /// A value of another type than the key wants.
    pub const WRONG_TYPE: &str = "job/wrong-type";
    /// A number, duration or size outside its bounds.
    pub const OUT_OF_RANGE: &str = "job/out-of-range";
    /// A text that is not one of the words, names or forms that the key takes.
    pub const BAD_VALUE: &str = "job/bad-value";
    /// The name of the job, a role, a source, a transform, a sink, a tensor, a plugin or an environment is not one.
    pub const BAD_NAME: &str = "job/bad-name";
    /// A path that is absolute, leaves the folder of the job file, or names nothing.
    pub const BAD_PATH: &str = "job/bad-path";
    /// A name of an environment variable that is impossible or reserved.
    pub const BAD_VARIABLE: &str = "job/bad-variable";
    /// Two keys that exclude each other, or bounds that contradict each other.
    pub const CONFLICT: &str = "job/conflict";
    /// The job has neither roles nor a dataflow.
    pub const NO_ROLES: &str = "job/no-roles";
    /// The dataflow feeds neither a sink nor a role.
    pub const NO_SINKS: &str = "job/no-sinks";
    /// An `input` that names neither a source nor a transform nor a role with an output.
    pub const UNKNOWN_INPUT: &str = "job/unknown-input";
    /// Transforms that feed each other in a circle.
    pub const CYCLE: &str = "job/cycle";
    /// A key that changes nothing here.
    pub const NO_EFFECT: &str = "job/no-effect";
    /// A script or program that is not there, or is not a file.
    pub const MISSING_FILE: &str = "job/missing-file";
    /// A pattern of `files` that matches nothing.
    pub const NO_MATCH: &str = "job/no-match";
    /// The files of a role cannot be staged.
    pub const BAD_FILES: &str = "job/bad-files";

    /// All of them.
    pub const ALL: &[&str] = &[
        SYNTAX,
        TOO_LARGE,
        DUPLICATE_KEY,
        UNKNOWN_KEY,
        NOT_SUPPORTED,
        MISSING_KEY,
        WRONG_TYPE,
        OUT_OF_RANGE,
        BAD_VALUE,
        BAD_NAME,
        BAD_PATH,
        BAD_VARIABLE,
        CONFLICT,
        NO_ROLES,
        NO_SINKS,
        UNKNOWN_INPUT,
        CYCLE,
        NO_EFFECT,
        MISSING_FILE,
        NO_MATCH,
        BAD_FILES,
    ];
}

/// Whether a problem refuses the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The job can run.
    Warning,
    /// The job is refused.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A place in a job file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The file as the user named it, or `<stdin>`.
    pub file: String,
    /// Bytes of the text.
    pub span: Range<usize>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Location {
    /// A place in another file than the job file, such as one with a query: `text` is what it holds, `line` and `column` count from 1,
    /// in characters. The span is the word or character there. A place that the text does not have is its beginning.
    pub fn in_file(file: impl Into<String>, text: &str, line: u64, column: u64) -> Self {
        let span = strings::place(&strings::plain(text), line, column).unwrap_or_default();
        let (line, column) = strings::line_and_column(text, span.start);
        Self {
            file: file.into(),
            span,
            line,
            column,
        }
    }
}

/// One problem of a job, at a key of the job file. Displays as one plain line; colours and excerpts are the caller's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Whether it refuses the job.
    pub severity: Severity,
    /// Stable: one of [`code`], or the code of whoever else checks a job.
    pub code: Cow<'static, str>,
    /// What is wrong, on what; one sentence without a full stop.
    pub message: String,
    /// Such as `roles.worker.nodes`; empty for the job as a whole.
    pub key: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// Where, once [`Document::locate`](crate::Document::locate) or [`Location::in_file`] has found it.
    pub location: Option<Location>,
}

impl Diagnostic {
    /// A problem that refuses the job, without a location.
    pub fn error(
        code: impl Into<Cow<'static, str>>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            code: code.into(),
            message: message.into(),
            key: key.into(),
            hint: None,
            location: None,
        }
    }

    /// A problem that does not refuse the job, without a location.
    pub fn warning(
        code: impl Into<Cow<'static, str>>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, key, message)
        }
    }

    /// The same problem with a way to mend it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it refuses the job.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Line in the job file, from 1.
    pub fn line(&self) -> Option<usize> {
        self.location.as_ref().map(|location| location.line)
    }

    /// Column in the job file, from 1, in characters.
    pub fn column(&self) -> Option<usize> {
        self.location.as_ref().map(|location| location.column)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Location {
            file, line, column, ..
        }) = &self.location
        {
            write!(formatter, "{file}:{line}:{column}: ")?;
        }
        write!(
            formatter,
            "{}[{}]: {}",
            self.severity, self.code, self.message
        )?;
        if !self.key.is_empty() {
            write!(formatter, " ({})", self.key)?;
        }
        self.hint
            .iter()
            .try_for_each(|hint| write!(formatter, "; hint: {hint}"))
    }
}
