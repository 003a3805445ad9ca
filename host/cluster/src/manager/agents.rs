//! Agents come, go, come back, and say what has happened on their machine.

use forebay_plugin::{Event, NodeId};

use super::core::{Connection, Core};
use super::effect::{Effect, Link, Refusal};
use super::tables::{AgentRecord, AgentState, Room};
use crate::clock::milliseconds;
use crate::events::{AgentPhase, JobEvent};
use crate::submission::HOST_VERSION;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{
    Acknowledge, HeldAttempt, LogChunk, OutboxEntry, Register, Resources, Welcome,
};
use crate::wire::node_id;

/// How often an agent says that it is alive, at least.
const HEARTBEAT_INTERVAL_MAX_MS: u64 = 1_000;
/// So many heartbeats fit into the time after which an agent is lost.
const HEARTBEATS: u64 = 3;
/// Longest name of an agent.
const NAME_BYTES_MAX: usize = 128;

impl Core {
    /// The agent that speaks on this link.
    fn agent_of(&self, link: Link) -> Option<usize> {
        self.links.get(&link).map(|connection| connection.agent)
    }

    fn link_of(&self, agent: usize) -> Option<Link> {
        self.links
            .iter()
            .find(|(_, connection)| connection.agent == agent)
            .map(|(link, _)| *link)
    }

    /// Tells an agent something that it may miss: it is away, or lost.
    pub(super) fn tell(&mut self, agent: usize, message: ToAgent) {
        if let Some(link) = self.link_of(agent) {
            self.effects.push(Effect::Send { link, message });
        }
    }

    pub(super) fn tell_all(&mut self, message: &ToAgent) {
        for link in self.links.keys() {
            self.effects.push(Effect::Send {
                link: *link,
                message: message.clone(),
            });
        }
    }

    // ------------------------------------------------------------------------------------------------ come and go

    pub(super) fn joined(&mut self, link: Link, register: &Register) {
        if let Err(refusal) = self.admit(register) {
            self.effects.push(Effect::Close { link, refusal });
            return;
        }
        self.streams
            .insert(register.agent_id.clone(), register.stream);
        let (agent, is_new) = self.enrol(register);
        let heard_ms = (!register.in_engine).then_some(self.now_ms);
        self.links.insert(link, Connection { agent, heard_ms });
        if register.in_engine {
            self.lose_engine_before(&register.agent_id);
        }
        self.welcome(agent, register);
        if is_new {
            self.announce(agent, AgentPhase::Joined);
            self.happened(Event::MachinesJoined(vec![register.name.clone()]));
        }
        self.give_up_missing(agent, register);
        let places = register.inventory.as_ref().map(|held| held.places.clone());
        let places = places.unwrap_or_default();
        self.adopt_places(agent, &places);
        self.hand_back_unknown(agent, places);
        // The cluster first: no start carries it.
        self.tell_cluster_to(agent);
        // No start comes before the attempt of the dataflow that feeds it.
        let inventory = register.inventory.as_ref();
        self.repeat_dataflow_order(agent, inventory.and_then(|inventory| inventory.dataflow));
        self.repeat_orders(agent);
        self.begin_dataflow(agent);
    }

    fn admit(&self, register: &Register) -> Result<(), Refusal> {
        // What it holds was true some time ago, and nobody listens on it any more.
        if self.streams.get(&register.agent_id) > Some(&register.stream) {
            return Err(Refusal::Outdated);
        }
        if register.term > self.setting.term {
            return Err(Refusal::Overtaken(register.term));
        }
        if !is_name(&register.name) {
            return Err(Refusal::Unfit(format!(
                "an agent's name is 1 to {NAME_BYTES_MAX} bytes without control characters: give it another one with `--name`"
            )));
        }
        if self.tables.end.is_some()
            && !self
                .tables
                .agents
                .iter()
                .any(|agent| agent.id == register.agent_id)
        {
            return Err(Refusal::Over);
        }
        if register.version != HOST_VERSION {
            return Err(Refusal::Unfit(format!(
                "agent `{}` is Forebay {}, the application manager is {HOST_VERSION}: install the same version on both",
                register.name, register.version
            )));
        }
        let known = self
            .tables
            .agents
            .iter()
            .find(|agent| agent.name == register.name && agent.state != AgentState::Lost)
            .filter(|agent| !(register.in_engine && agent.in_engine));
        match known {
            Some(agent) if agent.id != register.agent_id => Err(Refusal::Unfit(format!(
                "another agent is called `{}`: give this one a name of its own with `--name`",
                register.name
            ))),
            _ if self.was_lost(&register.agent_id) => Err(Refusal::Unfit(format!(
                "agent `{}` was away for too long and its nodes were given up: start it anew",
                register.name
            ))),
            _ => Ok(()),
        }
    }

