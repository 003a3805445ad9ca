//! Places: which agents are asked for ports, and what becomes of their answers.

use std::collections::BTreeMap;

use forebay_plugin::{Event, FinishRule, NodeId, NodePhase};

use super::actions::{Id, action_id};
use super::core::Core;
use super::placement::{Candidate, Need, assign};
use super::tables::{AgentRecord, AgentState, Asked, Place, Placing, Room};
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::{self, HeldPlace, PlaceGranted, PlaceNode, PlaceRefused, Release};
use crate::wire::{node_id, to_wire};

/// Most rounds of asking that one `place` takes within a term; more of them only look alike.
const ROUNDS_OF_TERM: u32 = 1 << 16;

impl Core {
    /// Tries every placing that has no room yet; gives up those that cannot be, or whose time is over.
    pub(super) fn settle_placings(&mut self) {
        for placing in std::mem::take(&mut self.tables.placings) {
            if placing.asked.is_empty() {
                self.try_placing(placing);
            } else if placing.deadline_ms <= self.now_ms {
                self.give_up(&placing, "agents did not answer in time".into());
            } else {
                self.tables.placings.push(placing);
            }
        }
    }

    fn try_placing(&mut self, placing: Placing) {
        let unplaced = self.unplaced(&placing);
        if unplaced.is_empty() {
            return self.complete(&placing);
        }
        let awaited = self.awaited(&unplaced);
        let assigned = match &awaited {
            Some(awaited) => Err(awaited.clone()),
            None => self.assign(&unplaced, &self.candidates(&placing)),
        };
        match assigned {
            Ok(chosen) => self.ask(placing, unplaced, &chosen),
            Err(missing) if awaited.is_none() || placing.deadline_ms <= self.now_ms => {
                self.give_up(&placing, missing);
            }
            Err(_) => self.tables.placings.push(placing),
        }
    }

    fn unplaced(&self, placing: &Placing) -> Vec<NodeId> {
        let has_none = |id: &&NodeId| {
            self.tables
                .node(id)
                .is_some_and(|node| node.place.is_none())
        };
        placing.nodes.iter().filter(has_none).cloned().collect()
    }

    /// Who is still to come, or to come back, for people; absent when nobody is.
    fn awaited(&self, nodes: &[NodeId]) -> Option<String> {
        let agents = || {
            self.tables
                .agents
                .iter()
                .filter(|agent| agent.room.slots > 0)
        };
        let mut away = agents().filter(|agent| matches!(agent.state, AgentState::Away { .. }));
        if let Some(agent) = away.next() {
            return Some(format!("agent `{}` is away", agent.name));
        }
        let is_engine = |agent: &AgentRecord| agent.in_engine && agent.state != AgentState::Lost;
        if nodes.iter().any(|id| self.is_fed(&id.role)) && !self.tables.agents.iter().any(is_engine)
        {
            return Some("the agent of the engine has not joined".into());
        }
        let joined = agents().count();
        let wanted = self.setting.awaited_agents as usize;
        (joined < wanted).then(|| format!("{joined} of {wanted} agents have joined"))
    }

    /// Agents that may be used, by index, with what they have left.
    fn candidates(&self, placing: &Placing) -> Vec<(usize, Candidate)> {
        let usable = self
            .tables
            .agents
            .iter()
            .enumerate()
            .filter(|(index, agent)| {
                agent.state == AgentState::Connected
                    && agent.room.slots > 0
                    && !placing.avoid.contains(&agent.name)
                    && !placing.refused.contains(index)
            });
        usable
            .map(|(index, agent)| {
                (
                    index,
                    Candidate {
                        name: agent.name.clone(),
                        free: self.free(index),
                        in_engine: agent.in_engine,
                    },
                )
            })
            .collect()
    }

    fn free(&self, agent: usize) -> Room {
        let held = self.tables.nodes_on(agent);
        held.iter()
            .fold(self.tables.agents[agent].room, |room, id| {
                room.less(&self.takes(id))
            })
    }

    pub(super) fn is_fed(&self, role: &str) -> bool {
        let role = self.prepared.job.role(role);
        role.is_some_and(|role| role.input.is_some())
    }

    fn takes(&self, id: &NodeId) -> Room {
        let resources = self
            .prepared
            .job
            .role(&id.role)
            .map(|role| role.resources.clone())
            .unwrap_or_default();
        Room {
            slots: 1,
            cores: resources.cores.unwrap_or_default(),
            memory_bytes: resources.memory_bytes.unwrap_or_default(),
            gpus: resources.gpus,
        }
    }

