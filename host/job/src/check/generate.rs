//! Rows that are made up.

use super::SHORTEST;
use crate::diagnostic::{Diagnostic, code};
use crate::model::{Generate, Values};
use crate::read::{Field, Findings, Section, listed};
use crate::schema;

/// What each kind of values takes, and what it cannot do without.
const KINDS: [(&str, Kind); 7] = [
    ("sequence", Kind::Sequence),
    ("integers", Kind::Integers),
    ("floats", Kind::Floats),
    ("normal", Kind::Normal),
    ("choice", Kind::Choice),
    ("booleans", Kind::Booleans),
    ("event-time", Kind::EventTime),
];

#[derive(Clone, Copy)]
enum Kind {
    Sequence,
    Integers,
    Floats,
    Normal,
    Choice,
    Booleans,
    EventTime,
}

impl Kind {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Sequence => &[],
            Self::Integers | Self::Floats => &["least", "most"],
            Self::Normal => &["mean", "deviation"],
            Self::Choice => &["of"],
            Self::Booleans => &["share"],
            Self::EventTime => &["start", "step"],
        }
    }
}

pub(super) fn generate(field: &Field, findings: &mut Findings) -> Option<Generate> {
    let section = field.section(findings)?;
    section.check_keys(&schema::GENERATE, findings);
    let rate = section.field("rate");
    Some(Generate {
        rate: rate.and_then(|field| field.positive(findings)),
        rows: section.count("rows", findings),
        seed: section.count("seed", findings).unwrap_or(0),
        columns: columns(&section, findings),
    })
}

fn columns(section: &Section, findings: &mut Findings) -> Vec<(String, Values)> {
    let table = section.section("columns", findings);
    let mut columns = Vec::new();
    for column in table.fields() {
        let values = column.section(findings);
        let values = values.and_then(|section| values_of(&section, findings));
        columns.extend(values.map(|values| (column.name.to_owned(), values)));
    }
    let field = section.field("columns");
    let is_table = field.is_none_or(|field| field.table().is_some());
    if is_table && table.fields().next().is_none() {
        let problem = Diagnostic::error(code::MISSING_KEY, "", "`generate` makes no column")
            .with_hint("such as `columns = { id = { kind = \"sequence\" } }`");
        section.report("columns", problem, findings);
    }
    columns
}

fn values_of(section: &Section, findings: &mut Findings) -> Option<Values> {
    section.check_keys(&schema::GENERATE_COLUMN, findings);
    let Some(field) = section.field("kind") else {
        let names = KINDS.map(|(name, _)| name);
        let problem = Diagnostic::error(code::MISSING_KEY, "", "the column has no `kind`")
            .with_hint(format!("add `kind`, one of {}", listed(&names)));
        section.report("", problem, findings);
        return None;
    };
    let kind = field.word("a kind of values", &KINDS, findings)?;
    refuse_other_keys(section, &field.text(findings)?, kind, findings);
    match kind {
        Kind::Sequence => Some(Values::Sequence),
        Kind::Integers => integers(section, findings),
        Kind::Floats => floats(section, findings),
        Kind::Normal => Some(normal(section, findings)),
        Kind::Choice => choice(section, findings),
        Kind::Booleans => Some(booleans(section, findings)),
        Kind::EventTime => Some(event_time(section, findings)),
    }
}

/// Reports keys that belong to other kinds.
fn refuse_other_keys(section: &Section, word: &str, kind: Kind, findings: &mut Findings) {
    let own = kind.keys();
    let strange = |key: &&&str| **key != "kind" && !own.contains(*key);
    let strange: Vec<_> = schema::GENERATE_COLUMN
        .keys
        .iter()
        .filter(strange)
        .copied()
        .collect();
    for key in section.present(&strange) {
        let message = format!("`{key}` does not belong to the kind `{word}`");
        let hint = match own {
            [] => format!("remove `{key}`; `{word}` takes nothing else"),
            own => format!("remove `{key}`; `{word}` takes {}", listed(own)),
        };
        let problem = Diagnostic::error(code::CONFLICT, "", message);
        section.report_value(key, problem.with_hint(hint), findings);
    }
}

/// The value of a key that must be there.
fn required<'a>(section: &Section<'a>, key: &str, findings: &mut Findings) -> Option<Field<'a>> {
    let field = section.field(key);
    if field.is_none() {
        let problem =
            Diagnostic::error(code::MISSING_KEY, "", format!("the column has no `{key}`"))
                .with_hint(format!("add `{key}`, which this `kind` wants"));
        section.report("", problem, findings);
    }
    field
}

fn integers(section: &Section, findings: &mut Findings) -> Option<Values> {
    let mut end = |key| required(section, key, findings)?.whole(findings);
    let (least, most) = (end("least"), end("most"));
    let (least, most) = (least?, most?);
    if least > most {
        let message = format!("`least` is {least}, above `most`, {most}");
        refuse(section, "least", message, "swap them", findings);
    }
    Some(Values::Integers { least, most })
}

fn floats(section: &Section, findings: &mut Findings) -> Option<Values> {
    let mut end = |key| required(section, key, findings)?.number(findings);
    let (least, most) = (end("least"), end("most"));
    let (least, most) = (least?, most?);
    if least >= most {
        let message = format!("`least` is {least}, not below `most`, {most}");
        let hint = "give a `most` above `least`; it does not come itself";
        refuse(section, "least", message, hint, findings);
    } else if !(most - least).is_finite() {
        let message = format!("`least`, {least:?}, and `most`, {most:?}, are too far apart");
        refuse(section, "least", message, "bring them together", findings);
    }
    Some(Values::Floats { least, most })
}

fn normal(section: &Section, findings: &mut Findings) -> Values {
    let mean = section.number("mean", findings).unwrap_or(0.0);
    let deviation = section.number("deviation", findings).unwrap_or(1.0);
    if deviation < 0.0 {
        let message = format!("`deviation` is {deviation}");
        out_of_range(section, "deviation", message, "give 0 or more", findings);
    }
    Values::Normal { mean, deviation }
}

fn choice(section: &Section, findings: &mut Findings) -> Option<Values> {
    let of = required(section, "of", findings)?.texts(findings)?;
    if of.is_empty() {
        let message = "`of` is empty, so there is nothing to choose from".to_owned();
        let hint = "such as `of = [\"one\", \"two\"]`";
        let problem = Diagnostic::error(code::BAD_VALUE, "", message).with_hint(hint);
        section.report_value("of", problem, findings);
    }
    Some(Values::Choice { of })
}

fn booleans(section: &Section, findings: &mut Findings) -> Values {
    let share = section.number("share", findings).unwrap_or(0.5);
    if !(0.0..=1.0).contains(&share) {
        let message = format!("`share` is {share}");
        out_of_range(
            section,
            "share",
            message,
            "give a number from 0 to 1",
            findings,
        );
    }
    Values::Booleans { share }
}

fn event_time(section: &Section, findings: &mut Findings) -> Values {
    let start = section.field("start");
    Values::EventTime {
        start: start.and_then(|field| field.time(findings)),
        step: section.duration("step", SHORTEST, findings),
    }
}

fn refuse(section: &Section, key: &str, message: String, hint: &str, findings: &mut Findings) {
    let problem = Diagnostic::error(code::CONFLICT, "", message).with_hint(hint);
    section.report_value(key, problem, findings);
}

fn out_of_range(
    section: &Section,
    key: &str,
    message: String,
    hint: &str,
    findings: &mut Findings,
) {
    let problem = Diagnostic::error(code::OUT_OF_RANGE, "", message).with_hint(hint);
    section.report_value(key, problem, findings);
}
