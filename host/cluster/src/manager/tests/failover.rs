//! An application manager may die between any two effects: the next one takes up its work from the last entry, and nobody
//! can tell from the nodes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use forebay_job::Job;
use forebay_plugin::{NodeId, NodePhase};

use super::bench::{Bench, START_MS, TWO_WORKERS, dataflow, setting, worker};
use super::native::{Health, job, prepared_job};
use crate::events::{DataflowPhase, JobEvent, Outcome, Summary};
use crate::journal::Entry;
use crate::manager::core::Core;
use crate::manager::effect::{Effect, Input, StopCall, StopWay};
use crate::submission::HOST_VERSION;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{
    ActionId, AttemptEnded, AttemptReady, AttemptStarted, DataflowEnded, DataflowFailed,
    DataflowStarted, DataflowStopped, HeldAttempt, HeldDataflow, HeldPlace, Inventory, OutboxEntry,
    PlaceGranted, Register, Resources, Start, Stop, StopDataflow, attempt_ended,
};
use crate::wire::node::Port;
use crate::wire::{node_id, to_wire};

/// What a job has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    Nodes,
    Dataflow,
    Both,
}

impl Parts {
    fn nodes(self) -> usize {
        if self == Self::Dataflow { 0 } else { 2 }
    }

    fn attempts(self) -> &'static [u64] {
        if self == Self::Nodes { &[] } else { &[1] }
    }

    /// Two workers, a dataflow of a stream, or both.
    fn job(self) -> Job {
        let mut job = job(if self == Self::Dataflow {
            ""
        } else {
            TWO_WORKERS
        });
        if self != Self::Nodes {
            job.dataflow = dataflow(true);
        }
        job
    }

    /// The application manager of this term; `entry`: what the one before has left.
    fn core(self, term: u64, entry: Option<Entry>) -> Core {
        let (prepared, plugins) = prepared_job(&self.job(), Health::Whole);
        match entry {
            None => Core::new(setting(term, 2), prepared, plugins),
            Some(entry) => Core::resumed(setting(term, 2), prepared, plugins, entry),
        }
    }
}

/// What ends the job once all of its nodes are ready and its dataflow runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// The dataflow ends, and worker 0 with exit code 0.
    Finish,
    /// Worker 0 ends with exit code 1; without nodes, the dataflow fails.
    Fail,
    /// A person asks for the end.
    Stop,
    /// A person asks for an end in order.
    Drain,
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
    in_engine: bool,
    /// The newest attempt that it was told of.
    dataflow: u64,
    dataflow_runs: bool,
    /// Every attempt that began.
    dataflows: Vec<u64>,
}

