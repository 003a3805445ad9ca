use crate::{JobSpec, Problems, RoleSpec};

/// Reads the properties of a job or a role by name. What cannot be read is a problem at its key, never a default.
///
/// Names that nobody asks for are left alone: they are parameters of the user's script.
#[derive(Clone, Copy, Debug)]
pub struct Properties<'a> {
    role: Option<&'a str>,
    attributes: &'a [(String, String)],
}

impl<'a> Properties<'a> {
    /// The properties of the whole job.
    pub fn of_job(job: &'a JobSpec) -> Self {
        Self {
            role: None,
            attributes: &job.properties,
        }
    }

    /// The properties of one role.
    pub fn of_role(role: &'a RoleSpec) -> Self {
        Self {
            role: Some(&role.name),
            attributes: &role.properties,
        }
    }

    /// Key of a property in the job file.
    pub fn key(&self, name: &str) -> String {
        match self.role {
            Some(role) => format!("roles.{role}.properties.{name}"),
            None => format!("properties.{name}"),
        }
    }

    /// The text of a property.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub fn number(&self, name: &str, problems: &mut Problems) -> Option<u64> {
        let text = self.text(name)?;
        let number = text.parse().ok();
        if number.is_none() {
            problems.error(
                self.key(name),
                format!("`{name}` is `{text}`, which is not a whole number"),
            );
        }
        number
    }

    /// One of a few words.
    pub fn choice<'c>(
        &self,
        name: &str,
        choices: &[&'c str],
        problems: &mut Problems,
    ) -> Option<&'c str> {
        let text = self.text(name)?;
        let choice = choices.iter().copied().find(|choice| *choice == text);
        if choice.is_none() {
            let known = choices
                .iter()
                .map(|choice| format!("`{choice}`"))
                .collect::<Vec<_>>()
                .join(", ");
            problems
                .error(
                    self.key(name),
                    format!("`{name}` is `{text}`, which is not a choice here"),
                )
                .hint(format!("choose one of {known}"));
        }
        choice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;

    #[test]
    fn what_cannot_be_read_is_a_problem_at_its_key() {
        let set = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let properties = [
            ("steps", "40"),
            ("size", "big"),
            ("mode", "sync"),
            ("shape", "round"),
        ]
        .map(set)
        .to_vec();
        let role = RoleSpec {
            properties,
            ..RoleSpec::new("worker", 1)
        };
        let (properties, mut problems) = (Properties::of_role(&role), Problems::default());

        assert_eq!(properties.number("steps", &mut problems), Some(40));
        assert_eq!(
            properties.choice("mode", &["sync", "async"], &mut problems),
            Some("sync")
        );
        assert_eq!(properties.number("absent", &mut problems), None);
        assert_eq!(problems, Problems::default());

        assert_eq!(properties.number("size", &mut problems), None);
        assert_eq!(
            properties.choice("shape", &["flat", "deep"], &mut problems),
            None
        );
        let problems = Vec::from(problems);
        let shown = |problem: &Problem| format!("{}: {}", problem.key, problem.message);
        assert_eq!(
            problems.iter().map(shown).collect::<Vec<_>>(),
            [
                "roles.worker.properties.size: `size` is `big`, which is not a whole number",
                "roles.worker.properties.shape: `shape` is `round`, which is not a choice here",
            ]
        );
        assert_eq!(
            problems[1].hint.as_deref(),
            Some("choose one of `flat`, `deep`")
        );
    }
}
