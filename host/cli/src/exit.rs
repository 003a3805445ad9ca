//! What the exit code of the command says.

use std::process::ExitCode;

use forebay_cluster::events::{Outcome, Summary};

/// Each way in which a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done,
    /// The job, its input or the command line is at fault.
    JobFailed,
    /// Forebay or a plugin is at fault.
    EngineFailed,
    /// Somebody stopped the job.
    Stopped,
}

impl Exit {
    /// 0, 1, 2 or 130.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::JobFailed => 1,
            Self::EngineFailed => 2,
            // As a shell reports a program that ended by Ctrl-C.
            Self::Stopped => 130,
        }
    }

    /// The one of a run.
    pub(crate) const fn of(summary: &Summary) -> Self {
        match (summary.outcome, summary.engine_failed) {
            (Outcome::Succeeded, _) => Self::Done,
            (Outcome::Stopped, _) => Self::Stopped,
            (Outcome::Failed, true) => Self::EngineFailed,
            (Outcome::Failed, false) => Self::JobFailed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
