use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::words;

/// Names and values that the interface does not interpret; names are unique.
pub type Attributes = Vec<(String, String)>;

/// One member of a role, written `worker:0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId {
    /// Name of the role.
    pub role: String,
    /// Position in the role, from 0.
    pub index: u32,
}

impl NodeId {
    /// The node `role:index`.
    pub fn new(role: impl Into<String>, index: u32) -> Self {
        Self {
            role: role.into(),
            index,
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.role, self.index)
    }
}

/// The text is no node id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a node: expected a role and an index, such as `worker:0`")]
pub struct NodeIdError(String);

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let parsed = text.rsplit_once(':').and_then(|(role, index)| {
            let canonical = index == "0" || !index.starts_with(['0', '+']);
            let index = index.parse().ok().filter(|_| canonical)?;
            (!role.is_empty()).then(|| Self::new(role, index))
        });
        parsed.ok_or_else(|| NodeIdError(text.to_owned()))
    }
}

impl TryFrom<String> for NodeId {
    type Error = NodeIdError;

    fn try_from(text: String) -> Result<Self, NodeIdError> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.to_string()
    }
}

/// What a plugin says it is; equal to its `plugin.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Name of the plugin.
    pub id: String,
    /// Semantic version of the plugin.
    pub version: String,
    /// Name of the layout of its state bytes; empty without a state machine.
    pub state_format: String,
}

/// A plugin's deliberate "I cannot do this".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} (`{code}`)")]
pub struct PluginError {
    /// Stable, lower-case-with-dashes.
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

words! {
    /// What a lost record costs in a job.
    Guarantee {
        /// Recovery starts the input again.
        None = "none",
        /// Records may be seen again.
        AtLeastOnce = "at-least-once",
        /// No record is lost or seen twice.
        ExactlyOnce = "exactly-once",
    }
}

words! {
    /// When a role has done its part.
    FinishRule {
        /// Every node has to finish.
        All = "all",
        /// Done when node 0 has finished.
        First = "first",
        /// Serves the others and is ended with the job.
        Service = "service",
        /// Nobody waits for it, its failure harms nobody.
        Observer = "observer",
    }
}

words! {
    /// The least that starts again when one node of the role fails.
    RecoveryScope {
        /// The node alone.
        Node = "node",
        /// Its whole role.
        Role = "role",
        /// All nodes of the cluster.
        Cluster = "cluster",
    }
}

/// When a started process counts as ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// As soon as it runs.
    Started,
    /// When it has called `forebay.node()`.
    Attached,
    /// When it listens on its port of this name.
    Listening(String),
}

words! {
    /// What a role does when a checkpoint barrier reaches it.
    CheckpointDuty {
        /// Takes no part.
        None = "none",
        /// Finishes what came before and acknowledges.
        Acknowledge = "acknowledge",
        /// Node 0 saves after every acknowledgement.
        FirstSaves = "first-saves",
        /// Every node saves its part.
        EachSaves = "each-saves",
    }
}

/// A port that the host leases on a node's machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortNeed {
    /// Unique in the role.
    pub name: String,
    /// Only node 0 has it.
    pub first_only: bool,
}

/// What a framework needs of one role, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolePolicy {
    /// Name of the role.
    pub role: String,
    /// When it has done its part.
    pub finish: FinishRule,
    /// What starts again with a failed node.
    pub recovery: RecoveryScope,
    /// Live processes take a new cluster without a restart.
    pub adapts: bool,
    /// When a process counts as ready.
    pub ready_when: Readiness,
    /// Its part in a checkpoint.
    pub checkpoint: CheckpointDuty,
    /// In the order of `Member::ports`.
    pub ports: Vec<PortNeed>,
}

/// A role as the job asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSpec {
    /// Unique in the job.
    pub name: String,
    /// Wanted size now, within the two bounds.
    pub nodes: u32,
    /// Smallest size.
    pub nodes_min: u32,
    /// Largest size.
    pub nodes_max: u32,
    /// The job file names a script or a command for it.
    pub has_program: bool,
    /// The dataflow feeds it.
    pub has_input: bool,
    /// It sends records back.
    pub has_output: bool,
    /// GPUs of each node.
    pub gpus_per_node: u32,
    /// Absent only while `prepare` runs.
    pub policy: Option<RolePolicy>,
    /// For the plugin to read.
    pub properties: Attributes,
}

/// A job as plugins see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Name of the job.
    pub name: String,
    /// What a lost record costs.
    pub guarantee: Guarantee,
    /// All roles, implied ones too once `prepare` has named them.
    pub roles: Vec<RoleSpec>,
    /// For the plugin to read.
    pub properties: Attributes,
}

impl JobSpec {
    /// The role of this name.
    pub fn role(&self, name: &str) -> Option<&RoleSpec> {
        self.roles.iter().find(|role| role.name == name)
    }
}
