//! An application manager may die between any two effects: the next one takes up its work from the last entry, and nobody
//! can tell from the nodes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use forebay_plugin::{NodeId, NodePhase};

use super::bench::{Bench, START_MS, core_in_term, resumed, worker};
use crate::events::{JobEvent, Outcome, Summary};
use crate::journal::Entry;
use crate::manager::core::Core;
use crate::manager::effect::{Effect, Input, StopCall, StopWay};
use crate::submission::HOST_VERSION;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{
    ActionId, AttemptEnded, AttemptReady, AttemptStarted, HeldAttempt, HeldPlace, Inventory,
    OutboxEntry, PlaceGranted, Register, Resources, Start, Stop, attempt_ended,
};
use crate::wire::node::Port;
use crate::wire::{node_id, to_wire};

/// What ends the job once all of its nodes are ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Worker 0 ends with exit code 0.
    Finish,
    /// Worker 0 ends with exit code 1.
    Fail,
    /// A person asks for the end.
    Stop,
}

/// An agent as far as an application manager sees it.
#[derive(Default)]
struct Agent {
    name: String,
    term: u64,
    link: Option<u64>,
    carried_out: BTreeSet<(u64, u32, u32)>,
    places: BTreeMap<NodeId, u16>,
    live: BTreeMap<NodeId, u32>,
    ready: BTreeSet<NodeId>,
    /// Of the newest cluster that it was told.
    members: Vec<NodeId>,
    outbox: VecDeque<OutboxEntry>,
    numbered: u64,
    /// Every start that took effect.
    starts: Vec<(NodeId, u32)>,
}

impl Agent {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    fn is_new(&mut self, action: Option<ActionId>) -> bool {
        let id = action.unwrap();
        self.carried_out
            .insert((id.event_number, id.position, id.part))
    }

    fn tell(&mut self, event: Told) {
        self.numbered += 1;
        self.outbox.push_back(OutboxEntry {
            number: self.numbered,
            time_ms: 0,
            event: Some(event),
        });
    }

    fn register(&self) -> Register {
        let place = |(id, port): (&NodeId, &u16)| held_place(id, *port);
        let attempt = |(id, attempt): (&NodeId, &u32)| HeldAttempt {
            node: Some(to_wire(id)),
            attempt: *attempt,
            ..HeldAttempt::default()
        };
        Register {
            agent_id: format!("id-{}", self.name),
            name: self.name.clone(),
            version: HOST_VERSION.into(),
            address: "127.0.0.1".into(),
            interface: "lo".into(),
            term: self.term,
            resources: Some(Resources {
                slots: 64,
                ..Resources::default()
            }),
            inventory: Some(Inventory {
                places: self.places.iter().map(place).collect(),
                attempts: self.live.iter().map(attempt).collect(),
                outbox_number: self.numbered,
                ..Inventory::default()
            }),
            ..Register::default()
        }
    }

    fn obey(&mut self, order: ToAgent) {
        match order {
            ToAgent::Welcome(welcome) => {
                self.outbox
                    .retain(|entry| entry.number > welcome.outbox_number);
                for unknown in welcome.unknown {
                    self.end(&node_id(unknown.node.as_ref()), code(0));
                }
            }
            ToAgent::Acknowledge(acknowledge) => self
                .outbox
                .retain(|entry| entry.number > acknowledge.outbox_number),
            ToAgent::Place(place) if self.is_new(place.action) => {
                let ids: Vec<_> = place
                    .nodes
                    .iter()
                    .map(|node| node_id(node.node.as_ref()))
                    .collect();
                for id in &ids {
                    let next = 20_000 + u16::try_from(self.places.len()).unwrap();
                    self.places.entry(id.clone()).or_insert(next);
                }
                let places = ids.iter().map(|id| held_place(id, self.places[id]));
                self.tell(Told::PlaceGranted(PlaceGranted {
                    action: place.action,
                    places: places.collect(),
                }));
            }
            ToAgent::Release(release) => {
                for node in &release.nodes {
                    let id = node_id(Some(node));
                    assert!(!self.live.contains_key(&id), "{id} runs without a place");
                    self.places.remove(&id);
                }
            }
            ToAgent::Cluster(spec) => {
                let members = spec.cluster.unwrap().members;
                let ids = members.iter().map(|member| node_id(member.node.as_ref()));
                self.members = ids.collect();
            }
            ToAgent::Start(start) if self.is_new(start.action) => self.start(&start),
            ToAgent::Stop(stop) if self.is_new(stop.action) => self.stop(&stop),
            _ => {}
        }
    }

