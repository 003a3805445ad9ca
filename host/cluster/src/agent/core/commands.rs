//! What the AM says, carried out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_plugin::NodeId;
use tokio::sync::mpsc;

use super::{Agent, GRACE, Held, heartbeat_every};
use crate::agent::Ended;
use crate::agent::attempt::{self, Asker, Assignment, Order, Publication, Run, Teller, never_ran};
use crate::agent::control::frame;
use crate::agent::logs::LogProgress;
use crate::agent::places::from_wire;
use crate::agent::preparation::Unstarted;
use crate::wire::cluster::manager_message::Message;
use crate::wire::cluster::outbox_entry::Event as Outgoing;
use crate::wire::cluster::{
    ClusterSpec, ManagerMessage, Place, PlaceGranted, PlaceRefused, Release, Start, Stop, StopNode,
    Welcome,
};
use crate::wire::node::{self, Cluster, ClusterChange, down};

impl Agent {
    /// Nothing of a term that has not welcomed this agent is obeyed, above all nothing of a lower one.
    pub(super) fn command(&mut self, message: ManagerMessage) {
        let term = message.term;
        match message.message {
            Some(Message::Welcome(welcome)) => self.welcome(term, welcome),
            Some(_) if term != self.term => {
                tracing::warn!(
                    term,
                    obeyed = self.term,
                    "a command of another term is ignored"
                );
            }
            Some(command) => self.obey(command),
            None => {}
        }
    }

    fn obey(&mut self, command: Message) {
        match command {
            Message::Acknowledge(acknowledge) => {
                self.uplink.outbox.acknowledge(acknowledge.outbox_number);
            }
            Message::LogAcknowledge(acknowledge) => self.uplink.logs.acknowledge(&acknowledge),
            Message::JobEnded(job) => self.end(
                Ok(Ended::Job {
                    outcome: job.outcome,
                }),
                GRACE,
                "the job has ended",
            ),
            _ if self.ending.is_some() => {}
            Message::Welcome(_) => {}
            Message::Place(place) => self.place(&place),
            Message::Release(release) => self.release(&release),
            Message::Cluster(spec) => self.publish(spec),
            Message::Start(start) => self.start(start),
            Message::Stop(stop) => self.stop_nodes(&stop),
            Message::RunDataflow(run) => self.dataflow.run(run, &mut self.uplink),
            Message::StopDataflow(stop) => self.dataflow.stop(&stop, &mut self.uplink),
            Message::EndInput(order) => self.dataflow.end_input(&order),
            Message::Save(save) => {
                let order = save.save.map(Order::Save);
                self.order(save.node.as_ref(), save.attempt, order, save.action);
            }
            Message::RollBack(roll_back) => {
                let order = roll_back.roll_back.map(Order::RollBack);
                self.order(
                    roll_back.node.as_ref(),
                    roll_back.attempt,
                    order,
                    roll_back.action,
                );
            }
        }
    }

    fn welcome(&mut self, term: u64, welcome: Welcome) {
        if term < self.term {
            // Hung up on; the next try may find the newer AM.
            self.link = None;
            return;
        }
        self.term = term;
        self.run = Run {
            job: welcome.job,
            name: welcome.run,
        };
        self.alone_until = None;
        self.orphan_grace = Duration::from_millis(welcome.orphan_grace_ms);
        if welcome.heartbeat_interval_ms > 0 {
            self.heartbeat = heartbeat_every(Duration::from_millis(welcome.heartbeat_interval_ms));
        }
        if let Some(link) = &mut self.link {
            link.welcomed = true;
        }
        self.uplink.outbox.resume(welcome.outbox_number);
        self.uplink.logs.resume(&welcome.logs);
        for unknown in &welcome.unknown {
            self.stop_node(
                unknown.node.as_ref(),
                unknown.attempt,
                GRACE,
                "the application manager does not know it",
            );
        }
    }

    fn place(&mut self, place: &Place) {
        if !self.actions.is_new(place.action) {
            return;
        }
        let action = place.action;
        self.uplink
            .outbox
            .push(match self.places.hold(&place.nodes) {
                Ok(places) => Outgoing::PlaceGranted(PlaceGranted { action, places }),
                Err(error) => Outgoing::PlaceRefused(PlaceRefused {
                    action,
                    reason: error.to_string(),
                }),
            });
    }

    fn release(&mut self, release: &Release) {
        if self.actions.is_new(release.action) {
            for node in release
                .nodes
                .iter()
                .filter_map(|node| from_wire(Some(node)))
            {
                self.places.release(&node);
            }
        }
    }

