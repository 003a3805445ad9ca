//! A native state machine and a native node runner, and what may be wrong with them.

use std::collections::BTreeMap;

use forebay_plugin::{
    Action, Call, CallError, CheckedMachine, CheckedRunner, Decision, Description, Event,
    ExitReport, Fault, FinishRule, Grants, JobEnd, JobFailure, JobSpec, JobView, LaunchPlan,
    LaunchRequest, Limits, Manifest, Moment, NodeId, NodePhase, NodeRunner, PlaceRequest,
    PluginError, Preparation, Program, Readiness, RecoveryScope, RolePolicy, StateMachine,
    StopOrder, TimerOrder, Verdict, VerdictKind,
};

use forebay_job::{Document, Job};

use crate::preparation::{PluginSet, Prepared, prepare};

/// Places everything, starts everything, and ends with the first node that ends.
struct SimpleMachine {
    description: Description,
    health: Health,
}

/// What is wrong with the plugins of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Nothing: a state machine that knows what to do about the signal `break`, in a new format of its state.
    Mended,
    /// The state machine fails at the signal `break`.
    Whole,
    /// The node runner has no plan for a second attempt either.
    NoPlan,
    /// The node runner cannot judge an end.
    NoJudgement,
}

fn failure(call: Call) -> CallError {
    let why = PluginError {
        code: "broken".into(),
        message: "it is broken".into(),
        hint: Some("mend it".into()),
    };
    CallError::new("native", call, Fault::Plugin(why))
}

impl StateMachine for SimpleMachine {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn decide(
        &self,
        job: &JobSpec,
        _: &Moment,
        view: &JobView,
        state: &[u8],
        events: &[Event],
    ) -> Result<Decision, CallError> {
        let breaks =
            |event: &Event| matches!(event, Event::Custom(custom) if custom.name == "break");
        if self.health != Health::Mended && events.iter().any(breaks) {
            return Err(failure(Call::Decide));
        }
        if self.health == Health::Mended && state == b"known" {
            return Err(failure(Call::Decide));
        }
        let mut actions: Vec<Action> = events
            .iter()
            .flat_map(|event| answer(event, view))
            .collect();
        if job.roles.iter().any(|role| role.has_input) && events.iter().any(is_stopped) {
            actions.extend(begin_again(view));
        }
        let end = actions
            .iter()
            .position(|action| matches!(action, Action::Finish(_)));
        actions.truncate(end.map_or(actions.len(), |end| end + 1));
        Ok(Decision {
            state: if self.health == Health::Mended {
                b"mended".to_vec()
            } else {
                b"known".to_vec()
            },
            phase: "somewhere".into(),
            note: None,
            actions,
        })
    }

    fn migrate(&self, from: &str, state: &[u8]) -> Result<Vec<u8>, CallError> {
        match (from, state) {
            ("one", b"known") => Ok(b"mended".to_vec()),
            _ => Err(failure(Call::Migrate)),
        }
    }
}

fn is_stopped(event: &Event) -> bool {
    matches!(event, Event::NodeExited(exit) if exit.verdict.kind == VerdictKind::Stopped)
}

/// Once everybody is down.
fn begin_again(view: &JobView) -> Vec<Action> {
    let mut nodes = view.roles.iter().flat_map(|role| &role.nodes);
    if !nodes.all(|node| node.phase == NodePhase::Exited) {
        return Vec::new();
    }
    vec![Action::Rewind(Vec::new()), Action::Start(all(view))]
}

