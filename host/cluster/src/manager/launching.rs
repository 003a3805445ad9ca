//! New attempts: the node runner is asked for its plans, and each becomes an order to an agent.

use std::collections::{BTreeMap, HashMap};

use forebay_job::{Program as JobProgram, Role};
use forebay_plugin::{
    CallError, LaunchPlan, LaunchRequest, NodeId, NodePhase, Program, Readiness, Valid,
};

use super::actions::{Id, action_id};
use super::core::Core;
use super::quarantine::Failure;
use crate::clock::milliseconds;
use crate::preparation::spec_of_runner;
use crate::submission::{SubmittedFile, script_path};
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::{self, NodeLimits, StagedFile, Start, program, readiness};
use crate::wire::to_wire;

/// Nodes in one call of `plan`: each plan may carry the whole cluster, and an answer has a limit of bytes.
const PLANS_AT_ONCE: usize = 64;

/// Most attempts of one node within an hour.
const ATTEMPTS_AN_HOUR_MAX: usize = 1_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// A request and its answer.
type Planned = (LaunchRequest, Valid<LaunchPlan>);

impl Core {
    /// A new attempt of each of these nodes; none of them has a live one. It begins here and now; its order waits where the
    /// job is quarantined, or is so because of it. The application manager before this one may have ordered it already.
    pub(super) fn launch(&mut self, action: Id, nodes: &[NodeId]) {
        let had_finished = nodes.iter().filter_map(|id| self.tables.node(id));
        let had_finished = had_finished.filter(|node| node.finished()).count();
        for id in nodes {
            self.begin_attempt(action, id);
            self.hold_up_endless_starts(id);
            self.show(id);
        }
        if had_finished > 0 {
            self.finished_members_changed();
        }
        self.order_starts(nodes);
    }

    /// Whatever a state machine decides, it does not spin.
    fn hold_up_endless_starts(&mut self, id: &NodeId) {
        let since_ms = self.now_ms.saturating_sub(HOUR_MS);
        let Some(node) = self.tables.node_mut(id) else {
            return;
        };
        while node.started_ms.front().is_some_and(|at| *at < since_ms) {
            node.started_ms.pop_front();
        }
        if node.started_ms.len() > ATTEMPTS_AN_HOUR_MAX {
            self.quarantine(Failure {
                reason: format!(
                    "it starts node `{id}` more than {ATTEMPTS_AN_HOUR_MAX} times within an hour"
                ),
                hint: Some("see why its attempts end: `forebay logs`".into()),
            });
        }
    }

    /// As [`Core::launch`], of a start that was decided long ago: it is in no entry yet that this attempt begins now.
    pub(super) fn launch_deferred(&mut self, id: &NodeId) {
        let node = self.tables.node_mut(id);
        let Some(action) = node.and_then(|node| node.start_when_ended.take()) else {
            return;
        };
        self.journaled_first(|core| core.launch(action, std::slice::from_ref(id)));
    }

    /// Orders that the newest attempt of each of these nodes be started; agents act once.
    pub(super) fn order_starts(&mut self, nodes: &[NodeId]) {
        if self.tables.quarantine.is_some() {
            return;
        }
        match self.plans(nodes) {
            Ok(plans) => {
                for (request, plan) in plans {
                    self.order_start(&request, plan);
                }
            }
            Err(error) => self.quarantine(Failure::of(&error)),
        }
    }

    fn begin_attempt(&mut self, action: Id, id: &NodeId) {
        let (generation, now_ms) = (self.tables.generation, self.now_ms);
        let fed_by = self.is_fed(&id.role).then(|| self.feeding_attempt());
        if let Some(node) = self.tables.node_mut(id) {
            node.attempt += 1;
            node.started_ms.push_back(now_ms);
            node.phase = NodePhase::Starting;
            node.generation = generation;
            node.done = false;
            node.started_by = Some(action);
            node.fed_by = fed_by;
            node.stop = None;
        }
    }

    /// How to start the newest attempt of each of these nodes.
    fn plans(&self, nodes: &[NodeId]) -> Result<Vec<Planned>, CallError> {
        let mut by_runner: BTreeMap<&str, Vec<LaunchRequest>> = BTreeMap::new();
        for id in nodes {
            let role = self.prepared.job.role(&id.role);
            if let (Some(role), Some(request)) = (role, self.newest_attempt(id)) {
                by_runner.entry(&role.plugin).or_default().push(request);
            }
        }
        let mut plans = Vec::with_capacity(nodes.len());
        for (runner, requests) in by_runner {
            self.ask_for_plans(runner, &requests, &mut plans)?;
        }
        Ok(plans)
    }

    fn newest_attempt(&self, id: &NodeId) -> Option<LaunchRequest> {
        Some(LaunchRequest {
            node: id.clone(),
            attempt: self.tables.node(id)?.attempt,
            place: self.member(id)?,
        })
    }

