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

#[cfg(test)]
mod tests {
    use super::*;

    fn code(outcome: &str, engine_failed: bool) -> u8 {
        let summary = format!(
            r#"{{"outcome":"{outcome}","reason":"","engine_failed":{engine_failed},"duration_ms":0,"run_dir":"","terms":[],"nodes":[]}}"#
        );
        Exit::of(&serde_json::from_str(&summary).unwrap()).code()
    }

    #[test]
    fn a_run_exits_by_its_outcome_and_by_whose_fault_it_is() {
        assert_eq!(code("succeeded", false), 0);
        assert_eq!(code("failed", false), 1);
        assert_eq!(code("failed", true), 2);
        assert_eq!(code("stopped", false), 130);
    }
}
