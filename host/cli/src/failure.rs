//! Why a command did not do what was asked, as people read it.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use forebay_cluster::causes::remedy;

use crate::exit::Exit;
use crate::text::neutral;

/// An error at the end of its way: text, causes, hint and exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the command exits with.
    pub(crate) exit: Exit,
    /// What failed, on which named thing.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The run directory, where one had been made.
    pub(crate) run_dir: Option<PathBuf>,
    causes: Vec<String>,
}

impl Failure {
    /// The user's job, input or command line is at fault.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::JobFailed,
            message: message.into(),
            hint: None,
            run_dir: None,
            causes: Vec::new(),
        }
    }

    /// Forebay is at fault.
    pub(crate) fn engine(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::EngineFailed,
            ..Self::input(message)
        }
    }

    /// Somebody stopped it before it began.
    pub(crate) fn stopped(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Stopped,
            ..Self::input(message)
        }
    }

    /// `error` with its chain of causes, the user being at fault.
    pub(crate) fn from_input(error: &dyn Error) -> Self {
        Self::input(error.to_string()).caused_by(error.source())
    }

    /// `error` with its chain of causes, Forebay being at fault.
    pub(crate) fn from_engine(error: &dyn Error) -> Self {
        Self::engine(error.to_string()).caused_by(error.source())
    }

    /// Says whose fault it is.
    pub(crate) fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Adds an error, its own causes, and what is done about a machine that has run out of something.
    pub(crate) fn caused_by(mut self, error: Option<&(dyn Error + 'static)>) -> Self {
        self.causes.extend(chain(error));
        let remedy = error.and_then(remedy).map(str::to_owned);
        self.hint = self.hint.or(remedy);
        self
    }

    /// Says what to do about it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As [`Failure::with_hint`], where there is one.
    pub(crate) fn hinted(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.with_hint(hint),
            None => self,
        }
    }

    /// Names the run that it ended.
    pub(crate) fn of_run(mut self, run_dir: &Path) -> Self {
        self.run_dir = Some(run_dir.into());
        self
    }

    /// Message and causes in one line.
    pub(crate) fn sentence(&self) -> String {
        std::iter::once(&self.message)
            .chain(&self.causes)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(": ")
    }
}

/// An error and its causes, each said once: some errors repeat their cause in their own text.
pub(crate) fn chain(error: Option<&dyn Error>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error;
    while let Some(error) = next {
        next = error.source();
        let text = error.to_string();
        if !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
    }
    texts
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}", neutral(&self.message))?;
        for cause in &self.causes {
            write!(formatter, "\n  cause: {}", neutral(cause))?;
        }
        if let Some(hint) = &self.hint {
            write!(formatter, "\n  hint: {}", neutral(hint))?;
        }
        self.run_dir
            .iter()
            .try_for_each(|run| write!(formatter, "\n  run: {}", neutral(&run.to_string_lossy())))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `token`")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let error = Outer(io::Error::other("no such\u{1b}[31m file"));
        let failure = Failure::from_input(&error).with_hint("make one");
        insta::assert_snapshot!(failure, @r"
        error: cannot read `token`
          cause: no such␛[31m file
          hint: make one
        ");
        assert_eq!(failure.exit.code(), 1);
        assert_eq!(Failure::from_engine(&error).exit.code(), 2);
    }
}
