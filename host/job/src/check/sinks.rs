//! One sink.

use super::dataflow::{Names, parallelism};
use super::formats::{CSV_KEYS, format, warn_without_effect, word_of};
use crate::diagnostic::{Diagnostic, code};
use crate::model::{FileFormat, FormatKind, Quote, Sink, SinkFiles, Target};
use crate::read::{Field, Findings, Section};
use crate::schema;

/// Where rows may go beside files.
const PLACES: [(&str, Place); 2] = [("stdout", Place::Stdout), ("blackhole", Place::Blackhole)];

#[derive(Clone, Copy)]
enum Place {
    Stdout,
    Blackhole,
}

/// `None` if it is no table, or takes no rows, or has nowhere to put them.
pub(super) fn sink(field: &Field, names: &Names, findings: &mut Findings) -> Option<Sink> {
    let section = field.section(findings)?;
    section.check_keys(&schema::SINK, findings);
    if !section.has("input") {
        names.report_missing_input("sink", field, findings);
    }
    let input = names.input(&section, findings);
    let target = target(&section, findings);
    let parallelism = parallelism(&section, findings);
    Some(Sink {
        name: field.name.to_owned(),
        input: input?,
        target: target?,
        parallelism,
    })
}

fn target(section: &Section, findings: &mut Findings) -> Option<Target> {
    match (section.field("path"), section.field("to")) {
        (Some(path), None) => files(&path, section, findings),
        (None, Some(to)) => elsewhere(&to, section, findings),
        (Some(_), Some(to)) => {
            let message = "`path` and `to` exclude each other";
            let hint = "keep one of them; another sink can take the same rows";
            to.error(code::CONFLICT, message, hint, findings);
            None
        }
        (None, None) => {
            let problem = Diagnostic::error(
                code::MISSING_KEY,
                "",
                "the sink has neither a `path` nor a `to`",
            )
            .with_hint("add `path = \"out.parquet\"`, or `to = \"stdout\"`");
            section.report("", problem, findings);
            None
        }
    }
}

fn files(path: &Field, section: &Section, findings: &mut Findings) -> Option<Target> {
    let path = path.filled_text(findings);
    let format = written_format(section, findings);
    let overwrite = section.truth("overwrite", findings).unwrap_or(false);
    Some(Target::Files(Box::new(SinkFiles {
        path: path?,
        format,
        overwrite,
    })))
}

fn elsewhere(to: &Field, section: &Section, findings: &mut Findings) -> Option<Target> {
    if let Some(overwrite) = section.field("overwrite") {
        let message = "`overwrite` is about files, and `to` writes none";
        let hint = "remove it, or write files with `path`";
        overwrite.error(code::CONFLICT, message, hint, findings);
    }
    match to.word("a place for rows", &PLACES, findings)? {
        Place::Stdout => Some(Target::Stdout(stdout_format(section, findings))),
        Place::Blackhole => {
            format(section, &mut Findings::default());
            let keys = [["format"].as_slice(), &CSV_KEYS].concat();
            let reason = "rows that are forgotten are not written";
            warn_without_effect(section, &keys, reason, findings);
            Some(Target::Blackhole)
        }
    }
}

fn stdout_format(section: &Section, findings: &mut Findings) -> FileFormat {
    let format = written_format(section, findings);
    match (format.kind, section.field("format")) {
        (None, None) => {
            let reason = "standard output gets JSON lines unless `format` is `csv`";
            warn_without_effect(section, &CSV_KEYS, reason, findings);
        }
        (Some(FormatKind::Csv | FormatKind::Jsonl) | None, _) => {}
        (Some(other), field) => {
            let message = format!(
                "standard output takes text, and `{}` is none",
                word_of(other)
            );
            let hint = "one of `csv`, `jsonl`";
            if let Some(field) = field {
                field.error(code::CONFLICT, message, hint, findings);
            }
        }
    }
    format
}

/// Values of CSV with delimiters in them cannot be written without a quote.
fn written_format(section: &Section, findings: &mut Findings) -> FileFormat {
    let format = format(section, findings);
    let is_csv = format.kind.is_none_or(|kind| kind == FormatKind::Csv);
    if is_csv && format.quote == Quote::Absent {
        let message = "`quote` is empty, so values with delimiters could not be written";
        let problem = Diagnostic::error(code::BAD_VALUE, "", message)
            .with_hint("give one character of ASCII, or remove `quote`");
        section.report_value("quote", problem, findings);
    }
    format
}
