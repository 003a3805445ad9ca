//! The node runner of MXNet: key-value stores (`dist_sync`, `dist_async`) with a scheduler, servers and workers.
//!
//! The scheduler is implied; a job that wants its own settings for it names a role `scheduler`. Scheduler and servers run
//! no script: `import mxnet` serves where `DMLC_ROLE` says so, and ends when the workers have said goodbye.
//! A worker's rank in the store is *not* its index: MXNet orders ranks by address and port.
//!
//! Start from [`MxNet`].

mod roles;
#[cfg(test)]
mod tests;

use forebay_plugin_sdk::{
    Cluster, ClusterSpec, ExitReport, Framework, JobSpec, LaunchPlan, LaunchRequest, NodeId,
    NodeRunner, Plugin, PluginError, Preparation, Program, RoleSpec, Verdict, export,
    verdict_of_exit,
};

use crate::roles::{SCHEDULER, SERVER, STORE, WORKER};

/// The plugin.
#[derive(Debug)]
pub struct MxNet;

/// In lower case.
const FRAMEWORK: Framework = Framework {
    modules: &["mxnet"],
    install: "pip install mxnet==1.9.1 numpy==1.23.5",
    lost_peer: &["there is no node", "lost connection"],
};

/// What the launchers that come with MXNet may have set, and its store reads.
const OF_OTHER_LAUNCHERS: &[&str] = &[
    "DMLC_INTERFACE",
    "DMLC_LOCAL",
    "DMLC_NUM_ATTEMPT",
    "DMLC_SERVER_ID",
    "DMLC_TASK_ID",
    "DMLC_WORKER_ID",
];

impl Plugin for MxNet {
    const ID: &'static str = "mxnet";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}

impl NodeRunner for MxNet {
    fn prepare(job: &JobSpec) -> Preparation {
        let implied: Vec<_> = if job.role(SCHEDULER).is_none() {
            vec![RoleSpec::new(SCHEDULER, 1)]
        } else {
            Vec::new()
        };
        Preparation {
            policies: job
                .roles
                .iter()
                .chain(&implied)
                .filter_map(roles::policy)
                .collect(),
            implied,
            hold_at_barrier: true,
            problems: roles::check(job).into(),
        }
    }

    fn plan(
        job: &JobSpec,
        spec: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, PluginError> {
        let cluster = Cluster::new(job, spec);
        requests
            .iter()
            .map(|request| plan(&cluster, request))
            .collect()
    }

    fn interpret_exit(job: &JobSpec, report: &ExitReport) -> Verdict {
        verdict_of_exit(job, report, &FRAMEWORK)
    }
}

fn plan(cluster: &Cluster<'_>, request: &LaunchRequest) -> Result<LaunchPlan, PluginError> {
    let role = request.node.role.as_str();
    let scheduler = NodeId::new(SCHEDULER, 0);
    let plan = if role == WORKER {
        LaunchPlan::new(&request.node, Program::RoleCommand)
    } else {
        LaunchPlan::new(&request.node, Program::Interpreter)
            .argument("-c")
            .argument("import mxnet")
    };
    let plan = plan
        .without(OF_OTHER_LAUNCHERS)
        .variable("DMLC_ROLE", role)
        .variable("DMLC_PS_ROOT_URI", &cluster.machine(&scheduler)?.address)
        .variable("DMLC_PS_ROOT_PORT", cluster.port(&scheduler, STORE)?)
        .variable("DMLC_NUM_SERVER", cluster.members(SERVER).len())
        .variable("DMLC_NUM_WORKER", cluster.members(WORKER).len())
        .variable("DMLC_NODE_HOST", &cluster.own_machine(request)?.address);
    // The scheduler listens where the others look for it, whatever this says.
    Ok(plan.variable("PORT", cluster.own_port(request, STORE)?))
}

export!(MxNet: node_runner);
