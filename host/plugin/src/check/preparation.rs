use std::collections::BTreeSet;

use super::{first_double, invalid, text};
use crate::error::Fault;
use crate::grants::Locks;
use crate::limits::{LimitExceeded, LimitKind, Limits};
use crate::manifest::{NAME_RULE, is_name};
use crate::types::{JobSpec, Preparation, Problem, Readiness, RolePolicy, RoleSpec, Severity};

pub(super) fn check(
    preparation: &Preparation,
    job: &JobSpec,
    locks: &Locks,
    limits: &Limits,
) -> Result<(), Fault> {
    check_problems(&preparation.problems, limits)?;
    check_implied(&preparation.implied, job, locks)?;
    check_policies(preparation, job, locks)
}

fn check_problems(problems: &[Problem], limits: &Limits) -> Result<(), Fault> {
    LimitExceeded::check(LimitKind::Problems, limits.problems, problems.len())?;
    for (position, problem) in problems.iter().enumerate() {
        text::bounded("key", &problem.key, limits.text_bytes)
            .and_then(|()| text::required("message", &problem.message, limits.text_bytes))
            .and_then(|()| text::optional("hint", problem.hint.as_deref(), limits.text_bytes))
            .map_err(|why| invalid(format!("the problem at position {position}"), why))?;
    }
    Ok(())
}

fn check_implied(implied: &[RoleSpec], job: &JobSpec, locks: &Locks) -> Result<(), Fault> {
    let mut names: BTreeSet<&str> = job.roles.iter().map(|role| role.name.as_str()).collect();
    for role in implied {
        let place = || format!("the implied role `{}`", role.name.escape_debug());
        check_implied_role(role).map_err(|why| invalid(place(), why))?;
        if !names.insert(&role.name) {
            return Err(invalid(place(), "the job has a role of this name already"));
        }
    }
    locks.nodes(implied.iter().map(|role| u64::from(role.nodes_max)).sum())?;
    Ok(())
}

fn check_implied_role(role: &RoleSpec) -> Result<(), String> {
    if !is_name(&role.name) {
        return Err(format!("its name is not one: {NAME_RULE}"));
    }
    let (min, nodes, max) = (role.nodes_min, role.nodes, role.nodes_max);
    if min == 0 || nodes < min || nodes > max {
        return Err(format!(
            "{nodes} nodes are outside the bounds {min} to {max}, or the least is 0"
        ));
    }
    if role.has_input || role.has_output {
        return Err("an implied role has no input or output".to_owned());
    }
    if role.policy.is_some() {
        return Err("its policy belongs into `policies`".to_owned());
    }
    match first_double(role.properties.iter().map(|(name, _)| name)) {
        Some(double) => Err(format!(
            "it has the property `{}` twice",
            double.escape_debug()
        )),
        None => Ok(()),
    }
}

fn check_policies(preparation: &Preparation, job: &JobSpec, locks: &Locks) -> Result<(), Fault> {
    let roles = || job.roles.iter().chain(&preparation.implied);
    let mut wanting: BTreeSet<&str> = roles().map(|role| role.name.as_str()).collect();
    for policy in &preparation.policies {
        let place = || format!("the policy of role `{}`", policy.role.escape_debug());
        let role = roles().find(|role| role.name == policy.role);
        let role = role.ok_or_else(|| invalid(place(), "there is no such role"))?;
        if !wanting.remove(policy.role.as_str()) {
            return Err(invalid(place(), "it comes twice"));
        }
        check_policy(policy, role).map_err(|why| invalid(place(), why))?;
        locks.ports(&policy.role, policy.ports.len())?;
    }
    let refused = preparation
        .problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    match wanting.first() {
        Some(role) if !refused => Err(invalid(
            "the preparation",
            format!("role `{role}` has no policy"),
        )),
        _ => Ok(()),
    }
}

fn check_policy(policy: &RolePolicy, role: &RoleSpec) -> Result<(), String> {
    if let Some(port) = policy.ports.iter().find(|port| !is_name(&port.name)) {
        return Err(format!(
            "`{}` is not the name of a port: {NAME_RULE}",
            port.name.escape_debug()
        ));
    }
    if let Some(double) = first_double(policy.ports.iter().map(|port| &port.name)) {
        return Err(format!("it has the port `{double}` twice"));
    }
    let Readiness::Listening(name) = &policy.ready_when else {
        return Ok(());
    };
    match policy.ports.iter().find(|port| port.name == *name) {
        None => Err(format!(
            "it is ready when it listens on the port `{}`, which it does not ask for",
            name.escape_debug()
        )),
        Some(port) if port.first_only && role.nodes_max > 1 => Err(format!(
            "it is ready when it listens on the port `{name}`, which only its first node has"
        )),
        Some(_) => Ok(()),
    }
}
