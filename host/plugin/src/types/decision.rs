use serde::{Deserialize, Serialize};

use super::NodeId;

/// Ask for machine and ports, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceRequest {
    /// Which nodes.
    pub nodes: Vec<NodeId>,
    /// Machines not to use.
    pub avoid: Vec<String>,
    /// How long to wait for room.
    pub deadline_ms: u64,
}

/// End processes: SIGTERM, SIGKILL after the grace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// Which nodes.
    pub nodes: Vec<NodeId>,
    /// Time between the two signals.
    pub grace_ms: u64,
}

/// Change the wanted size of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResizeOrder {
    /// Which role.
    pub role: String,
    /// Its new size.
    pub nodes: u32,
}

/// Wake the machine later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerOrder {
    /// One timer an id.
    pub id: String,
    /// How much later.
    pub after_ms: u64,
}

/// Say no to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Number of the request.
    pub request: u64,
    /// For the person who asked.
    pub reason: String,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// One sentence for people.
    pub reason: String,
    /// The node that caused it.
    pub node: Option<NodeId>,
}

/// How a job ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobEnd {
    /// It did its work.
    Succeeded,
    /// Somebody stopped it.
    Stopped,
    /// It could not go on.
    Failed(JobFailure),
}

/// An action that only some hosts know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomAction {
    /// Its name; an unknown one is an invalid action.
    pub name: String,
    /// As the host that knows it wants it.
    pub payload: String,
}

/// What a state machine wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Ask for machine and ports.
    Place(PlaceRequest),
    /// Give machine and ports back.
    Release(Vec<NodeId>),
    /// A new generation with exactly these members.
    Publish(Vec<NodeId>),
    /// A new attempt of each.
    Start(Vec<NodeId>),
    /// End their processes.
    Stop(StopOrder),
    /// Dataflow and the named live nodes go back to the last checkpoint.
    Rewind(Vec<NodeId>),
    /// Close the input of these roles.
    EndInput(Vec<String>),
    /// Change the wanted size of a role.
    Resize(ResizeOrder),
    /// Set or replace a timer.
    SetTimer(TimerOrder),
    /// Forget the timer of this id.
    CancelTimer(String),
    /// Say no to a request.
    Refuse(Refusal),
    /// The job ends.
    Finish(JobEnd),
    /// An action that only some hosts know.
    Custom(CustomAction),
}

impl Action {
    /// The word of the WIT, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Place(_) => "place",
            Self::Release(_) => "release",
            Self::Publish(_) => "publish",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Rewind(_) => "rewind",
            Self::EndInput(_) => "end-input",
            Self::Resize(_) => "resize",
            Self::SetTimer(_) => "set-timer",
            Self::CancelTimer(_) => "cancel-timer",
            Self::Refuse(_) => "refuse",
            Self::Finish(_) => "finish",
            Self::Custom(_) => "custom",
        }
    }
}

/// A state machine's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The new state.
    pub state: Vec<u8>,
    /// A word for people and metrics.
    pub phase: String,
    /// One sentence on why.
    pub note: Option<String>,
    /// Carried out in this order.
    pub actions: Vec<Action>,
}
