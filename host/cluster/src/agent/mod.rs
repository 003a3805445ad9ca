//! The host's part on a machine: leases ports, starts, watches and ends node processes, and tells the application
//! manager (AM) of one job about them.
//!
//! One loop (`core`) owns all state and takes one closed `Event`; each attempt of a node has a task of its own
//! (`attempt`), one more keeps the connection. It decides nothing about a job, knows no plugin and listens on
//! nothing. Start from [`Options`] and [`run`].

mod actions;
mod attempt;
mod capture;
pub(crate) mod connection;
mod control;
mod core;
mod dataflow;
mod environment;
mod interpreter;
mod launcher;
mod leftovers;
mod logs;
mod machine;
mod memory;
mod node_program;
mod outbox;
mod places;
mod ports;
mod preparation;
mod probe;
mod readiness;
#[cfg(test)]
pub(crate) mod simulated;
mod staging;
mod tail;
mod uplink;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use dataflow::{
    DataflowEnd, DataflowExecutor, DataflowFault, DataflowNote, DataflowTeller, DataflowTold,
    DataflowWay, FedAttempt, FeedState, HowFar,
};
pub use interpreter::{NoInterpreter, check_interpreter};
pub use leftovers::of_output as processes_of;
pub use machine::{AddressError, Resources, choose_address};
pub use ports::PortRange;

use crate::connect::ManagerAddress;
use crate::token::Token;

/// What an agent is and where it works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the AM listens.
    pub manager: ManagerAddress,
    /// Secret of the run.
    pub token: Token,
    /// Unique in the job. `None`: the host name, with the process number where that is taken.
    pub name: Option<String>,
    /// Where nodes of other machines reach this machine's nodes; see [`choose_address`].
    pub address: IpAddr,
    /// Network interface of the address.
    pub interface: String,
    /// What nodes may use of this machine.
    pub resources: Resources,
    /// The agent's own: `spool/` (logs until the AM has them) and `staged/` (files of the job) are made below it.
    pub folder: PathBuf,
    /// Working folders of the nodes, `ROLE-INDEX`, are made below it and kept.
    pub nodes: PathBuf,
    /// Where nodes put their results (`FOREBAY_OUTPUT`).
    pub output: PathBuf,
    /// The `forebay` executable: nodes are started through `LAUNCHER node-exec`.
    pub launcher: PathBuf,
    /// Ports that nodes may be given. Default: [`PortRange::of_this_machine`].
    pub ports: PortRange,
    /// The agent inside the engine, as against `forebay agent`; told to the AM.
    pub in_engine: bool,
    /// How long the first welcome of the AM is waited for. 10 s for `forebay agent`.
    pub connect_within: Duration,
    /// What runs the dataflow of the job: the engine's agent has it, no other.
    pub dataflow: Option<Arc<dyn DataflowExecutor>>,
}

/// What the owner of an agent wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Go on.
    No,
    /// End all nodes with SIGTERM, those that stay with SIGKILL after the grace, and the dataflow where it is; then return.
    Within(Duration),
    /// End all nodes with SIGKILL, then return.
    Now,
}

/// Why an agent has ended, with every node gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The AM said that the job is over.
    Job {
        /// `succeeded`, `failed` or `stopped`.
        outcome: String,
    },
    /// Its owner stopped it.
    Stopped,
    /// No AM was there for longer than the orphan grace that the last one had given.
    Orphaned,
}

/// Why an agent could not do its work. Every node is gone.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// One of its folders cannot be made.
    #[error("cannot make the folder `{path}`")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system refuses something that agents need.
    #[error("the agent cannot {doing}")]
    System {
        /// What.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The AM does not want this agent: wrong token, another version, a name that is taken.
    #[error("the application manager at `{address}` refuses this agent: {message}")]
    Refused {
        /// Where it listens.
        address: ManagerAddress,
        /// What it says.
        message: String,
    },
    /// There was no AM within [`Options::connect_within`].
    #[error("no application manager answers at `{address}`: {reason}")]
    Unreachable {
        /// Where it should listen.
        address: ManagerAddress,
        /// How the last try ended.
        reason: String,
    },
}

impl AgentError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Folder { .. } => Some("give a folder that you may write to"),
            Self::System { .. } => None,
            Self::Refused { .. } => {
                Some("take address, token and version from the run that the agent is to serve")
            }
            Self::Unreachable { .. } => {
                Some("check that the run is alive and that its address is right")
            }
        }
    }
}

/// Serves one job until it ends, the AM refuses, `stop` says so, or no AM comes back. Returns when every node is gone, and the
/// dataflow, unless that takes too long; when the future is dropped instead, the nodes end by themselves within seconds.
///
/// Makes this process a child subreaper, so that nodes can be ended even if their small parent was killed.
pub async fn run(options: Options, stop: watch::Receiver<Stop>) -> Result<Ended, AgentError> {
    core::Agent::new(options, stop)?.work().await
}
