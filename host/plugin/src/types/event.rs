use serde::{Deserialize, Serialize};

use super::{NodeId, Verdict, words};

/// What a pure function may need and cannot fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// Number of the first event of the call.
    pub event_number: u64,
    /// For jitter.
    pub seed: u64,
}

/// A process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeExit {
    /// Which node.
    pub node: NodeId,
    /// Which attempt of it.
    pub attempt: u32,
    /// What its node runner, or the host, makes of it.
    pub verdict: Verdict,
}

words! {
    /// How a node stands still.
    StallKind {
        /// Started, not ready within its limit.
        NotReady = "not-ready",
        /// Ready, but nothing moves.
        NoProgress = "no-progress",
        /// Its interpreter does not answer.
        Unresponsive = "unresponsive",
        /// Its work is done, its process stays.
        Lingering = "lingering",
    }
}

/// A node stands still; nothing has been killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStall {
    /// Which node.
    pub node: NodeId,
    /// Which attempt of it.
    pub attempt: u32,
    /// In which way.
    pub kind: StallKind,
    /// Since when.
    pub for_ms: u64,
}

/// Somebody wants an orderly end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Number to refuse it by.
    pub request: u64,
    /// Time that is left.
    pub deadline_ms: u64,
}

/// Somebody wants another size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleRequest {
    /// Number to refuse it by.
    pub request: u64,
    /// Which role.
    pub role: String,
    /// Its wanted size.
    pub nodes: u32,
}

/// Somebody wants new attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartRequest {
    /// Number to refuse it by.
    pub request: u64,
    /// Which nodes.
    pub nodes: Vec<NodeId>,
}

/// A script asks for the end of the whole job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishRequest {
    /// Whose script.
    pub node: NodeId,
    /// Its reason.
    pub reason: String,
}

/// Something that only user code or a newer host knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomEvent {
    /// Its name; unknown ones are ignored.
    pub name: String,
    /// Who sent it.
    pub node: Option<NodeId>,
    /// As the sender formed it.
    pub payload: String,
}

/// Why `decide` is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// First call of a job.
    Submitted,
    /// All nodes of a `place` have machine and ports.
    NodesPlaced(Vec<NodeId>),
    /// The deadline of a `place` passed; the text says what was missing.
    PlaceFailed(Vec<NodeId>, String),
    /// They became ready, or took a newer generation.
    NodesReady(Vec<NodeId>),
    /// A process ended.
    NodeExited(NodeExit),
    /// Their machine is gone.
    NodesLost(Vec<NodeId>),
    /// A node stands still.
    NodeStalled(NodeStall),
    /// The sinks are complete.
    DataflowEnded,
    /// The dataflow needs a `rewind`; the text says why.
    DataflowFailed(String),
    /// This checkpoint is complete.
    CheckpointCommitted(u64),
    /// Room appeared on these machines.
    MachinesJoined(Vec<String>),
    /// The timer of this id fired.
    Timer(String),
    /// An orderly end is wanted.
    StopRequested(StopRequest),
    /// Another size is wanted.
    ScaleRequested(ScaleRequest),
    /// New attempts are wanted.
    RestartRequested(RestartRequest),
    /// A new application manager took over after this many milliseconds.
    Recovered(u64),
    /// A person resumed the quarantined job.
    Resumed,
    /// A script asks for the end of the whole job, as succeeded.
    FinishRequested(FinishRequest),
    /// From user code, or from a newer host.
    Custom(CustomEvent),
}

impl Event {
    /// Number of the request that a person waits on.
    pub const fn request(&self) -> Option<u64> {
        match self {
            Self::StopRequested(asked) => Some(asked.request),
            Self::ScaleRequested(asked) => Some(asked.request),
            Self::RestartRequested(asked) => Some(asked.request),
            _ => None,
        }
    }
}
