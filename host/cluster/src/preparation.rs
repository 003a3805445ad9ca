//! From a job to what the state machine is told: plugins are loaded, each node runner prepares its own roles, policies
//! and implied roles are put together. `check` does this before a run, each application manager again.
//!
//! A node runner sees only the roles that it runs: in `prepare`, in `plan`, and in the cluster it is given.

use std::collections::{BTreeMap, BTreeSet};

use forebay_job::{Guarantee as JobGuarantee, Job, Program, Role};
use forebay_plugin::{
    CallError, CheckedMachine, CheckedRunner, FinishRule, Grants, Guarantee, JobSpec, Limits,
    LoadError, Loaded, Manifest, ManifestError, PluginHost, Preparation, Problem, RoleSpec,
    Severity,
};

use crate::submission::{PluginSource, machine_name, required_plugins};

/// Property of the job that says how long `place` waits for room, in milliseconds.
const PLACE_WITHIN: &str = "place-within-ms";
/// Where the keys of a job's properties begin.
const PROPERTIES: &str = "properties.";
/// Property of the job that says how many restarts there may be.
const RESTARTS: &str = "restarts";
/// Property of a role that says how long its nodes have from SIGTERM to SIGKILL, in milliseconds.
const STOP_GRACE: &str = "stop-grace-ms";

/// The plugins of one job, ready to be called.
pub struct PluginSet {
    /// Decides.
    pub machine: CheckedMachine,
    /// Content hash of the component that decides.
    pub machine_sha256: String,
    /// The node runner beside it, if it has one: it may look at the properties of the job.
    pub machine_runner: Option<CheckedRunner>,
    /// By the name that roles give.
    pub runners: BTreeMap<String, CheckedRunner>,
}

/// Why the plugins of a job cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginSetError {
    /// A name that the job gives was not resolved.
    #[error("the job needs the plugin `{0}`, which was not submitted")]
    Absent(String),
    /// Its manifest does not parse.
    #[error("the manifest of plugin `{name}` is not valid")]
    Manifest {
        /// As the job names it.
        name: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// It is not a plugin that this host can run.
    #[error("plugin `{name}` cannot be loaded")]
    Load {
        /// As the job names it.
        name: String,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// It lacks the part that the job wants of it.
    #[error("plugin `{name}` has no {part}")]
    Part {
        /// As the job names it.
        name: String,
        /// `state machine` or `node runner`.
        part: &'static str,
    },
    /// The operator's grants do not parse.
    #[error("the grants are not valid")]
    Grants(#[source] ManifestError),
}

impl PluginSetError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Part {
                part: "node runner",
                ..
            } => Some("name it at `[am] plugin`, and another one for the role".into()),
            Self::Part { .. } => Some(
                "name it at `framework` or `roles.NAME.plugin`, and another one at `[am] plugin`"
                    .into(),
            ),
            Self::Load { source, .. } => source.hint().map(Into::into),
            _ => None,
        }
    }
}

impl PluginSet {
    /// Loads everything that `job` needs out of `sources`.
    pub fn load(
        host: &PluginHost,
        job: &Job,
        sources: &[PluginSource],
        grants: &str,
    ) -> Result<Self, PluginSetError> {
        let grants = Grants::parse(grants).map_err(PluginSetError::Grants)?;
        let loaded = required_plugins(job)
            .into_iter()
            .map(|name| load_one(host, &name, sources).map(|plugin| (name, plugin)))
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        let (machine, machine_sha256) = machine_of(&loaded, machine_name(job))?;
        let machine_runner = runner_of(&loaded, machine_name(job), &grants).ok();
        let mut runners = BTreeMap::new();
        for role in &job.roles {
            if !runners.contains_key(&role.plugin) {
                runners.insert(
                    role.plugin.clone(),
                    runner_of(&loaded, &role.plugin, &grants)?,
                );
            }
        }
        Ok(Self {
            machine,
            machine_sha256,
            machine_runner,
            runners,
        })
    }
}

