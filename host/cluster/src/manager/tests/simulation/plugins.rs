//! The plugins of a simulated job: the standard machine as it is shipped, and a node runner whose policies a seed draws.
//! Both can be made to fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use forebay_plugin::{
    Call, CallError, CheckedMachine, CheckedRunner, CheckpointDuty, ClusterSpec, Decision,
    Description, Ending, Event, ExitReport, Fault, Grants, JobSpec, JobView, LaunchPlan,
    LaunchRequest, Limits, Loaded, Manifest, Moment, NodeRunner, PluginHost, PortNeed, Preparation,
    Program, Readiness, RolePolicy, StateMachine, Verdict, VerdictKind,
};

use super::scenario::Rule;
use crate::agent::simulated::script::LOST_PEER;
use crate::preparation::PluginSet;

/// All plugins of a job fail while it is set.
#[derive(Clone, Debug, Default)]
pub(super) struct Breakdown(Arc<AtomicBool>);

impl Breakdown {
    pub(super) fn set(&self, fails: bool) {
        self.0.store(fails, Ordering::Relaxed);
    }

    fn check(&self, call: Call) -> Result<(), CallError> {
        if self.0.load(Ordering::Relaxed) {
            let fault = Fault::Host("it is broken".into());
            return Err(CallError::new("simulated", call, fault));
        }
        Ok(())
    }
}

/// What all seeds share.
pub(super) struct Plugins {
    _host: PluginHost,
    standard: Loaded,
}

impl Plugins {
    pub(super) fn load() -> Self {
        let bundled = forebay_bundled::find("standard-machine").expect("it is bundled");
        let manifest = Manifest::parse(bundled.manifest).expect("its manifest is valid");
        let host = PluginHost::new(None).expect("there is WebAssembly");
        let standard = host.load(bundled.component, &manifest);
        Self {
            standard: standard.expect("it is a plugin"),
            _host: host,
        }
    }

    /// For one application manager.
    pub(super) fn of_job(
        &self,
        roles: &BTreeMap<String, Rule>,
        breakdown: &Breakdown,
    ) -> PluginSet {
        let machine = Box::new(BreakableMachine {
            machine: self.standard.state_machine().expect("it decides"),
            breakdown: breakdown.clone(),
        });
        let manifest = "id = \"simulated\"\nversion = \"1.0.0\"\n[requests]\nports = 1\n";
        let manifest = Manifest::parse(manifest).expect("the manifest is valid");
        let runner = SimulatedRunner {
            description: manifest.description(),
            roles: roles.clone(),
            breakdown: breakdown.clone(),
        };
        let (grants, limits) = (Grants::default(), Limits::default());
        let runner = CheckedRunner::new(Box::new(runner), manifest, grants, limits.clone());
        PluginSet {
            machine: CheckedMachine::new(machine, limits),
            machine_sha256: self.standard.digest().to_owned(),
            machine_runner: None,
            runners: BTreeMap::from([("command".to_owned(), runner)]),
        }
    }
}

struct BreakableMachine {
    machine: Box<dyn StateMachine>,
    breakdown: Breakdown,
}

impl StateMachine for BreakableMachine {
    fn describe(&self) -> &Description {
        self.machine.describe()
    }

    fn decide(
        &self,
        job: &JobSpec,
        now: &Moment,
        view: &JobView,
        state: &[u8],
        events: &[Event],
    ) -> Result<Decision, CallError> {
        self.breakdown.check(Call::Decide)?;
        self.machine.decide(job, now, view, state, events)
    }

    fn migrate(&self, from_format: &str, state: &[u8]) -> Result<Vec<u8>, CallError> {
        self.machine.migrate(from_format, state)
    }
}

/// Tells each node the port that it holds, so that an agent can see whether it is the right one.
struct SimulatedRunner {
    description: Description,
    roles: BTreeMap<String, Rule>,
    breakdown: Breakdown,
}

impl NodeRunner for SimulatedRunner {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn prepare(&self, _: &JobSpec) -> Result<Preparation, CallError> {
        let policy = |(role, rule): (&String, &Rule)| RolePolicy {
            role: role.clone(),
            finish: rule.finish,
            recovery: rule.recovery,
            adapts: false,
            ready_when: if rule.attaches {
                Readiness::Attached
            } else {
                Readiness::Started
            },
            checkpoint: CheckpointDuty::None,
            ports: vec![PortNeed {
                name: "main".into(),
                first_only: false,
            }],
        };
        Ok(Preparation {
            policies: self.roles.iter().map(policy).collect(),
            ..Preparation::default()
        })
    }

    fn plan(
        &self,
        _: &JobSpec,
        _: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, CallError> {
        self.breakdown.check(Call::Plan)?;
        let plan = |request: &LaunchRequest| LaunchPlan {
            node: request.node.clone(),
            program: Program::RoleCommand,
            arguments: request
                .place
                .ports
                .iter()
                .map(ToString::to_string)
                .collect(),
            environment: Vec::new(),
            unset: Vec::new(),
            files: Vec::new(),
        };
        Ok(requests.iter().map(plan).collect())
    }

    fn interpret_exit(&self, _: &JobSpec, report: &ExitReport) -> Result<Verdict, CallError> {
        self.breakdown.check(Call::InterpretExit)?;
        let lost_peer = report
            .error
            .as_ref()
            .is_some_and(|error| error.kind == LOST_PEER);
        let kind = match &report.ending {
            Ending::Code(0) => VerdictKind::Finished,
            Ending::Code(_) | Ending::Signal(_) if report.error.is_some() && !lost_peer => {
                VerdictKind::Fatal
            }
            Ending::NotStarted(failure) if failure.code == "port-taken" => {
                VerdictKind::RetryElsewhere
            }
            Ending::NotStarted(_) | Ending::Code(_) | Ending::Signal(_) => VerdictKind::Retry,
        };
        Ok(Verdict {
            kind,
            reason: format!("{:?}", report.ending),
            hint: None,
        })
    }
}
