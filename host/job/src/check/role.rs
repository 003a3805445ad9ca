//! One role.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::dataflow::Names;
use super::{SHORTEST, check_name, feeding, plugin};
use crate::diagnostic::{Diagnostic, code};
use crate::files::default_files;
use crate::model::{Program, Resources, Role, RoleLimits, STANDARD_RUNNER};
use crate::read::{Field, Findings, Section};
use crate::schema;
use crate::values;

/// Most nodes of one role.
pub const NODES_MAX: u32 = 10_000;

/// Of a role whose program is named, but not well: it is not one without a program.
const MISTAKEN: Program = Program::Command(Vec::new());

/// Beginning of the environment variables that belong to the host.
const RESERVED_PREFIX: &str = "FOREBAY_";

/// `None` if it has no usable name or is no table.
pub(super) fn role(
    field: &Field,
    framework: Option<&str>,
    names: &Names,
    findings: &mut Findings,
) -> Option<Role> {
    let is_named = check_role_name(field, findings);
    let section = field.section(findings)?;
    section.check_keys(&schema::ROLE, findings);
    let plugin = plugin(&section, "plugin", findings);
    let plugin = plugin
        .as_deref()
        .or(framework)
        .unwrap_or(STANDARD_RUNNER)
        .to_owned();
    let program = program(&section, &plugin, findings);
    let (nodes, nodes_min, nodes_max) = nodes(&section, findings);
    let role = Role {
        name: field.name.to_owned(),
        nodes,
        nodes_min,
        nodes_max,
        plugin,
        properties: section.entries("properties", findings),
        interpreter: interpreter(&section, &program, findings),
        arguments: section
            .field("arguments")
            .and_then(|field| field.texts(findings))
            .unwrap_or_default(),
        environment: environment(&section, findings),
        files: files(&section, &program, findings),
        program,
        resources: resources(&section, findings),
        limits: limits(&section.section("limits", findings), findings),
        input: names.input(&section, findings),
        feeding: feeding::feeding(&section, findings),
    };
    is_named.then_some(role)
}

fn check_role_name(field: &Field, findings: &mut Findings) -> bool {
    if field.name == "am" {
        let hint =
            "settings of the application manager go into `[am]`; call the role something else";
        field.error(code::BAD_NAME, "\"am\" cannot name a role", hint, findings);
        return false;
    }
    check_name("role", &values::OUTER_NAMES, field.name, field, findings)
}

/// Wanted, least, most.
fn nodes(section: &Section, findings: &mut Findings) -> (u32, u32, u32) {
    let mut number = |key| section.integer(key, 1..=NODES_MAX, findings);
    let (nodes, least, most) = (number("nodes"), number("nodes_min"), number("nodes_max"));
    let nodes = nodes.unwrap_or(1);
    let (key, message) = match (least, most) {
        (Some(least), Some(most)) if least > most => (
            "nodes_min",
            format!("`nodes_min` is {least}, more than `nodes_max`, {most}"),
        ),
        (Some(least), _) if nodes < least => (
            "nodes_min",
            format!("`nodes` is {nodes}, fewer than `nodes_min`, {least}"),
        ),
        (_, Some(most)) if nodes > most => (
            "nodes_max",
            format!("`nodes` is {nodes}, more than `nodes_max`, {most}"),
        ),
        _ => return (nodes, least.unwrap_or(nodes), most.unwrap_or(nodes)),
    };
    if let Some(field) = section.field(key) {
        let hint = "`nodes` lies between the two bounds; it is 1 unless given";
        field.error(code::CONFLICT, message, hint, findings);
    }
    (nodes, nodes, nodes)
}

fn program(section: &Section, plugin: &str, findings: &mut Findings) -> Program {
    match (section.field("script"), section.field("command")) {
        (Some(script), None) => script
            .inner_path(findings)
            .map_or(MISTAKEN, Program::Script),
        (None, Some(command)) => command_line(&command, findings),
        (Some(_), Some(command)) => {
            let message = "`script` and `command` exclude each other";
            let hint = "`script` is run by the role's `python`; `command` is any other program";
            command.error(code::CONFLICT, message, hint, findings);
            MISTAKEN
        }
        (None, None) => {
            if plugin == STANDARD_RUNNER {
                let problem = Diagnostic::error(
                    code::MISSING_KEY,
                    "",
                    "the role has nothing to run",
                )
                .with_hint(
                    "add `script = \"train.py\"` or `command = [\"program\", \"argument\"]`",
                );
                section.report("", problem, findings);
            }
            Program::Plugin
        }
    }
}

