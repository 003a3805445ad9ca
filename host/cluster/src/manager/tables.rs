//! What the host knows of a job: plain data, written with each journal entry, changed only by the core.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use forebay_plugin::{
    DataflowPhase as DataflowView, Event, ExitReport, JobSpec, JobView, NodeId, NodePhase,
    NodeView, RoleView, Verdict, VerdictKind,
};
use serde::{Deserialize, Serialize};

use super::actions::action_id;
use crate::events::{
    AttemptSummary, DataflowPhase, FeedCounts, OperatorCounts, Outcome, TermSummary,
};
use crate::submission::SubmittedPlugin;
use crate::wire::cluster::{Stop, StopNode};
use crate::wire::to_wire;

/// Everything that survives an application manager.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tables {
    /// Number that the next event gets.
    pub(crate) next_event: u64,
    /// Latest time that the state machine was told; it never goes backwards.
    pub(crate) clock_ms: u64,
    /// Newest published cluster; 0: none.
    pub(crate) generation: u64,
    /// Changes within the generation.
    pub(crate) revision: u64,
    /// Members of the newest generation.
    pub(crate) members: Vec<NodeId>,
    /// In the order of the job, implied roles last.
    pub(crate) roles: Vec<RoleRecord>,
    /// In the order in which they joined; an agent that is gone stays, so that an index keeps its meaning.
    pub(crate) agents: Vec<AgentRecord>,
    /// Wanted places that are not all granted yet.
    pub(crate) placings: Vec<Placing>,
    /// When each timer of the state machine fires, milliseconds since 1970.
    pub(crate) timers: BTreeMap<String, u64>,
    /// The state machine's word for where the job is.
    pub(crate) phase: String,
    /// Requests of people that were taken, by the client's id.
    pub(crate) requests: BTreeMap<String, u64>,
    /// When an asked-for orderly stop becomes a kill.
    pub(crate) stop_deadline_ms: Option<u64>,
    /// Who asked for the stop, or why.
    pub(crate) stop_reason: Option<String>,
    /// What the script said that finished the job.
    pub(crate) finish_reason: Option<String>,
    /// Events that the state machine has not decided on, oldest first.
    pub(crate) undecided: Vec<Event>,
    /// A plugin has failed: no plugin is asked anything, and nodes are left alone.
    pub(crate) quarantine: Option<Quarantine>,
    /// Plugins that were put in the place of submitted ones of the same name.
    pub(crate) replaced: Vec<SubmittedPlugin>,
    /// The job is ending, and how.
    pub(crate) end: Option<End>,
    /// Absent: the job has no dataflow.
    #[serde(default)]
    pub(crate) dataflow: Option<DataflowRecord>,
    /// Application managers so far.
    pub(crate) terms: Vec<TermSummary>,
}

/// One role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoleRecord {
    pub(crate) name: String,
    pub(crate) nodes: Vec<NodeRecord>,
}

/// One node over all of its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) phase: NodePhase,
    pub(crate) attempt: u32,
    /// Generation that the live process has taken.
    pub(crate) generation: u64,
    pub(crate) place: Option<Place>,
    pub(crate) pid: Option<u32>,
    /// It said that its work is done.
    pub(crate) done: bool,
    /// Highest step over all attempts.
    pub(crate) progress: u64,
    /// A start was ordered, by this action, while the attempt before was still stopping.
    pub(crate) start_when_ended: Option<(u64, u32)>,
    /// The action that started the newest attempt.
    pub(crate) started_by: Option<(u64, u32)>,
    /// The attempt of the dataflow that feeds the newest attempt; absent: nobody does.
    #[serde(default)]
    pub(crate) fed_by: Option<u64>,
    /// When the attempts of the last hour were started, oldest first.
    pub(crate) started_ms: VecDeque<u64>,
    /// The newest stop of the newest attempt.
    pub(crate) stop: Option<StopRecord>,
    pub(crate) last: Option<VerdictKind>,
    pub(crate) ran_ms: u64,
    pub(crate) attempts: Vec<AttemptSummary>,
    pub(crate) last_report: BTreeMap<String, serde_json::Value>,
    /// How the newest ended attempt ended, for the summary.
    pub(crate) last_exit: Option<Exit>,
}

/// See [`NodeRecord::last_exit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) report: ExitReport,
    pub(crate) verdict: Verdict,
}

/// Machine and ports of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Index into [`Tables::agents`].
    pub(crate) agent: usize,
    /// In the order of the role's policy.
    pub(crate) ports: Vec<(String, u16)>,
}