    fn publish(&mut self, spec: ClusterSpec) {
        let Some(cluster) = spec.cluster else { return };
        let change = ClusterChange {
            cluster: Some(cluster.clone()),
        };
        let publication = Publication {
            cluster,
            frame: frame(down::Message::ClusterChange(change)),
        };
        let publication = Arc::new(publication);
        for held in self.held.values() {
            held.order(Order::Publish(publication.clone()));
        }
        self.cluster = Some(publication);
    }

    fn start(&mut self, start: Start) {
        let Some(node) = from_wire(start.node.as_ref()) else {
            tracing::warn!(node = ?start.node, "a start without a valid node is ignored");
            return;
        };
        if !self.actions.is_new(start.action) {
            return;
        }
        let attempt = start.attempt;
        match self.assignment(start, node.clone()) {
            Ok(assignment) => self.begin(assignment),
            Err(error) => self
                .uplink
                .outbox
                .push(Outgoing::AttemptEnded(never_ran(&node, attempt, &error))),
        }
    }

    fn assignment(&self, start: Start, node: NodeId) -> Result<Assignment, Unstarted> {
        if let Some(held) = self.held.get(&node) {
            return Err(Unstarted::StillAlive(held.attempt));
        }
        let place = self.places.get(&node).ok_or(Unstarted::NoPlace)?;
        let cluster = self.newest_cluster();
        let log = LogProgress::new(self.logs_grew.clone());
        Ok(Assignment {
            start,
            node,
            place,
            run: self.run.clone(),
            cluster,
            log,
        })
    }

    /// Empty where none was published yet.
    fn newest_cluster(&self) -> Cluster {
        let published = self.cluster.as_ref();
        published.map_or_else(Cluster::default, |publication| publication.cluster.clone())
    }

    fn begin(&mut self, assignment: Assignment) {
        let (node, attempt) = (assignment.node.clone(), assignment.start.attempt);
        let (orders, queue) = mpsc::unbounded_channel();
        let log_file = self.workshop.log_file(&node, attempt);
        self.uplink
            .logs
            .add(node.clone(), attempt, log_file, assignment.log.clone());
        let held = Held {
            attempt,
            pid: 0,
            ready: false,
            stopping: false,
            since: Instant::now(),
            generation: assignment.cluster.generation,
            orders,
        };
        self.held.insert(node.clone(), held);
        let teller = Teller {
            node,
            attempt,
            sender: self.attempt_sender.clone(),
        };
        self.tasks.spawn(attempt::live(
            self.workshop.clone(),
            assignment,
            queue,
            teller,
        ));
    }

    fn stop_nodes(&mut self, stop: &Stop) {
        if self.actions.is_new(stop.action) {
            for StopNode { node, attempt } in &stop.nodes {
                let grace = Duration::from_millis(stop.grace_ms);
                if !self.stop_node(node.as_ref(), *attempt, grace, &stop.reason) {
                    self.answer_for_nobody(node.as_ref(), *attempt);
                }
            }
        }
    }

    fn stop_node(
        &mut self,
        node: Option<&node::NodeId>,
        attempt: u32,
        grace: Duration,
        reason: &str,
    ) -> bool {
        let held = self.attempt_of(node, attempt);
        held.map(|held| held.stop(Asker::Manager, grace, reason))
            .is_some()
    }

    /// The attempt has ended, which was told before this, or its start never came, and does not come after its stop.
    fn answer_for_nobody(&mut self, node: Option<&node::NodeId>, attempt: u32) {
        if let Some(id) = from_wire(node) {
            let ended = never_ran(&id, attempt, &Unstarted::Stopped);
            self.uplink.outbox.push(Outgoing::AttemptEnded(ended));
        }
    }

    fn order(
        &mut self,
        node: Option<&node::NodeId>,
        attempt: u32,
        order: Option<Order>,
        action: Option<crate::wire::cluster::ActionId>,
    ) {
        let new = self.actions.is_new(action);
        if let (true, Some(order), Some(held)) = (new, order, self.attempt_of(node, attempt)) {
            held.order(order);
        }
    }

    /// Commands are for one attempt: a later one is not hit by them.
    fn attempt_of(&mut self, node: Option<&node::NodeId>, attempt: u32) -> Option<&mut Held> {
        self.held
            .get_mut(&from_wire(node)?)
            .filter(|held| held.attempt == attempt)
    }
}
