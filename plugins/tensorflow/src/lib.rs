//! The node runner of TensorFlow (to be completed).

use forebay_plugin_sdk::{
    ClusterSpec, FinishRule, JobSpec, LaunchPlan, LaunchRequest, NodeRunner, Plugin, PluginError, Preparation, Program,
    RolePolicy, export,
};

/// The plugin.
#[derive(Debug)]
pub struct TensorFlow;

impl Plugin for TensorFlow {
    const ID: &'static str = "tensorflow";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}

impl NodeRunner for TensorFlow {
    fn prepare(job: &JobSpec) -> Preparation {
        let policies = job.roles.iter().map(|role| RolePolicy::new(&role.name, FinishRule::All)).collect();
        Preparation { policies, ..Preparation::default() }
    }

    fn plan(_: &JobSpec, _: &ClusterSpec, requests: &[LaunchRequest]) -> Result<Vec<LaunchPlan>, PluginError> {
        Ok(requests.iter().map(|request| LaunchPlan::new(&request.node, Program::RoleCommand)).collect())
    }
}

export!(TensorFlow: node_runner);
