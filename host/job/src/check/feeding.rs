//! How a role is fed, and what it answers.

use std::ops::RangeInclusive;

use super::formats::warn_without_effect;
use super::sources::columns;
use super::transforms::refuse_twice;
use crate::diagnostic::{Diagnostic, code};
use crate::model::{Dealing, Feeding, Tensor};
use crate::read::{Field, Findings, Section};
use crate::schema;

/// Rows of one batch that a node gets.
const BATCH_ROWS: RangeInclusive<u32> = 1..=1 << 20;
/// Most passes over bounded data.
const PASSES_MAX: u32 = 100_000;
/// Bytes of shared memory for one direction.
const RING_BYTES: RangeInclusive<u64> = 16 << 10..=4 << 30;
/// Shared memory comes in pages of so many bytes.
const PAGE_BYTES: u64 = 4096;

/// Keys of a role that mean nothing without an `input`.
const KEYS: [&str; 6] = [
    "dealing",
    "passes",
    "tensors",
    "output",
    "input_ring",
    "output_ring",
];

/// How rows are dealt: one of these.
const MANNERS: [&str; 3] = ["rounds", "key", "credit"];

/// Keys that belong to one manner alone.
const OF_ONE_MANNER: [(&str, &str); 2] = [("pad", "rounds"), ("rows", "key")];

pub(super) fn feeding(section: &Section, findings: &mut Findings) -> Feeding {
    let default = Feeding::default();
    let dealing = section.field("dealing");
    let dealing = dealing.and_then(|field| dealing_of(&field, findings));
    let passes = section.integer("passes", 1..=PASSES_MAX, findings);
    let tensors = section.field("tensors");
    let tensors = tensors.and_then(|field| tensors_of(&field, findings));
    let output = section.field("output");
    let output = output.and_then(|field| columns(&field, findings));
    let input_ring = ring(section, "input_ring", findings);
    let output_ring = ring(section, "output_ring", findings);
    let feeding = Feeding {
        dealing: dealing.unwrap_or(default.dealing),
        passes: passes.unwrap_or(default.passes),
        tensors: tensors.unwrap_or_default(),
        output: output.unwrap_or_default(),
        input_ring_bytes: input_ring.unwrap_or(default.input_ring_bytes),
        output_ring_bytes: output_ring.unwrap_or(default.output_ring_bytes),
    };
    check_together(section, feeding.passes, findings);
    feeding
}

/// What the keys have to do with each other.
fn check_together(section: &Section, passes: u32, findings: &mut Findings) {
    if !section.has("input") {
        refuse_without_input(section, findings);
    } else if !section.has("output") {
        let reason = "the role has no `output`";
        warn_without_effect(section, &["output_ring"], reason, findings);
    }
    if section.has("output") && passes > 1 {
        let message =
            format!("`passes` is {passes}, but a role with an `output` takes every row once");
        let problem = Diagnostic::error(code::CONFLICT, "", message)
            .with_hint("remove `passes`, or `output`; another role can take the same input");
        section.report_value("passes", problem, findings);
    }
}

fn refuse_without_input(section: &Section, findings: &mut Findings) {
    for key in section.present(&KEYS) {
        let message = format!("`{key}` wants an `input`, and the role has none");
        let problem = Diagnostic::error(code::MISSING_KEY, "", message)
            .with_hint("add `input = \"NAME\"`, a source, a transform or a role with an `output`");
        section.report_value(key, problem, findings);
    }
}

fn dealing_of(field: &Field, findings: &mut Findings) -> Option<Dealing> {
    let section = field.section(findings)?;
    section.check_keys(&schema::DEALING, findings);
    let manner = manner(&section, findings)?;
    refuse_other_keys(&section, manner, findings);
    match manner {
        "rounds" => rounds(&section, findings),
        "key" => key(&section, findings),
        _ => {
            let rows = section.integer("credit", BATCH_ROWS, findings);
            rows.map(|rows| Dealing::Credit { rows })
        }
    }
}

