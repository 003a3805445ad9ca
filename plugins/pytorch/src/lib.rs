//! The node runner of PyTorch: process groups that are wired like those of `torchrun`.
//!
//! Role names are free: every role but `tensorboard` trains, and all of its nodes are one process group, with ranks in the
//! order of the job's roles and of the indices within each. It is *not* an elastic launcher: a process group is static, so
//! the loss of one rank is the loss of all.
//!
//! Start from [`PyTorch`].

mod ranks;
#[cfg(test)]
mod tests;

use forebay_plugin_sdk::{
    CheckpointDuty, Cluster, ClusterSpec, ExitReport, FinishRule, Framework, JobSpec, LaunchPlan,
    LaunchRequest, NodeRunner, Plugin, PluginError, PortNeed, Preparation, Problems, Program,
    RecoveryScope, RolePolicy, RoleSpec, Verdict, export, tensorboard, verdict_of_exit,
};

use crate::ranks::Ranks;

/// The plugin.
#[derive(Debug)]
pub struct PyTorch;

/// Port of the rendezvous, on the node of rank 0.
const MASTER: &str = "master";

/// In lower case. A rank that has lost a peer raises within seconds: that is no mistake of its script.
const FRAMEWORK: Framework = Framework {
    modules: &["torch"],
    install: "pip install torch",
    lost_peer: &[
        "connection reset",
        "connection was closed",
        "recvvalue failed",
        "sendbytes failed",
        "recvbytes failed",
        "remote process exited",
        "socket closed",
        "ncclremoteerror",
        "ncclsystemerror",
        "disterror",
    ],
};

/// What `torchrun` sets beside these and a script under it would take for its own: files and a port of that launcher.
const OF_OTHER_LAUNCHERS: &[&str] = &[
    "TORCHELASTIC_ENABLE_FILE_TIMER",
    "TORCHELASTIC_ERROR_FILE",
    "TORCHELASTIC_HEALTH_CHECK_PORT",
    "TORCHELASTIC_TIMER_FILE",
];

impl Plugin for PyTorch {
    const ID: &'static str = "pytorch";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}

impl NodeRunner for PyTorch {
    fn prepare(job: &JobSpec) -> Preparation {
        Preparation {
            policies: job.roles.iter().map(|role| policy(job, role)).collect(),
            problems: check(job).into(),
            ..Preparation::default()
        }
    }

    fn plan(
        job: &JobSpec,
        spec: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, PluginError> {
        let cluster = Cluster::new(job, spec);
        let ranks = Ranks::new(job, &cluster);
        requests
            .iter()
            .map(|request| match request.node.role.as_str() {
                tensorboard::ROLE => tensorboard::plan(job, &cluster, request),
                _ => plan(job, &cluster, &ranks, request),
            })
            .collect()
    }

    fn interpret_exit(job: &JobSpec, report: &ExitReport) -> Verdict {
        match report.node.role.as_str() {
            tensorboard::ROLE => tensorboard::verdict(job, report),
            _ => verdict_of_exit(job, report, &FRAMEWORK),
        }
    }
}

/// The roles that make up the process group, in the order of their ranks.
pub(crate) fn trainers(job: &JobSpec) -> impl Iterator<Item = &RoleSpec> {
    job.roles
        .iter()
        .filter(|role| role.name != tensorboard::ROLE)
}

fn policy(job: &JobSpec, role: &RoleSpec) -> RolePolicy {
    if role.name == tensorboard::ROLE {
        return tensorboard::policy();
    }
    let leads = trainers(job)
        .next()
        .is_some_and(|first| first.name == role.name);
    RolePolicy {
        recovery: RecoveryScope::Cluster,
        checkpoint: if leads {
            CheckpointDuty::FirstSaves
        } else {
            CheckpointDuty::Acknowledge
        },
        ports: if leads {
            vec![PortNeed::first(MASTER)]
        } else {
            Vec::new()
        },
        ..RolePolicy::new(&role.name, FinishRule::All)
    }
}

fn check(job: &JobSpec) -> Problems {
    let mut problems = Problems::default();
    for role in trainers(job) {
        problems.require_program(role);
    }
    if let Some(role) = job.role(tensorboard::ROLE) {
        tensorboard::check(role, &mut problems);
        if trainers(job).next().is_none() {
            problems
                .error("roles", "no role trains: the job has `tensorboard` alone")
                .hint("add a role `worker`");
        }
    }
    problems
}

/// The variables of `torchrun`; scripts made for it run unchanged.
fn plan(
    job: &JobSpec,
    cluster: &Cluster<'_>,
    ranks: &Ranks,
    request: &LaunchRequest,
) -> Result<LaunchPlan, PluginError> {
    let (rank, seat) = ranks.of(&request.node)?;
    let master = ranks.first()?;
    let device = &cluster.own_machine(request)?.device;
    Ok(LaunchPlan::new(&request.node, Program::RoleCommand)
        .without(OF_OTHER_LAUNCHERS)
        .variable("MASTER_ADDR", &cluster.machine(master)?.address)
        .variable("MASTER_PORT", cluster.port(master, MASTER)?)
        .variable("RANK", rank)
        .variable("WORLD_SIZE", ranks.count())
        .variable("LOCAL_RANK", seat.local)
        .variable("LOCAL_WORLD_SIZE", ranks.group_sizes()[seat.group])
        .variable("GROUP_RANK", seat.group)
        .variable("GROUP_WORLD_SIZE", ranks.group_sizes().len())
        .variable("ROLE_NAME", &request.node.role)
        .variable("ROLE_RANK", request.node.index)
        .variable("ROLE_WORLD_SIZE", cluster.members(&request.node.role).len())
        .variable("TORCHELASTIC_RUN_ID", &job.name)
        .variable(
            "TORCHELASTIC_RESTART_COUNT",
            request.attempt.saturating_sub(1),
        )
        .variable("TORCHELASTIC_MAX_RESTARTS", 0)
        .variable("TORCHELASTIC_USE_AGENT_STORE", "False")
        .variable("GLOO_SOCKET_IFNAME", device)
        .variable("NCCL_SOCKET_IFNAME", device))
}

export!(PyTorch: node_runner);