    fn start(&mut self, start: &Start) {
        let id = node_id(start.node.as_ref());
        let port = self.places.get(&id).expect("it has a place");
        assert_eq!(start.arguments, [format!("[{port}]")], "its own port");
        assert!(self.members.contains(&id), "{id} is in the cluster it sees");
        let before = self.live.insert(id.clone(), start.attempt);
        assert_eq!(before, None, "two live attempts of {id}");
        self.starts.push((id, start.attempt));
        self.tell(Told::AttemptStarted(AttemptStarted {
            node: start.node.clone(),
            attempt: start.attempt,
            pid: 100,
        }));
        self.tell(Told::AttemptReady(AttemptReady {
            node: start.node.clone(),
            attempt: start.attempt,
        }));
        self.ready.insert(node_id(start.node.as_ref()));
    }

    fn stop(&mut self, stop: &Stop) {
        for node in &stop.nodes {
            let id = node_id(node.node.as_ref());
            if self.live.get(&id) == Some(&node.attempt) {
                self.end(&id, attempt_ended::Ending::Signal(15));
            }
        }
    }

    fn end(&mut self, id: &NodeId, ending: attempt_ended::Ending) {
        if let Some(attempt) = self.live.remove(id) {
            self.tell(Told::AttemptEnded(AttemptEnded {
                node: Some(to_wire(id)),
                attempt,
                stop_was_asked: ending == attempt_ended::Ending::Signal(15),
                ending: Some(ending),
                ..AttemptEnded::default()
            }));
        }
    }
}

fn code(code: i32) -> attempt_ended::Ending {
    attempt_ended::Ending::Code(code)
}

fn held_place(id: &NodeId, port: u16) -> HeldPlace {
    HeldPlace {
        node: Some(to_wire(id)),
        ports: vec![Port {
            name: "main".into(),
            number: port.into(),
        }],
        gpus: Vec::new(),
    }
}

/// A job of two workers on two agents, whose application manager dies once.
struct World {
    core: Core,
    agents: [Agent; 2],
    wish: Wish,
    now_ms: u64,
    term: u64,
    /// Effects until the application manager dies.
    dies_after: usize,
    journal: Option<Entry>,
    links: u64,
    summary: Option<Summary>,
    summaries: usize,
    is_wished: bool,
    has_ended_in_time: bool,
}

impl World {
    fn new(wish: Wish, dies_after: usize) -> Self {
        Self {
            core: core_in_term(1),
            agents: [Agent::new("a"), Agent::new("b")],
            wish,
            now_ms: START_MS,
            term: 1,
            dies_after,
            journal: None,
            links: 0,
            summary: None,
            summaries: 0,
            is_wished: false,
            has_ended_in_time: false,
        }
    }

    /// Plays the job to its end; whether the application manager died on the way.
    fn play(&mut self) -> bool {
        self.input(Input::Submitted);
        for _ in 0..500 {
            if self.summary.is_some() {
                return self.term > 1;
            }
            self.step();
        }
        panic!("the job does not end");
    }

    fn step(&mut self) {
        if let Some(agent) = (0..2).find(|agent| self.agents[*agent].link.is_none()) {
            return self.join(agent);
        }
        if let Some((agent, entry)) = self.next_told() {
            let link = self.agents[agent].link.unwrap();
            let message = FromAgent::Outbox(entry);
            return self.input(Input::Agent { link, message });
        }
        let is_ready = |agent: &Agent| agent.ready.len();
        let all_ready = self.agents.iter().map(is_ready).sum::<usize>() == 2;
        if all_ready && !self.is_wished {
            self.is_wished = true;
            return self.come_true();
        }
        self.now_ms = self
            .core
            .next_wake_ms()
            .unwrap_or(self.now_ms)
            .max(self.now_ms + 1);
        self.handle(Vec::new());
    }

    /// The first entry of an outbox that this application manager has not been told.
    fn next_told(&mut self) -> Option<(usize, OutboxEntry)> {
        let core = &self.core;
        self.agents.iter().enumerate().find_map(|(index, agent)| {
            let id = format!("id-{}", agent.name);
            let heard = core.outbox.get(&id).copied().unwrap_or_default();
            let entry = agent.outbox.iter().find(|entry| entry.number > heard)?;
            Some((index, entry.clone()))
        })
    }

