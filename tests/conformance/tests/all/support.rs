use forebay_plugin::{
    CallError, CheckedMachine, CheckedRunner, DataflowPhase, Decision, Event, Grants, Guarantee,
    JobSpec, JobView, Limits, Loaded, Manifest, Moment, NodeView, PluginHost, RoleSpec, RoleView,
};
use forebay_test_conformance::{Guest, chain, failures};

/// A role of so many nodes, without a policy.
pub(crate) fn role(name: &str, nodes: u32) -> RoleSpec {
    RoleSpec {
        name: name.to_owned(),
        nodes,
        nodes_min: nodes,
        nodes_max: nodes,
        has_program: true,
        has_input: false,
        has_output: false,
        gpus_per_node: 0,
        policy: None,
        properties: Vec::new(),
    }
}

/// A job of these roles.
pub(crate) fn job(roles: &[(&str, u32)]) -> JobSpec {
    JobSpec {
        name: "mill".to_owned(),
        guarantee: Guarantee::None,
        roles: roles
            .iter()
            .map(|(name, nodes)| role(name, *nodes))
            .collect(),
        properties: Vec::new(),
    }
}

/// A guest under limits.
pub(crate) struct Subject {
    pub(crate) loaded: Loaded,
    pub(crate) manifest: Manifest,
    limits: Limits,
}

impl Subject {
    pub(crate) fn load(guest: Guest, limits: Limits) -> Self {
        let host = PluginHost::with_limits(None, limits.clone()).unwrap();
        let manifest = Manifest::parse(guest.manifest).unwrap();
        let loaded = host.load(guest.component, &manifest).unwrap();
        Self {
            loaded,
            manifest,
            limits,
        }
    }

    pub(crate) fn machine(&self) -> CheckedMachine {
        CheckedMachine::new(self.loaded.state_machine().unwrap(), self.limits.clone())
    }

    pub(crate) fn runner(&self) -> CheckedRunner {
        let runner = self.loaded.node_runner().unwrap();
        CheckedRunner::new(
            runner,
            self.manifest.clone(),
            Grants::default(),
            self.limits.clone(),
        )
    }

    /// A decision of a job with these properties.
    pub(crate) fn decide(&self, properties: &[(&str, &str)]) -> Result<Decision, CallError> {
        let properties = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let job = JobSpec {
            properties: properties.collect(),
            ..job(&[("worker", 1)])
        };
        let view = JobView {
            dataflow: DataflowPhase::None,
            generation: 0,
            last_checkpoint: None,
            roles: vec![RoleView {
                role: "worker".to_owned(),
                nodes: vec![NodeView::default()],
                input_ended: false,
            }],
            machines: Vec::new(),
        };
        let now = Moment {
            now_ms: 1,
            event_number: 1,
            seed: 1,
        };
        let decision = self
            .machine()
            .decide(&job, &now, &view, &[], &[Event::Submitted])?;
        Ok(decision.into_inner())
    }

    /// What becomes of a fault of this size, in words.
    pub(crate) fn fault(&self, fault: &str, size: usize) -> String {
        let answer = self.decide(&[("fault", fault), ("size", &size.to_string())]);
        answer.map_or_else(|error| chain(&error), |_| "valid".to_owned())
    }
}

/// The guest passes everything that a plugin has to pass.
#[track_caller]
pub(crate) fn check_conformance(guest: Guest, job: JobSpec) {
    let found = conformance_failures(&Subject::load(guest, Limits::default()), job);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What the suite finds.
pub(crate) fn conformance_failures(subject: &Subject, job: JobSpec) -> Vec<String> {
    failures(&forebay_test_conformance::Subject {
        manifest: subject.manifest.clone(),
        machine: &|| subject.loaded.state_machine(),
        runner: &|| subject.loaded.node_runner(),
        job,
    })
}
