//! What the author of an engine plugin or a dataflow operator depends on: the records of `wit/plugin`, the traits
//! [`NodeRunner`] and [`StateMachine`], [`export!`], and helpers that nearly every plugin needs; [`operator`] has the same for
//! operators.
//!
//! It is *not* the host's view of a plugin, and it does nothing by itself: a plugin is a pure function over records, with
//! no clock, files or network; [`log`] is its only way out.
//!
//! Start from [`NodeRunner`] (knows one framework: the usual plugin), [`StateMachine`] (other rules of life and death),
//! [`Cluster`] (where everybody is, while a launch plan is made), or [`operator::BatchOperator`] (makes rows of rows).
//!
//! # A complete node runner
//!
//! ```
//! use forebay_plugin_sdk::{
//!     Cluster, ClusterSpec, ExitReport, FinishRule, Framework, JobSpec, LaunchPlan, LaunchRequest, NodeRunner, Plugin,
//!     PluginError, PortNeed, Preparation, Problems, Program, RolePolicy, Verdict, verdict_of_exit,
//! };
//!
//! struct Ring;
//!
//! impl Plugin for Ring {
//!     const ID: &'static str = "ring";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//! }
//!
//! impl NodeRunner for Ring {
//!     fn prepare(job: &JobSpec) -> Preparation {
//!         let mut problems = Problems::default();
//!         for role in job.roles.iter().filter(|role| role.nodes < 2) {
//!             problems.error(role.key("nodes"), "a ring needs two nodes").hint("set `nodes = 2` or more");
//!         }
//!         let policy = |role: &str| RolePolicy {
//!             ports: vec![PortNeed::each("ring")],
//!             ..RolePolicy::new(role, FinishRule::All)
//!         };
//!         let policies = job.roles.iter().map(|role| policy(&role.name)).collect();
//!         Preparation { policies, problems: problems.into(), ..Preparation::default() }
//!     }
//!
//!     fn plan(job: &JobSpec, spec: &ClusterSpec, requests: &[LaunchRequest]) -> Result<Vec<LaunchPlan>, PluginError> {
//!         let cluster = Cluster::new(job, spec);
//!         requests.iter().map(|request| {
//!             let size = u32::try_from(cluster.members(&request.node.role).len()).unwrap_or(u32::MAX);
//!             let next = request.node.sibling((request.node.index + 1) % size.max(1));
//!             let plan = LaunchPlan::new(&request.node, Program::RoleCommand);
//!             Ok(plan.variable("RING_NEXT", cluster.endpoint(&next, "ring")?))
//!         }).collect()
//!     }
//!
//!     fn interpret_exit(job: &JobSpec, report: &ExitReport) -> Verdict {
//!         verdict_of_exit(job, report, &Framework::default())
//!     }
//! }
//!
//! forebay_plugin_sdk::export!(Ring: node_runner);
//! ```
//!
//! Its crate has `crate-type = ["cdylib", "rlib"]`; `forebay-plugin-build` makes a component of it, and a `plugin.toml`
//! beside it says what it may ask for.

// The code that `wit-bindgen` makes names its run time by an absolute path.
extern crate self as forebay_plugin_sdk;

#[doc(hidden)]
pub mod bindings;
mod cluster;
mod exit;
mod export;
pub mod log;
pub mod operator;
mod problems;
mod properties;
mod records;
pub mod tensorboard;
mod traits;

pub use bindings::info::forebay::plugin::types::*;
pub use bindings::machine::exports::forebay::plugin::state_machine::{
    Action, CustomAction, CustomEvent, DataflowPhase, Decision, Event, FinishRequest, JobEnd,
    JobFailure, JobView, Moment, NodeExit, NodePhase, NodeStall, NodeView, PlaceRequest, Refusal,
    ResizeOrder, RestartRequest, RoleView, ScaleRequest, StallKind, StopOrder, StopRequest,
    TimerOrder,
};
pub use bindings::runner::exports::forebay::plugin::node_runner::{
    ClusterSpec, LaunchFile, LaunchPlan, LaunchRequest, Machine, Member, Preparation, Problem,
    Program, RoleMembers, Severity,
};
pub use cluster::Cluster;
pub use exit::{Framework, signal_name, verdict_of_exit};
pub use export::Part;
pub use problems::Problems;
pub use properties::Properties;
pub use records::clip;
pub use traits::{NodeRunner, Plugin, StateMachine};
