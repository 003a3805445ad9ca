//! Schema and cross-reference checks: a parsed file becomes a job, and everything that is wrong is collected.

mod dataflow;
mod feeding;
mod formats;
mod generate;
pub(crate) mod role;
mod sinks;
mod sources;
mod targets;
mod transforms;

use std::path::Path;
use std::time::Duration;

use toml_edit::TableLike;

use crate::diagnostic::{Diagnostic, code};
use crate::model::{Guarantee, Job, JobLimits, Manager, Role};
use crate::read::{Field, Findings, Section};
use crate::schema;
use crate::values::{self, Naming};
use dataflow::Names;

pub use dataflow::{BATCH_ROWS_MAX, PARALLELISM_MAX, RELATIONS_MAX};
pub(crate) use formats::word_of;
pub(crate) use sources::{BATCH_ROWS, RECORD_BYTES};

/// Most roles of one job.
pub const ROLES_MAX: usize = 64;

/// Most restarts of one job.
const RESTARTS_MAX: u32 = 10_000;
/// The shortest limit on something that has to happen at all.
const SHORTEST: Duration = Duration::from_millis(1);

/// The job with defaults in place of what is wrong, and all problems.
pub(crate) fn job(root: &dyn TableLike, base: &Path) -> (Job, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let found = &mut findings;
    let section = Section::root(root);
    section.check_keys(&schema::JOB, found);
    let framework = plugin(&section, "framework", found);
    let names = Names::of(&section);
    let dataflow = dataflow::dataflow(&section, &names, found);
    let job = Job {
        name: name(&section, found),
        guarantee: guarantee(&section, found),
        manager: manager(&section.section("am", found), found),
        properties: section.entries("properties", found),
        roles: roles(&section, framework.as_deref(), &names, found),
        dataflow,
        limits: limits(&section.section("limits", found), found),
        framework,
        base: base.to_owned(),
    };
    (job, findings.0)
}

fn name(section: &Section, findings: &mut Findings) -> String {
    let Some(field) = section.field("name") else {
        let problem = Diagnostic::error(code::MISSING_KEY, "", "the job has no `name`")
            .with_hint("begin the file with `name = \"my-job\"`");
        section.report("name", problem, findings);
        return String::new();
    };
    let name = field.text(findings);
    name.filter(|name| check_name("job", &values::OUTER_NAMES, name, &field, findings))
        .unwrap_or_default()
}

/// Whether `name` may name `what`; reports it otherwise.
fn check_name(
    what: &str,
    naming: &Naming,
    name: &str,
    field: &Field,
    findings: &mut Findings,
) -> bool {
    if naming.allows(name) {
        return true;
    }
    let rule = format!(
        "use {}, a letter first, at most {} characters",
        naming.characters,
        values::NAME_LENGTH_MAX
    );
    let hint = match naming.like(name) {
        Some(name) => format!("{rule}: `{name}`"),
        None => rule,
    };
    field.error(
        code::BAD_NAME,
        format!("{name:?} cannot name a {what}"),
        hint,
        findings,
    );
    false
}

fn guarantee(section: &Section, findings: &mut Findings) -> Guarantee {
    let Some(field) = section.field("guarantee") else {
        return Guarantee::None;
    };
    match field.text(findings).as_deref() {
        None | Some("none") => {}
        Some(later @ ("at-least-once" | "exactly-once")) => {
            let message = format!("the guarantee `{later}` is not supported by this version");
            let hint = "write `guarantee = \"none\"`: a failure then begins the job's input again";
            field.error(code::NOT_SUPPORTED, message, hint, findings);
        }
        Some(other) => {
            let message = format!("{other:?} is not a guarantee");
            let hint = "one of `none`, `at-least-once`, `exactly-once`";
            field.error(code::BAD_VALUE, message, hint, findings);
        }
    }
    Guarantee::None
}

fn manager(section: &Section, findings: &mut Findings) -> Manager {
    section.check_keys(&schema::MANAGER, findings);
    Manager {
        plugin: plugin(section, "plugin", findings),
        properties: section.entries("properties", findings),
    }
}

/// Name or path of a plugin.
fn plugin(section: &Section, key: &str, findings: &mut Findings) -> Option<String> {
    let field = section.field(key)?;
    let text = field.text(findings)?;
    if values::is_path(&text) || values::is_found_by_name(&text) {
        return Some(text);
    }
    let message = format!("{text:?} is neither the name nor the path of a plugin");
    let hint = "give a name such as `command`, or a path with a `/` in it";
    field.error(code::BAD_NAME, message, hint, findings);
    None
}

fn limits(section: &Section, findings: &mut Findings) -> JobLimits {
    section.check_keys(&schema::JOB_LIMITS, findings);
    let default = JobLimits::default();
    let restarts = section.integer("restarts", 0..=RESTARTS_MAX, findings);
    let mut limit = |key, default| section.duration(key, SHORTEST, findings).unwrap_or(default);
    JobLimits {
        restarts: restarts.unwrap_or(default.restarts),
        place_within: limit("place_within", default.place_within),
        stop_within: limit("stop_within", default.stop_within),
        orphan_grace: limit("orphan_grace", default.orphan_grace),
        agent_lost_after: limit("agent_lost_after", default.agent_lost_after),
        quarantine_grace: limit("quarantine_grace", default.quarantine_grace),
    }
}

fn roles(
    section: &Section,
    framework: Option<&str>,
    names: &Names,
    findings: &mut Findings,
) -> Vec<Role> {
    let table = section.section("roles", findings);
    let fields: Vec<_> = table.fields().collect();
    let is_table = section
        .field("roles")
        .is_none_or(|field| field.table().is_some());
    if is_table && fields.is_empty() && names.is_empty() {
        let message = "the job has neither roles nor a dataflow, so nothing would run";
        let problem = Diagnostic::error(code::NO_ROLES, "", message).with_hint(
            "add `[roles.NAME]` with a `script` or a `command`, or `[sources.NAME]` and `[sinks.NAME]`",
        );
        table.report("", problem, findings);
    }
    check_number("roles", &fields, ROLES_MAX, findings);
    fields
        .iter()
        .filter_map(|field| role::role(field, framework, names, findings))
        .collect()
}

/// Reports the first of too many tables.
fn check_number(what: &str, fields: &[Field], most: usize, findings: &mut Findings) {
    if let Some(surplus) = fields.get(most) {
        let message = format!("the job has {} {what}", fields.len());
        surplus.error(
            code::OUT_OF_RANGE,
            message,
            format!("at most {most}"),
            findings,
        );
    }
}
