//! Typed access to the tables and values of a parsed job file: each step either gives a value or reports why not.

mod json;
mod scalars;

pub(crate) use scalars::listed;

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml_edit::{Item, Key, TableLike, Value};

use crate::diagnostic::{Diagnostic, Location, code};
use crate::document::span_of_entry;
use crate::schema::{Table, suggestion};
use crate::values;

/// Longest text of one value, in bytes: what the system takes for one argument or environment variable.
pub const VALUE_BYTES_MAX: usize = 128 * 1024 - 1;

/// Problems found so far; their locations hold nothing but spans.
#[derive(Default)]
pub(crate) struct Findings(pub(crate) Vec<Diagnostic>);

impl Findings {
    pub(crate) fn report(&mut self, mut problem: Diagnostic, span: &Range<usize>) {
        let span = span.clone();
        problem.location = Some(Location {
            file: String::new(),
            span,
            line: 0,
            column: 0,
        });
        self.0.push(problem);
    }
}

/// One table of the job file.
pub(crate) struct Section<'a> {
    /// Full name; empty for the top of the file.
    path: String,
    span: Range<usize>,
    /// `None`: it is absent, so every key is.
    table: Option<&'a dyn TableLike>,
}

impl<'a> Section<'a> {
    pub(crate) fn root(table: &'a dyn TableLike) -> Self {
        Self {
            path: String::new(),
            span: 0..0,
            table: Some(table),
        }
    }

    /// The value of a key.
    pub(crate) fn field(&self, key: &str) -> Option<Field<'a>> {
        let (key, item) = self.table?.get_key_value(key)?;
        Some(self.field_of(key, item))
    }

    /// All keys with their values, in the order of the file.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        let entries = self.table.into_iter().flat_map(|table| {
            table
                .iter()
                .filter_map(|(name, _)| table.get_key_value(name))
        });
        entries.map(|(key, item)| self.field_of(key, item))
    }

    /// The table of a key, empty if it is absent.
    pub(crate) fn section(&self, key: &str, findings: &mut Findings) -> Section<'a> {
        let absent = || Section {
            path: self.path_of(key),
            span: self.span.clone(),
            table: None,
        };
        self.field(key)
            .and_then(|field| field.section(findings))
            .unwrap_or_else(absent)
    }

    /// See [`Field::entries`]; empty if the key is absent.
    pub(crate) fn entries(&self, key: &str, findings: &mut Findings) -> BTreeMap<String, String> {
        self.field(key)
            .map(|field| field.entries(findings))
            .unwrap_or_default()
    }

    /// See [`Field::integer`].
    pub(crate) fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
        findings: &mut Findings,
    ) -> Option<u32> {
        self.field(key)?.integer(range, findings)
    }

    /// See [`Field::texts`].
    pub(crate) fn texts(&self, key: &str, findings: &mut Findings) -> Option<Vec<String>> {
        self.field(key)?.texts(findings)
    }

    /// See [`Field::truth`].
    pub(crate) fn truth(&self, key: &str, findings: &mut Findings) -> Option<bool> {
        self.field(key)?.truth(findings)
    }

    /// See [`Field::number`].
    pub(crate) fn number(&self, key: &str, findings: &mut Findings) -> Option<f64> {
        self.field(key)?.number(findings)
    }

    /// See [`Field::count`].
    pub(crate) fn count(&self, key: &str, findings: &mut Findings) -> Option<u64> {
        self.field(key)?.count(findings)
    }

    /// See [`Field::size_from`].
    pub(crate) fn size_from(&self, key: &str, least: u64, findings: &mut Findings) -> Option<u64> {
        self.field(key)?.size_from(least, findings)
    }

    /// See [`Field::size_within`].
    pub(crate) fn size_within(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        findings: &mut Findings,
    ) -> Option<u64> {
        self.field(key)?.size_within(range, findings)
    }

    /// Whether the key is there, whatever its value is.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Those of these keys that are there.
    pub(crate) fn present<'k>(&self, keys: &[&'k str]) -> Vec<&'k str> {
        let mut present = keys.to_vec();
        present.retain(|key| self.has(key));
        present
    }

    /// The keys of a table that is there and is one; nothing is reported.
    pub(crate) fn fields_of(&self, key: &str) -> Vec<Field<'a>> {
        let table = self.field(key).and_then(|field| field.table());
        table.iter().flat_map(Section::fields).collect()
    }

    /// See [`Field::duration`].
    pub(crate) fn duration(
        &self,
        key: &str,
        least: Duration,
        findings: &mut Findings,
    ) -> Option<Duration> {
        self.field(key)?.duration(least, findings)
    }

    /// See [`Field::size`].
    pub(crate) fn size(&self, key: &str, findings: &mut Findings) -> Option<u64> {
        self.field(key)?.size(findings)
    }

    /// Reports every key that `schema` does not list.
    pub(crate) fn check_keys(&self, schema: &Table, findings: &mut Findings) {
        for field in self
            .fields()
            .filter(|field| !schema.keys.contains(&field.name))
        {
            let message = format!("`{}` is not a key of {}", field.name, self.title());
            let known = || format!("known keys: {}", schema.keys.join(", "));
            let problem = Diagnostic::error(code::UNKNOWN_KEY, &field.path, message)
                .with_hint(suggestion(schema, field.name).unwrap_or_else(known));
            findings.report(problem, &field.key_span);
        }
    }

    /// Reports a problem of the table as a whole, or of a key that is absent.
    pub(crate) fn report(&self, key: &str, mut problem: Diagnostic, findings: &mut Findings) {
        problem.key = if key.is_empty() {
            self.path.clone()
        } else {
            self.path_of(key)
        };
        findings.report(problem, &self.span);
    }

    /// Reports a problem of a key where its value stands.
    pub(crate) fn report_value(&self, key: &str, mut problem: Diagnostic, findings: &mut Findings) {
        match self.field(key) {
            Some(field) => {
                problem.key.clone_from(&field.path);
                field.report(problem, findings);
            }
            None => self.report(key, problem, findings),
        }
    }

    fn title(&self) -> String {
        if self.path.is_empty() {
            "a job file".to_owned()
        } else {
            format!("`[{}]`", self.path)
        }
    }

    fn path_of(&self, key: &str) -> String {
        let key = Key::new(key).display_repr().into_owned();
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn field_of(&self, key: &'a Key, item: &'a Item) -> Field<'a> {
        let key_span = key.span().unwrap_or_else(|| self.span.clone());
        let span = span_of_entry(key, item).unwrap_or_else(|| key_span.clone());
        Field {
            name: key.get(),
            path: self.path_of(key.get()),
            key_span,
            span,
            item,
        }
    }
}