struct LoadedPlugin {
    plugin: Loaded,
    manifest: Manifest,
}

fn load_one(
    host: &PluginHost,
    name: &str,
    sources: &[PluginSource],
) -> Result<LoadedPlugin, PluginSetError> {
    let source = sources
        .iter()
        .find(|source| source.name == name)
        .ok_or_else(|| PluginSetError::Absent(name.to_owned()))?;
    let manifest =
        Manifest::parse(&source.manifest).map_err(|source| PluginSetError::Manifest {
            name: name.to_owned(),
            source,
        })?;
    let plugin =
        host.load(&source.component, &manifest)
            .map_err(|source| PluginSetError::Load {
                name: name.to_owned(),
                source,
            })?;
    Ok(LoadedPlugin { plugin, manifest })
}

fn machine_of(
    loaded: &BTreeMap<String, LoadedPlugin>,
    name: &str,
) -> Result<(CheckedMachine, String), PluginSetError> {
    let lacks = || PluginSetError::Part {
        name: name.to_owned(),
        part: "state machine",
    };
    let plugin = loaded
        .get(name)
        .ok_or_else(|| PluginSetError::Absent(name.to_owned()))?;
    let machine = plugin.plugin.state_machine().ok_or_else(lacks)?;
    Ok((
        CheckedMachine::new(machine, Limits::default()),
        plugin.plugin.digest().to_owned(),
    ))
}

fn runner_of(
    loaded: &BTreeMap<String, LoadedPlugin>,
    name: &str,
    grants: &Grants,
) -> Result<CheckedRunner, PluginSetError> {
    let lacks = || PluginSetError::Part {
        name: name.to_owned(),
        part: "node runner",
    };
    let plugin = loaded
        .get(name)
        .ok_or_else(|| PluginSetError::Absent(name.to_owned()))?;
    let runner = plugin.plugin.node_runner().ok_or_else(lacks)?;
    Ok(CheckedRunner::new(
        runner,
        plugin.manifest.clone(),
        grants.clone(),
        Limits::default(),
    ))
}

/// A job with everything its node runners add.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// With implied roles, which run what their plugin says with the interpreter of the role that implied them.
    pub job: Job,
    /// What plugins are told: all roles, with policies.
    pub spec: JobSpec,
    /// Some node runner wants nobody to read past a barrier before the checkpoint is committed.
    pub hold_at_barrier: bool,
    /// For people; the job may run.
    pub warnings: Vec<Problem>,
}

/// Why a job was not prepared: all that its plugins say, and those that could not say anything.
#[derive(Debug, thiserror::Error)]
#[error("the job cannot be prepared: {}", self.first())]
pub struct PrepareError {
    /// Mistakes, and warnings beside them.
    pub problems: Vec<Problem>,
    /// Plugins that failed while they looked at the job, by the name that the job gives them.
    pub failures: Vec<(String, CallError)>,
}

impl PrepareError {
    fn first(&self) -> String {
        let failure = self
            .failures
            .first()
            .map(|(name, error)| format!("plugin `{name}` failed: {error}: {}", error.fault));
        let mistake = || Some(self.problems.first()?.message.clone());
        failure.or_else(mistake).unwrap_or_default()
    }
}