    fn come_true(&mut self) {
        let id = node_id(worker(0).as_ref());
        match self.wish {
            Wish::Stop => {
                let call = StopCall {
                    ticket: 1,
                    request: "one".into(),
                    way: StopWay::Now,
                    reason: "test".into(),
                };
                self.input(Input::Stop(call));
                // A client repeats what was not answered.
                if self.agents.iter().any(|agent| agent.link.is_none()) {
                    self.is_wished = false;
                }
            }
            Wish::Finish | Wish::Fail => {
                let failed = i32::from(self.wish == Wish::Fail);
                for agent in &mut self.agents {
                    agent.end(&id, code(failed));
                }
            }
        }
    }

    fn join(&mut self, agent: usize) {
        self.links += 1;
        let (link, register) = (self.links, self.agents[agent].register());
        self.agents[agent].link = Some(link);
        self.input(Input::Joined { link, register });
    }

    fn input(&mut self, input: Input) {
        self.handle(vec![input]);
    }

    fn handle(&mut self, inputs: Vec<Input>) {
        for effect in self.core.handle(self.now_ms, inputs) {
            if self.term == 1 {
                if self.dies_after == 0 {
                    return self.die();
                }
                self.dies_after -= 1;
            }
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Journal(entry) => {
                let json = serde_json::to_vec(&entry).unwrap();
                self.journal = Some(serde_json::from_slice(&json).unwrap());
            }
            Effect::Send { link, message } => {
                let to = |agent: &&mut Agent| agent.link == Some(link);
                if let Some(agent) = self.agents.iter_mut().find(to) {
                    agent.term = self.term;
                    agent.obey(message);
                }
            }
            Effect::Emit(JobEvent::Summary(summary)) => {
                self.summaries += 1;
                self.summary = Some(summary);
            }
            _ => {}
        }
    }

    fn die(&mut self) {
        self.term = 2;
        self.has_ended_in_time = self.summary.is_some();
        if self.has_ended_in_time {
            // The engine finds it and starts no other.
            return;
        }
        self.now_ms += 700;
        for agent in &mut self.agents {
            agent.link = None;
        }
        match self.journal.clone() {
            None => {
                self.core = core_in_term(2);
                self.input(Input::Submitted);
            }
            Some(entry) => {
                self.core = resumed(entry);
                self.input(Input::Recovered);
            }
        }
    }
}

#[track_caller]
fn check(wish: Wish, outcome: Outcome) {
    for dies_after in 0.. {
        let mut world = World::new(wish, dies_after);
        let died = world.play();
        let summary = world.summary.clone().unwrap();
        assert_eq!(summary.outcome, outcome, "{dies_after}: {summary:?}");
        assert_eq!(world.summaries, 1, "{dies_after}");
        let mut starts: Vec<_> = world
            .agents
            .iter()
            .flat_map(|agent| &agent.starts)
            .collect();
        starts.sort();
        let both = [0, 1].map(|index| (NodeId::new("worker", index), 1));
        assert!(
            starts.iter().eq(&both.each_ref()),
            "{dies_after}: {starts:?}"
        );
        for agent in &world.agents {
            assert!(agent.live.is_empty(), "{dies_after}: {:?}", agent.live);
        }
        if !died {
            assert!(dies_after > 30, "it died at {dies_after} places only");
            return;
        }
        let last = summary.terms.last().unwrap().term;
        assert!(last == 2 || world.has_ended_in_time, "{dies_after}");
    }
}

#[test]
fn a_job_succeeds_wherever_its_application_manager_dies() {
    check(Wish::Finish, Outcome::Succeeded);
}

#[test]
fn a_job_fails_wherever_its_application_manager_dies() {
    check(Wish::Fail, Outcome::Failed);
}

#[test]
fn a_job_is_stopped_wherever_its_application_manager_dies() {
    check(Wish::Stop, Outcome::Stopped);
}

#[test]
fn nodes_have_their_time_to_end_however_long_there_was_no_application_manager() {
    let mut bench = Bench::running();
    bench.stop("now", StopWay::Now);
    bench.now_ms += 3_600_000;
    let mut bench = bench.next_term();
    bench.wait(14_000);
    assert_eq!(bench.warnings(), Vec::<String>::new());
    assert_eq!(bench.phase("worker:0"), NodePhase::Stopping);
}
