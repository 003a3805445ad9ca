//! The core against a native state machine and a native node runner: inputs in, effects out, no process and no socket.

use std::collections::BTreeMap;

use forebay_plugin::{
    Action, CallError, CheckedMachine, CheckedRunner, Decision, Description, Event, ExitReport,
    FinishRule, Grants, JobEnd, JobFailure, JobSpec, JobView, LaunchPlan, LaunchRequest, Limits,
    Manifest, Moment, NodeId, NodePhase, NodeRunner, PlaceRequest, Preparation, Program, Readiness,
    RecoveryScope, RolePolicy, StateMachine, StopOrder, Verdict, VerdictKind,
};

use super::core::{Core, Setting};
use super::effect::{Effect, Input, StopCall, StopWay};
use crate::events::{JobEvent, Outcome, Summary};
use crate::preparation::{PluginSet, prepare};
use crate::submission::HOST_VERSION;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{
    AttemptEnded, AttemptReady, AttemptStarted, HeldPlace, Inventory, NodeDone, OutboxEntry,
    PlaceGranted, PlaceRefused, Register, Resources, Start, attempt_ended,
};
use crate::wire::node_id;

const START_MS: u64 = 1_000_000;
const TWO_WORKERS: &str = "[roles.worker]\nnodes = 2\ncommand = [\"true\"]\n";

/// Places everything, starts everything, and ends with the first node that ends.
struct SimpleMachine(Description);

impl StateMachine for SimpleMachine {
    fn describe(&self) -> &Description {
        &self.0
    }

    fn decide(
        &self,
        _: &JobSpec,
        _: &Moment,
        view: &JobView,
        _: &[u8],
        events: &[Event],
    ) -> Result<Decision, CallError> {
        let actions = events
            .iter()
            .flat_map(|event| answer(event, view))
            .collect();
        Ok(Decision {
            state: b"known".to_vec(),
            phase: "somewhere".into(),
            note: None,
            actions,
        })
    }

    fn migrate(&self, _: &str, state: &[u8]) -> Result<Vec<u8>, CallError> {
        Ok(state.to_vec())
    }
}

fn answer(event: &Event, view: &JobView) -> Vec<Action> {
    match event {
        Event::Submitted => {
            vec![Action::Place(PlaceRequest {
                nodes: all(view),
                avoid: Vec::new(),
                deadline_ms: 60_000,
            })]
        }
        Event::NodesPlaced(nodes) => {
            vec![Action::Publish(nodes.clone()), Action::Start(nodes.clone())]
        }
        Event::PlaceFailed(_, missing) => vec![fail(missing, None)],
        Event::NodesLost(nodes) => vec![fail("lost", nodes.first().cloned())],
        Event::NodeExited(exit) if exit.verdict.kind == VerdictKind::Finished => {
            vec![Action::Finish(JobEnd::Succeeded)]
        }
        Event::NodeExited(exit) => vec![fail(&exit.verdict.reason, Some(exit.node.clone()))],
        Event::StopRequested(_) => vec![Action::Stop(StopOrder {
            nodes: all(view),
            grace_ms: 5_000,
        })],
        Event::Custom(_) => vec![Action::Rewind(Vec::new())],
        _ => Vec::new(),
    }
}

fn fail(reason: &str, node: Option<NodeId>) -> Action {
    Action::Finish(JobEnd::Failed(JobFailure {
        reason: reason.into(),
        node,
    }))
}

fn all(view: &JobView) -> Vec<NodeId> {
    view.roles
        .iter()
        .flat_map(|role| {
            (0..)
                .zip(&role.nodes)
                .map(|(index, _)| NodeId::new(role.role.clone(), index))
        })
        .collect()
}

/// Runs the role's command; exit code 0 is finished, everything else fatal.
struct SimpleRunner(Description);

impl NodeRunner for SimpleRunner {
    fn describe(&self) -> &Description {
        &self.0
    }