fn manner(section: &Section, findings: &mut Findings) -> Option<&'static str> {
    match section.present(&MANNERS).as_slice() {
        [manner] => Some(manner),
        [] => {
            let message = "`dealing` has neither `rounds`, `key` nor `credit`";
            let problem = Diagnostic::error(code::MISSING_KEY, "", message)
                .with_hint("such as `dealing = { rounds = 256 }`, batches of so many rows");
            section.report("", problem, findings);
            None
        }
        [first, others @ ..] => {
            for other in others {
                let message = format!("`{first}` and `{other}` exclude each other");
                let problem = Diagnostic::error(code::CONFLICT, "", message)
                    .with_hint("keep one of them: rows are dealt in one way");
                section.report_value(other, problem, findings);
            }
            None
        }
    }
}

fn refuse_other_keys(section: &Section, manner: &str, findings: &mut Findings) {
    let others = OF_ONE_MANNER.iter().filter(|(_, owner)| *owner != manner);
    for (key, owner) in others.filter(|(key, _)| section.has(key)) {
        let message = format!("`{key}` belongs to `{owner}`, and this is `{manner}`");
        let hint = match *key {
            "rows" => format!("remove `rows`; `{manner}` itself says how many rows a batch has"),
            key => format!("remove `{key}`"),
        };
        let problem = Diagnostic::error(code::CONFLICT, "", message).with_hint(hint);
        section.report_value(key, problem, findings);
    }
}

fn rounds(section: &Section, findings: &mut Findings) -> Option<Dealing> {
    let rows = section.integer("rounds", BATCH_ROWS, findings);
    let pad = section.field("pad");
    Some(Dealing::Rounds {
        pad: pad.and_then(|field| field.filled_text(findings)),
        rows: rows?,
    })
}

fn key(section: &Section, findings: &mut Findings) -> Option<Dealing> {
    let rows = section.integer("rows", BATCH_ROWS, findings);
    let columns = match names(&section.field("key")?, findings)? {
        Names::One(column) => vec![column],
        Names::Several(columns) => columns,
    };
    refuse_twice(section, &columns, findings);
    Some(Dealing::Key {
        columns,
        rows: rows.unwrap_or(Dealing::ROWS),
    })
}

fn tensors_of(field: &Field, findings: &mut Findings) -> Option<Vec<(String, Tensor)>> {
    let section = field.section(findings)?;
    let mut tensors = Vec::new();
    for tensor in section.fields() {
        if tensor.name.trim().is_empty() {
            let problem = Diagnostic::error(code::BAD_NAME, "", "a tensor has an empty name")
                .with_hint("name it as nodes will ask for it");
            tensor.report_at_key(problem, findings);
        }
        let name = tensor.name.to_owned();
        tensors.extend(tensor_of(&tensor, findings).map(|tensor| (name, tensor)));
    }
    if section.fields().next().is_none() {
        let message = "`tensors` names no tensor";
        let hint = "such as `tensors = { features = [\"a\", \"b\"], id = \"id\" }`; or remove it";
        field.error(code::BAD_VALUE, message, hint, findings);
    }
    Some(tensors)
}

fn tensor_of(field: &Field, findings: &mut Findings) -> Option<Tensor> {
    Some(match names(field, findings)? {
        Names::One(column) => Tensor::Column(column),
        Names::Several(columns) => Tensor::Matrix(columns),
    })
}

/// What names columns.
enum Names {
    One(String),
    /// A list of at least one.
    Several(Vec<String>),
}

fn names(field: &Field, findings: &mut Findings) -> Option<Names> {
    if field.is_text() {
        return field.filled_text(findings).map(Names::One);
    }
    let examples = format!(
        "such as `{0} = \"one\"` or `{0} = [\"one\", \"two\"]`",
        field.name
    );
    if !field.is_list() {
        field.wrong_type("a column or a list of columns", &examples, findings);
        return None;
    }
    let names = field.texts(findings)?;
    let complaint = if names.is_empty() {
        "names no column"
    } else if names.iter().any(|name| name.trim().is_empty()) {
        "names a column that is empty"
    } else {
        return Some(Names::Several(names));
    };
    let message = format!("`{}` {complaint}", field.name);
    field.error(code::BAD_VALUE, message, examples, findings);
    None
}

/// Whole pages.
fn ring(section: &Section, key: &str, findings: &mut Findings) -> Option<u64> {
    let bytes = section.size_within(key, RING_BYTES, findings)?;
    Some(bytes.next_multiple_of(PAGE_BYTES))
}
