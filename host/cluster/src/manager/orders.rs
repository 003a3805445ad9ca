//! The orders that an agent has not answered, put together from the tables. When an agent comes, to this application manager
//! or to the next one, it hears them again under their old ids; agents accept an id twice and act once.

use forebay_plugin::{NodeId, NodePhase};

use super::core::Core;
use crate::wire::cluster::manager_message::Message as ToAgent;

impl Core {
    pub(super) fn repeat_orders(&mut self, agent: usize) {
        for order in self.unanswered_places(agent) {
            self.tell(agent, order);
        }
        let nodes = self.tables.nodes_on(agent);
        self.order_starts(&self.unstarted(&nodes));
        for stop in self.unanswered_stops(&nodes) {
            self.tell(agent, stop);
        }
    }

    fn unanswered_places(&self, agent: usize) -> Vec<ToAgent> {
        let asked = self.tables.placings.iter().filter_map(|placing| {
            let asked = placing.asked.get(&agent)?;
            Some(ToAgent::Place(self.place_order(placing.action, asked)))
        });
        asked.collect()
    }

    /// Of these nodes those whose process nobody has seen. One that is stopping is none of them: its agent answers the stop of
    /// an attempt that it does not have.
    pub(super) fn unstarted(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let is_unstarted = |id: &&NodeId| {
            let node = self.tables.node(id);
            node.is_some_and(|node| node.phase == NodePhase::Starting && node.pid.is_none())
        };
        nodes.iter().filter(is_unstarted).cloned().collect()
    }

    fn unanswered_stops(&self, nodes: &[NodeId]) -> Vec<ToAgent> {
        let stops = nodes.iter().filter_map(|id| {
            let node = self.tables.node(id)?;
            let is_stopping = node.phase == NodePhase::Stopping;
            let stop = node.stop.as_ref().filter(|_| is_stopping)?;
            Some(ToAgent::Stop(stop.order(id, node.attempt)))
        });
        stops.collect()
    }
}
