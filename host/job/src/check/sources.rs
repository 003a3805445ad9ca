//! One source.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::dataflow::{BATCH_ROWS_MAX, parallelism};
use super::formats::{CSV_KEYS, format, warn_without_effect, word_of};
use super::{SHORTEST, generate};
use crate::diagnostic::{Diagnostic, code};
use crate::model::{
    Compression, FileFormat, FormatKind, Generate, Origin, Replay, Source, SourceFiles, SourceTime,
    Values,
};
use crate::read::{Field, Findings, Section, listed};
use crate::schema::{self, nearest};

/// Rows that are handed on together unless the source says otherwise.
pub(crate) const BATCH_ROWS: u32 = 8192;
/// The longest row of text unless the source says otherwise.
pub(crate) const RECORD_BYTES: u64 = 16 << 20;

const RECORD_BYTES_RANGE: RangeInclusive<u64> = 1 << 10..=1 << 30;

const COMPRESSIONS: [(&str, Compression); 3] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("zstd", Compression::Zstd),
];

/// Keys that say how files are read, beside those of CSV.
const FILE_KEYS: [&str; 5] = [
    "format",
    "compression",
    "schema",
    "malformed",
    "record_bytes",
];

/// `None` if it is no table, or has no origin.
pub(super) fn source(field: &Field, findings: &mut Findings) -> Option<Source> {
    let section = field.section(findings)?;
    section.check_keys(&schema::SOURCE, findings);
    let origin = origin(&section, findings);
    let event_time = event_time(&section, origin.as_ref(), findings);
    let batch_rows = section.integer("batch_rows", 1..=BATCH_ROWS_MAX, findings);
    let source = Source {
        name: field.name.to_owned(),
        parallelism: parallelism(&section, findings).unwrap_or(1),
        batch_rows: batch_rows.unwrap_or(BATCH_ROWS),
        event_time,
        replay: replay(&section, findings),
        origin: origin?,
    };
    Some(source)
}

fn origin(section: &Section, findings: &mut Findings) -> Option<Origin> {
    match (section.field("path"), section.field("generate")) {
        (Some(path), None) => files(&path, section, findings).map(Origin::Files),
        (None, Some(generate)) => {
            refuse_file_keys(section, findings);
            generate::generate(&generate, findings).map(Origin::Generator)
        }
        (Some(_), Some(generate)) => {
            let message = "`path` and `generate` exclude each other";
            let hint = "keep `path` for files, or `generate` for rows that are made up";
            generate.error(code::CONFLICT, message, hint, findings);
            None
        }
        (None, None) => {
            let message = "the source has neither a `path` nor a `generate`";
            let problem = Diagnostic::error(code::MISSING_KEY, "", message)
                .with_hint("add `path = \"data/rows.csv\"`, a file, a pattern, a folder or a URL");
            section.report("", problem, findings);
            None
        }
    }
}

fn refuse_file_keys(section: &Section, findings: &mut Findings) {
    for key in section.present(&[FILE_KEYS.as_slice(), &CSV_KEYS].concat()) {
        let message = format!("`{key}` is about files, and `generate` reads none");
        let problem = Diagnostic::error(code::CONFLICT, "", message)
            .with_hint(format!("remove `{key}`, or read files with `path`"));
        section.report_value(key, problem, findings);
    }
}

fn files(path: &Field, section: &Section, findings: &mut Findings) -> Option<Box<SourceFiles>> {
    let path = path.filled_text(findings);
    let format = format(section, findings);
    let compression = compression(section, &format, findings);
    let record_bytes = section.size_within("record_bytes", RECORD_BYTES_RANGE, findings);
    if let Some(kind) = binary(&format) {
        let reason = format!("files of the format `{}` are no text", word_of(kind));
        warn_without_effect(section, &["malformed", "record_bytes"], &reason, findings);
    }
    let schema = section.field("schema");
    Some(Box::new(SourceFiles {
        compression,
        schema: schema.and_then(|field| columns(&field, findings)),
        skip_malformed: skip_malformed(section, findings),
        record_bytes: record_bytes.unwrap_or(RECORD_BYTES),
        format,
        path: path?,
    }))
}

fn compression(
    section: &Section,
    format: &FileFormat,
    findings: &mut Findings,
) -> Option<Compression> {
    let field = section.field("compression")?;
    let compression = field.word("a compression", &COMPRESSIONS, findings)?;
    if let Some(kind) = binary(format)
        && compression != Compression::None
    {
        let word = word_of(kind);
        let message = format!("files of the format `{word}` are not compressed as a whole");
        let hint = "remove `compression`; such files are compressed inside";
        field.error(code::CONFLICT, message, hint, findings);
    }
    Some(compression)
}

/// The stated format, where it is none of text.
fn binary(format: &FileFormat) -> Option<FormatKind> {
    let is_text = |kind| matches!(kind, FormatKind::Csv | FormatKind::Jsonl);
    format.kind.filter(|kind| !is_text(*kind))
}

