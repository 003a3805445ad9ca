use std::collections::BTreeSet;

use super::{first_double, invalid};
use crate::error::Fault;
use crate::grants::Locks;
use crate::limits::{LimitExceeded, LimitKind, Limits};
use crate::pattern::is_variable;
use crate::types::{Attributes, JobSpec, LaunchFile, LaunchPlan, LaunchRequest, Program};

/// Linux takes no longer argument or `NAME=value`, its final NUL included.
const STRING_BYTES_MAX: usize = 128 << 10;
/// Longest path of a file, and of one part of it.
const PATH_BYTES_MAX: usize = 1024;
const PART_BYTES_MAX: usize = 255;

pub(super) fn check(
    plans: &[LaunchPlan],
    job: &JobSpec,
    requests: &[LaunchRequest],
    locks: &Locks,
    limits: &Limits,
) -> Result<(), Fault> {
    if plans.len() != requests.len() {
        return Err(invalid(
            "the list of plans",
            format!("{} plans answer {} requests", plans.len(), requests.len()),
        ));
    }
    LimitExceeded::check(
        LimitKind::PlanBytes,
        limits.plan_bytes,
        plans.iter().map(bytes).sum(),
    )?;
    for (position, (plan, request)) in plans.iter().zip(requests).enumerate() {
        if plan.node != request.node {
            let why = format!(
                "it is for `{}`; `{}` was asked for",
                plan.node, request.node
            );
            return Err(invalid(format!("the plan at position {position}"), why));
        }
        check_program(plan, job)
            .and_then(|()| check_plan(plan))
            .map_err(|why| invalid(format!("the plan for `{}`", plan.node), why))?;
        if let Program::Executable(program) = &plan.program {
            locks.program(program)?;
        }
        let set = plan.environment.iter().map(|(name, _)| name);
        set.chain(&plan.unset)
            .try_for_each(|name| locks.variable(name))?;
    }
    Ok(())
}

fn bytes(plan: &LaunchPlan) -> usize {
    let arguments = plan.arguments.iter().map(|argument| argument.len() + 1);
    let variables = plan
        .environment
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2);
    let files = plan
        .files
        .iter()
        .map(|file| file.path.len() + file.content.len());
    let unset = plan.unset.iter().map(|name| name.len() + 1);
    arguments.chain(variables).chain(unset).chain(files).sum()
}

fn check_program(plan: &LaunchPlan, job: &JobSpec) -> Result<(), String> {
    let role = job.roles.iter().find(|role| role.name == plan.node.role);
    if plan.program == Program::RoleCommand && role.is_some_and(|role| !role.has_program) {
        return Err(format!(
            "it runs the program of role `{}`, and the job names none",
            plan.node.role
        ));
    }
    Ok(())
}

fn check_plan(plan: &LaunchPlan) -> Result<(), String> {
    if let Program::Executable(program) = &plan.program {
        check_string("its program", program, program.len())?;
    }
    for (position, argument) in plan.arguments.iter().enumerate() {
        check_string(
            &format!("its argument at position {position}"),
            argument,
            argument.len(),
        )?;
    }
    check_environment(&plan.environment)?;
    plan.unset.iter().try_for_each(|name| check_name(name))?;
    check_files(&plan.files)
}

fn check_string(what: &str, text: &str, bytes: usize) -> Result<(), String> {
    if text.contains('\0') {
        return Err(format!("{what} has a NUL character"));
    }
    if bytes >= STRING_BYTES_MAX {
        return Err(format!(
            "{what} has {bytes} bytes; the system takes less than {STRING_BYTES_MAX}: use a file"
        ));
    }
    Ok(())
}

fn check_environment(environment: &Attributes) -> Result<(), String> {
    for (name, value) in environment {
        check_name(name)?;
        check_string(
            &format!("its variable `{name}`"),
            value,
            name.len() + 1 + value.len(),
        )?;
    }
    match first_double(environment.iter().map(|(name, _)| name)) {
        Some(double) => Err(format!("it sets `{double}` twice")),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if !is_variable(name) {
        return Err(format!(
            "`{}` is not the name of an environment variable",
            name.escape_debug()
        ));
    }
    if name.starts_with("FOREBAY_") {
        return Err(format!(
            "`{name}` belongs to the host: a plugin may not touch it"
        ));
    }
    Ok(())
}

fn check_files(files: &[LaunchFile]) -> Result<(), String> {
    for file in files {
        check_path(&file.path)
            .map_err(|why| format!("its file `{}` {why}", file.path.escape_debug()))?;
    }
    if let Some(double) = first_double(files.iter().map(|file| &file.path)) {
        return Err(format!("it has the file `{double}` twice"));
    }
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let folders = |path: &'_ str| {
        path.match_indices('/')
            .map(|(end, _)| end)
            .collect::<Vec<_>>()
    };
    for path in &paths {
        if let Some(folder) = folders(path)
            .into_iter()
            .map(|end| &path[..end])
            .find(|folder| paths.contains(folder))
        {
            return Err(format!(
                "its file `{folder}` is a folder of its file `{path}`"
            ));
        }
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), String> {
    if path.len() > PATH_BYTES_MAX {
        return Err(format!(
            "has a path of {} bytes, more than {PATH_BYTES_MAX}",
            path.len()
        ));
    }
    if path.chars().any(char::is_control) {
        return Err("has control characters".to_owned());
    }
    let odd =
        |part: &str| part.is_empty() || part == "." || part == ".." || part.len() > PART_BYTES_MAX;
    if path.split('/').any(odd) {
        return Err("is not a plain path below the node's folder".to_owned());
    }
    Ok(())
}