impl Agent {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    fn of_engine(name: &str) -> Self {
        Self {
            in_engine: true,
            ..Self::new(name)
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
                dataflow: (self.dataflow > 0).then_some(HeldDataflow {
                    attempt: self.dataflow,
                    running: self.dataflow_runs,
                }),
            }),
            in_engine: self.in_engine,
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
            ToAgent::RunDataflow(run) if run.attempt > self.dataflow => {
                self.run_dataflow(run.attempt);
            }
            ToAgent::StopDataflow(stop) => self.stop_dataflow(&stop),
            _ => {}
        }
    }

    fn run_dataflow(&mut self, attempt: u64) {
        assert!(self.in_engine, "only an engine runs it");
        assert!(!self.dataflow_runs, "two attempts at once");
        self.dataflow = attempt;
        self.dataflow_runs = true;
        self.dataflows.push(attempt);
        self.tell(Told::DataflowStarted(DataflowStarted { attempt }));
    }

    fn stop_dataflow(&mut self, stop: &StopDataflow) {
        let attempt = stop.attempt;
        let stopped = Told::DataflowStopped(DataflowStopped {
            attempt,
            ..DataflowStopped::default()
        });
        if attempt > self.dataflow {
            self.dataflow = attempt;
            self.tell(stopped);
        } else if attempt == self.dataflow && stop.drain {
            self.end_dataflow(Told::DataflowEnded(DataflowEnded {
                attempt,
                drained: true,
                ..DataflowEnded::default()
            }));
        } else if attempt == self.dataflow {
            self.end_dataflow(stopped);
        }
    }

    fn end_dataflow(&mut self, end: Told) {
        if std::mem::take(&mut self.dataflow_runs) {
            self.tell(end);
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

/// A job on two agents, whose application manager dies once.
struct World {
    parts: Parts,
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
    fn new(parts: Parts, wish: Wish, dies_after: usize) -> Self {
        Self {
            parts,
            core: parts.core(1, None),
            agents: [Agent::of_engine("a"), Agent::new("b")],
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
        if self.is_all_there() && !self.is_wished {
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

    /// All nodes are ready, and the dataflow runs.
    fn is_all_there(&self) -> bool {
        let ready = self.agents.iter().map(|agent| agent.ready.len());
        ready.sum::<usize>() == self.parts.nodes()
            && self.agents[0].dataflows == self.parts.attempts()
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
        let attempt = 1;
        match self.wish {
            Wish::Stop => self.ask_for_end(StopWay::Now),
            Wish::Drain => self.ask_for_end(StopWay::Orderly { deadline_ms: None }),
            Wish::Finish => {
                self.agents[0].end_dataflow(Told::DataflowEnded(DataflowEnded {
                    attempt,
                    ..DataflowEnded::default()
                }));
                self.end_worker(0);
            }
            Wish::Fail if self.parts == Parts::Dataflow => {
                self.agents[0].end_dataflow(Told::DataflowFailed(DataflowFailed {
                    attempt,
                    reason: "row 7 is bad".into(),
                    ..DataflowFailed::default()
                }));
            }
            Wish::Fail => self.end_worker(1),
        }
    }

    fn end_worker(&mut self, exit_code: i32) {
        let id = node_id(worker(0).as_ref());
        for agent in &mut self.agents {
            agent.end(&id, code(exit_code));
        }
    }

    fn ask_for_end(&mut self, way: StopWay) {
        let call = StopCall {
            ticket: 1,
            request: "one".into(),
            way,
            reason: "test".into(),
        };
        self.input(Input::Stop(call));
        // A client repeats what was not answered.
        if self.agents.iter().any(|agent| agent.link.is_none()) {
            self.is_wished = false;
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
        let entry = self.journal.clone();
        let first = match entry {
            None => Input::Submitted,
            Some(_) => Input::Recovered,
        };
        self.core = self.parts.core(2, entry);
        self.input(first);
    }
}

#[track_caller]
fn check(parts: Parts, wish: Wish, outcome: Outcome, dataflow: Option<DataflowPhase>) {
    for dies_after in 0.. {
        let mut world = World::new(parts, wish, dies_after);
        let died = world.play();
        let case = format!("{parts:?}, {wish:?}, {dies_after}");
        let summary = world.summary.clone().unwrap();
        assert_eq!(summary.outcome, outcome, "{case}: {summary:?}");
        assert_eq!(world.summaries, 1, "{case}");
        let phase = summary.dataflow.as_ref().map(|dataflow| dataflow.phase);
        assert_eq!(phase, dataflow, "{case}");
        let mut starts: Vec<_> = world
            .agents
            .iter()
            .flat_map(|agent| &agent.starts)
            .collect();
        starts.sort();
        let both = [0, 1].map(|index| (NodeId::new("worker", index), 1));
        assert!(
            starts.iter().copied().eq(&both[..parts.nodes()]),
            "{case}: {starts:?}"
        );
        for agent in &world.agents {
            assert!(agent.live.is_empty(), "{case}: {:?}", agent.live);
            assert!(!agent.dataflow_runs, "{case}");
        }
        assert_eq!(world.agents[0].dataflows, parts.attempts(), "{case}");
        if !died {
            let least = if parts == Parts::Dataflow { 15 } else { 30 };
            assert!(dies_after > least, "it died at {dies_after} places only");
            return;
        }
        let last = summary.terms.last().unwrap().term;
        assert!(last == 2 || world.has_ended_in_time, "{case}");
    }
}

#[test]
fn a_job_succeeds_wherever_its_application_manager_dies() {
    check(Parts::Nodes, Wish::Finish, Outcome::Succeeded, None);
}

#[test]
fn a_job_fails_wherever_its_application_manager_dies() {
    check(Parts::Nodes, Wish::Fail, Outcome::Failed, None);
}

#[test]
fn a_job_is_stopped_wherever_its_application_manager_dies() {
    check(Parts::Nodes, Wish::Stop, Outcome::Stopped, None);
}

#[test]
fn a_dataflow_has_one_attempt_wherever_its_application_manager_dies() {
    for (wish, outcome, phase) in [
        (Wish::Finish, Outcome::Succeeded, DataflowPhase::Ended),
        (Wish::Fail, Outcome::Failed, DataflowPhase::Failed),
        (Wish::Stop, Outcome::Stopped, DataflowPhase::Stopped),
        (Wish::Drain, Outcome::Stopped, DataflowPhase::Drained),
    ] {
        check(Parts::Dataflow, wish, outcome, Some(phase));
    }
}

#[test]
fn a_dataflow_ends_with_its_nodes_wherever_its_application_manager_dies() {
    for (wish, outcome, phase) in [
        (Wish::Finish, Outcome::Succeeded, DataflowPhase::Ended),
        (Wish::Fail, Outcome::Failed, DataflowPhase::Stopped),
        (Wish::Stop, Outcome::Stopped, DataflowPhase::Stopped),
    ] {
        check(Parts::Both, wish, outcome, Some(phase));
    }
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