fn answer(event: &Event, view: &JobView) -> Vec<Action> {
    match event {
        Event::Submitted if all(view).is_empty() => vec![],
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
        Event::NodeExited(exit) if exit.verdict.kind == VerdictKind::Stopped => vec![],
        Event::NodeExited(exit) if exit.verdict.kind == VerdictKind::Finished => {
            vec![Action::Finish(JobEnd::Succeeded)]
        }
        Event::NodeExited(exit) => vec![fail(&exit.verdict.reason, Some(exit.node.clone()))],
        Event::StopRequested(_) if all(view).is_empty() => vec![Action::Finish(JobEnd::Stopped)],
        Event::DataflowEnded if all(view).is_empty() => vec![Action::Finish(JobEnd::Succeeded)],
        Event::DataflowFailed(reason) => vec![fail(reason, None)],
        Event::StopRequested(_) => vec![Action::Stop(StopOrder {
            nodes: all(view),
            grace_ms: 5_000,
        })],
        Event::Custom(custom) if custom.name == "rewind" => vec![Action::Rewind(all(view))],
        Event::Custom(custom) if custom.name == "break" => vec![],
        Event::Custom(custom) if custom.name == "halt" => vec![Action::Stop(StopOrder {
            nodes: vec![NodeId::new("worker", 0)],
            grace_ms: 1_000,
        })],
        Event::Custom(custom) if custom.name == "halt all" => vec![Action::Stop(StopOrder {
            nodes: all(view),
            grace_ms: 1_000,
        })],
        Event::Custom(custom) if custom.name == "all anew" => vec![
            Action::Stop(StopOrder {
                nodes: all(view),
                grace_ms: 1_000,
            }),
            Action::Rewind(Vec::new()),
            Action::Start(all(view)),
        ],
        Event::Custom(custom) if custom.name == "anew" => {
            vec![
                Action::Stop(StopOrder {
                    nodes: vec![NodeId::new("worker", 0)],
                    grace_ms: 1_000,
                }),
                Action::Start(vec![NodeId::new("worker", 0)]),
                Action::SetTimer(TimerOrder {
                    id: "later".into(),
                    after_ms: 60_000,
                }),
            ]
        }
        Event::Custom(custom) if custom.name == "release" => vec![Action::Release(all(view))],
        Event::Custom(_) | Event::Timer(_) => {
            vec![Action::SetTimer(TimerOrder {
                id: "again".into(),
                after_ms: 0,
            })]
        }
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
struct SimpleRunner {
    description: Description,
    health: Health,
}

impl NodeRunner for SimpleRunner {
    fn describe(&self) -> &Description {
        &self.description
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
        if self.health == Health::NoPlan && requests.iter().any(|request| request.attempt > 1) {
            return Err(failure(Call::Plan));
        }
        let plan = |request: &LaunchRequest| LaunchPlan {
            node: request.node.clone(),
            program: Program::RoleCommand,
            arguments: vec![format!("{:?}", request.place.ports)],
            environment: Vec::new(),
            unset: vec![],
            files: Vec::new(),
        };
        Ok(requests.iter().map(plan).collect())
    }

    fn interpret_exit(&self, _: &JobSpec, report: &ExitReport) -> Result<Verdict, CallError> {
        if self.health == Health::NoJudgement {
            return Err(failure(Call::InterpretExit));
        }
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

pub(super) fn prepared(roles: &str, health: Health) -> (Prepared, PluginSet) {
    prepared_job(&job(roles), health)
}

/// A job with these roles, or without any.
pub(super) fn job(roles: &str) -> Job {
    // The job file wants one.
    let one = "[roles.one]\ncommand = [\"true\"]\n";
    let text = format!(
        "name = \"job\"\n{}",
        if roles.is_empty() { one } else { roles }
    );
    let document = Document::parse(&text, "job.toml", std::path::Path::new("/nowhere"));
    let (mut job, _) = document.check().into_job().unwrap();
    if roles.is_empty() {
        job.roles.clear();
    }
    job
}

pub(super) fn prepared_job(job: &Job, health: Health) -> (Prepared, PluginSet) {
    let format = if health == Health::Mended {
        "two"
    } else {
        "one"
    };
    let manifest = Manifest::parse(&format!(
        "id = \"native\"\nversion = \"1.0.0\"\nstate-format = \"{format}\"\n[requests]\nports = 1\n",
    ))
    .unwrap();
    let description = manifest.description();
    let machine = CheckedMachine::new(
        Box::new(SimpleMachine {
            description: description.clone(),
            health,
        }),
        Limits::default(),
    );
    let runner = CheckedRunner::new(
        Box::new(SimpleRunner {
            description,
            health,
        }),
        manifest,
        Grants::default(),
        Limits::default(),
    );
    let plugins = PluginSet {
        machine,
        machine_sha256: "none".into(),
        machine_runner: None,
        runners: BTreeMap::from([("command".to_owned(), runner)]),
    };
    let prepared = prepare(job, &plugins).unwrap();
    (prepared, plugins)
}