    fn prepare(&self, job: &JobSpec) -> Result<Preparation, CallError> {
        Ok(Preparation {
            policies: job.roles.iter().map(|role| policy(&role.name)).collect(),
            ..Preparation::default()
        })
    }

    fn plan(
        &self,
        _: &JobSpec,
        _: &forebay_plugin::ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, CallError> {
        let plan = |request: &LaunchRequest| LaunchPlan {
            node: request.node.clone(),
            program: Program::RoleCommand,
            arguments: vec![format!("{:?}", request.place.ports)],
            environment: Vec::new(),
            files: Vec::new(),
        };
        Ok(requests.iter().map(plan).collect())
    }

    fn interpret_exit(&self, _: &JobSpec, report: &ExitReport) -> Result<Verdict, CallError> {
        let finished = report.ending == forebay_plugin::Ending::Code(0);
        let kind = if finished {
            VerdictKind::Finished
        } else {
            VerdictKind::Fatal
        };
        Ok(Verdict {
            kind,
            reason: format!("`{}` ended", report.node),
            hint: Some("look at it".into()),
        })
    }
}

fn policy(role: &str) -> RolePolicy {
    RolePolicy {
        role: role.into(),
        finish: FinishRule::All,
        recovery: RecoveryScope::Cluster,
        adapts: false,
        ready_when: Readiness::Started,
        checkpoint: forebay_plugin::CheckpointDuty::None,
        ports: vec![forebay_plugin::PortNeed {
            name: "main".into(),
            first_only: false,
        }],
    }
}

/// A core with agents that a test speaks for.
struct Bench {
    core: Core,
    now_ms: u64,
    told: u64,
    effects: Vec<Effect>,
}

impl Bench {
    /// A job of two workers that waits for this many agents.
    fn new(agents: u32) -> Self {
        Self::of(core(TWO_WORKERS, agents))
    }

    fn of(core: Core) -> Self {
        let mut bench = Self {
            core,
            now_ms: START_MS,
            told: 0,
            effects: Vec::new(),
        };
        bench.input(Input::Submitted);
        bench
    }

    /// One agent, both workers running.
    fn running() -> Self {
        let mut bench = Self::new(1);
        bench.join(1, "a", 64);
        bench.grant_all(1);
        for index in 0..2 {
            bench.tell(
                1,
                Told::AttemptStarted(AttemptStarted {
                    node: worker(index),
                    attempt: 1,
                    pid: 100 + index,
                }),
            );
            bench.tell(
                1,
                Told::AttemptReady(AttemptReady {
                    node: worker(index),
                    attempt: 1,
                }),
            );
        }
        bench
    }

    fn input(&mut self, input: Input) {
        self.effects
            .extend(self.core.handle(self.now_ms, vec![input]));
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.effects
            .extend(self.core.handle(self.now_ms, Vec::new()));
    }

    fn join(&mut self, link: u64, name: &str, slots: u32) {
        let register = Register {
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
        };
        self.input(Input::Joined { link, register });
    }

    fn tell(&mut self, link: u64, event: Told) {
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
    fn grant_all(&mut self, link: u64) {
        for order in self.take_sent(link, |message| match message {
            ToAgent::Place(order) => Some(order.clone()),
            _ => None,
        }) {
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

    fn end(&mut self, index: u32, ending: attempt_ended::Ending) {
        let ended = AttemptEnded {
            node: worker(index),
            attempt: 1,
            ending: Some(ending),
            ..AttemptEnded::default()
        };
        self.tell(1, Told::AttemptEnded(ended));
        self.input(Input::LogClosed {
            node: format!("worker:{index}"),
            attempt: 1,
        });
    }

    fn sent<T>(&self, to: u64, pick: impl Fn(&ToAgent) -> Option<T>) -> Vec<T> {
        let picked = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send { link, message } if *link == to => pick(message),
            _ => None,
        });
        picked.collect()
    }

    fn take_sent<T>(&mut self, to: u64, pick: impl Fn(&ToAgent) -> Option<T>) -> Vec<T> {
        let sent = self.sent(to, pick);
        self.effects.clear();
        sent
    }

    fn starts(&self, link: u64) -> Vec<Start> {
        self.sent(link, |message| match message {
            ToAgent::Start(start) => Some(start.clone()),
            _ => None,
        })
    }

    fn stopped(&self, link: u64) -> Vec<(String, u64)> {
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

    fn summary(&self) -> Option<Summary> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Emit(JobEvent::Summary(summary)) => Some(summary.clone()),
            _ => None,
        })
    }

