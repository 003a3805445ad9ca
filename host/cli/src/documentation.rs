//! docs/events.md is a promise: what programs can read stands there, or the tests fail.

use std::collections::BTreeSet;

const EVENTS_PAGE: &str = include_str!("../../../docs/events.md");
const EVENTS_SOURCE: &str = include_str!("../../cluster/src/events.rs");
/// Kinds of lines that are made in this crate.
const OWN_KINDS: [&str; 10] = [
    "problem", "checked", "plan", "run", "status", "stopping", "resuming", "decision", "replay", "plugin",
];

/// Names of the variants of `JobEvent`, as serde writes them.
fn kinds() -> BTreeSet<String> {
    let (_, from_here) = EVENTS_SOURCE
        .split_once("pub enum JobEvent {")
        .expect("it is declared");
    let (body, _) = from_here.split_once("\n}").expect("it ends");
    let variant = |line: &str| {
        let name = line
            .strip_prefix("    ")
            .filter(|name| name.starts_with(char::is_uppercase))?;
        Some(
            name.split(|end: char| !end.is_alphanumeric())
                .next()?
                .to_lowercase(),
        )
    };
    body.lines().filter_map(variant).collect()
}

/// Names of all fields of events and of what is in them.
fn fields() -> BTreeSet<String> {
    let field = |line: &str| {
        let (name, _) = line.trim().trim_start_matches("pub ").split_once(": ")?;
        let is_name = name
            .chars()
            .all(|character| character.is_ascii_lowercase() || character == '_');
        (is_name && line.trim_end().ends_with(',')).then(|| name.to_owned())
    };
    let fields: BTreeSet<_> = EVENTS_SOURCE.lines().filter_map(field).collect();
    let is_flattened = |field: &String| field == "event" || field == "counts";
    let fields = fields.into_iter();
    fields.filter(|field| !is_flattened(field)).collect()
}

#[test]
fn every_kind_has_its_section() {
    let kinds = kinds();
    assert!(kinds.len() > 10 && kinds.contains("summary"), "{kinds:?}");
    for kind in kinds.iter().map(String::as_str) {
        assert!(
            EVENTS_PAGE.contains(&format!("\n## `{kind}`")),
            "docs/events.md has no section on `{kind}`"
        );
    }
    for kind in OWN_KINDS {
        assert!(
            EVENTS_PAGE.contains(&format!("\n### `{kind}`")),
            "docs/events.md has no section on `{kind}`"
        );
    }
}

#[test]
fn every_field_is_explained() {
    let fields = fields();
    assert!(
        fields.contains("engine_failed") && fields.contains("last_lines"),
        "{fields:?}"
    );
    for field in fields {
        assert!(
            EVENTS_PAGE.contains(&format!("`{field}`")),
            "docs/events.md does not explain `{field}`"
        );
    }
}
