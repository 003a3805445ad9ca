//! A core with a native state machine and a native node runner, and agents that a test speaks for.

use std::collections::BTreeMap;

use forebay_job::{Dataflow, Generate, Job, Origin, Source};
use forebay_plugin::NodePhase;

use super::native::{Health, job, prepared, prepared_job};
use crate::events::{JobEvent, Summary};
use crate::journal::Entry;
use crate::manager::core::{Core, Setting};
use crate::manager::effect::{Effect, Input, Refusal, ResumeCall, StopCall, StopWay};
use crate::manager::mending::Mended;
use crate::preparation::{PluginSet, Prepared};
use crate::submission::HOST_VERSION;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{
    AttemptEnded, AttemptReady, AttemptStarted, Heartbeat, HeldPlace, Inventory, NodeSignal,
    OutboxEntry, Place, PlaceGranted, Register, Resources, Start, attempt_ended,
};
use crate::wire::node_id;

pub(super) const START_MS: u64 = 1_000_000;
pub(super) const TWO_WORKERS: &str = "[roles.worker]\nnodes = 2\ncommand = [\"true\"]\n";

/// A core with agents that a test speaks for.
pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) now_ms: u64,
    pub(super) told: u64,
    pub(super) effects: Vec<Effect>,
}

impl Bench {
    /// A job of two workers that waits for this many agents.
    pub(super) fn new(agents: u32) -> Self {
        Self::of(core(TWO_WORKERS, agents))
    }

    pub(super) fn of(core: Core) -> Self {
        let mut bench = Self {
            core,
            now_ms: START_MS,
            told: 0,
            effects: Vec::new(),
        };
        bench.input(Input::Submitted);
        bench
    }

    /// The application manager dies, and the next one takes up its work.
    pub(super) fn next_term(self) -> Self {
        let mut next = Self {
            core: resumed(self.last_entry()),
            effects: Vec::new(),
            ..self
        };
        next.input(Input::Recovered);
        next
    }

    /// One agent, both workers running.
    pub(super) fn running() -> Self {
        let mut bench = Self::new(1);
        bench.run_on_one_agent();
        bench
    }

    pub(super) fn run_on_one_agent(&mut self) {
        self.join(1, "a", 64);
        self.grant_all(1);
        self.see_started();
    }

    pub(super) fn see_started(&mut self) {
        for index in 0..2 {
            self.tell(
                1,
                Told::AttemptStarted(AttemptStarted {
                    node: worker(index),
                    attempt: 1,
                    pid: 100 + index,
                }),
            );
            self.tell(
                1,
                Told::AttemptReady(AttemptReady {
                    node: worker(index),
                    attempt: 1,
                }),
            );
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        self.effects
            .extend(self.core.handle(self.now_ms, vec![input]));
    }

    pub(super) fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.effects
            .extend(self.core.handle(self.now_ms, Vec::new()));
    }

    /// Three seconds, in which this agent says that it lives.
    pub(super) fn wait_with(&mut self, link: u64) {
        for _ in 0..3 {
            self.heartbeat(link);
            self.wait(1_000);
        }
    }

    pub(super) fn join(&mut self, link: u64, name: &str, slots: u32) {
        let register = self.registration(name, slots);
        self.input(Input::Joined { link, register });
    }

    pub(super) fn registration(&self, name: &str, slots: u32) -> Register {
        Register {
            agent_id: format!("id-{name}"),
            name: name.into(),
            version: HOST_VERSION.into(),
            address: "127.0.0.1".into(),
            interface: "lo".into(),
            resources: Some(Resources {
                slots,
                ..Resources::default()
            }),
            inventory: Some(Inventory {
                outbox_number: self.told,
                ..Inventory::default()
            }),
            ..Register::default()
        }
    }

    pub(super) fn tell(&mut self, link: u64, event: Told) {
        self.told += 1;
        let entry = OutboxEntry {
            number: self.told,
            time_ms: 0,
            event: Some(event),
        };
        self.input(Input::Agent {
            link,
            message: FromAgent::Outbox(entry),
        });
    }

    /// Answers every `place` that went over this link since the last call.
    pub(super) fn grant_all(&mut self, link: u64) {
        let orders = self.orders(link);
        self.effects.clear();
        self.grant(link, orders);
    }

    pub(super) fn heartbeat(&mut self, link: u64) {
        let message = FromAgent::Heartbeat(Heartbeat::default());
        self.input(Input::Agent { link, message });
    }