    fn assign(
        &self,
        nodes: &[NodeId],
        candidates: &[(usize, Candidate)],
    ) -> Result<Vec<usize>, String> {
        let needs: Vec<Need> = nodes
            .iter()
            .map(|id| Need {
                node: id.to_string(),
                takes: self.takes(id),
                is_fed: self.is_fed(&id.role),
            })
            .collect();
        let machines: Vec<Candidate> = candidates
            .iter()
            .map(|(_, candidate)| candidate.clone())
            .collect();
        let chosen = assign(&needs, &machines)?;
        Ok(chosen
            .into_iter()
            .map(|position| candidates[position].0)
            .collect())
    }

    /// Asks the chosen agents for ports. Room is taken at once, ports come with the answer.
    fn ask(&mut self, mut placing: Placing, nodes: Vec<NodeId>, chosen: &[usize]) {
        let mut by_agent: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
        for (id, agent) in nodes.into_iter().zip(chosen) {
            by_agent.entry(*agent).or_default().push(id);
        }
        for (agent, nodes) in by_agent {
            let part = self.part_of_term(placing.rounds);
            placing.rounds += 1;
            for id in &nodes {
                if let Some(node) = self.tables.node_mut(id) {
                    node.place = Some(Place {
                        agent,
                        ports: Vec::new(),
                    });
                }
            }
            let asked = Asked { part, nodes };
            let order = self.place_order(placing.action, &asked);
            self.tell(agent, ToAgent::Place(order));
            placing.asked.insert(agent, asked);
        }
        self.tables.placings.push(placing);
    }

    /// The next application manager asks anew, and perhaps others: its orders are not those of the one before.
    fn part_of_term(&self, round: u32) -> u32 {
        let term = u32::try_from(self.setting.term).unwrap_or(u32::MAX);
        term.wrapping_mul(ROUNDS_OF_TERM).wrapping_add(round)
    }

    pub(super) fn place_order(&self, action: Id, asked: &Asked) -> cluster::Place {
        cluster::Place {
            action: Some(action_id(action, asked.part)),
            nodes: asked.nodes.iter().map(|id| self.place_node(id)).collect(),
        }
    }

    fn place_node(&self, id: &NodeId) -> PlaceNode {
        let policy = self
            .prepared
            .spec
            .role(&id.role)
            .and_then(|role| role.policy.as_ref());
        let needed = policy
            .iter()
            .flat_map(|policy| &policy.ports)
            .filter(|port| id.index == 0 || !port.first_only);
        PlaceNode {
            node: Some(to_wire(id)),
            ports: needed.map(|port| port.name.clone()).collect(),
            gpus: self.takes(id).gpus,
        }
    }

    // ----------------------------------------------------------------------------------------------------- answers

    pub(super) fn place_granted(&mut self, agent: usize, granted: PlaceGranted) {
        let action = granted.action.unwrap_or_default();
        let Some(position) = self.placing_of(agent, &action) else {
            return self.hand_back_unknown(agent, granted.places);
        };
        let mut unwanted = Vec::new();
        for held in granted.places {
            let id = node_id(held.node.as_ref());
            if !self.tables.placings[position].nodes.contains(&id) {
                unwanted.push(held);
                continue;
            }
            let place = self
                .tables
                .node_mut(&id)
                .and_then(|node| node.place.as_mut());
            if let Some(place) = place.filter(|place| place.agent == agent) {
                place.ports = ports_of(&held);
            }
        }
        self.tables.placings[position].asked.remove(&agent);
        self.hand_back(agent, &unwanted);
        self.settle_placings();
    }

    /// Of these places those that the tables do not have on this agent.
    pub(super) fn hand_back_unknown(&mut self, agent: usize, places: Vec<HeldPlace>) {
        let mut unknown = places;
        unknown.retain(|held| !self.has_place_on(agent, &node_id(held.node.as_ref())));
        self.hand_back(agent, &unknown);
    }

    /// An agent holds places that an application manager before this one had asked for: they are as good as granted.
    pub(super) fn adopt_places(&mut self, agent: usize, places: &[HeldPlace]) {
        for held in places {
            let id = node_id(held.node.as_ref());
            let mut placings = self.tables.placings.iter();
            if !placings.any(|placing| placing.nodes.contains(&id)) {
                continue;
            }
            let ports = ports_of(held);
            if let Some(node) = self
                .tables
                .node_mut(&id)
                .filter(|node| node.place.is_none())
            {
                node.place = Some(Place { agent, ports });
            }
        }
    }