    fn phase(&self, node: &str) -> NodePhase {
        self.core.tables.node(&node.parse().unwrap()).unwrap().phase
    }

    fn stop(&mut self, request: &str, way: StopWay) {
        self.input(Input::Stop(StopCall {
            ticket: 7,
            request: request.into(),
            way,
            reason: "test".into(),
        }));
    }
}

fn core(roles: &str, agents: u32) -> Core {
    let text = format!("name = \"job\"\n{roles}");
    let document =
        forebay_job::Document::parse(&text, "job.toml", std::path::Path::new("/nowhere"));
    let (job, _) = document.check().into_job().unwrap();
    let manifest = Manifest::parse(
        "id = \"native\"\nversion = \"1.0.0\"\nstate-format = \"one\"\n[requests]\nports = 1\n",
    )
    .unwrap();
    let description = manifest.description();
    let machine = CheckedMachine::new(
        Box::new(SimpleMachine(description.clone())),
        Limits::default(),
    );
    let runner = CheckedRunner::new(
        Box::new(SimpleRunner(description)),
        manifest,
        Grants::default(),
        Limits::default(),
    );
    let plugins = PluginSet {
        machine,
        machine_sha256: "none".into(),
        runners: BTreeMap::from([("command".to_owned(), runner)]),
    };
    let prepared = prepare(&job, &plugins).unwrap();
    let setting = Setting {
        run: "job-1".into(),
        run_dir: "/nowhere/job-1".into(),
        term: 1,
        pid: 42,
        submitted_ms: START_MS,
        awaited_agents: agents,
        files: BTreeMap::new(),
    };
    Core::new(setting, prepared, plugins)
}

#[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
fn worker(index: u32) -> Option<crate::wire::node::NodeId> {
    Some(crate::wire::node::NodeId {
        role: "worker".into(),
        index,
    })
}

fn code(code: i32) -> attempt_ended::Ending {
    attempt_ended::Ending::Code(code)
}

// ------------------------------------------------------------------------------------------------------------- tests

#[test]
fn a_job_is_placed_started_and_ends_with_its_work() {
    let mut bench = Bench::running();
    assert_eq!(bench.phase("worker:1"), NodePhase::Ready);
    let starts = bench.starts(1);
    assert_eq!(starts.len(), 2);
    assert_ne!(
        starts[0].action, starts[1].action,
        "each order has an identity of its own"
    );
    assert_eq!(starts[1].arguments, ["[20001]"]);

    bench.end(0, code(0));
    assert_eq!(bench.stopped(1), [("worker:1".to_owned(), 10_000)]);
    assert_eq!(bench.summary(), None, "a node still runs");
    bench.end(1, attempt_ended::Ending::Signal(15));
    let summary = bench.summary().unwrap();
    assert_eq!(summary.outcome, Outcome::Succeeded);
    assert_eq!(summary.nodes[1].attempts[0].verdict, "stopped");
    assert!(matches!(
        bench.effects.last(),
        Some(Effect::Ended(Outcome::Succeeded))
    ));
}

#[test]
fn orders_of_one_action_differ_over_roles_too() {
    let mut bench = Bench::of(core(
        "[roles.a]\ncommand = [\"true\"]\n[roles.b]\ncommand = [\"true\"]\n",
        1,
    ));
    bench.join(1, "a", 64);
    bench.grant_all(1);
    let starts = bench.starts(1);
    assert_eq!(starts.len(), 2);
    assert_ne!(starts[0].action, starts[1].action);
}

