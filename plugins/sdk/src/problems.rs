use crate::{Problem, RoleSpec, Severity, clip};

/// Collects all that is wrong with a job, so that `prepare` can report it at once.
///
/// Keys are those of the job file: see [`RoleSpec::key`](crate::RoleSpec::key).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Refuses the job. The text says what is wrong, on which thing in backticks, without a full stop.
    pub fn error(&mut self, key: impl Into<String>, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, key.into(), &message.into())
    }

    /// Is shown; the job runs.
    pub fn warning(&mut self, key: impl Into<String>, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, key.into(), &message.into())
    }

    /// Refuses a role that the job file gives neither script nor command.
    pub fn require_program(&mut self, role: &RoleSpec) {
        if !role.has_program {
            self.error(
                format!("roles.{}", role.name),
                "the role has nothing to run",
            )
            .hint("add `script = \"train.py\"` or `command = [\"program\", \"argument\"]`");
        }
    }

    fn add(&mut self, severity: Severity, key: String, message: &str) -> &mut Problem {
        self.0.push_mut(Problem {
            severity,
            key,
            message: clip(message),
            hint: None,
        })
    }
}

impl Problem {
    /// Says how to mend it.
    pub fn hint(&mut self, hint: impl Into<String>) {
        let hint: String = hint.into();
        self.hint = Some(clip(&hint));
    }
}

impl From<Problems> for Vec<Problem> {
    fn from(problems: Problems) -> Self {
        problems.0
    }
}
