//! Carries out what the state machine decided. Everything here was validated as a whole before.

use std::collections::{BTreeMap, BTreeSet};

use forebay_plugin::{Action, JobEnd, NodeId, NodePhase, PlaceRequest, StopOrder};

use super::core::Core;
use super::tables::{NodeRecord, Placing, StopRecord};
use crate::events::JobEvent;
use crate::journal::DecisionRecord;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::{ActionId, Release};
use crate::wire::to_wire;

/// `(event number, position)` of an action.
pub(super) type Id = (u64, u32);

impl Core {
    /// In their order. None needs a plugin: a start whose plan fails waits for one in the tables.
    pub(super) fn carry_out_all(&mut self, actions: Vec<(Id, Action)>) {
        for (id, action) in actions {
            self.carry_out(id, &action);
        }
    }

    fn carry_out(&mut self, id: Id, action: &Action) {
        match action {
            Action::Place(request) => self.place(id, request),
            Action::Release(nodes) => self.release(id, nodes),
            Action::Publish(nodes) => self.publish(nodes),
            Action::Start(nodes) => self.start(id, nodes),
            Action::Stop(order) => self.stop_nodes(id, order),
            Action::SetTimer(order) => {
                self.tables
                    .timers
                    .insert(order.id.clone(), self.now_ms.saturating_add(order.after_ms));
            }
            Action::CancelTimer(timer) => {
                self.tables.timers.remove(timer);
            }
            Action::Refuse(refusal) => {
                let message = format!(
                    "request {} was refused: {}",
                    refusal.request, refusal.reason
                );
                self.emit(JobEvent::Warning {
                    message,
                    hint: None,
                });
            }
            Action::Finish(end) => self.finish(end.clone()),
            // Live nodes that are to go back are refused before the decision is accepted.
            Action::Rewind(_) => self.rewind(),
            Action::EndInput(roles) => self.end_input(roles),
            // As above.
            Action::Resize(_) | Action::Custom(_) => {}
        }
    }

    fn place(&mut self, action: Id, request: &PlaceRequest) {
        for id in &request.nodes {
            if let Some(node) = self.tables.node_mut(id) {
                node.phase = NodePhase::Waiting;
            }
            self.show(id);
        }
        self.tables.placings.push(Placing {
            action,
            nodes: request.nodes.clone(),
            avoid: request.avoid.iter().cloned().collect(),
            deadline_ms: self.now_ms.saturating_add(request.deadline_ms),
            refused: BTreeSet::new(),
            asked: BTreeMap::new(),
            rounds: 0,
        });
        self.settle_placings();
    }

    /// Gives places back.
    fn release(&mut self, action: Id, nodes: &[NodeId]) {
        let by_agent = self.take_places(nodes);
        for (part, (agent, nodes)) in (0..).zip(by_agent) {
            self.tell(
                agent,
                ToAgent::Release(Release {
                    action: Some(action_id(action, part)),
                    nodes: nodes.iter().map(to_wire).collect(),
                }),
            );
        }
    }

    /// These nodes have no place any more; the agents that held one, with their nodes, do not know it yet.
    pub(super) fn take_places(&mut self, nodes: &[NodeId]) -> BTreeMap<usize, Vec<NodeId>> {
        self.forget_placings_of(nodes);
        let mut by_agent: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
        for id in nodes {
            let Some(node) = self.tables.node_mut(id) else {
                continue;
            };
            node.phase = NodePhase::Absent;
            node.start_when_ended = None;
            if let Some(place) = node.place.take() {
                by_agent.entry(place.agent).or_default().push(id.clone());
            }
            self.show(id);
        }
        by_agent
    }

    /// A `place` without an answer is taken back; what an agent grants later is handed back.
    fn forget_placings_of(&mut self, nodes: &[NodeId]) {
        for placing in &mut self.tables.placings {
            placing.nodes.retain(|id| !nodes.contains(id));
        }
        self.tables
            .placings
            .retain(|placing| !placing.nodes.is_empty());
    }

    /// A node that has lost its place since this was decided is left out; the state machine will hear of the loss.
    fn publish(&mut self, nodes: &[NodeId]) {
        self.tables.generation += 1;
        self.tables.revision += 1;
        self.tables.members = self.placed(nodes);
        let members = self
            .tables
            .members
            .iter()
            .map(|id| (id.to_string(), self.endpoints(id)))
            .collect();
        self.emit(JobEvent::Cluster {
            generation: self.tables.generation,
            members,
        });
        self.tell_cluster();
    }

    /// As with [`Core::publish`], only nodes that still have a place.
    fn start(&mut self, action: Id, nodes: &[NodeId]) {
        let mut startable = self.placed(nodes);
        startable.retain(|id| match self.tables.node_mut(id) {
            Some(node) if node.phase.is_live() => {
                node.start_when_ended = Some(action);
                false
            }
            Some(_) => true,
            None => false,
        });
        self.launch(action, &startable);
    }

    fn placed(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let has_place = |id: &&NodeId| {
            let node = self.tables.node(id);
            node.is_some_and(|node| node.place.is_some())
        };
        nodes.iter().filter(has_place).cloned().collect()
    }

    fn stop_nodes(&mut self, action: Id, order: &StopOrder) {
        self.stop_live(
            action,
            &order.nodes,
            order.grace_ms,
            "the state machine stops it",
        );
    }

    /// SIGTERM to the live ones of these nodes, SIGKILL after the grace.
    pub(super) fn stop_live(&mut self, action: Id, nodes: &[NodeId], grace_ms: u64, reason: &str) {
        for (part, id) in (0..).zip(nodes) {
            let stop = StopRecord {
                action,
                part,
                grace_ms,
                reason: reason.into(),
            };
            if self.note_stop(id, stop) {
                self.order_stop(id);
            }
        }
    }

    /// From now on the node is stopping, as far as the tables know; false where there is nothing to stop.
    pub(super) fn note_stop(&mut self, id: &NodeId, stop: StopRecord) -> bool {
        let is_stoppable = |node: &&mut NodeRecord| node.phase.is_live() && node.place.is_some();
        let Some(node) = self.tables.node_mut(id).filter(is_stoppable) else {
            return false;
        };
        node.phase = NodePhase::Stopping;
        node.start_when_ended = None;
        node.stop = Some(stop);
        true
    }

    pub(super) fn order_stop(&mut self, id: &NodeId) {
        let node = self.tables.node(id);
        let order = node.and_then(|node| {
            let agent = node.place.as_ref()?.agent;
            Some((agent, node.stop.as_ref()?.order(id, node.attempt)))
        });
        if let Some((agent, order)) = order {
            self.tell(agent, ToAgent::Stop(order));
            self.show(id);
        }
    }

    fn finish(&mut self, end: JobEnd) {
        match end {
            JobEnd::Succeeded => self.succeed(),
            JobEnd::Stopped => self.stopped(),
            JobEnd::Failed(failure) => self.fail_job(failure),
        }
    }
}

/// The actions of a decision with their ids.
pub(super) fn ids_and_actions(decision: &DecisionRecord) -> Vec<(Id, Action)> {
    let first_event = decision.now.event_number;
    let actions = (0..).zip(decision.actions.iter().cloned());
    actions
        .map(|(position, action)| ((first_event, position), action))
        .collect()
}

pub(super) fn action_id((event_number, position): Id, part: u32) -> ActionId {
    ActionId {
        event_number,
        position,
        part,
    }
}
