//! Orders that an agent has not answered. When its connection breaks and it comes back, they are sent again under their
//! old ids; agents accept an id twice and act once.

use std::collections::BTreeMap;

use forebay_plugin::NodeId;

use crate::wire::cluster::manager_message::Message;

/// What an order waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// `place_granted` or `place_refused` for this action.
    Places(crate::wire::cluster::ActionId),
    /// The start, or the end, of this attempt.
    Start(NodeId, u32),
    /// The end of this attempt.
    End(NodeId, u32),
}

/// By index of the agent.
#[derive(Default)]
pub(crate) struct Outstanding {
    orders: BTreeMap<usize, Vec<(Awaits, Message)>>,
}

impl Outstanding {
    pub(crate) fn add(&mut self, agent: usize, awaits: Awaits, message: Message) {
        self.orders
            .entry(agent)
            .or_default()
            .push((awaits, message));
    }

    /// The agent has answered.
    pub(crate) fn settle(&mut self, agent: usize, awaits: &Awaits) {
        if let Some(orders) = self.orders.get_mut(&agent) {
            orders.retain(|(waits, _)| waits != awaits);
        }
    }

    /// In the order in which they were given.
    pub(crate) fn of(&self, agent: usize) -> impl Iterator<Item = &Message> {
        self.orders
            .get(&agent)
            .into_iter()
            .flatten()
            .map(|(_, message)| message)
    }

    pub(crate) fn forget(&mut self, agent: usize) {
        self.orders.remove(&agent);
    }
}
