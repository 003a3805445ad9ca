//! What files are and how their text is written: the keys that sources and sinks share.

use crate::diagnostic::{Diagnostic, code};
use crate::model::{FileFormat, FormatKind, Quote};
use crate::read::{Findings, Section};

const FORMATS: [(&str, FormatKind); 5] = [
    ("csv", FormatKind::Csv),
    ("jsonl", FormatKind::Jsonl),
    ("parquet", FormatKind::Parquet),
    ("arrow", FormatKind::Arrow),
    ("arrow-stream", FormatKind::ArrowStream),
];

/// Keys that say how CSV is written.
pub(super) const CSV_KEYS: [&str; 5] = ["delimiter", "quote", "escape", "header", "null_values"];

/// The keys `format`, `delimiter`, `quote`, `escape`, `header` and `null_values`.
pub(super) fn format(section: &Section, findings: &mut Findings) -> FileFormat {
    let kind = section.field("format");
    let format = FileFormat {
        kind: kind.and_then(|field| field.word("a format", &FORMATS, findings)),
        delimiter: stated_character(section, "delimiter", findings),
        quote: quote(section, findings),
        escape: stated_character(section, "escape", findings),
        header: section.truth("header", findings),
        null_values: section.texts("null_values", findings).unwrap_or_default(),
    };
    check_characters(section, &format, findings);
    if let Some(kind) = format.kind.filter(|kind| *kind != FormatKind::Csv) {
        let reason = format!("files of the format `{}` have no such thing", word_of(kind));
        warn_without_effect(section, &CSV_KEYS, &reason, findings);
    }
    format
}

/// As the job file writes it.
pub(crate) fn word_of(kind: FormatKind) -> &'static str {
    let words = FORMATS.iter().filter(|(_, format)| *format == kind);
    words.map(|(word, _)| *word).next().unwrap_or_default()
}

/// Warns of keys that change nothing here.
pub(super) fn warn_without_effect(
    section: &Section,
    keys: &[&str],
    reason: &str,
    findings: &mut Findings,
) {
    for key in section.present(keys) {
        let message = format!("`{key}` changes nothing here: {reason}");
        let problem = Diagnostic::warning(code::NO_EFFECT, "", message);
        section.report_value(key, problem.with_hint(format!("remove `{key}`")), findings);
    }
}

fn quote(section: &Section, findings: &mut Findings) -> Quote {
    let field = section.field("quote");
    let Some(text) = field.and_then(|field| field.character(findings)) else {
        return Quote::Double;
    };
    match text.chars().next() {
        Some('"') => Quote::Double,
        Some(other) => Quote::Character(other),
        None => Quote::Absent,
    }
}

fn stated_character(section: &Section, key: &str, findings: &mut Findings) -> Option<char> {
    let field = section.field(key)?;
    let character = field.character(findings)?.chars().next();
    if character.is_none() {
        let message = format!("`{key}` is empty");
        let hint = format!("give one character of ASCII, or remove `{key}`");
        field.error(code::BAD_VALUE, message, hint, findings);
    }
    character
}

/// What stands between values cannot stand around or inside them, too.
fn check_characters(section: &Section, format: &FileFormat, findings: &mut Findings) {
    // Which one is meant otherwise, the name of each file tells.
    let Some(delimiter) = format.delimiter else {
        return;
    };
    let quote = match format.quote {
        Quote::Double => Some('"'),
        Quote::Character(character) => Some(character),
        Quote::Absent => None,
    };
    for (key, character) in [("quote", quote), ("escape", format.escape)] {
        if character == Some(delimiter) {
            let message = format!("{delimiter:?} is both the `delimiter` and the `{key}`");
            let problem = Diagnostic::error(code::CONFLICT, "", message)
                .with_hint("choose another character for one of them");
            let place = if section.has(key) { key } else { "delimiter" };
            section.report_value(place, problem, findings);
        }
    }
}
