//! One transform.

use std::path::PathBuf;

use super::dataflow::{Names, parallelism};
use crate::diagnostic::{Diagnostic, code};
use crate::model::{OperatorUse, SqlText, Transform, TransformKind};
use crate::read::{Field, Findings, Section, listed};
use crate::{schema, values};

/// What makes the rows of a transform: one of these.
const MAKERS: [&str; 3] = ["sql", "sql_file", "operator"];

/// Keys that only a component takes.
const OPERATOR_KEYS: [&str; 3] = ["input", "config", "key"];

/// `None` if it is no table, or nothing makes its rows. `default`: its tasks, unless it says otherwise.
pub(super) fn transform(
    field: &Field,
    default: u32,
    names: &Names,
    findings: &mut Findings,
) -> Option<Transform> {
    let section = field.section(findings)?;
    section.check_keys(&schema::TRANSFORM, findings);
    let kind = kind(field, &section, names, findings);
    let parallelism = parallelism(&section, findings).unwrap_or(default);
    Some(Transform {
        name: field.name.to_owned(),
        kind: kind?,
        parallelism,
    })
}

fn kind(
    transform: &Field,
    section: &Section,
    names: &Names,
    findings: &mut Findings,
) -> Option<TransformKind> {
    let maker = match section.present(&MAKERS).as_slice() {
        [maker] => *maker,
        [] => {
            let message = "the transform has neither `sql`, `sql_file` nor `operator`";
            let problem = Diagnostic::error(code::MISSING_KEY, "", message)
                .with_hint("add `sql = \"SELECT ...\"`, or `operator = \"component.wasm\"`");
            section.report("", problem, findings);
            return None;
        }
        [first, others @ ..] => {
            for other in others {
                let message = format!("`{first}` and `{other}` exclude each other");
                let problem = Diagnostic::error(code::CONFLICT, "", message)
                    .with_hint("keep one of them; another transform can go on from this one");
                section.report_value(other, problem, findings);
            }
            return None;
        }
    };
    let field = section.field(maker)?;
    if maker == "operator" {
        return operator(transform, section, names, findings);
    }
    refuse_operator_keys(section, findings);
    let text = match maker {
        "sql" => SqlText::Inline(field.filled_text(findings)?),
        _ => SqlText::File(field.inner_path(findings)?),
    };
    Some(TransformKind::Sql(text))
}

fn refuse_operator_keys(section: &Section, findings: &mut Findings) {
    for key in section.present(&OPERATOR_KEYS) {
        let message = format!("`{key}` belongs to an `operator`, and this is a query");
        let hint = match key {
            "input" => "remove it; a query names what it reads after FROM and JOIN".to_owned(),
            key => format!("remove `{key}`"),
        };
        let problem = Diagnostic::error(code::CONFLICT, "", message);
        section.report_value(key, problem.with_hint(hint), findings);
    }
}

fn operator(
    transform: &Field,
    section: &Section,
    names: &Names,
    findings: &mut Findings,
) -> Option<TransformKind> {
    if !section.has("input") {
        names.report_missing_input("transform", transform, findings);
    }
    let input = names.input(section, findings);
    let component = section.field("operator")?;
    let config = section.field("config");
    let config = config.and_then(|field| field.json_object(findings));
    let key = key(section, findings);
    Some(TransformKind::Operator(Box::new(OperatorUse {
        component: component_path(&component, findings)?,
        config: config.unwrap_or_else(|| "{}".to_owned()),
        key,
        input: input?,
    })))
}

fn component_path(field: &Field, findings: &mut Findings) -> Option<PathBuf> {
    let text = field.text(findings)?;
    if values::is_path(&text) && !text.ends_with('/') {
        return Some(text.into());
    }
    let message = format!("{text:?} is not the path of a component");
    let hint = "give a path that ends in `.wasm` or has a `/` in it, relative to the job file";
    field.error(code::BAD_PATH, message, hint, findings);
    None
}

fn key(section: &Section, findings: &mut Findings) -> Vec<String> {
    let columns = section.texts("key", findings).unwrap_or_default();
    refuse_twice(section, &columns, findings);
    columns
}

/// Reports columns that `key` names more than once.
pub(super) fn refuse_twice(section: &Section, columns: &[String], findings: &mut Findings) {
    let mut twice = columns.to_vec();
    let mut seen = Vec::new();
    twice.retain(|column| {
        seen.contains(column) || {
            seen.push(column.clone());
            false
        }
    });
    if !twice.is_empty() {
        let message = format!("`key` names {} twice", listed(&twice));
        let problem = Diagnostic::error(code::CONFLICT, "", message);
        section.report_value("key", problem.with_hint("name each column once"), findings);
    }
}
