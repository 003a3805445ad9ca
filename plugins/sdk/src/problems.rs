use crate::{Problem, Severity};

/// Collects all that is wrong with a job, so that `prepare` can report it at once.
///
/// Keys are those of the job file: see [`RoleSpec::key`](crate::RoleSpec::key).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Refuses the job. The text says what is wrong, on which thing in backticks, without a full stop.
    pub fn error(&mut self, key: impl Into<String>, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, key.into(), message.into())
    }

    /// Is shown; the job runs.
    pub fn warning(&mut self, key: impl Into<String>, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, key.into(), message.into())
    }

    fn add(&mut self, severity: Severity, key: String, message: String) -> &mut Problem {
        self.0.push_mut(Problem {
            severity,
            key,
            message,
            hint: None,
        })
    }
}

impl Problem {
    /// Says how to mend it.
    pub fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }
}

impl From<Problems> for Vec<Problem> {
    fn from(problems: Problems) -> Self {
        problems.0
    }
}