/// Asks every node runner of the job about its own roles.
pub fn prepare(job: &Job, plugins: &PluginSet) -> Result<Prepared, PrepareError> {
    let mut prepared = Prepared {
        job: job.clone(),
        spec: job_spec(job),
        hold_at_barrier: false,
        warnings: Vec::new(),
    };
    let mut problems = problems_of_machine(&prepared.spec, plugins);
    let mut failures = Vec::new();
    for (name, runner) in &plugins.runners {
        match runner.prepare(&spec_of_runner(&prepared.spec, job, name)) {
            Err(error) => failures.push((name.clone(), error)),
            Ok(answer) => {
                problems.extend(answer.problems.iter().cloned());
                if !answer.problems.iter().any(is_error) {
                    problems.extend(adopt(&mut prepared, name, &answer));
                }
            }
        }
    }
    problems.extend(prepared.spec.roles.iter().filter_map(fed_observer));
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert((problem.key.clone(), problem.message.clone())));
    for problem in &mut problems {
        locate(problem, job);
    }
    if failures.is_empty() && !problems.iter().any(is_error) {
        prepared.warnings = problems;
        Ok(prepared)
    } else {
        Err(PrepareError { problems, failures })
    }
}

fn is_error(problem: &Problem) -> bool {
    problem.severity == Severity::Error
}

/// What the plugin that decides says of the job's properties through its node runner. It runs no role as such, so whatever
/// it says of roles does not count, and where it fails, `decide` will tell.
fn problems_of_machine(spec: &JobSpec, plugins: &PluginSet) -> Vec<Problem> {
    let spec = JobSpec {
        roles: Vec::new(),
        ..spec.clone()
    };
    let runner = plugins.machine_runner.as_ref();
    let answer = runner.and_then(|runner| runner.prepare(&spec).ok());
    let said = answer.map_or_else(Vec::new, |answer| answer.problems.clone());
    said.into_iter()
        .filter(|problem| problem.key.starts_with(PROPERTIES))
        .collect()
}

/// Plugins see the properties of `[am]` and of the job as one.
fn locate(problem: &mut Problem, job: &Job) {
    let name = problem.key.strip_prefix(PROPERTIES);
    if name.is_some_and(|name| job.manager.properties.contains_key(name)) {
        problem.key.insert_str(0, "am.");
    }
}

/// Puts one runner's answer into the job; the problems are implied roles whose name is taken by another runner's role.
fn adopt(prepared: &mut Prepared, runner: &str, answer: &Preparation) -> Vec<Problem> {
    let mut clashes = Vec::new();
    for implied in &answer.implied {
        if prepared.job.role(&implied.name).is_some() {
            clashes.push(clash(runner, &implied.name));
        } else if let Some(role) = implied_role(&prepared.job, runner, implied) {
            prepared.job.roles.push(role);
            prepared.spec.roles.push(RoleSpec {
                has_program: false,
                ..implied.clone()
            });
        }
    }
    for policy in &answer.policies {
        if let Some(role) = prepared
            .spec
            .roles
            .iter_mut()
            .find(|role| role.name == policy.role)
        {
            role.policy = Some(policy.clone());
        }
    }
    prepared.hold_at_barrier |= answer.hold_at_barrier;
    clashes
}

/// Nobody notices the death of an observer, and the dataflow would wait for it for ever.
fn fed_observer(role: &RoleSpec) -> Option<Problem> {
    let policy = role.policy.as_ref()?;
    let is_fed_observer = role.has_input && policy.finish == FinishRule::Observer;
    is_fed_observer.then(|| Problem {
        severity: Severity::Error,
        key: format!("roles.{}.input", role.name),
        message: format!(
            "role `{}` has input, and its node runner makes it an observer, whose end nobody waits for: the dataflow \
             would wait for it",
            role.name
        ),
        hint: Some("take `input` away: observers look on and are not fed".into()),
    })
}

fn clash(runner: &str, role: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        key: format!("roles.{role}"),
        message: format!(
            "the node runner `{runner}` adds a role `{role}` of its own, and the job has one of that name"
        ),
        hint: Some("rename the role of the job".into()),
    }
}

