//! An agent without a network, files and processes, for the simulation of a whole job. Outbox, action ids, the life of an
//! attempt and the texts of what never ran are the real ones; the loop around them is that of `agent/core`, told
//! what happens and when, instead of waiting for it.

mod dataflow;
pub(crate) mod script;
pub(crate) mod witness;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use forebay_plugin::NodeId;

use self::dataflow::Flow;
use self::script::{Habits, Kind, Script, percent};
use self::witness::Witness;
use super::actions::Actions;
use super::attempt::simulated::Attempt;
use super::attempt::{Asker, Told, never_ran};
use super::core::{DATAFLOW_ENDS_WITHIN, FLUSH_WITHIN, GRACE, HEARTBEAT_DEFAULT};
use super::dataflow::Desk;
use super::places::from_wire;
use super::preparation::Unstarted;
use super::uplink::Uplink;
use crate::clock::milliseconds;
use crate::submission::HOST_VERSION;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Outgoing;
use crate::wire::cluster::{
    Heartbeat, HeldAttempt, HeldPlace, Inventory, LogChunk, ManagerMessage, NodeReport, Place,
    PlaceGranted, PlaceRefused, Register, Release, Resources, Start, Stop, Welcome,
};
use crate::wire::node::{self, Port, Report};
use crate::wire::to_wire;

const CONNECT_WITHIN_MS: u64 = 10_000;
const FIRST_PORT: u16 = 20_000;

/// What an agent sees of the simulated world while it acts.
pub(crate) struct Scene<'a> {
    pub(crate) now_ms: u64,
    /// The moment 0.
    pub(crate) epoch: Instant,
    pub(crate) rng: &'a mut Rng,
    pub(crate) witness: &'a mut Witness,
    pub(crate) habits: &'a Habits,
    /// What the role of a node is for.
    pub(crate) kind: fn(&str) -> Kind,
}

/// Why an agent will end, once its nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    JobOver,
    Stopped,
    Orphaned,
    Refused,
}

/// See the module.
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) pid: u32,
    pub(crate) in_engine: bool,
    slots: u32,
    pub(crate) term: u64,
    /// There is a stream, and it was welcomed on it.
    pub(crate) link: Option<bool>,
    streams: u64,
    alone_until_ms: Option<u64>,
    /// Between two heartbeats, and when the next is due; a due one waits to be sent.
    heartbeat_interval_ms: u64,
    beats_at_ms: u64,
    has_to_beat: bool,
    orphan_grace_ms: u64,
    uplink: Uplink,
    reports: VecDeque<NodeReport>,
    /// Logs that the application manager does not have whole, and whether this stream has sent them.
    logs: BTreeMap<(NodeId, u32), bool>,
    actions: Actions,
    places: BTreeMap<NodeId, u16>,
    held: BTreeMap<NodeId, Attempt>,
    dataflow: Desk,
    /// What runs it; agents that are not the engine's have none.
    flow: Option<Arc<Flow>>,
    ending: Option<Ending>,
    flush_until_ms: Option<u64>,
    dataflow_until_ms: Option<u64>,
}

impl Agent {
    /// `pid` is a number that no other agent of the job has.
    pub(crate) fn new(name: &str, pid: u32, slots: u32, in_engine: bool, now_ms: u64) -> Self {
        let flow = in_engine.then(Arc::<Flow>::default);
        Self {
            dataflow: Desk::new(flow.clone().map(|flow| flow as _)),
            flow,
            name: name.into(),
            id: format!("{name}-{pid}"),
            pid,
            in_engine,
            slots,
            term: 0,
            link: None,
            streams: 0,
            alone_until_ms: Some(now_ms + CONNECT_WITHIN_MS),
            heartbeat_interval_ms: milliseconds(HEARTBEAT_DEFAULT),
            beats_at_ms: now_ms,
            has_to_beat: false,
            orphan_grace_ms: CONNECT_WITHIN_MS,
            uplink: Uplink::default(),
            reports: VecDeque::new(),
            logs: BTreeMap::new(),
            actions: Actions::default(),
            places: BTreeMap::new(),
            held: BTreeMap::new(),
            ending: None,
            flush_until_ms: None,
            dataflow_until_ms: None,
        }
    }

