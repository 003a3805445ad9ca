//! An application manager may die between any two effects: the next one takes up its work from the last entry, and nobody
//! can tell from the nodes.

mod agent;

use forebay_job::Job;
use forebay_plugin::{NodeId, NodePhase};

use self::agent::{Agent, code};
use super::bench::{Bench, START_MS, TWO_WORKERS, dataflow, fed_job, setting, worker};
use super::native::{Health, job, prepared_job};
use crate::events::{DataflowPhase, JobEvent, Outcome, Summary};
use crate::journal::Entry;
use crate::manager::core::Core;
use crate::manager::effect::{Effect, Input, StopCall, StopWay};
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{DataflowEnded, DataflowFailed, NodeSignal, OutboxEntry};
use crate::wire::node_id;

/// What a job has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    Nodes,
    Dataflow,
    Both,
    /// The dataflow feeds the nodes.
    Fed,
}

impl Parts {
    fn nodes(self) -> usize {
        if self == Self::Dataflow { 0 } else { 2 }
    }

    /// Of the dataflow, before the wish.
    fn attempts(self) -> &'static [u64] {
        if self == Self::Nodes { &[] } else { &[1] }
    }

    /// Two workers, a dataflow of a stream, or both.
    fn job(self) -> Job {
        if self == Self::Fed {
            return fed_job(true);
        }
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
    /// All nodes are stopped, the input begins again, and so do they; then as [`Wish::Finish`].
    Again,
}

impl Wish {
    /// Attempts of each node, and of the dataflow, in the end.
    fn attempts(self) -> u32 {
        if self == Self::Again { 2 } else { 1 }
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
    has_begun_again: bool,
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
            has_begun_again: false,
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
        if self.is_all_there_again() {
            self.has_begun_again = true;
            return self.finish(2);
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

    fn is_all_there_again(&self) -> bool {
        let engine = &self.agents[0];
        let live: Vec<u32> = engine.live.values().copied().collect();
        let is_wanted = self.wish == Wish::Again && !self.has_begun_again;
        is_wanted && live == [2, 2] && engine.dataflows == [1, 2]
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
            Wish::Finish => self.finish(attempt),
            Wish::Again => self.agents[0].tell(Told::Signal(NodeSignal {
                node: worker(0),
                attempt: 1,
                name: "halt all".into(),
                payload: String::new(),
            })),
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

    fn finish(&mut self, attempt: u64) {
        self.agents[0].end_dataflow(Told::DataflowEnded(DataflowEnded {
            attempt,
            ..DataflowEnded::default()
        }));
        self.end_worker(0);
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

/// Node, attempt, and the attempt of the dataflow that feeds it.
fn expected_starts(parts: Parts, wish: Wish) -> Vec<(NodeId, u32, Option<u64>)> {
    let nodes = (0..parts.nodes()).flat_map(u32::try_from);
    let start = |index| {
        let attempts = 1..=wish.attempts();
        attempts.map(move |attempt| {
            let fed_by = (parts == Parts::Fed).then_some(u64::from(attempt));
            (NodeId::new("worker", index), attempt, fed_by)
        })
    };
    nodes.flat_map(start).collect()
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
        assert_eq!(
            starts,
            expected_starts(parts, wish).iter().collect::<Vec<_>>(),
            "{case}"
        );
        for agent in &world.agents {
            assert!(agent.live.is_empty(), "{case}: {:?}", agent.live);
            assert!(!agent.dataflow_runs, "{case}");
        }
        let attempts = (1..=u64::from(wish.attempts())).filter(|_| parts != Parts::Nodes);
        let attempts: Vec<u64> = attempts.collect();
        assert_eq!(world.agents[0].dataflows, attempts, "{case}");
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
fn nodes_with_input_are_fed_wherever_their_application_manager_dies() {
    for (wish, outcome, phase) in [
        (Wish::Finish, Outcome::Succeeded, DataflowPhase::Ended),
        (Wish::Again, Outcome::Succeeded, DataflowPhase::Ended),
        (Wish::Fail, Outcome::Failed, DataflowPhase::Stopped),
    ] {
        check(Parts::Fed, wish, outcome, Some(phase));
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