/// One key with its value.
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    pub(crate) path: String,
    key_span: Range<usize>,
    span: Range<usize>,
    item: &'a Item,
}

impl<'a> Field<'a> {
    pub(crate) fn report(&self, problem: Diagnostic, findings: &mut Findings) {
        findings.report(problem, &self.span);
    }

    /// Reports a problem of the key's own name.
    pub(crate) fn report_at_key(&self, mut problem: Diagnostic, findings: &mut Findings) {
        problem.key.clone_from(&self.path);
        findings.report(problem, &self.key_span);
    }

    /// Reports an error about the value.
    pub(crate) fn error(
        &self,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
        findings: &mut Findings,
    ) {
        self.report(
            Diagnostic::error(code, &self.path, message).with_hint(hint),
            findings,
        );
    }

    pub(crate) fn section(&self, findings: &mut Findings) -> Option<Section<'a>> {
        let table = self.table();
        if table.is_none() {
            let hint = match self.item {
                Item::ArrayOfTables(_) => {
                    format!("write `[{}.NAME]` for each, in single brackets", self.path)
                }
                _ => format!("write `[{}]`", self.path),
            };
            self.wrong_type("a table", &hint, findings);
        }
        table
    }

    /// The table, if it is one; nothing is reported.
    pub(crate) fn table(&self) -> Option<Section<'a>> {
        Some(Section {
            path: self.path.clone(),
            span: self.key_span.clone(),
            table: Some(self.item.as_table_like()?),
        })
    }

    pub(crate) fn is_text(&self) -> bool {
        self.item.is_str()
    }

    pub(crate) fn is_list(&self) -> bool {
        self.item.is_array()
    }

    /// A string.
    pub(crate) fn text(&self, findings: &mut Findings) -> Option<String> {
        let Some(text) = self.item.as_str() else {
            self.wrong_type("a string", "give one string in quotes", findings);
            return None;
        };
        self.sound(text.to_owned(), &self.span, findings)
    }

    /// A duration from `least` to [`values::DURATION_MAX`].
    pub(crate) fn duration(&self, least: Duration, findings: &mut Findings) -> Option<Duration> {
        let value = self.quantity(
            values::duration,
            "a duration",
            "\"10 min\" or \"500 ms\"",
            findings,
        )?;
        let within = (least..=values::DURATION_MAX).contains(&value);
        if !within {
            let message = format!("`{}` is {}", self.name, values::duration_text(value));
            let least = values::duration_text(least);
            self.error(
                code::OUT_OF_RANGE,
                message,
                format!("give {least} to 365 days"),
                findings,
            );
        }
        within.then_some(value)
    }

    /// A number of bytes.
    pub(crate) fn size(&self, findings: &mut Findings) -> Option<u64> {
        self.quantity(values::size, "a size", "\"512 MiB\" or \"2 GB\"", findings)
    }

    fn quantity<T>(
        &self,
        read: fn(&str) -> Option<T>,
        what: &str,
        examples: &str,
        findings: &mut Findings,
    ) -> Option<T> {
        let example = format!("a whole number and a unit, such as {examples}");
        let Some(text) = self.item.as_str() else {
            self.wrong_type(&format!("{what} in quotes"), &example, findings);
            return None;
        };
        let value = read(text);
        if value.is_none() {
            let message = format!("`{}` is {text:?}, which is not {what}", self.name);
            self.error(code::BAD_VALUE, message, example, findings);
        }
        value
    }

    /// A list of texts; numbers and booleans are taken in their plain form.
    pub(crate) fn texts(&self, findings: &mut Findings) -> Option<Vec<String>> {
        let Some(array) = self.item.as_array() else {
            let hint = match self.item.as_str() {
                Some(text) => format!("write `{} = {:?}`", self.name, words(text)),
                None => format!("such as `{} = [\"one\", \"two\"]`", self.name),
            };
            self.wrong_type("a list of strings", &hint, findings);
            return None;
        };
        let texts: Vec<_> = array
            .iter()
            .map(|value| self.scalar(value, findings))
            .collect();
        texts.into_iter().collect()
    }

    /// A table of names and texts.
    pub(crate) fn entries(&self, findings: &mut Findings) -> BTreeMap<String, String> {
        let section = self.section(findings);
        let fields = section.iter().flat_map(Section::fields);
        let entry = |field: Field| Some((field.name.to_owned(), field.scalar_text(findings)?));
        fields.filter_map(entry).collect()
    }

    /// A string, or the plain form of a number or boolean.
    pub(crate) fn scalar_text(&self, findings: &mut Findings) -> Option<String> {
        let Some(value) = self.item.as_value() else {
            self.wrong_type(
                "a string, number or boolean",
                "tables do not nest here",
                findings,
            );
            return None;
        };
        self.scalar(value, findings)
    }

    fn scalar(&self, value: &Value, findings: &mut Findings) -> Option<String> {
        let span = value.span().unwrap_or_else(|| self.span.clone());
        let text = match value {
            Value::String(text) => text.value().clone(),
            Value::Integer(number) => number.value().to_string(),
            Value::Float(number) => number.value().to_string(),
            Value::Boolean(truth) => truth.value().to_string(),
            other => {
                let message = format!(
                    "`{}` wants strings, numbers or booleans, found {}",
                    self.name,
                    with_article(other.type_name())
                );
                findings.report(
                    Diagnostic::error(code::WRONG_TYPE, &self.path, message),
                    &span,
                );
                return None;
            }
        };
        self.sound(text, &span, findings)
    }

    /// A text that fits arguments and environment variables.
    fn sound(&self, text: String, span: &Range<usize>, findings: &mut Findings) -> Option<String> {
        let complaint = if text.contains('\0') {
            format!("`{}` holds a NUL character", self.name)
        } else if text.len() > VALUE_BYTES_MAX {
            format!(
                "a text of `{}` is longer than {VALUE_BYTES_MAX} bytes",
                self.name
            )
        } else {
            return Some(text);
        };
        findings.report(
            Diagnostic::error(code::BAD_VALUE, &self.path, complaint),
            span,
        );
        None
    }

    /// A path inside the folder of the job file.
    pub(crate) fn inner_path(&self, findings: &mut Findings) -> Option<PathBuf> {
        let text = self.text(findings)?;
        if let Some(complaint) = values::path_complaint(&text) {
            self.bad_path(&text, complaint, findings);
            return None;
        }
        Some(values::without_dots(Path::new(&text)))
    }

    pub(crate) fn bad_path(&self, text: &str, complaint: &str, findings: &mut Findings) {
        let message = format!("`{}`: the path {text:?} {complaint}", self.name);
        let hint = "give a path inside the folder of the job file, relative to it";
        self.error(code::BAD_PATH, message, hint, findings);
    }

    pub(crate) fn wrong_type(&self, wanted: &str, hint: &str, findings: &mut Findings) {
        let found = with_article(self.item.type_name());
        let message = format!("`{}` wants {wanted}, found {found}", self.name);
        self.error(code::WRONG_TYPE, message, hint, findings);
    }
}

fn with_article(type_name: &str) -> String {
    let vowel = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if vowel { "an" } else { "a" })
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}