/// Implied roles have no section in the job file: the first role of their runner lends interpreter and limits.
fn implied_role(job: &Job, runner: &str, spec: &RoleSpec) -> Option<Role> {
    let lender = job.roles.iter().find(|role| role.plugin == runner)?;
    Some(Role {
        name: spec.name.clone(),
        nodes: spec.nodes,
        nodes_min: spec.nodes_min,
        nodes_max: spec.nodes_max,
        properties: spec.properties.iter().cloned().collect(),
        program: Program::Plugin,
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        files: Vec::new(),
        resources: forebay_job::Resources::default(),
        input: None,
        ..lender.clone()
    })
}

/// The whole job as plugins see it, without policies. What the state machine may need of limits comes as properties, which
/// the job may also set by hand.
fn job_spec(job: &Job) -> JobSpec {
    let place_within_ms = job.limits.place_within.as_millis().to_string();
    let restarts = job.limits.restarts.to_string();
    let mut properties = BTreeMap::from([
        (PLACE_WITHIN.to_owned(), place_within_ms),
        (RESTARTS.to_owned(), restarts),
    ]);
    properties.extend(job.properties.clone());
    properties.extend(job.manager.properties.clone());
    JobSpec {
        name: job.name.clone(),
        guarantee: match job.guarantee {
            JobGuarantee::None => Guarantee::None,
            JobGuarantee::AtLeastOnce => Guarantee::AtLeastOnce,
            JobGuarantee::ExactlyOnce => Guarantee::ExactlyOnce,
        },
        roles: job.roles.iter().map(role_spec).collect(),
        properties: properties.into_iter().collect(),
    }
}

fn role_spec(role: &Role) -> RoleSpec {
    let stop_grace_ms = role.limits.stop_grace.as_millis().to_string();
    let mut properties = BTreeMap::from([(STOP_GRACE.to_owned(), stop_grace_ms)]);
    properties.extend(role.properties.clone());
    RoleSpec {
        name: role.name.clone(),
        nodes: role.nodes,
        nodes_min: role.nodes_min,
        nodes_max: role.nodes_max,
        has_program: role.program != Program::Plugin,
        has_input: role.input.is_some(),
        has_output: role.has_output(),
        gpus_per_node: role.resources.gpus,
        policy: None,
        properties: properties.into_iter().collect(),
    }
}

/// The job with the roles of one runner alone.
pub(crate) fn spec_of_runner(spec: &JobSpec, job: &Job, runner: &str) -> JobSpec {
    let runs = |name: &str| job.role(name).is_some_and(|role| role.plugin == runner);
    let roles = spec
        .roles
        .iter()
        .filter(|role| runs(&role.name))
        .cloned()
        .collect();
    JobSpec {
        roles,
        ..spec.clone()
    }
}

#[cfg(test)]
mod tests {
    use forebay_plugin::{CheckpointDuty, Readiness, RecoveryScope, RolePolicy};

    use super::*;

    #[test]
    fn an_observer_has_no_input() {
        let mut role = role_with(FinishRule::Observer);
        let problem = fed_observer(&role).unwrap();
        insta::assert_snapshot!(problem.key, @"roles.board.input");
        insta::assert_snapshot!(problem.message, @"role `board` has input, and its node runner makes it an observer, whose end nobody waits for: the dataflow would wait for it");
        role.has_input = false;
        assert_eq!(fed_observer(&role), None);
        for finish in [FinishRule::All, FinishRule::First, FinishRule::Service] {
            assert_eq!(fed_observer(&role_with(finish)), None);
        }
    }

    fn role_with(finish: FinishRule) -> RoleSpec {
        let policy = RolePolicy {
            role: "board".into(),
            finish,
            recovery: RecoveryScope::Node,
            adapts: false,
            ready_when: Readiness::Started,
            checkpoint: CheckpointDuty::None,
            ports: Vec::new(),
        };
        RoleSpec {
            name: "board".into(),
            nodes: 1,
            nodes_min: 1,
            nodes_max: 1,
            has_program: true,
            has_input: true,
            has_output: false,
            gpus_per_node: 0,
            policy: Some(policy),
            properties: Vec::new(),
        }
    }
}