#[test]
fn a_decision_is_journaled_before_any_of_it_is_told() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 64);
    bench.grant_all(1);
    let journal = bench
        .effects
        .iter()
        .position(|effect| matches!(effect, Effect::Journal(_)));
    let start = bench.effects.iter().position(|effect| {
        matches!(
            effect,
            Effect::Send {
                message: ToAgent::Start(_),
                ..
            }
        )
    });
    assert!(journal.unwrap() < start.unwrap());
}

#[test]
fn what_an_agent_told_is_acknowledged_once_it_is_journaled() {
    let mut bench = Bench::running();
    bench.effects.clear();
    bench.tell(
        1,
        Told::Done(NodeDone {
            node: worker(0),
            attempt: 1,
        }),
    );
    let acknowledged = |bench: &Bench| {
        bench.sent(1, |message| match message {
            ToAgent::Acknowledge(acknowledge) => Some(acknowledge.outbox_number),
            _ => None,
        })
    };
    assert_eq!(acknowledged(&bench), Vec::<u64>::new());
    assert!(bench.core.next_wake_ms().is_some());
    bench.wait(1_000);
    assert_eq!(acknowledged(&bench), [bench.told]);
}

#[test]
fn an_event_that_is_told_twice_counts_once() {
    let mut bench = Bench::running();
    bench.told -= 1;
    bench.effects.clear();
    bench.end(0, code(1));
    assert!(bench.effects.is_empty(), "{:?}", bench.effects);
}

#[test]
fn a_failed_node_is_the_named_cause() {
    let mut bench = Bench::running();
    bench.end(1, code(3));
    bench.end(0, attempt_ended::Ending::Signal(15));
    let summary = bench.summary().unwrap();
    assert_eq!(
        (summary.outcome, summary.engine_failed),
        (Outcome::Failed, false)
    );
    assert_eq!(summary.cause.unwrap().ending, "exit code 3");
    assert_eq!(summary.hint.as_deref(), Some("look at it"));
}

#[test]
fn without_room_the_job_fails_and_says_what_is_missing() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 1);
    let summary = bench.summary().unwrap();
    assert_eq!(summary.outcome, Outcome::Failed);
    assert!(
        summary.reason.contains("no room for node `worker:1`"),
        "{}",
        summary.reason
    );
}

#[test]
fn agents_are_awaited_until_the_deadline() {
    let mut bench = Bench::new(2);
    bench.join(1, "a", 64);
    assert_eq!(bench.summary(), None);
    bench.wait(60_000);
    assert_eq!(bench.summary().unwrap().reason, "1 of 2 agents have joined");
}

#[test]
fn a_refused_place_goes_to_another_agent() {
    let mut bench = Bench::new(2);
    bench.join(1, "a", 64);
    bench.join(2, "b", 64);
    let orders = |message: &ToAgent| match message {
        ToAgent::Place(order) => Some(order.clone()),
        _ => None,
    };
    let refused = PlaceRefused {
        action: bench.sent(1, orders)[0].action,
        reason: "no port".into(),
    };
    let first = bench.sent(2, orders);
    bench.tell(1, Told::PlaceRefused(refused));
    bench.grant_all(2);
    let second = bench.sent(2, orders);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first[0].action, second[0].action);
}

#[test]
fn an_orderly_stop_asks_the_machine_and_its_deadline_kills() {
    let mut bench = Bench::running();
    bench.effects.clear();
    bench.stop(
        "one",
        StopWay::Orderly {
            deadline_ms: 30_000,
        },
    );
    assert_eq!(bench.stopped(1).len(), 2);
    let journal = bench
        .effects
        .iter()
        .position(|effect| matches!(effect, Effect::Journal(_)));
    let answer = bench
        .effects
        .iter()
        .position(|effect| matches!(effect, Effect::Answer { .. }));
    assert!(
        journal.unwrap() < answer.unwrap(),
        "the answer comes when the event is journaled"
    );
    bench.effects.clear();
    bench.wait(30_000);
    assert_eq!(
        bench.stopped(1),
        [("worker:0".to_owned(), 0), ("worker:1".to_owned(), 0)]
    );
}