    fn was_lost(&self, agent_id: &str) -> bool {
        self.tables
            .agents
            .iter()
            .any(|agent| agent.id == agent_id && agent.state == AgentState::Lost)
    }

    /// An engine has come: the one before it is gone, with its nodes.
    fn lose_engine_before(&mut self, agent_id: &str) {
        for agent in &mut self.tables.agents {
            if agent.in_engine && agent.id != agent_id && agent.state != AgentState::Lost {
                agent.state = AgentState::Away {
                    lost_at_ms: self.now_ms,
                };
            }
        }
        self.lose_agents();
    }

    /// The agent's index, and whether it is new.
    fn enrol(&mut self, register: &Register) -> (usize, bool) {
        if let Some(index) = self
            .tables
            .agents
            .iter()
            .position(|agent| agent.id == register.agent_id)
        {
            self.tables.agents[index].state = AgentState::Connected;
            self.links.retain(|_, connection| connection.agent != index);
            return (index, false);
        }
        self.tables.agents.push(AgentRecord {
            id: register.agent_id.clone(),
            name: register.name.clone(),
            address: register.address.clone(),
            interface: register.interface.clone(),
            pid: register.pid,
            room: room_of(register.resources.as_ref()),
            in_engine: register.in_engine,
            state: AgentState::Connected,
        });
        self.changed();
        (self.tables.agents.len() - 1, true)
    }

    fn welcome(&mut self, agent: usize, register: &Register) {
        let limits = &self.prepared.job.limits;
        let welcome = Welcome {
            job: self.prepared.job.name.clone(),
            run: self.setting.run.clone(),
            heartbeat_interval_ms: self.heartbeat_interval_ms(),
            outbox_number: self
                .journaled_outbox
                .get(&register.agent_id)
                .copied()
                .unwrap_or_default(),
            orphan_grace_ms: milliseconds(limits.orphan_grace),
            unknown: held(register)
                .filter(|held| !self.is_live(held))
                .cloned()
                .collect(),
            logs: Vec::new(),
        };
        self.tell(agent, ToAgent::Welcome(welcome));
    }

    fn is_live(&self, held: &HeldAttempt) -> bool {
        let id = node_id(held.node.as_ref());
        self.tables
            .node(&id)
            .is_some_and(|node| node.phase.is_live() && node.attempt == held.attempt)
    }

    /// Attempts that the tables have running on this agent, while it neither has them nor has an end of theirs to tell.
    fn give_up_missing(&mut self, agent: usize, register: &Register) {
        let told = register
            .inventory
            .as_ref()
            .map_or(0, |inventory| inventory.outbox_number);
        let known = self
            .outbox
            .get(&register.agent_id)
            .copied()
            .unwrap_or_default();
        if told > known {
            return;
        }
        let held: Vec<(NodeId, u32)> = held(register)
            .map(|held| (node_id(held.node.as_ref()), held.attempt))
            .collect();
        let missing = |(id, attempt): &(NodeId, u32)| {
            !held
                .iter()
                .any(|(node, number)| node == id && number == attempt)
        };
        let started = self.tables.nodes_on(agent).into_iter().filter_map(|id| {
            let node = self.tables.node(&id)?;
            (node.phase.is_live() && node.pid.is_some()).then_some((id, node.attempt))
        });
        let gone: Vec<NodeId> = started.filter(missing).map(|(id, _)| id).collect();
        self.lose_nodes(gone);
    }

