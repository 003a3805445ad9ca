//! `plugin.toml`: what a plugin is and what its answers may ask for.

use std::fs;
use std::path::Path;

use semver::Version;
use serde::Deserialize;

use crate::pattern::Pattern;
use crate::types::Description;

/// A plugin's `plugin.toml`.
///
/// ```toml
/// id = "mill"
/// version = "0.1.0"
/// state-format = "mill-1"     # only with a state machine
///
/// [requests]                  # what its answers may ask for; each default is nothing
/// programs = ["mpirun"]       # programs of launch plans, besides the role's own command and interpreter
/// environment = ["MILL_*"]    # variables of launch plans: names, or prefixes that end in `*`
/// ports = 2                   # of one node
/// nodes = 1                   # of all implied roles together
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// Name of the plugin: lower case, digits and dashes.
    pub id: PluginId,
    /// Semantic version of the plugin.
    pub version: Version,
    /// Name of the layout of its state bytes. Default: empty, for a plugin without a state machine.
    #[serde(default)]
    pub state_format: String,
    /// What its answers may ask for. Default: nothing.
    #[serde(default)]
    pub requests: Requests,
}

/// What a plugin's answers may ask for: the first of the two locks. [`Grants`](crate::Grants) is the second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Requests {
    /// Programs that launch plans run, besides the role's command and interpreter.
    pub programs: Vec<String>,
    /// Variables that launch plans set.
    pub environment: Vec<Pattern>,
    /// Most ports of one node.
    pub ports: u32,
    /// Most nodes of all implied roles together.
    pub nodes: u32,
}

/// Name of a plugin: starts with a small letter, goes on with small letters, digits and dashes, up to 63 in all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PluginId(String);

impl PluginId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PluginId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_name(&text) {
            return Ok(Self(text));
        }
        Err(format!("`{text}` is not a name: {NAME_RULE}"))
    }
}

/// What [`is_name`] wants, for messages.
pub(crate) const NAME_RULE: &str =
    "expected a small letter, then small letters, digits and dashes, 63 in all, no dash at the end";

/// Whether a plugin or role may be called this; the rule of the job file.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(fits)
}

impl Manifest {
    /// Reads the text of a `plugin.toml`.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        parse("plugin.toml", text)
    }

    /// Reads a `plugin.toml`.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        read(path)
    }

    /// What the plugin itself has to say of itself.
    pub fn description(&self) -> Description {
        Description {
            id: self.id.0.clone(),
            version: self.version.to_string(),
            state_format: self.state_format.clone(),
        }
    }
}

/// A `plugin.toml` or `grants.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("cannot read `{file}`")]
    Read {
        /// Its path.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not what is expected.
    #[error("`{file}`, line {line}, column {column}, `{text}`: {message}")]
    Syntax {
        /// Name of the file.
        file: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// The line itself.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// Something is absent; there is no line to point at.
    #[error("`{file}`: {message}")]
    Whole {
        /// Name of the file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
}

/// Reads a file of `T`.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, ManifestError> {
    let file = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => parse(&file, &text),
        Err(source) => Err(ManifestError::Read { file, source }),
    }
}

/// Parses the text of a file of this name.
pub(crate) fn parse<T: for<'de> Deserialize<'de>>(
    file: &str,
    text: &str,
) -> Result<T, ManifestError> {
    toml_edit::de::from_str(text).map_err(|error| locate(file, text, &error))
}

fn locate(file: &str, text: &str, error: &toml_edit::de::Error) -> ManifestError {
    let (file, message) = (
        file.to_owned(),
        error.message().trim_end().replace('\n', ", "),
    );
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_text = text[begin..]
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    if line_text.is_empty() || message.starts_with("missing field") {
        return ManifestError::Whole { file, message };
    }
    ManifestError::Syntax {
        file,
        line: before.matches('\n').count() + 1,
        column: before[begin..].chars().count() + 1,
        text: line_text,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> String {
        Manifest::parse(text).map_or_else(
            |error| error.to_string(),
            |manifest| format!("{manifest:?}"),
        )
    }

    #[test]
    fn a_whole_manifest_parses() {
        let manifest = Manifest::parse(
            "id = 'mill'\nversion = '1.2.3'\nstate-format = 'mill-1'\n[requests]\nenvironment = ['MILL_*', 'PORT']\nports = 2\n",
        )
        .unwrap();
        assert_eq!(manifest.description().state_format, "mill-1");
        assert_eq!(
            manifest
                .requests
                .environment
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["MILL_*", "PORT"]
        );
        assert_eq!((manifest.requests.ports, manifest.requests.nodes), (2, 0));
    }

    #[test]
    fn mistakes_are_shown_with_file_line_and_key() {
        insta::assert_snapshot!(failure("id = 'mill'\nversion = 'new'"), @"`plugin.toml`, line 2, column 11, `version = 'new'`: unexpected character 'n' while parsing major version number");
        insta::assert_snapshot!(failure("id = 'Mill'\nversion = '1.0.0'"), @"`plugin.toml`, line 1, column 6, `id = 'Mill'`: `Mill` is not a name: expected a small letter, then small letters, digits and dashes, 63 in all, no dash at the end");
        insta::assert_snapshot!(failure("id = 'mill'\n"), @"`plugin.toml`: missing field `version`");
        insta::assert_snapshot!(failure("id = 'mill'\nversion = '1.0.0'\nprograms = []"), @"`plugin.toml`, line 3, column 1, `programs = []`: unknown field `programs`, expected one of `id`, `version`, `state-format`, `requests`");
        insta::assert_snapshot!(failure("id = 'mill'\nversion = '1.0.0'\n[requests]\nports = 'two'"), @r#"`plugin.toml`, line 4, column 9, `ports = 'two'`: invalid type: string "two", expected u32"#);
        insta::assert_snapshot!(failure("id = 'mill'\nversion = '1.0.0'\n[requests]\nenvironment = ['A*B']"), @"`plugin.toml`, line 4, column 15, `environment = ['A*B']`: `A*B` is not a pattern of variables: expected a name such as `PORT`, or a beginning with `*` such as `MILL_*`");
        insta::assert_snapshot!(failure("id = mill"), @"`plugin.toml`, line 1, column 6, `id = mill`: string values must be quoted, expected literal string");
    }
}
