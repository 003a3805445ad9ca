//! The connection as the loop sees it: registration, refusals, what is sent.

use std::time::Instant;

use forebay_plugin::NodeId;
use tokio::sync::mpsc;

use super::{Agent, GRACE, Held, Link, host_name};
use crate::agent::{AgentError, connection};
use crate::clock::milliseconds;
use crate::submission::HOST_VERSION;
use crate::wire::cluster::agent_message::Message;
use crate::wire::cluster::{AgentMessage, HeldAttempt, Inventory, Register};
use crate::wire::to_wire;

impl Agent {
    pub(super) fn connection(&mut self, event: connection::Event) {
        match event {
            connection::Event::Up(outbound) => {
                self.link = Some(Link {
                    outbound,
                    welcomed: false,
                });
                self.streams += 1;
                self.send_now(Message::Register(self.register()));
            }
            connection::Event::Message(message) => self.command(*message),
            connection::Event::Down(reason) => self.disconnected(reason),
            connection::Event::Refused(status) => self.refused(&status),
        }
    }

    fn register(&self) -> Register {
        Register {
            agent_id: self.id.clone(),
            name: self.name.clone(),
            version: HOST_VERSION.to_owned(),
            address: self.options.address.to_string(),
            interface: self.options.interface.clone(),
            resources: Some((&self.options.resources).into()),
            term: self.term,
            inventory: Some(self.inventory()),
            pid: std::process::id(),
            in_engine: self.options.in_engine,
            stream: self.streams,
        }
    }

    fn inventory(&self) -> Inventory {
        let attempt = |(node, held): (&NodeId, &Held)| HeldAttempt {
            node: Some(to_wire(node)),
            attempt: held.attempt,
            pid: held.pid,
            ready: held.ready,
            stopping: held.stopping,
            running_ms: milliseconds(held.since.elapsed()),
            generation: held.generation,
        };
        Inventory {
            places: self.places.describe(),
            attempts: self.held.iter().map(attempt).collect(),
            outbox_number: self.uplink.outbox.newest(),
            dataflow: self.dataflow.held(),
        }
    }

    fn disconnected(&mut self, reason: String) {
        tracing::debug!(reason, "no application manager");
        self.last_trouble = reason;
        self.link = None;
        self.alone_until = self
            .alone_until
            .or_else(|| Instant::now().checked_add(self.orphan_grace));
    }

    /// This is the end, with or without a welcome before: the AM has given this agent's nodes up, its job is over, or it is
    /// another job's. Only something that does not speak discovery at all may be a stranger in the AM's place for a while.
    fn refused(&mut self, status: &tonic::Status) {
        self.disconnected(status.message().to_owned());
        let usual_name = self.options.name.is_none() && self.name == host_name();
        let is_stranger = status.code() == tonic::Code::Unimplemented;
        if self.term > 0 && is_stranger {
            tracing::warn!(
                message = status.message(),
                "something else listens at the application manager's address"
            );
        } else if self.term == 0 && usual_name && status.code() == tonic::Code::FailedPrecondition {
            self.name = format!("{}-{}", self.name, std::process::id());
        } else {
            let (address, message) = (self.options.manager.clone(), status.message().to_owned());
            self.end(
                Err(AgentError::Refused { address, message }),
                GRACE,
                "the agent is refused",
            );
        }
    }

    /// What may be lost: the next one makes up for it.
    pub(super) fn send_now(&self, message: Message) {
        if let Some(link) = &self.link
            && (link.welcomed || matches!(message, Message::Register(_)))
        {
            let _busy_or_gone = link.outbound.try_send(AgentMessage {
                message: Some(message),
            });
        }
    }

    pub(super) fn send_next(&mut self, permit: mpsc::OwnedPermit<AgentMessage>) {
        if let Some(message) = self.uplink.next() {
            permit.send(message);
        }
    }
}