    /// How long an agent may be away, or silent, before its nodes are given up.
    pub(super) fn lost_after_ms(&self) -> u64 {
        milliseconds(self.prepared.job.limits.agent_lost_after)
    }

    fn heartbeat_interval_ms(&self) -> u64 {
        (self.lost_after_ms() / HEARTBEATS).clamp(1, HEARTBEAT_INTERVAL_MAX_MS)
    }

    pub(super) fn heard(&mut self, link: Link) {
        let connection = self.links.get_mut(&link);
        if let Some(heard_ms) = connection.and_then(|connection| connection.heard_ms.as_mut()) {
            *heard_ms = self.now_ms;
        }
    }

    /// Time in which this application manager stood still is neither silence nor absence of others.
    pub(super) fn forgive_absence(&mut self, passed_ms: u64) {
        let connections = self.links.values_mut();
        for heard_ms in connections.filter_map(|connection| connection.heard_ms.as_mut()) {
            *heard_ms = heard_ms.saturating_add(passed_ms).min(self.now_ms);
        }
        for agent in &mut self.tables.agents {
            if let AgentState::Away { lost_at_ms } = &mut agent.state {
                *lost_at_ms = lost_at_ms.saturating_add(passed_ms);
            }
        }
    }

    /// An agent that says nothing stands still, or its machine or its network does: its time is over already.
    pub(super) fn cut_silent_links(&mut self) {
        let lost_after_ms = self.lost_after_ms();
        let is_silent = |heard: u64| heard.saturating_add(lost_after_ms) <= self.now_ms;
        let links = self.links.iter();
        let silent = links.filter(|(_, connection)| connection.heard_ms.is_some_and(is_silent));
        let silent: Vec<Link> = silent.map(|(link, _)| *link).collect();
        for link in silent {
            self.effects.push(Effect::Close {
                link,
                refusal: Refusal::Silent,
            });
            self.away(link, self.now_ms);
        }
    }

    pub(super) fn gone(&mut self, link: Link) {
        self.away(link, self.now_ms.saturating_add(self.lost_after_ms()));
    }

    fn away(&mut self, link: Link, lost_at_ms: u64) {
        if let Some(Connection { agent, .. }) = self.links.remove(&link) {
            self.tables.agents[agent].state = AgentState::Away { lost_at_ms };
        }
    }

    pub(super) fn lose_agents(&mut self) {
        for agent in 0..self.tables.agents.len() {
            let state = self.tables.agents[agent].state;
            if matches!(state, AgentState::Away { lost_at_ms } if lost_at_ms <= self.now_ms) {
                self.tables.agents[agent].state = AgentState::Lost;
                self.announce(agent, AgentPhase::Lost);
                self.take_all_elsewhere(agent);
                self.lose_nodes(self.tables.nodes_on(agent));
                self.lose_dataflow(agent);
                self.changed();
                self.settle_placings();
            }
        }
    }

    fn lose_nodes(&mut self, nodes: Vec<NodeId>) {
        for id in &nodes {
            self.lost(id);
        }
        if !nodes.is_empty() {
            self.happened(Event::NodesLost(nodes));
        }
    }

    fn announce(&mut self, agent: usize, phase: AgentPhase) {
        let record = &self.tables.agents[agent];
        let event = JobEvent::Agent {
            agent: record.name.clone(),
            address: record.address.clone(),
            pid: record.pid,
            phase,
        };
        self.emit(event);
    }

    // ----------------------------------------------------------------------------------------------- what they say

    pub(super) fn agent_said(&mut self, link: Link, message: FromAgent) {
        let Some(agent) = self.agent_of(link) else {
            return;
        };
        self.heard(link);
        match message {
            FromAgent::Outbox(entry) => self.outbox_entry(agent, entry),
            FromAgent::Report(report) => self.reported(report),
            FromAgent::Dataflow(progress) => self.dataflow_progressed(agent, &progress),
            FromAgent::Register(_) | FromAgent::Heartbeat(_) | FromAgent::Log(_) => {}
        }
    }

