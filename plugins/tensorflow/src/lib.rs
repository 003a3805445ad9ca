//! The node runner of TensorFlow: clusters that are wired by `TF_CONFIG`.
//!
//! It knows the roles `chief`, `worker`, `ps`, `evaluator` and `tensorboard`, and *no* particular way to train: scripts may
//! use `tf.compat.v1.train.Server` or any strategy of `tf.distribute`.
//!
//! Start from [`TensorFlow`].

mod config;
mod roles;
#[cfg(test)]
mod tests;

use forebay_plugin_sdk::{
    Cluster, ClusterSpec, ExitReport, Framework, JobSpec, LaunchPlan, LaunchRequest, NodeRunner,
    Plugin, PluginError, Preparation, Program, Verdict, export, tensorboard, verdict_of_exit,
};

/// The plugin.
#[derive(Debug)]
pub struct TensorFlow;

/// In lower case. A peer that is gone shows as UNAVAILABLE or as an end of stream; collective operations say `CANCELLED`
/// or that a task's incarnation changed.
const FRAMEWORK: Framework = Framework {
    modules: &["tensorflow"],
    install: "pip install tensorflow-cpu",
    lost_peer: &[
        "unavailableerror",
        "unavailable:",
        "failed to connect to all addresses",
        "socket closed",
        "incarnation",
        "cancellederror",
        "abortederror",
    ],
};

impl Plugin for TensorFlow {
    const ID: &'static str = "tensorflow";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
}

impl NodeRunner for TensorFlow {
    fn prepare(job: &JobSpec) -> Preparation {
        Preparation {
            policies: job
                .roles
                .iter()
                .filter_map(|role| roles::policy(job, role))
                .collect(),
            hold_at_barrier: job.role(roles::PS).is_some(),
            problems: roles::check(job).into(),
            ..Preparation::default()
        }
    }

    fn plan(
        job: &JobSpec,
        spec: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, PluginError> {
        let cluster = Cluster::new(job, spec);
        let addresses = config::addresses(&cluster)?;
        let plan = |request: &LaunchRequest| {
            if request.node.role == tensorboard::ROLE {
                return tensorboard::plan(job, &cluster, request);
            }
            let config = config::text(&addresses, &request.node)?;
            Ok(LaunchPlan::new(&request.node, Program::RoleCommand).variable("TF_CONFIG", config))
        };
        requests.iter().map(plan).collect()
    }

    fn interpret_exit(job: &JobSpec, report: &ExitReport) -> Verdict {
        match report.node.role.as_str() {
            tensorboard::ROLE => tensorboard::verdict(job, report),
            _ => verdict_of_exit(job, report, &FRAMEWORK),
        }
    }
}

export!(TensorFlow: node_runner);