    /// Why this stream was closed, if it was.
    pub(super) fn refused(&self, closed: u64) -> Option<Refusal> {
        let mut refusals = self.effects.iter().filter_map(|effect| match effect {
            Effect::Close { link, refusal } if *link == closed => Some(refusal.clone()),
            _ => None,
        });
        refusals.next()
    }

    /// Every `place` that went over this link.
    pub(super) fn orders(&self, link: u64) -> Vec<Place> {
        self.sent(link, |message| match message {
            ToAgent::Place(order) => Some(order.clone()),
            _ => None,
        })
    }

    pub(super) fn grant(&mut self, link: u64, orders: Vec<Place>) {
        for order in orders {
            let places = (0..).zip(order.nodes).map(|(offset, node)| HeldPlace {
                node: node.node,
                ports: node
                    .ports
                    .into_iter()
                    .map(|name| crate::wire::node::Port {
                        name,
                        number: 20_000 + offset,
                    })
                    .collect(),
                gpus: Vec::new(),
            });
            let granted = PlaceGranted {
                action: order.action,
                places: places.collect(),
            };
            self.tell(link, Told::PlaceGranted(granted));
        }
    }

    pub(super) fn end_attempt(&mut self, index: u32, attempt: u32, how: attempt_ended::Ending) {
        let ended = AttemptEnded {
            node: worker(index),
            attempt,
            ending: Some(how),
            ..AttemptEnded::default()
        };
        self.tell(1, Told::AttemptEnded(ended));
    }

    pub(super) fn end(&mut self, index: u32, ending: attempt_ended::Ending) {
        self.end_attempt(index, 1, ending);
        self.input(Input::LogClosed {
            link: 1,
            node: format!("worker:{index}"),
            attempt: 1,
        });
    }

    pub(super) fn sent<T>(&self, to: u64, pick: impl Fn(&ToAgent) -> Option<T>) -> Vec<T> {
        let picked = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send { link, message } if *link == to => pick(message),
            _ => None,
        });
        picked.collect()
    }

    pub(super) fn starts(&self, link: u64) -> Vec<Start> {
        self.sent(link, |message| match message {
            ToAgent::Start(start) => Some(start.clone()),
            _ => None,
        })
    }

    pub(super) fn stopped(&self, link: u64) -> Vec<(String, u64)> {
        let stops = self.sent(link, |message| match message {
            ToAgent::Stop(stop) => Some((stop.nodes.clone(), stop.grace_ms)),
            _ => None,
        });
        let of_nodes = stops
            .into_iter()
            .flat_map(|(nodes, grace)| nodes.into_iter().map(move |node| (node, grace)));
        of_nodes
            .map(|(node, grace)| (node_id(node.node.as_ref()).to_string(), grace))
            .collect()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let warnings = self.effects.iter().filter_map(|effect| match effect {
            Effect::Emit(JobEvent::Warning { message, .. }) => Some(message.clone()),
            _ => None,
        });
        warnings.collect()
    }

    pub(super) fn summary(&self) -> Option<Summary> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Emit(JobEvent::Summary(summary)) => Some(summary.clone()),
            _ => None,
        })
    }

    pub(super) fn phase(&self, node: &str) -> NodePhase {
        self.core.tables.node(&node.parse().unwrap()).unwrap().phase
    }

    /// What a script says to the state machine, through worker 0.
    pub(super) fn signal(&mut self, name: &str) {
        self.signal_of(0, name);
    }

    /// The same through any worker.
    pub(super) fn signal_of(&mut self, index: u32, name: &str) {
        let attempt = self.core.tables.roles[0].nodes[index as usize].attempt;
        let signal = NodeSignal {
            node: worker(index),
            attempt,
            name: name.into(),
            payload: String::new(),
        };
        self.tell(1, Told::Signal(signal));
    }

    /// Orders to release places that went over this link.
    pub(super) fn released(&self, link: u64) -> Vec<String> {
        let released = self.sent(link, |message| match message {
            ToAgent::Release(release) => Some(release.nodes.clone()),
            _ => None,
        });
        let nodes = released.into_iter().flatten();
        nodes.map(|node| node_id(Some(&node)).to_string()).collect()
    }

    /// What was said of a request to resume.
    pub(super) fn resume(&mut self, request: &str, health: Health) -> Result<u64, String> {
        let seen = self.effects.len();
        self.input(Input::Resume(Box::new(ResumeCall {
            ticket: 8,
            request: request.into(),
            mended: mended(health),
        })));
        let said = self.effects[seen..].iter().find_map(|effect| match effect {
            Effect::Answer {
                ticket: 8,
                event_number,
            } => Some(Ok(*event_number)),
            Effect::Decline { ticket: 8, why } => Some(Err(why.clone())),
            _ => None,
        });
        said.unwrap()
    }

    /// Why the job is quarantined, if it is.
    pub(super) fn quarantine(&self) -> Option<String> {
        let quarantine = self.core.tables.quarantine.as_ref();
        quarantine.map(|quarantine| quarantine.reason.clone())
    }

    /// The newest entry of the journal.
    pub(super) fn last_entry(&self) -> Entry {
        let entries = self.effects.iter().rev();
        let mut entries = entries.filter_map(|effect| match effect {
            Effect::Journal(entry) => Some(entry.as_ref().clone()),
            _ => None,
        });
        entries.next().unwrap()
    }

    pub(super) fn stop(&mut self, request: &str, way: StopWay) {
        self.input(Input::Stop(StopCall {
            ticket: 7,
            request: request.into(),
            way,
            reason: "test".into(),
        }));
    }
}