fn command_line(field: &Field, findings: &mut Findings) -> Program {
    let Some(words) = field.texts(findings) else {
        return MISTAKEN;
    };
    let program = words.first().map_or("", String::as_str);
    if program.is_empty() {
        let hint = "the first word is the program";
        field.error(
            code::BAD_VALUE,
            "`command` names no program",
            hint,
            findings,
        );
    } else if program.contains('/')
        && !Path::new(program).is_absolute()
        && let Some(complaint) = values::path_complaint(program)
    {
        field.bad_path(program, complaint, findings);
    }
    Program::Command(words)
}

fn interpreter(section: &Section, program: &Program, findings: &mut Findings) -> Option<String> {
    let field = section.field("python")?;
    let text = field.text(findings)?;
    if matches!(program, Program::Command(words) if !words.is_empty()) {
        let message = "`python` does not choose the program of a `command`";
        let hint = "use `script`, or begin the command with the interpreter's path";
        let problem = Diagnostic::warning(code::NO_EFFECT, &field.path, message).with_hint(hint);
        field.report(problem, findings);
    }
    if text.contains('/') || values::is_found_by_name(&text) {
        return Some(text);
    }
    let message = format!("{text:?} is neither the name of an environment nor a path");
    let hint = "give an environment's name, or the path of a Python with a `/` in it";
    field.error(code::BAD_NAME, message, hint, findings);
    None
}

fn environment(section: &Section, findings: &mut Findings) -> BTreeMap<String, String> {
    let Some(field) = section.field("environment") else {
        return BTreeMap::new();
    };
    let Some(table) = field.section(findings) else {
        return BTreeMap::new();
    };
    let mut variables = BTreeMap::new();
    for variable in table.fields() {
        let name = variable.name;
        if let Some(problem) = variable_problem(name) {
            variable.report_at_key(problem, findings);
        }
        variables.extend(
            variable
                .scalar_text(findings)
                .map(|text| (name.to_owned(), text)),
        );
    }
    variables
}

fn variable_problem(name: &str) -> Option<Diagnostic> {
    let (message, hint) = if name.starts_with(RESERVED_PREFIX) {
        let message = format!("the variable `{name}` belongs to the host");
        (message, "names that begin with `FOREBAY_` are reserved")
    } else if !values::is_variable(name) {
        let message = format!("{name:?} cannot name an environment variable");
        (
            message,
            "use letters, digits and underscores, no digit first",
        )
    } else {
        return None;
    };
    Some(Diagnostic::error(code::BAD_VARIABLE, "", message).with_hint(hint))
}

fn files(section: &Section, program: &Program, findings: &mut Findings) -> Vec<String> {
    let Some(field) = section.field("files") else {
        return default_files(program);
    };
    let patterns = field.texts(findings).unwrap_or_default();
    for pattern in &patterns {
        if let Some(complaint) = values::path_complaint(pattern) {
            field.bad_path(pattern, complaint, findings);
        } else if let Err(error) = glob::Pattern::new(pattern) {
            let message = format!("{pattern:?} is not a pattern: {}", error.msg);
            let hint =
                "`*` is any text but `/`, `**` any folders, `?` one character, `[ab]` one of these";
            field.error(code::BAD_VALUE, message, hint, findings);
        }
    }
    patterns
}

fn resources(section: &Section, findings: &mut Findings) -> Resources {
    Resources {
        cores: section.integer("cores", 1..=4096, findings),
        memory_bytes: section.size("memory", findings),
        gpus: section.integer("gpus", 0..=64, findings).unwrap_or(0),
    }
}

fn limits(section: &Section, findings: &mut Findings) -> RoleLimits {
    section.check_keys(&schema::ROLE_LIMITS, findings);
    let default = RoleLimits::default();
    let mut limit = |key, least, default| section.duration(key, least, findings).unwrap_or(default);
    RoleLimits {
        start_within: limit("start_within", SHORTEST, default.start_within),
        report_within: limit("report_within", SHORTEST, default.report_within),
        respond_within: limit("respond_within", SHORTEST, default.respond_within),
        attach_within: limit("attach_within", Duration::ZERO, default.attach_within),
        linger_within: limit("linger_within", Duration::ZERO, default.linger_within),
        stall_kill: limit("stall_kill", Duration::ZERO, default.stall_kill),
        stop_grace: limit("stop_grace", Duration::ZERO, default.stop_grace),
        log_bytes: section
            .size("log_bytes", findings)
            .unwrap_or(default.log_bytes),
    }
}