    /// Places that it holds.
    pub(crate) fn places(&self) -> impl Iterator<Item = &NodeId> {
        self.places.keys()
    }

    /// Attempts that it has, processes or not.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = (&NodeId, u32)> {
        self.held.iter().map(|(id, attempt)| (id, attempt.number))
    }

    /// The attempt of the dataflow that it has.
    pub(crate) fn running_dataflow(&self) -> Option<u64> {
        let held = self.dataflow.held().filter(|held| held.running);
        held.map(|held| held.attempt)
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    // ------------------------------------------------------------------------------------------------- connection

    /// The connection stands: what it says first.
    pub(crate) fn connected(&mut self) -> FromAgent {
        self.link = Some(false);
        self.streams += 1;
        FromAgent::Register(Register {
            agent_id: self.id.clone(),
            name: self.name.clone(),
            version: HOST_VERSION.into(),
            address: "127.0.0.1".into(),
            interface: "lo".into(),
            resources: Some(Resources {
                slots: self.slots,
                ..Resources::default()
            }),
            term: self.term,
            inventory: Some(self.inventory()),
            in_engine: self.in_engine,
            pid: self.pid,
            stream: self.streams,
        })
    }

    fn inventory(&self) -> Inventory {
        let attempt = |(id, attempt): (&NodeId, &Attempt)| HeldAttempt {
            node: Some(to_wire(id)),
            attempt: attempt.number,
            pid: attempt.pid,
            ready: attempt.is_ready,
            stopping: attempt.is_stopping,
            ..HeldAttempt::default()
        };
        Inventory {
            places: self.places.keys().map(|id| self.held_place(id)).collect(),
            attempts: self.held.iter().map(attempt).collect(),
            outbox_number: self.uplink.outbox.newest(),
            dataflow: self.dataflow.held(),
        }
    }

    fn held_place(&self, id: &NodeId) -> HeldPlace {
        let port = |number: &u16| Port {
            name: "main".into(),
            number: u32::from(*number),
        };
        HeldPlace {
            node: Some(to_wire(id)),
            ports: self.places.get(id).map(port).into_iter().collect(),
            gpus: Vec::new(),
        }
    }

    pub(crate) fn disconnected(&mut self, now_ms: u64) {
        self.link = None;
        self.alone_until_ms
            .get_or_insert(now_ms + self.orphan_grace_ms);
    }

    pub(crate) fn refused(&mut self, scene: &mut Scene<'_>) {
        self.disconnected(scene.now_ms);
        self.end(Ending::Refused, GRACE, scene);
    }

    /// Its owner stops it.
    pub(crate) fn stopped(&mut self, scene: &mut Scene<'_>) {
        self.end(Ending::Stopped, GRACE, scene);
    }

    /// The next message, if it may say something.
    pub(crate) fn next_message(&mut self) -> Option<FromAgent> {
        if self.link != Some(true) {
            return None;
        }
        if std::mem::take(&mut self.has_to_beat) {
            return Some(FromAgent::Heartbeat(Heartbeat::default()));
        }
        if let Some(entry) = self.uplink.outbox.next() {
            return Some(FromAgent::Outbox(entry));
        }
        if let Some(progress) = self.uplink.next_progress() {
            return Some(FromAgent::Dataflow(progress));
        }
        if let Some(report) = self.reports.pop_front() {
            return Some(FromAgent::Report(report));
        }
        let ((node, attempt), sent) = self.logs.iter_mut().find(|(_, sent)| !**sent)?;
        *sent = true;
        Some(FromAgent::Log(LogChunk {
            node: Some(to_wire(node)),
            attempt: *attempt,
            ..LogChunk::default()
        }))
    }

    // --------------------------------------------------------------------------------------------------- commands

    pub(crate) fn command(&mut self, message: ManagerMessage, scene: &mut Scene<'_>) {
        let term = message.term;
        match message.message {
            Some(ToAgent::Welcome(welcome)) => self.welcome(term, &welcome, scene),
            Some(command) if term == self.term => self.obey(command, scene),
            _ => {}
        }
        self.see_to_dataflow(scene);
    }

    fn welcome(&mut self, term: u64, welcome: &Welcome, scene: &mut Scene<'_>) {
        if term < self.term {
            self.link = None;
            return;
        }
        self.term = term;
        self.alone_until_ms = None;
        self.orphan_grace_ms = welcome.orphan_grace_ms;
        self.heartbeat_interval_ms = welcome.heartbeat_interval_ms.max(1);
        self.link = self.link.map(|_| true);
        self.uplink.outbox.resume(welcome.outbox_number);
        for sent in self.logs.values_mut() {
            *sent = false;
        }
        for unknown in &welcome.unknown {
            self.stop_node(unknown.node.as_ref(), unknown.attempt, GRACE, scene);
        }
    }

    fn obey(&mut self, command: ToAgent, scene: &mut Scene<'_>) {
        match command {
            ToAgent::Acknowledge(acknowledge) => {
                self.uplink.outbox.acknowledge(acknowledge.outbox_number);
            }
            ToAgent::LogAcknowledge(log) => {
                if let Some(id) = from_wire(log.node.as_ref()) {
                    self.logs.remove(&(id, log.attempt));
                }
            }
            ToAgent::JobEnded(_) => self.end(Ending::JobOver, GRACE, scene),
            _ if self.ending.is_some() => {}
            ToAgent::Place(place) => self.place(&place, scene),
            ToAgent::Release(release) => self.release(&release),
            ToAgent::Start(start) => self.start(start, scene),
            ToAgent::Stop(stop) => self.stop(&stop, scene),
            ToAgent::RunDataflow(run) => self.dataflow.run(run, &mut self.uplink),
            ToAgent::StopDataflow(stop) => self.dataflow.stop(&stop, &mut self.uplink),
            ToAgent::EndInput(order) => self.dataflow.end_input(&order),
            ToAgent::Cluster(_) | ToAgent::Save(_) | ToAgent::RollBack(_) | ToAgent::Welcome(_) => {
            }
        }
    }

    fn place(&mut self, place: &Place, scene: &mut Scene<'_>) {
        if !self.actions.is_new(place.action) {
            return;
        }
        let nodes = place.nodes.iter();
        let nodes: Vec<NodeId> = nodes
            .filter_map(|node| from_wire(node.node.as_ref()))
            .collect();
        let is_new = |id: &&NodeId| !self.places.contains_key(*id);
        let new = nodes.iter().filter(is_new).count();
        let action = place.action;
        let has_no_port = new > 0 && percent(scene.rng, scene.habits.has_no_port);
        if has_no_port || self.places.len() + new > self.slots as usize {
            scene.witness.troubles += 1;
            let reason = "more nodes do not fit".into();
            return self
                .uplink
                .outbox
                .push(Outgoing::PlaceRefused(PlaceRefused { action, reason }));
        }
        for id in &nodes {
            if !self.places.contains_key(id) {
                let port = self.free_port();
                self.places.insert(id.clone(), port);
            }
        }
        let places = nodes.iter().map(|id| self.held_place(id)).collect();
        self.uplink
            .outbox
            .push(Outgoing::PlaceGranted(PlaceGranted { action, places }));
    }

    /// One that neither a place nor a process has.
    fn free_port(&self) -> u16 {
        let of_attempts = self.held.values().flat_map(|attempt| &attempt.ports);
        let used: Vec<u16> = self.places.values().chain(of_attempts).copied().collect();
        (FIRST_PORT..=u16::MAX)
            .find(|port| !used.contains(port))
            .unwrap_or(FIRST_PORT)
    }

    fn release(&mut self, release: &Release) {
        if self.actions.is_new(release.action) {
            for id in release
                .nodes
                .iter()
                .filter_map(|node| from_wire(Some(node)))
            {
                self.places.remove(&id);
            }
        }
    }

    fn start(&mut self, start: Start, scene: &mut Scene<'_>) {
        let Some(id) = from_wire(start.node.as_ref()) else {
            return;
        };
        if !self.actions.is_new(start.action) {
            return;
        }
        let attempt = start.attempt;
        let port = match (self.held.get(&id), self.places.get(&id)) {
            (Some(held), _) => Err(Unstarted::StillAlive(held.number)),
            (None, None) => Err(Unstarted::NoPlace),
            (None, Some(port)) => Ok(*port),
        };
        match port {
            Ok(port) => self.begin(id, port, start, scene),
            Err(error) => {
                let text = format!(
                    "{}: {id}, attempt {attempt}, cannot start: {error}",
                    self.id
                );
                scene.witness.violated(text);
                let ended = never_ran(&id, attempt, &error);
                self.uplink.outbox.push(Outgoing::AttemptEnded(ended));
            }
        }
    }

    fn begin(&mut self, id: NodeId, port: u16, start: Start, scene: &mut Scene<'_>) {
        if start.arguments != [port.to_string()] {
            let text = format!(
                "{id} is told other ports than it holds: {:?}",
                start.arguments
            );
            scene.witness.violated(text);
        }
        self.look_at_feeding(&id, &start, scene);
        let script = Script::draw(scene.rng, scene.habits, (scene.kind)(&id.role));
        self.logs.insert((id.clone(), start.attempt), true);
        let executor = self.flow.clone().map(|flow| flow as _);
        let now_ms = scene.now_ms;
        let attempt = Attempt::begin(id.clone(), vec![port], start, script, executor, now_ms);
        self.held.insert(id, attempt);
    }

    /// Who is to be fed is fed by the attempt of the dataflow that this agent runs, or will run next.
    fn look_at_feeding(&self, id: &NodeId, start: &Start, scene: &mut Scene<'_>) {
        let is_fed = scene.habits.fed.contains(id);
        let newest = self.dataflow.held().map(|held| held.attempt);
        if start.fed_by != newest.filter(|_| is_fed) {
            scene.witness.violated(format!(
                "{id}, attempt {}, is fed by {:?}, and the dataflow of its agent is {newest:?}",
                start.attempt, start.fed_by
            ));
        }
    }

    fn stop(&mut self, stop: &Stop, scene: &mut Scene<'_>) {
        if self.actions.is_new(stop.action) {
            let grace = Duration::from_millis(stop.grace_ms);
            for node in &stop.nodes {
                if !self.stop_node(node.node.as_ref(), node.attempt, grace, scene) {
                    self.answer_for_nobody(node.node.as_ref(), node.attempt);
                }
            }
        }
    }

    fn stop_node(
        &mut self,
        node: Option<&node::NodeId>,
        attempt: u32,
        grace: Duration,
        scene: &mut Scene<'_>,
    ) -> bool {
        let Some(id) = from_wire(node) else {
            return false;
        };
        let held = self.held.get_mut(&id);
        let Some(held) = held.filter(|held| held.number == attempt) else {
            return false;
        };
        let told = held.stop(Asker::Manager, grace, "told to", scene);
        self.hear(&id, told);
        true
    }

    fn answer_for_nobody(&mut self, node: Option<&node::NodeId>, attempt: u32) {
        if let Some(id) = from_wire(node) {
            let ended = never_ran(&id, attempt, &Unstarted::Stopped);
            self.uplink.outbox.push(Outgoing::AttemptEnded(ended));
        }
    }

    // -------------------------------------------------------------------------------------------------------- time

    /// When something happens on this machine by itself.
    pub(crate) fn next_ms(&self, scene: &Scene<'_>) -> u64 {
        let attempts = self.held.values().map(|attempt| attempt.next_ms(scene));
        let alone = self.alone_until_ms.filter(|_| self.ending.is_none());
        attempts
            .chain(alone)
            .chain((self.link == Some(true)).then_some(self.beats_at_ms))
            .chain(self.flush_until_ms)
            .chain(self.flow.iter().filter_map(|flow| flow.next_ms()))
            .min()
            .unwrap_or(u64::MAX)
    }

    pub(crate) fn advance(&mut self, scene: &mut Scene<'_>) {
        let nodes: Vec<NodeId> = self.held.keys().cloned().collect();
        for id in nodes {
            while let Some(attempt) = self.held.get_mut(&id)
                && attempt.next_ms(scene) <= scene.now_ms
            {
                let told = attempt.advance(scene);
                self.hear(&id, told);
            }
        }
        self.see_to_dataflow(scene);
        if self.link == Some(true) && self.beats_at_ms <= scene.now_ms {
            self.has_to_beat = true;
            self.beats_at_ms = scene.now_ms + self.heartbeat_interval_ms;
        }
        if self.alone_until_ms.is_some_and(|at| at <= scene.now_ms) && self.ending.is_none() {
            self.end(Ending::Orphaned, GRACE, scene);
        }
    }

    fn see_to_dataflow(&mut self, scene: &mut Scene<'_>) {
        if let Some(flow) = &self.flow {
            flow.advance(scene);
        }
        let now = scene.epoch + Duration::from_millis(scene.now_ms);
        while let Some((attempt, told)) = self.dataflow.try_next() {
            self.dataflow.hear(now, attempt, told, &mut self.uplink);
        }
    }

    fn hear(&mut self, id: &NodeId, told: Vec<Told>) {
        for told in told {
            let Some(held) = self.held.get_mut(id) else {
                return;
            };
            match told {
                Told::Report(report) => self.reports.push_back(report_of(held, report)),
                Told::Event(event) => {
                    held.is_ready |= matches!(*event, Outgoing::AttemptReady(_));
                    self.uplink.outbox.push(*event);
                }
                Told::Ended(ended) => {
                    if let Some(sent) = self.logs.get_mut(&(id.clone(), ended.attempt)) {
                        *sent = false;
                    }
                    self.held.remove(id);
                    self.uplink.outbox.push(Outgoing::AttemptEnded(*ended));
                }
            }
        }
    }

    // --------------------------------------------------------------------------------------------------------- end

    fn end(&mut self, ending: Ending, grace: Duration, scene: &mut Scene<'_>) {
        scene
            .witness
            .note(&format!("{}: ends: {ending:?}", self.id));
        self.ending.get_or_insert(ending);
        let nodes: Vec<NodeId> = self.held.keys().cloned().collect();
        for id in nodes {
            let held = self.held.get_mut(&id);
            let told = held.map(|held| held.stop(Asker::Agent, grace, "its agent ends", scene));
            self.hear(&id, told.unwrap_or_default());
        }
        self.dataflow.close();
        self.see_to_dataflow(scene);
        self.dataflow_until_ms
            .get_or_insert(scene.now_ms + milliseconds(DATAFLOW_ENDS_WITHIN));
        self.places.clear();
    }

    /// It has a reason to end, and nothing keeps it.
    pub(crate) fn may_end(&mut self, now_ms: u64) -> bool {
        let Some(ending) = self.ending.filter(|_| self.held.is_empty()) else {
            return false;
        };
        let in_time = self.dataflow_until_ms.is_none_or(|until| now_ms < until);
        if self.dataflow.is_running() && in_time {
            return false;
        }
        let told_all = self.uplink.outbox.is_empty() && self.logs.is_empty();
        if self.link != Some(true) || ending != Ending::Stopped || told_all {
            return true;
        }
        let until = self
            .flush_until_ms
            .get_or_insert(now_ms + milliseconds(FLUSH_WITHIN));
        now_ms >= *until
    }

    /// Its process is killed, and its nodes end with it.
    pub(crate) fn die(&mut self, scene: &mut Scene<'_>) {
        for held in self.held.values_mut() {
            held.die(scene);
        }
        self.held.clear();
        self.places.clear();
        if let Some(flow) = &self.flow {
            flow.die(scene);
        }
    }

    /// Nothing that it has to tell is on its way or waits.
    pub(crate) fn has_told_all(&self) -> bool {
        self.uplink.outbox.is_empty()
    }
}

fn report_of(held: &Attempt, report: Report) -> NodeReport {
    NodeReport {
        node: Some(to_wire(&held.node)),
        attempt: held.number,
        report: Some(report),
    }
}
