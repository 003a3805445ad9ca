//! What the roles need, and what can be wrong with them.

use forebay_plugin_sdk::{
    CheckpointDuty, FinishRule, JobSpec, PortNeed, Problems, Readiness, RecoveryScope, RolePolicy,
    RoleSpec,
};

pub(crate) const SCHEDULER: &str = "scheduler";
pub(crate) const SERVER: &str = "server";
pub(crate) const WORKER: &str = "worker";
/// The port that each node's part of the key-value store listens on.
pub(crate) const STORE: &str = "store";

/// `None` for a role that MXNet does not know.
///
/// A newcomer cannot take a dead node's place in the store, so the loss of one is the loss of all. A worker is ready when
/// it runs: its script may make the store late.
pub(crate) fn policy(role: &RoleSpec) -> Option<RolePolicy> {
    let (finish, ready_when, checkpoint) = match role.name.as_str() {
        WORKER => (
            FinishRule::All,
            Readiness::Started,
            CheckpointDuty::FirstSaves,
        ),
        SERVER | SCHEDULER => (
            FinishRule::Service,
            Readiness::Listening(STORE.to_owned()),
            CheckpointDuty::None,
        ),
        _ => return None,
    };
    Some(RolePolicy {
        recovery: RecoveryScope::Cluster,
        ready_when,
        checkpoint,
        ports: vec![PortNeed::each(STORE)],
        ..RolePolicy::new(&role.name, finish)
    })
}

/// All that is wrong with the job.
pub(crate) fn check(job: &JobSpec) -> Problems {
    let mut problems = Problems::default();
    for role in &job.roles {
        check_role(role, &mut problems);
    }
    for (name, does) in [(SERVER, "keeps the parameters"), (WORKER, "trains")] {
        if job.role(name).is_none() {
            problems
                .error(
                    "roles",
                    format!("MXNet needs a role `{name}`, which {does}; the job has none"),
                )
                .hint(format!("add a role `{name}`"));
        }
    }
    problems
}

fn check_role(role: &RoleSpec, problems: &mut Problems) {
    let name = role.name.as_str();
    if name == WORKER {
        problems.require_program(role);
    }
    if name == SCHEDULER && role.nodes_max > 1 {
        let message = format!(
            "MXNet takes one `{SCHEDULER}`, the job asks for {}",
            role.nodes_max
        );
        problems
            .error(role.key("nodes"), message)
            .hint("set `nodes = 1`, or leave the role out: it is implied");
    }
    if matches!(name, SCHEDULER | SERVER) && role.has_input {
        let message = format!("`{name}` does not train and takes no input");
        problems
            .error(role.key("input"), message)
            .hint("give the input to `worker`");
    }
    if !matches!(name, SCHEDULER | SERVER | WORKER) {
        problems
            .error(format!("roles.{name}"), format!("MXNet knows no role `{name}`"))
            .hint("its roles are `scheduler`, `server` and `worker`; any other program runs with `plugin = \"command\"`");
    }
}
