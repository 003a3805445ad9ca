//! Reported values: from Python objects, numbers of any array library included, to messages.

use std::collections::BTreeMap;

use forebay_protocol::node::v1::{Value, value::Kind};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::outbox::REPORT_NAMES_MAX;

/// Longest name and longest text in a report, in bytes.
const REPORT_NAME_BYTES_MAX: usize = 256;
const REPORT_TEXT_BYTES_MAX: usize = 4096;

pub(crate) fn values_of(
    values: BTreeMap<String, Bound<'_, PyAny>>,
) -> PyResult<BTreeMap<String, Value>> {
    if values.len() > REPORT_NAMES_MAX {
        let text = format!(
            "a report has {} values; at most {REPORT_NAMES_MAX} are taken",
            values.len()
        );
        return Err(PyValueError::new_err(text));
    }
    values
        .into_iter()
        .map(|(name, value)| value_of(&name, &value).map(|value| (name, value)))
        .collect()
}

fn value_of(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if name.len() > REPORT_NAME_BYTES_MAX {
        let text = format!(
            "a reported name has {} bytes; at most {REPORT_NAME_BYTES_MAX} are taken",
            name.len()
        );
        return Err(PyValueError::new_err(text));
    }
    let kind = kind_of(value).ok_or_else(|| not_reportable(name, value))?;
    if let Kind::Text(text) = &kind
        && text.len() > REPORT_TEXT_BYTES_MAX
    {
        let text = format!(
            "`{name}` has {} bytes of text; at most {REPORT_TEXT_BYTES_MAX} are taken",
            text.len()
        );
        return Err(PyValueError::new_err(text));
    }
    Ok(Value { kind: Some(kind) })
}

/// A whole number beyond 64 bits is taken as a float; an array of one element as its element.
fn kind_of(value: &Bound<'_, PyAny>) -> Option<Kind> {
    let flag = value.extract().map(Kind::Flag);
    let text = || value.extract().map(Kind::Text);
    let integer = || value.extract().map(Kind::Integer);
    let number = || value.extract().map(Kind::Number);
    flag.or_else(|_: PyErr| text())
        .or_else(|_| integer())
        .or_else(|_| number())
        .ok()
}

fn not_reportable(name: &str, value: &Bound<'_, PyAny>) -> PyErr {
    let kind = value
        .get_type()
        .name()
        .map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "`{name}` is of type `{kind}`; a report takes numbers, text and bool"
    ))
}
