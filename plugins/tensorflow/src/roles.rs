//! What the roles need, and what can be wrong with them.

use forebay_plugin_sdk::{
    CheckpointDuty, FinishRule, JobSpec, PortNeed, Problems, Readiness, RecoveryScope, RolePolicy,
    RoleSpec, tensorboard,
};

pub(crate) const CHIEF: &str = "chief";
pub(crate) const WORKER: &str = "worker";
pub(crate) const PS: &str = "ps";
pub(crate) const EVALUATOR: &str = "evaluator";

/// The roles of `cluster` in `TF_CONFIG`. An evaluator must not stand in it.
pub(crate) const IN_CLUSTER: [&str; 3] = [CHIEF, WORKER, PS];
/// Name of the port that the nodes of those roles listen on.
pub(crate) const GRPC: &str = "grpc";
const KNOWN: [&str; 5] = [CHIEF, WORKER, PS, EVALUATOR, tensorboard::ROLE];

/// Most nodes whose `TF_CONFIG` surely fits one environment variable (128 KiB), at 26 bytes an address.
const NODES_MAX: u32 = 5_000;

/// `None` for a role that TensorFlow does not know.
pub(crate) fn policy(job: &JobSpec, role: &RoleSpec) -> Option<RolePolicy> {
    match role.name.as_str() {
        CHIEF => Some(trainer(job, role, finish_of_chief(job))),
        WORKER => Some(trainer(job, role, finish_of_worker(job, role))),
        PS => Some(server()),
        EVALUATOR => Some(RolePolicy::new(EVALUATOR, FinishRule::Observer)),
        tensorboard::ROLE => Some(tensorboard::policy()),
        _ => None,
    }
}

/// Trains, and is ready when it runs: not every strategy makes a chief or a worker listen.
///
/// The cluster is static. With parameter servers a trainer may return at its old endpoint; in collective training the loss
/// of one is the loss of all.
fn trainer(job: &JobSpec, role: &RoleSpec, finish: FinishRule) -> RolePolicy {
    let has_servers = job.role(PS).is_some();
    let saves = role.name == CHIEF || job.role(CHIEF).is_none();
    RolePolicy {
        recovery: if has_servers {
            RecoveryScope::Node
        } else {
            RecoveryScope::Cluster
        },
        checkpoint: if saves {
            CheckpointDuty::FirstSaves
        } else {
            CheckpointDuty::Acknowledge
        },
        ports: vec![PortNeed::each(GRPC)],
        ..RolePolicy::new(&role.name, finish)
    }
}

/// Serves until the job ends: a script of this role that never listens would leave the others waiting, so it is not ready.
/// Its state is saved through a trainer.
fn server() -> RolePolicy {
    RolePolicy {
        recovery: RecoveryScope::Cluster,
        ready_when: Readiness::Listening(GRPC.to_owned()),
        ports: vec![PortNeed::each(GRPC)],
        ..RolePolicy::new(PS, FinishRule::Service)
    }
}

fn finish_of_chief(job: &JobSpec) -> FinishRule {
    if job.has_input() {
        FinishRule::All
    } else {
        FinishRule::First
    }
}

/// Beside a chief, which decides alone, a worker that ends early is as right as one that serves to the end.
fn finish_of_worker(job: &JobSpec, role: &RoleSpec) -> FinishRule {
    if role.has_input || job.role(CHIEF).is_some() {
        FinishRule::All
    } else {
        FinishRule::First
    }
}

/// All that is wrong with the job.
pub(crate) fn check(job: &JobSpec) -> Problems {
    let mut problems = Problems::default();
    for role in &job.roles {
        check_role(job, role, &mut problems);
    }
    let trains = job.role(CHIEF).is_some() || job.role(WORKER).is_some();
    if let Some(role) = job.roles.first().filter(|_| !trains) {
        problems
            .error(
                format!("roles.{}", role.name),
                "no role trains: the job has neither `worker` nor `chief`",
            )
            .hint("add a role `worker`");
    }
    check_size(job, &mut problems);
    problems
}

fn check_role(job: &JobSpec, role: &RoleSpec, problems: &mut Problems) {
    match role.name.as_str() {
        CHIEF => {
            problems.require_program(role);
            check_single(role, problems);
        }
        EVALUATOR => {
            problems.require_program(role);
            check_single(role, problems);
            check_unfed(role, problems);
        }
        PS => {
            problems.require_program(role);
            check_unfed(role, problems);
            if job.role(WORKER).is_none() {
                problems
                    .error(
                        format!("roles.{PS}"),
                        "parameter servers have nobody to serve: the job has no role `worker`",
                    )
                    .hint("add a role `worker`");
            }
        }
        tensorboard::ROLE => tensorboard::check(role, problems),
        WORKER => problems.require_program(role),
        name => check_unknown(name, problems),
    }
}

fn check_single(role: &RoleSpec, problems: &mut Problems) {
    if role.nodes_max > 1 {
        let message = format!(
            "TensorFlow takes one `{}`, the job asks for {}",
            role.name, role.nodes_max
        );
        problems
            .error(role.key("nodes"), message)
            .hint("set `nodes = 1`");
    }
}

fn check_unfed(role: &RoleSpec, problems: &mut Problems) {
    if role.has_input {
        let message = format!("`{}` does not train and takes no input", role.name);
        problems
            .error(role.key("input"), message)
            .hint("give the input to `worker`");
    }
}

fn check_unknown(name: &str, problems: &mut Problems) {
    let known = KNOWN.map(|role| format!("`{role}`")).join(", ");
    problems
        .error(
            format!("roles.{name}"),
            format!("TensorFlow knows no role `{name}`"),
        )
        .hint(format!(
            "its roles are {known}; any other program runs with `plugin = \"command\"`"
        ));
}

fn check_size(job: &JobSpec, problems: &mut Problems) {
    let nodes = job
        .roles
        .iter()
        .filter(|role| IN_CLUSTER.contains(&role.name.as_str()))
        .map(|role| role.nodes_max);
    let nodes = nodes.fold(0, u32::saturating_add);
    if nodes > NODES_MAX {
        let message =
            format!("`TF_CONFIG` of {nodes} nodes does not fit one environment variable (128 KiB)");
        problems
            .error("roles", message)
            .hint(format!("ask for {NODES_MAX} nodes at most"));
    }
}