/// One agent process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AgentRecord {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) interface: String,
    pub(crate) pid: u32,
    pub(crate) room: Room,
    /// The one of the engine: there is never more than one alive.
    pub(crate) in_engine: bool,
    pub(crate) state: AgentState,
}

/// Whether an agent can be told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AgentState {
    /// Its stream is open.
    Connected,
    /// Its stream broke; it is lost at this time unless it comes back.
    Away { lost_at_ms: u64 },
    /// Its nodes are gone.
    Lost,
}

impl AgentState {
    /// For people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Away { .. } => "away",
            Self::Lost => "lost",
        }
    }
}

/// What a machine has, or has left, for nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Room {
    pub(crate) slots: u32,
    pub(crate) cores: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) gpus: u32,
}

/// A `place` on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placing {
    /// `(event number, position)` of the action.
    pub(crate) action: (u64, u32),
    pub(crate) nodes: Vec<NodeId>,
    /// Names of machines not to use.
    pub(crate) avoid: BTreeSet<String>,
    /// Agents that have refused, by index.
    pub(crate) refused: BTreeSet<usize>,
    pub(crate) deadline_ms: u64,
    /// Agents that were asked and have not answered, by index. Empty while there is no room.
    pub(crate) asked: BTreeMap<usize, Asked>,
    /// How often agents were asked: a part of their action's id.
    pub(crate) rounds: u32,
}

/// What one agent was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Part of the action's id.
    pub(crate) part: u32,
    pub(crate) nodes: Vec<NodeId>,
}

/// A stop that was ordered, until the node has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StopRecord {
    pub(crate) action: (u64, u32),
    pub(crate) part: u32,
    pub(crate) grace_ms: u64,
    pub(crate) reason: String,
}

/// What waits for a mended plugin, beside the events that nobody decided on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quarantine {
    /// What a plugin did.
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
    /// The job fails then.
    pub(crate) until_ms: u64,
    /// Ends that no node runner has judged, oldest first.
    pub(crate) unjudged: Vec<Unjudged>,
    /// Signals of scripts that came, and their bytes.
    pub(crate) signals: usize,
    pub(crate) signal_bytes: usize,
}

/// An end whose meaning is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unjudged {
    pub(crate) report: ExitReport,
    /// Of the process that ended.
    pub(crate) pid: Option<u32>,
}

/// The dataflow of the job over all of its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataflowRecord {
    /// The newest; 0: none was ordered.
    pub(crate) attempt: u64,
    pub(crate) phase: DataflowPhase,
    /// Of which agent the newest attempt was ordered: index into [`Tables::agents`].
    pub(crate) agent: usize,
    /// The newest order to end the newest attempt.
    pub(crate) stop: Option<DataflowStop>,
    /// How long the newest attempt has run, as far as that is known.
    pub(crate) running_us: u64,
    /// What its operators have done, as far as that is known.
    pub(crate) operators: Vec<OperatorCounts>,
    pub(crate) failure: Option<DataflowFault>,
    /// What went through the channels of fed nodes, as far as that is known.
    #[serde(default)]
    pub(crate) feeds: Vec<FeedCounts>,
    /// Roles whose nodes have all been sent the end of their input.
    #[serde(default)]
    pub(crate) ended_inputs: BTreeSet<String>,
    /// Roles whose input is to end.
    #[serde(default)]
    pub(crate) ending_inputs: BTreeSet<String>,
}

/// How the dataflow is ended; the later, the harsher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum DataflowStop {
    /// Its sources end where they are, and its sinks complete.
    Drain,
    /// Everything ends where it is.
    Abort,
}

/// Why the dataflow could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataflowFault {
    pub(crate) operator: Option<String>,
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
    pub(crate) engine_failed: bool,
}

/// How the job is ending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
    pub(crate) node: Option<NodeId>,
    pub(crate) engine_failed: bool,
    /// Nodes whose agent has not ended them then are given up, and the dataflow.
    pub(crate) nodes_until_ms: u64,
    /// When the last node had ended; 0: not yet.
    pub(crate) nodes_ended_ms: u64,
    /// Logs that are not complete then are left as they are; set when the last node has ended.
    pub(crate) logs_until_ms: Option<u64>,
}

impl Default for NodeRecord {
    fn default() -> Self {
        Self {
            phase: NodePhase::Absent,
            attempt: 0,
            generation: 0,
            place: None,
            pid: None,
            done: false,
            progress: 0,
            start_when_ended: None,
            started_by: None,
            fed_by: None,
            started_ms: VecDeque::new(),
            stop: None,
            last: None,
            ran_ms: 0,
            attempts: Vec::new(),
            last_report: BTreeMap::new(),
            last_exit: None,
        }
    }
}

