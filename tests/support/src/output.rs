//! What a program left when it ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::Value;

use crate::events::{self, Summary};

/// What a program left when it ended. Shown, it is what a snapshot of the command line holds.
#[derive(Clone, Debug)]
pub struct Output {
    /// `None`: a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// All of it; bytes that are not UTF-8 are replaced. In a terminal both streams are here.
    pub stdout: String,
    /// All of it.
    pub stderr: String,
}

impl Output {
    pub(crate) fn new(status: ExitStatus, stdout: String, stderr: String) -> Self {
        Self {
            code: status.code(),
            signal: status.signal(),
            stdout,
            stderr,
        }
    }

    /// It ended with this code, or the test has failed.
    #[track_caller]
    pub fn assert_code(&self, code: i32) {
        assert_eq!(
            self.code,
            Some(code),
            "another exit code was expected:\n{self}"
        );
    }

    /// Every line of the standard output as the JSON object that it is.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let parsed = self
            .stdout
            .lines()
            .map(|line| events::parse(line).ok_or(line));
        let parsed: Result<Vec<_>, _> = parsed.collect();
        parsed.unwrap_or_else(|line| panic!("not a JSON object: `{line}`\n{self}"))
    }

    /// The last event, which is the summary.
    #[track_caller]
    pub fn summary(&self) -> Summary {
        let last = self.events().pop();
        last.and_then(Summary::new)
            .unwrap_or_else(|| panic!("the last line is no summary:\n{self}"))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => writeln!(formatter, "exit code: {code}")?,
            (None, signal) => writeln!(formatter, "signal: {}", signal.unwrap_or_default())?,
        }
        writeln!(formatter, "----- stdout -----\n{}", self.stdout)?;
        writeln!(formatter, "----- stderr -----\n{}", self.stderr)
    }
}
