//! A table of anything, as JSON.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml_edit::{Item, Value};

use super::{Field, Findings, Section, with_article};
use crate::diagnostic::{Diagnostic, code};

impl Field<'_> {
    /// The text of a JSON object, its keys sorted.
    pub(crate) fn json_object(&self, findings: &mut Findings) -> Option<String> {
        let section = self.section(findings)?;
        Some(object(&section, findings)?.to_string())
    }

    fn json(&self, findings: &mut Findings) -> Option<Json> {
        if let Some(table) = self.table() {
            return object(&table, findings);
        }
        match self.item {
            Item::Value(value) => self.json_value(value, findings),
            Item::ArrayOfTables(tables) => {
                let tables = tables.iter().map(|table| {
                    let section = Section {
                        path: self.path.clone(),
                        span: table.span().unwrap_or_else(|| self.span.clone()),
                        table: Some(table),
                    };
                    object(&section, findings)
                });
                list(tables)
            }
            Item::Table(_) | Item::None => None,
        }
    }

    fn json_value(&self, value: &Value, findings: &mut Findings) -> Option<Json> {
        match value {
            Value::String(text) => Some(text.value().clone().into()),
            Value::Integer(number) => Some((*number.value()).into()),
            Value::Boolean(truth) => Some((*truth.value()).into()),
            Value::Array(array) => list(array.iter().map(|value| self.json_value(value, findings))),
            Value::InlineTable(table) => {
                let section = Section {
                    path: self.path.clone(),
                    span: table.span().unwrap_or_else(|| self.span.clone()),
                    table: Some(table),
                };
                object(&section, findings)
            }
            Value::Float(number) if number.value().is_finite() => Some((*number.value()).into()),
            Value::Float(_) | Value::Datetime(_) => {
                self.report_foreign(value, findings);
                None
            }
        }
    }

    /// Reports a value that JSON does not have.
    fn report_foreign(&self, value: &Value, findings: &mut Findings) {
        let (code, found) = match value {
            Value::Float(number) => (code::OUT_OF_RANGE, number.value().to_string()),
            other => (code::WRONG_TYPE, with_article(other.type_name())),
        };
        let message = format!("`{}` holds {found}, which JSON does not have", self.name);
        let problem = Diagnostic::error(code, &self.path, message)
            .with_hint("write it as a string, in quotes");
        let span = value.span().unwrap_or_else(|| self.span.clone());
        findings.report(problem, &span);
    }
}

fn object(section: &Section, findings: &mut Findings) -> Option<Json> {
    let mut entries = BTreeMap::new();
    let mut is_whole = true;
    for field in section.fields() {
        match field.json(findings) {
            Some(value) => {
                entries.insert(field.name.to_owned(), value);
            }
            None => is_whole = false,
        }
    }
    is_whole.then(|| Json::Object(entries.into_iter().collect()))
}

/// All of them are looked at, so that all problems are found.
fn list(values: impl Iterator<Item = Option<Json>>) -> Option<Json> {
    let values: Vec<_> = values.collect();
    let values: Option<Vec<_>> = values.into_iter().collect();
    values.map(Json::Array)
}