impl NodeRecord {
    /// The host counts its work as done, whatever happens to its process.
    pub(crate) fn finished(&self) -> bool {
        self.done || (self.last == Some(VerdictKind::Finished) && !self.phase.is_live())
    }

    fn view(&self) -> NodeView {
        NodeView {
            phase: self.phase,
            attempt: self.attempt,
            generation: self.generation,
            machine: self
                .place
                .as_ref()
                .and_then(|place| u32::try_from(place.agent).ok()),
            last: self.last,
            done: self.done,
            progress: self.progress,
            ran_ms: self.ran_ms,
        }
    }
}

impl StopRecord {
    /// For the agent of this node.
    pub(crate) fn order(&self, id: &NodeId, attempt: u32) -> Stop {
        Stop {
            action: Some(action_id(self.action, self.part)),
            nodes: vec![StopNode {
                node: Some(to_wire(id)),
                attempt,
            }],
            grace_ms: self.grace_ms,
            reason: self.reason.clone(),
        }
    }
}

impl Tables {
    /// Those of a job that has just been submitted.
    pub(crate) fn of_job(spec: &JobSpec) -> Self {
        let role = |role: &forebay_plugin::RoleSpec| RoleRecord {
            name: role.name.clone(),
            nodes: (0..role.nodes).map(|_| NodeRecord::default()).collect(),
        };
        Self {
            next_event: 1,
            roles: spec.roles.iter().map(role).collect(),
            ..Self::default()
        }
    }

    /// What the state machine is shown.
    pub(crate) fn view(&self) -> JobView {
        let role = |role: &RoleRecord| RoleView {
            role: role.name.clone(),
            nodes: role.nodes.iter().map(NodeRecord::view).collect(),
            input_ended: self.has_input_ended(&role.name),
        };
        JobView {
            dataflow: self.dataflow_view(),
            generation: self.generation,
            last_checkpoint: None,
            roles: self.roles.iter().map(role).collect(),
            machines: self.agents.iter().map(|agent| agent.name.clone()).collect(),
        }
    }

    fn has_input_ended(&self, role: &str) -> bool {
        let dataflow = self.dataflow.as_ref();
        dataflow.is_some_and(|dataflow| dataflow.ended_inputs.contains(role))
    }

    fn dataflow_view(&self) -> DataflowView {
        match self.dataflow.as_ref().map(|dataflow| dataflow.phase) {
            None => DataflowView::None,
            Some(DataflowPhase::Waiting | DataflowPhase::Running) => DataflowView::Running,
            Some(DataflowPhase::Ended | DataflowPhase::Drained) => DataflowView::Ended,
            Some(DataflowPhase::Failed | DataflowPhase::Stopped) => DataflowView::Failed,
        }
    }

    pub(crate) fn node(&self, id: &NodeId) -> Option<&NodeRecord> {
        let role = self.roles.iter().find(|role| role.name == id.role)?;
        role.nodes.get(usize::try_from(id.index).ok()?)
    }

    pub(crate) fn node_mut(&mut self, id: &NodeId) -> Option<&mut NodeRecord> {
        let role = self.roles.iter_mut().find(|role| role.name == id.role)?;
        role.nodes.get_mut(usize::try_from(id.index).ok()?)
    }

    /// Every node with its id, in the order of the job.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeRecord)> {
        self.roles.iter().flat_map(|role| {
            (0..)
                .zip(&role.nodes)
                .map(|(index, node)| (NodeId::new(role.name.clone(), index), node))
        })
    }

    pub(crate) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut NodeRecord> {
        self.roles.iter_mut().flat_map(|role| &mut role.nodes)
    }

    /// Position of a node among all nodes of the job.
    pub(crate) fn ordinal(&self, id: &NodeId) -> u32 {
        let before = self.nodes().take_while(|(node, _)| node != id).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    /// Nodes that fulfil a condition.
    pub(crate) fn nodes_where(&self, condition: impl Fn(&NodeRecord) -> bool) -> Vec<NodeId> {
        let of_role = |role: &RoleRecord| {
            let nodes = (0..).zip(&role.nodes);
            let found = nodes.filter(|(_, node)| condition(node));
            let ids = found.map(|(index, _)| NodeId::new(role.name.clone(), index));
            ids.collect::<Vec<_>>()
        };
        self.roles.iter().flat_map(of_role).collect()
    }

    /// Nodes that have a place on this agent.
    pub(crate) fn nodes_on(&self, agent: usize) -> Vec<NodeId> {
        self.nodes_where(|node| {
            node.place
                .as_ref()
                .is_some_and(|place| place.agent == agent)
        })
    }
}
