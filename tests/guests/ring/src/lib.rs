//! A node runner that Forebay does not carry: every node is told where the next one of its role is.
//!
//! It is *not* an example of a framework's needs; `plugins` has those. Start from [`Ring`].

use forebay_plugin_sdk::{
    Cluster, ClusterSpec, FinishRule, JobSpec, LaunchPlan, LaunchRequest, NodeRunner, Plugin,
    PluginError, PortNeed, Preparation, Problems, Program, RolePolicy,
};

/// The plugin.
#[derive(Debug)]
pub struct Ring;

impl Plugin for Ring {
    const ID: &'static str = "ring";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}

impl NodeRunner for Ring {
    fn prepare(job: &JobSpec) -> Preparation {
        let mut problems = Problems::default();
        for role in job.roles.iter().filter(|role| role.nodes < 2) {
            let problem = problems.error(role.key("nodes"), "a ring needs two nodes");
            problem.hint("set `nodes = 2` or more");
        }
        let policy = |role: &str| RolePolicy {
            ports: vec![PortNeed::each("ring")],
            ..RolePolicy::new(role, FinishRule::All)
        };
        Preparation {
            policies: job.roles.iter().map(|role| policy(&role.name)).collect(),
            problems: problems.into(),
            ..Preparation::default()
        }
    }

    fn plan(
        job: &JobSpec,
        spec: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, PluginError> {
        let cluster = Cluster::new(job, spec);
        let plan = |request: &LaunchRequest| {
            let size = u32::try_from(cluster.members(&request.node.role).len()).unwrap_or(u32::MAX);
            let next = request.node.sibling((request.node.index + 1) % size.max(1));
            let plan = LaunchPlan::new(&request.node, Program::RoleCommand);
            Ok(plan
                .without(&["RING_LAUNCHER"])
                .variable("RING_NEXT", cluster.endpoint(&next, "ring")?))
        };
        requests.iter().map(plan).collect()
    }
}

forebay_plugin_sdk::export!(Ring: node_runner);