#[test]
fn a_request_that_is_made_twice_acts_once() {
    let mut bench = Bench::running();
    bench.stop(
        "one",
        StopWay::Orderly {
            deadline_ms: 30_000,
        },
    );
    bench.effects.clear();
    bench.stop(
        "one",
        StopWay::Orderly {
            deadline_ms: 30_000,
        },
    );
    assert_eq!(bench.stopped(1), []);
    assert!(
        bench
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Answer { ticket: 7, .. }))
    );
}

#[test]
fn a_stop_now_asks_nobody() {
    let mut bench = Bench::running();
    bench.effects.clear();
    bench.stop("now", StopWay::Now);
    assert_eq!(
        bench.stopped(1),
        [("worker:0".to_owned(), 0), ("worker:1".to_owned(), 0)]
    );
    bench.end(0, attempt_ended::Ending::Signal(9));
    bench.end(1, attempt_ended::Ending::Signal(9));
    assert_eq!(bench.summary().unwrap().outcome, Outcome::Stopped);
}

#[test]
fn what_the_host_cannot_do_ends_the_job_by_name() {
    let mut bench = Bench::running();
    let signal = crate::wire::cluster::NodeSignal {
        node: worker(0),
        attempt: 1,
        name: "x".into(),
        payload: String::new(),
    };
    bench.tell(1, Told::Signal(signal));
    bench.end(0, attempt_ended::Ending::Signal(15));
    bench.end(1, attempt_ended::Ending::Signal(15));
    let summary = bench.summary().unwrap();
    assert!(summary.engine_failed);
    assert!(summary.reason.contains("`rewind`"), "{}", summary.reason);
}

#[test]
fn a_broken_stream_may_come_back_and_nothing_is_lost() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 64);
    bench.input(Input::Gone { link: 1 });
    bench.wait(2_000);
    bench.effects.clear();
    bench.join(2, "a", 64);
    bench.grant_all(2);
    assert_eq!(bench.starts(2).len(), 2, "the place was asked for again");
    assert_eq!(bench.summary(), None);
}

#[test]
fn an_agent_that_stays_away_takes_its_nodes_with_it() {
    let mut bench = Bench::running();
    bench.input(Input::Gone { link: 1 });
    bench.wait(3_000);
    let summary = bench.summary().unwrap();
    assert_eq!(summary.reason, "lost");
    assert_eq!(summary.nodes[0].attempts[0].ending, "lost with its machine");
}

#[test]
fn another_version_and_a_taken_name_are_refused() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 64);
    let other = Register {
        agent_id: "other".into(),
        name: "a".into(),
        version: HOST_VERSION.into(),
        ..Register::default()
    };
    bench.input(Input::Joined {
        link: 2,
        register: other.clone(),
    });
    let old = Register {
        name: "b".into(),
        version: "0.0.1".into(),
        ..other
    };
    bench.input(Input::Joined {
        link: 3,
        register: old,
    });
    let closed: Vec<String> = bench
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Close { link, refusal } => Some(format!("{link}: {refusal:?}")),
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(closed.join("\n"), @r#"
    2: Unfit("another agent is called `a`: give this one a name of its own with `--name`")
    3: Unfit("agent `b` is Forebay 0.0.1, the application manager is 0.1.0: install the same version on both")
    "#);
}

#[test]
fn messages_of_an_older_attempt_are_stale() {
    let mut bench = Bench::running();
    bench.effects.clear();
    let old = AttemptEnded {
        node: worker(0),
        attempt: 0,
        ending: Some(code(1)),
        ..AttemptEnded::default()
    };
    bench.tell(1, Told::AttemptEnded(old));
    assert_eq!(bench.phase("worker:0"), NodePhase::Ready);
}