    fn ask_for_plans(
        &self,
        runner: &str,
        requests: &[LaunchRequest],
        plans: &mut Vec<Planned>,
    ) -> Result<(), CallError> {
        let Some(plugin) = self.plugins.runners.get(runner) else {
            return Ok(());
        };
        let spec = spec_of_runner(&self.prepared.spec, &self.prepared.job, runner);
        let cluster = self.cluster_of_runner(runner);
        for requests in requests.chunks(PLANS_AT_ONCE) {
            let answer = plugin.plan(&spec, &cluster, requests)?;
            plans.extend(requests.iter().cloned().zip(answer));
        }
        Ok(())
    }

    fn order_start(&mut self, request: &LaunchRequest, plan: Valid<LaunchPlan>) {
        let id = &request.node;
        let Some(role) = self.prepared.job.role(&id.role).cloned() else {
            return;
        };
        let node = self.tables.node(id);
        let place = node.and_then(|node| Some((node.started_by?, node.place.as_ref()?.agent)));
        let Some((action, agent)) = place else {
            return;
        };
        let start = Start {
            action: Some(action_id(action, self.tables.ordinal(id))),
            ..self.start_order(request, &role, plan.into_inner())
        };
        self.tell(agent, ToAgent::Start(start));
    }

    fn start_order(&self, request: &LaunchRequest, role: &Role, plan: LaunchPlan) -> Start {
        let policy = self
            .prepared
            .spec
            .role(&role.name)
            .and_then(|role| role.policy.as_ref());
        // The job file's own variables win over the plugin's.
        let environment = plan
            .environment
            .into_iter()
            .chain(role.environment.clone())
            .collect();
        let files = self
            .setting
            .files
            .get(&role.name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        Start {
            action: None,
            node: Some(to_wire(&request.node)),
            attempt: request.attempt,
            program: Some(self.program(role, &plan.program)),
            arguments: plan.arguments,
            environment,
            files: plan
                .files
                .into_iter()
                .map(|file| cluster::LaunchFile {
                    path: file.path,
                    content: file.content,
                })
                .collect(),
            staged: files.iter().map(staged).collect(),
            readiness: Some(wire_readiness(policy.map(|policy| &policy.ready_when))),
            limits: Some(limits(role)),
            parameters: self.parameters(role),
            restore_checkpoint: None,
            unset: plan.unset,
            cores: role.resources.cores.unwrap_or_default(),
            fed_by: self.tables.node(&request.node).and_then(|node| node.fed_by),
        }
    }

    /// Properties of the job, then of the role, which win.
    fn parameters(&self, role: &Role) -> HashMap<String, String> {
        self.prepared
            .job
            .properties
            .clone()
            .into_iter()
            .chain(role.properties.clone())
            .collect()
    }

    fn program(&self, role: &Role, wanted: &Program) -> cluster::Program {
        let interpreter = || cluster::Interpreter {
            name: role.interpreter.clone().unwrap_or_default(),
            base: self.prepared.job.base.to_string_lossy().into_owned(),
        };
        let kind = match (wanted, &role.program) {
            (Program::Executable(path), _) => command(vec![path.clone()]),
            (Program::RoleCommand, JobProgram::Command(words)) => {
                command(words.iter().chain(&role.arguments).cloned().collect())
            }
            (Program::RoleCommand, JobProgram::Script(_)) => {
                program::Kind::Script(cluster::ScriptProgram {
                    interpreter: Some(interpreter()),
                    path: script_path(&role.program).unwrap_or_default(),
                    arguments: role.arguments.clone(),
                })
            }
            (Program::Interpreter, _) | (Program::RoleCommand, JobProgram::Plugin) => {
                program::Kind::Interpreter(interpreter())
            }
        };
        cluster::Program { kind: Some(kind) }
    }
}

fn command(words: Vec<String>) -> program::Kind {
    program::Kind::Command(cluster::CommandProgram { words })
}

fn staged(file: &SubmittedFile) -> StagedFile {
    StagedFile {
        path: file.path.clone(),
        sha256: file.sha256.clone(),
        bytes: file.bytes,
        executable: file.executable,
    }
}

fn wire_readiness(ready_when: Option<&Readiness>) -> cluster::Readiness {
    let kind = match ready_when {
        Some(Readiness::Attached) => readiness::Kind::Attached(cluster::Attached {}),
        Some(Readiness::Listening(port)) => readiness::Kind::Listening(port.clone()),
        Some(Readiness::Started) | None => readiness::Kind::Started(cluster::Started {}),
    };
    cluster::Readiness { kind: Some(kind) }
}

fn limits(role: &Role) -> NodeLimits {
    NodeLimits {
        start_within_ms: milliseconds(role.limits.start_within),
        report_within_ms: milliseconds(role.limits.report_within),
        respond_within_ms: milliseconds(role.limits.respond_within),
        stall_kill_ms: milliseconds(role.limits.stall_kill),
        attach_within_ms: milliseconds(role.limits.attach_within),
        linger_grace_ms: milliseconds(role.limits.linger_within),
        log_bytes: role.limits.log_bytes,
    }
}