pub(super) fn core(roles: &str, agents: u32) -> Core {
    let (prepared, plugins) = prepared(roles, Health::Whole);
    Core::new(setting(1, agents), prepared, plugins)
}

/// A job with these roles, or without any, and a dataflow.
pub(super) fn core_with_dataflow(roles: &str, is_endless: bool) -> Core {
    let (prepared, plugins) = prepared_with_dataflow(roles, is_endless);
    Core::new(setting(1, 1), prepared, plugins)
}

/// A job of two workers that the dataflow feeds.
pub(super) fn fed_core(is_endless: bool) -> Core {
    let (prepared, plugins) = prepared_job(&fed_job(is_endless), Health::Whole);
    Core::new(setting(1, 1), prepared, plugins)
}

pub(super) fn fed_job(is_endless: bool) -> Job {
    let mut job = Job {
        dataflow: dataflow(is_endless),
        ..job(TWO_WORKERS)
    };
    job.roles[0].input = Some("rows".into());
    job
}

/// The same in the second term, after this entry.
pub(super) fn resumed_with_dataflow(roles: &str, is_endless: bool, entry: Entry) -> Core {
    let (prepared, plugins) = prepared_with_dataflow(roles, is_endless);
    Core::resumed(setting(2, 1), prepared, plugins, entry)
}

fn prepared_with_dataflow(roles: &str, is_endless: bool) -> (Prepared, PluginSet) {
    let job = Job {
        dataflow: dataflow(is_endless),
        ..job(roles)
    };
    prepared_job(&job, Health::Whole)
}

/// Two workers on one agent, under plugins of which this is wrong.
pub(super) fn core_with(health: Health) -> Core {
    let (prepared, plugins) = prepared(TWO_WORKERS, health);
    Core::new(setting(1, 1), prepared, plugins)
}

/// Plugins that go on with a job.
pub(super) fn mended(health: Health) -> Mended {
    let (prepared, plugins) = prepared(TWO_WORKERS, health);
    Mended {
        plugins,
        prepared,
        replaced: vec![],
    }
}

/// Two workers in the second term, after this entry.
pub(super) fn resumed(entry: Entry) -> Core {
    let (prepared, plugins) = prepared(TWO_WORKERS, Health::Whole);
    Core::resumed(setting(2, 2), prepared, plugins, entry)
}

/// One source, which may be endless.
pub(super) fn dataflow(is_endless: bool) -> Dataflow {
    let rows = (!is_endless).then_some(1_000);
    let made = Generate {
        rate: Some(1.0),
        rows,
        seed: 0,
        columns: Vec::new(),
    };
    let source = Source {
        name: "rows".into(),
        origin: Origin::Generator(made),
        parallelism: 1,
        batch_rows: 1,
        event_time: None,
        replay: None,
    };
    Dataflow {
        sources: vec![source],
        ..Dataflow::default()
    }
}

pub(super) fn setting(term: u64, agents: u32) -> Setting {
    Setting {
        run: "job-1".into(),
        run_dir: "/nowhere/job-1".into(),
        term,
        pid: 42,
        listen: vec![],
        submitted_ms: START_MS,
        awaited_agents: agents,
        files: BTreeMap::new(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
pub(super) fn worker(index: u32) -> Option<crate::wire::node::NodeId> {
    Some(crate::wire::node::NodeId {
        role: "worker".into(),
        index,
    })
}

pub(super) fn code(code: i32) -> attempt_ended::Ending {
    attempt_ended::Ending::Code(code)
}