    /// Each number counts once: an entry that was sent again is passed over.
    fn outbox_entry(&mut self, agent: usize, entry: OutboxEntry) {
        let known = self
            .outbox
            .entry(self.tables.agents[agent].id.clone())
            .or_default();
        if entry.number <= *known {
            return;
        }
        *known = entry.number;
        self.changed();
        match entry.event {
            Some(Told::PlaceGranted(granted)) => self.place_granted(agent, granted),
            Some(Told::PlaceRefused(refused)) => self.place_refused(agent, &refused),
            Some(Told::AttemptStarted(started)) => self.attempt_started(&started),
            Some(Told::AttemptReady(ready)) => self.attempt_ready(&ready),
            Some(Told::AttemptEnded(ended)) => self.attempt_ended(ended),
            Some(Told::Signal(signal)) => self.signalled(signal),
            Some(Told::Done(done)) => self.said_done(&done),
            Some(Told::FinishJob(finish)) => self.said_finish(finish),
            Some(Told::Stalled(stalled)) => self.stalled(&stalled),
            Some(Told::GenerationTaken(taken)) => self.generation_taken(&taken),
            Some(Told::DataflowStarted(started)) => self.dataflow_started(agent, started),
            Some(Told::DataflowEnded(ended)) => self.dataflow_ended(agent, &ended),
            Some(Told::DataflowFailed(failed)) => self.dataflow_failed(agent, failed),
            Some(Told::DataflowNoted(noted)) => self.dataflow_noted(agent, &noted),
            Some(Told::InputEnded(ended)) => self.input_ended(agent, ended),
            Some(Told::DataflowStopped(stopped)) => self.dataflow_stopped(agent, &stopped),
            // An exception comes again with the end of its attempt; hello is for people who read the agent's log; saved
            // and rolled back answer orders that this host does not give.
            Some(Told::Exception(_) | Told::Hello(_) | Told::Saved(_) | Told::RolledBack(_))
            | None => {}
        }
    }

    /// Whether this link's agent may send the log of this attempt: a stranger could write into any log, and beside them.
    pub(crate) fn takes_log(&self, link: Link, chunk: &LogChunk) -> bool {
        let node = self.tables.node(&node_id(chunk.node.as_ref()));
        let was_started = node.is_some_and(|node| (1..=node.attempt).contains(&chunk.attempt));
        self.links.contains_key(&link) && was_started
    }

    /// Tells each agent what it need not keep any more.
    pub(super) fn acknowledge(&mut self) {
        for (link, connection) in &self.links {
            let agent = &self.tables.agents[connection.agent];
            if let Some(number) = self.outbox.get(&agent.id) {
                let message = ToAgent::Acknowledge(Acknowledge {
                    outbox_number: *number,
                });
                self.effects.push(Effect::Send {
                    link: *link,
                    message,
                });
            }
        }
    }

    /// The live attempt of this node, if it is this one: messages about another are stale.
    pub(super) fn current(
        &mut self,
        node: Option<&crate::wire::node::NodeId>,
        attempt: u32,
    ) -> Option<(NodeId, &mut super::tables::NodeRecord)> {
        let id = node_id(node);
        let record = self.tables.node_mut(&id)?;
        (record.attempt == attempt && record.phase.is_live()).then_some((id, record))
    }

    fn tell_cluster_to(&mut self, agent: usize) {
        if self.tables.generation > 0 {
            let message = self.cluster_message();
            self.tell(agent, message);
        }
    }

    /// Everybody learns the cluster, or a change within it.
    pub(super) fn tell_cluster(&mut self) {
        let message = self.cluster_message();
        self.tell_all(&message);
    }

    fn cluster_message(&self) -> ToAgent {
        ToAgent::Cluster(crate::wire::cluster::ClusterSpec {
            cluster: Some(self.wire_cluster()),
        })
    }
}

/// It is shown to people and to plugins.
fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn held(register: &Register) -> impl Iterator<Item = &HeldAttempt> {
    register
        .inventory
        .iter()
        .flat_map(|inventory| &inventory.attempts)
}

fn room_of(resources: Option<&Resources>) -> Room {
    resources.map_or_else(Room::default, |resources| Room {
        slots: resources.slots,
        cores: resources.cores,
        memory_bytes: resources.memory_bytes,
        gpus: u32::try_from(resources.gpus.len()).unwrap_or(u32::MAX),
    })
}