/// Columns and their types, as texts.
pub(super) fn columns(field: &Field, findings: &mut Findings) -> Option<Vec<(String, String)>> {
    let section = field.section(findings)?;
    let mut columns = Vec::new();
    for column in section.fields() {
        let kind = column.filled_text(findings);
        columns.extend(kind.map(|kind| (column.name.to_owned(), kind)));
    }
    if section.fields().next().is_none() {
        let message = format!("`{}` names no column", field.name);
        let hint = format!(
            "such as `{} = {{ id = \"int64\", name = \"string\" }}`; or remove it",
            field.name
        );
        field.error(code::BAD_VALUE, message, hint, findings);
    }
    Some(columns)
}

/// `malformed`
fn skip_malformed(section: &Section, findings: &mut Findings) -> Option<u64> {
    let field = section.field("malformed")?;
    let Some(table) = field.table() else {
        let text = field.text(findings)?;
        if text != "fail" {
            let message = format!("{text:?} is no way to deal with malformed rows");
            let hint = "write `malformed = \"fail\"`, or `malformed = { skip = 100 }`";
            field.error(code::BAD_VALUE, message, hint, findings);
        }
        return None;
    };
    table.check_keys(&schema::MALFORMED, findings);
    if !table.has("skip") {
        let problem = Diagnostic::error(code::MISSING_KEY, "", "`malformed` has no `skip`")
            .with_hint("write `malformed = { skip = 100 }`, or `malformed = \"fail\"`");
        table.report("", problem, findings);
    }
    table.count("skip", findings)
}

fn event_time(
    section: &Section,
    origin: Option<&Origin>,
    findings: &mut Findings,
) -> Option<SourceTime> {
    let watermark = section.duration("watermark", Duration::ZERO, findings);
    let idle_after = section.duration("idle_after", SHORTEST, findings);
    let Some(field) = section.field("event_time") else {
        refuse_without_event_time(section, findings);
        return None;
    };
    let column = field.filled_text(findings)?;
    match origin {
        Some(Origin::Generator(made)) => check_made_column(&column, made, &field, findings),
        Some(Origin::Files(files)) => {
            let schema = files.schema.iter().flatten();
            let names: Vec<_> = schema.map(|(name, _)| name.as_str()).collect();
            if !names.is_empty() && !names.contains(&column.as_str()) {
                let message = format!("`event_time` is {column:?}, which is no column of `schema`");
                field.error(code::BAD_VALUE, message, offer(&column, &names), findings);
            }
        }
        None => {}
    }
    Some(SourceTime {
        column,
        watermark: watermark.unwrap_or_default(),
        idle_after,
    })
}

fn refuse_without_event_time(section: &Section, findings: &mut Findings) {
    let replay = if section.has("generate") {
        ""
    } else {
        "replay"
    };
    for key in section.present(&["watermark", "idle_after", replay]) {
        let message = format!("`{key}` wants an `event_time`, and the source states none");
        let problem = Diagnostic::error(code::MISSING_KEY, "", message)
            .with_hint("add `event_time = \"COLUMN\"`, a column of timestamps");
        section.report_value(key, problem, findings);
    }
}

fn check_made_column(column: &str, made: &Generate, field: &Field, findings: &mut Findings) {
    let is_time = |values: &Values| matches!(values, Values::EventTime { .. });
    let times = made.columns.iter().filter(|(_, values)| is_time(values));
    let times: Vec<_> = times.map(|(name, _)| name.as_str()).collect();
    if times.contains(&column) {
        return;
    }
    let message =
        format!("`event_time` is {column:?}, which is no column of the kind `event-time`");
    let hint = match times.as_slice() {
        [] => format!("add `{column} = {{ kind = \"event-time\" }}` to `generate.columns`"),
        times => offer(column, times),
    };
    field.error(code::BAD_VALUE, message, hint, findings);
}

/// The nearest name, else all.
fn offer(text: &str, names: &[&str]) -> String {
    match nearest(text, names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("one of {}", listed(names)),
    }
}

fn replay(section: &Section, findings: &mut Findings) -> Option<Replay> {
    let field = section.field("replay")?;
    if section.has("generate") {
        let message = "`replay` is about files, and `generate` reads none";
        let hint = "remove it; `rate` in `generate` says how fast rows are made";
        field.error(code::CONFLICT, message, hint, findings);
    }
    let table = field.section(findings)?;
    table.check_keys(&schema::REPLAY, findings);
    let start = table.field("start");
    Some(Replay {
        speed: speed(&table, findings),
        start: start.and_then(|field| field.time(findings)),
    })
}

/// `None` is `"max"`.
fn speed(replay: &Section, findings: &mut Findings) -> Option<f64> {
    let field = replay.field("speed")?;
    if !field.is_text() {
        return field.positive(findings);
    }
    let text = field.text(findings)?;
    if text != "max" {
        let message = format!("{text:?} is not a speed");
        let hint =
            "write `speed = \"max\"`, or a number such as `speed = 60`, a minute in a second";
        field.error(code::BAD_VALUE, message, hint, findings);
    }
    None
}
