//! How files are written, for sources and sinks.

use super::entry::{Entry, list};
use crate::check::word_of;
use crate::model::{FileFormat, Quote};

/// Sets what is not the default.
pub(super) fn set_format(entry: &mut Entry, format: &FileFormat) {
    if let Some(kind) = format.kind {
        entry.set("format", word_of(kind));
    }
    if let Some(delimiter) = format.delimiter {
        entry.set("delimiter", delimiter.to_string());
    }
    match format.quote {
        Quote::Double => {}
        Quote::Character(character) => entry.set("quote", character.to_string()),
        Quote::Absent => entry.set("quote", ""),
    }
    if let Some(escape) = format.escape {
        entry.set("escape", escape.to_string());
    }
    if let Some(header) = format.header {
        entry.set("header", header);
    }
    if !format.null_values.is_empty() {
        entry.set("null_values", list(&format.null_values));
    }
}
