use std::fmt;

use serde::Deserialize;

/// Names of environment variables: one name, or all that begin with what stands before a final `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether the pattern holds this name.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.0 == name,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let stem = text.strip_suffix('*').unwrap_or(&text);
        if text == "*" || is_variable(stem) {
            return Ok(Self(text));
        }
        Err(format!(
            "`{text}` is not a pattern of variables: expected a name such as `PORT`, or a beginning with `*` such as `MILL_*`"
        ))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether an environment variable may be called this.
pub(crate) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
