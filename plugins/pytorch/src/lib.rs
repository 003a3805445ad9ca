//! The node runner of PyTorch (to be completed).

use forebay_plugin_sdk::{
    ClusterSpec, FinishRule, JobSpec, LaunchPlan, LaunchRequest, NodeRunner, Plugin, PluginError, Preparation, Program,
    RolePolicy, export,
};

/// The plugin.
#[derive(Debug)]
pub struct PyTorch;

impl Plugin for PyTorch {
    const ID: &'static str = "pytorch";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}

impl NodeRunner for PyTorch {
    fn prepare(job: &JobSpec) -> Preparation {
        let policies = job.roles.iter().map(|role| RolePolicy::new(&role.name, FinishRule::All)).collect();
        Preparation { policies, ..Preparation::default() }
    }

    fn plan(_: &JobSpec, _: &ClusterSpec, requests: &[LaunchRequest]) -> Result<Vec<LaunchPlan>, PluginError> {
        Ok(requests.iter().map(|request| LaunchPlan::new(&request.node, Program::RoleCommand)).collect())
    }
}

export!(PyTorch: node_runner);
