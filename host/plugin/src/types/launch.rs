use serde::{Deserialize, Serialize};

use super::{Attributes, NodeId, RolePolicy, RoleSpec, words};

words! {
    /// How bad a problem is.
    Severity {
        /// The job may run.
        Warning = "warning",
        /// The job is refused.
        Error = "error",
    }
}

/// Something wrong with a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Key of the job file, such as `roles.worker.nodes`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// A node runner's answer to a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// One for every role, implied ones too.
    pub policies: Vec<RolePolicy>,
    /// Roles that the framework needs and the job does not name.
    pub implied: Vec<RoleSpec>,
    /// Nobody reads past a barrier before the checkpoint is committed.
    pub hold_at_barrier: bool,
    /// All of them at once.
    pub problems: Vec<Problem>,
}

/// A machine of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Where others reach it.
    pub address: String,
    /// Network interface of the address.
    pub device: String,
}

/// One node of a cluster with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Position in its role.
    pub index: u32,
    /// Index into `ClusterSpec::machines`.
    pub machine: u32,
    /// Position among the members of its role on its machine.
    pub local_index: u32,
    /// In the order of `RolePolicy::ports`.
    pub ports: Vec<u16>,
}

/// The members of one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleMembers {
    /// Name of the role.
    pub role: String,
    /// Its members.
    pub members: Vec<Member>,
}

/// One published generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Its number, from 1.
    pub generation: u64,
    /// Machines that members refer to.
    pub machines: Vec<Machine>,
    /// Roles with their members.
    pub roles: Vec<RoleMembers>,
}

/// Asks how to start one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchRequest {
    /// Which node.
    pub node: NodeId,
    /// Which attempt of it.
    pub attempt: u32,
    /// Its own machine and ports.
    pub place: Member,
}

/// What a node's process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// Script or command of the role.
    RoleCommand,
    /// The role's interpreter alone.
    Interpreter,
    /// Another program; manifest and operator must allow it.
    Executable(String),
}

/// A file below a node's working folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchFile {
    /// Relative and normalised.
    pub path: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// How to start one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// Which node.
    pub node: NodeId,
    /// What runs.
    pub program: Program,
    /// Appended to the program's own.
    pub arguments: Vec<String>,
    /// Variables that the plugin sets.
    pub environment: Attributes,
    /// Variables of the agent's own environment that it must not see.
    pub unset: Vec<String>,
    /// Written before the start.
    pub files: Vec<LaunchFile>,
}
