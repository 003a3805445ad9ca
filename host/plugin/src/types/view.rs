use serde::{Deserialize, Serialize};

use super::{NodeId, VerdictKind, words};

words! {
    /// Where a node stands.
    NodePhase {
        /// No place.
        Absent = "absent",
        /// Asked for; no room yet.
        Waiting = "waiting",
        /// Has machine and ports, no process.
        Placed = "placed",
        /// A process runs and is not ready.
        Starting = "starting",
        /// A process runs and is ready.
        Ready = "ready",
        /// Told to stop; may still run.
        Stopping = "stopping",
        /// Its process has ended; the place is kept.
        Exited = "exited",
    }
}

impl NodePhase {
    /// A process of the node runs, or may run.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Ready | Self::Stopping)
    }

    /// The node has a machine and ports.
    pub const fn has_place(self) -> bool {
        !matches!(self, Self::Absent | Self::Waiting)
    }
}

/// What is true of one node now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Where it stands.
    pub phase: NodePhase,
    /// Newest attempt; 0: never started.
    pub attempt: u32,
    /// Generation that its live process has taken; 0: none.
    pub generation: u64,
    /// Index into `JobView::machines`.
    pub machine: Option<u32>,
    /// Verdict on the newest ended attempt.
    pub last: Option<VerdictKind>,
    /// It said that its work is done.
    pub done: bool,
    /// Highest step or rows over all attempts.
    pub progress: u64,
    /// How long the newest ended attempt had run.
    pub ran_ms: u64,
}

impl Default for NodeView {
    /// A node that was never asked for.
    fn default() -> Self {
        Self {
            phase: NodePhase::Absent,
            attempt: 0,
            generation: 0,
            machine: None,
            last: None,
            done: false,
            progress: 0,
            ran_ms: 0,
        }
    }
}

/// What is true of one role now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleView {
    /// Name of the role.
    pub role: String,
    /// Position is index.
    pub nodes: Vec<NodeView>,
    /// Every node has been sent the end of its input.
    pub input_ended: bool,
}

words! {
    /// Where the dataflow of a job stands.
    DataflowPhase {
        /// The job has none.
        None = "none",
        /// It runs, or waits for its nodes.
        Running = "running",
        /// Everything is complete.
        Ended = "ended",
        /// It needs a `rewind`.
        Failed = "failed",
    }
}

/// The truth at the moment of a `decide`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Where the dataflow stands.
    pub dataflow: DataflowPhase,
    /// Newest published cluster; 0: none yet.
    pub generation: u64,
    /// Newest committed checkpoint.
    pub last_checkpoint: Option<u64>,
    /// All roles of the job.
    pub roles: Vec<RoleView>,
    /// Names of the machines.
    pub machines: Vec<String>,
}

impl JobView {
    /// What is known of this node; absent if the job has no such node.
    pub fn node(&self, id: &NodeId) -> Option<&NodeView> {
        let role = self.roles.iter().find(|role| role.role == id.role)?;
        role.nodes.get(usize::try_from(id.index).ok()?)
    }
}
