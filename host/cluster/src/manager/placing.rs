//! Places: which agents are asked for ports, and what becomes of their answers.

use std::collections::{BTreeMap, BTreeSet};

use forebay_plugin::{Event, NodeId, NodePhase};

use super::actions::action_id;
use super::core::Core;
use super::outstanding::Awaits;
use super::placement::{Candidate, Need, assign};
use super::tables::{AgentState, Place, Placing, Room};
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::{self, PlaceGranted, PlaceNode, PlaceRefused, Release};
use crate::wire::{node_id, to_wire};

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
        let awaited = self.awaited();
        let candidates = self.candidates(&placing.avoid);
        let assigned = match &awaited {
            Some(awaited) => Err(awaited.clone()),
            None => self.assign(&unplaced, &candidates),
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

    /// Who is still to come, for people; absent when nobody is.
    fn awaited(&self) -> Option<String> {
        let joined = self
            .tables
            .agents
            .iter()
            .filter(|agent| agent.room.slots > 0)
            .count();
        let wanted = self.setting.awaited_agents as usize;
        (joined < wanted).then(|| format!("{joined} of {wanted} agents have joined"))
    }

    /// Agents that may be used, by index, with what they have left.
    fn candidates(&self, avoid: &BTreeSet<String>) -> Vec<(usize, Candidate)> {
        let usable = self.tables.agents.iter().enumerate().filter(|(_, agent)| {
            agent.state == AgentState::Connected
                && agent.room.slots > 0
                && !avoid.contains(&agent.name)
        });
        usable
            .map(|(index, agent)| {
                (
                    index,
                    Candidate {
                        name: agent.name.clone(),
                        free: self.free(index),
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
            let action = action_id(placing.action, placing.rounds);
            placing.rounds += 1;
            placing.asked.insert(agent);
            for id in &nodes {
                if let Some(node) = self.tables.node_mut(id) {
                    node.place = Some(Place {
                        agent,
                        ports: Vec::new(),
                    });
                }
            }
            let order = cluster::Place {
                action: Some(action),
                nodes: nodes.iter().map(|id| self.place_node(id)).collect(),
            };
            self.outstanding
                .add(agent, Awaits::Places(action), ToAgent::Place(order.clone()));
            self.tell(agent, ToAgent::Place(order));
        }
        self.tables.placings.push(placing);
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
        self.outstanding.settle(agent, &Awaits::Places(action));
        let Some(position) = self.placing_of(&action) else {
            return self.hand_back(agent, &granted);
        };
        for held in granted.places {
            let id = node_id(held.node.as_ref());
            let ports = held
                .ports
                .into_iter()
                .filter_map(|port| Some((port.name, u16::try_from(port.number).ok()?)));
            if let Some(place) = self
                .tables
                .node_mut(&id)
                .and_then(|node| node.place.as_mut())
            {
                place.ports = ports.collect();
            }
        }
        self.tables.placings[position].asked.remove(&agent);
        self.complete(position);
    }

    /// A place that nobody waits for any more.
    fn hand_back(&mut self, agent: usize, granted: &PlaceGranted) {
        let nodes = granted
            .places
            .iter()
            .filter_map(|held| held.node.clone())
            .collect();
        self.tell(
            agent,
            ToAgent::Release(Release {
                action: None,
                nodes,
            }),
        );
    }

    fn placing_of(&self, action: &cluster::ActionId) -> Option<usize> {
        let id = (action.event_number, action.position);
        self.tables
            .placings
            .iter()
            .position(|placing| placing.action == id)
    }

    fn complete(&mut self, position: usize) {
        let placing = &self.tables.placings[position];
        if !placing.asked.is_empty() || !self.unplaced(placing).is_empty() {
            return;
        }
        let placing = self.tables.placings.remove(position);
        for id in &placing.nodes {
            if let Some(node) = self.tables.node_mut(id) {
                node.phase = NodePhase::Placed;
            }
            self.show(id);
        }
        self.happened(Event::NodesPlaced(placing.nodes));
    }

    pub(super) fn place_refused(&mut self, agent: usize, refused: &PlaceRefused) {
        self.outstanding
            .settle(agent, &Awaits::Places(refused.action.unwrap_or_default()));
        self.refused_by(agent, &refused.reason);
    }

    /// What this agent was asked for goes elsewhere.
    pub(super) fn refused_by(&mut self, agent: usize, reason: &str) {
        let name = self.tables.agents[agent].name.clone();
        let mut refused = Vec::new();
        for placing in &mut self.tables.placings {
            if placing.asked.remove(&agent) {
                placing.avoid.insert(name.clone());
                refused.extend(placing.nodes.clone());
            }
        }
        if refused.is_empty() {
            return;
        }
        for id in refused {
            if let Some(node) = self.tables.node_mut(&id) {
                node.place = node.place.take().filter(|place| place.agent != agent);
            }
        }
        let message = format!("agent `{name}` has no place to give: {reason}");
        self.emit(crate::events::JobEvent::Warning {
            message,
            hint: None,
        });
        self.settle_placings();
    }

    /// Nothing of it stays held.
    fn give_up(&mut self, placing: &Placing, missing: String) {
        self.release(None, &placing.nodes);
        self.happened(Event::PlaceFailed(placing.nodes.clone(), missing));
    }
}