    /// Places that nobody waits for any more.
    fn hand_back(&mut self, agent: usize, places: &[HeldPlace]) {
        let nodes = places.iter().map(|held| node_id(held.node.as_ref()));
        self.unwanted.extend(nodes.map(|id| (agent, id)));
    }

    /// Tells agents which places nobody wants, now that the journal does not have them any more: the next application manager
    /// would count on them. What was asked for again meanwhile is wanted.
    pub(super) fn release_unwanted(&mut self) {
        let mut by_agent: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for (agent, id) in std::mem::take(&mut self.unwanted) {
            if !self.has_place_on(agent, &id) {
                by_agent.entry(agent).or_default().push(to_wire(&id));
            }
        }
        for (agent, nodes) in by_agent {
            let action = None;
            self.tell(agent, ToAgent::Release(Release { action, nodes }));
        }
    }

    fn has_place_on(&self, agent: usize, id: &NodeId) -> bool {
        let node = self.tables.node(id);
        let place = node.and_then(|node| node.place.as_ref());
        place.is_some_and(|place| place.agent == agent)
    }

    /// The one that this agent was asked for by exactly this order.
    fn placing_of(&self, agent: usize, action: &cluster::ActionId) -> Option<usize> {
        let id = (action.event_number, action.position);
        self.tables.placings.iter().position(|placing| {
            placing.action == id
                && placing
                    .asked
                    .get(&agent)
                    .is_some_and(|asked| asked.part == action.part)
        })
    }

    fn complete(&mut self, placing: &Placing) {
        for id in &placing.nodes {
            if let Some(node) = self.tables.node_mut(id) {
                node.phase = NodePhase::Placed;
            }
            self.show(id);
        }
        self.happened(Event::NodesPlaced(placing.nodes.clone()));
    }

    pub(super) fn place_refused(&mut self, agent: usize, refused: &PlaceRefused) {
        let action = refused.action.unwrap_or_default();
        if let Some(position) = self.placing_of(agent, &action) {
            self.take_elsewhere(agent, position);
            self.tables.placings[position].refused.insert(agent);
            self.warn_of_refusal(agent, &refused.reason);
            self.settle_placings();
        }
    }

    /// Everything of open placings that this agent has granted, or was asked for, goes elsewhere: it is lost.
    pub(super) fn take_all_elsewhere(&mut self, agent: usize) {
        for position in 0..self.tables.placings.len() {
            self.take_elsewhere(agent, position);
        }
    }

    fn take_elsewhere(&mut self, agent: usize, position: usize) {
        let placing = &mut self.tables.placings[position];
        placing.asked.remove(&agent);
        for id in placing.nodes.clone() {
            if self.has_place_on(agent, &id)
                && let Some(node) = self.tables.node_mut(&id)
            {
                node.place = None;
                self.unwanted.push((agent, id));
            }
        }
    }

    fn warn_of_refusal(&mut self, agent: usize, reason: &str) {
        let name = &self.tables.agents[agent].name;
        let message = format!("agent `{name}` has no place to give: {reason}");
        self.emit(crate::events::JobEvent::Warning {
            message,
            hint: None,
        });
    }

    /// Nothing of it stays held. That of a node which nobody waits for would be told to nobody.
    fn give_up(&mut self, placing: &Placing, missing: String) {
        for (agent, nodes) in self.take_places(&placing.nodes) {
            self.unwanted
                .extend(nodes.into_iter().map(|id| (agent, id)));
        }
        if placing.nodes.iter().all(|id| self.is_observer(id)) {
            self.emit(crate::events::JobEvent::Warning {
                message: format!(
                    "the job goes on without {}: {missing}",
                    list(&placing.nodes)
                ),
                hint: None,
            });
        }
        self.happened(Event::PlaceFailed(placing.nodes.clone(), missing));
    }

    fn is_observer(&self, id: &NodeId) -> bool {
        let role = self.prepared.spec.role(&id.role);
        let policy = role.and_then(|role| role.policy.as_ref());
        policy.is_some_and(|policy| policy.finish == FinishRule::Observer)
    }
}

fn ports_of(held: &HeldPlace) -> Vec<(String, u16)> {
    let ports = held.ports.iter();
    let ports =
        ports.filter_map(|port| Some((port.name.clone(), u16::try_from(port.number).ok()?)));
    ports.collect()
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(|id| format!("`{id}`")).collect();
    names.join(", ")
}
