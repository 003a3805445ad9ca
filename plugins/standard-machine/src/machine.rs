//! The decisions. Level-triggered: first events change the few words of state, then the machine asks the same questions
//! of the view, in the same order, at every call: is the job done? is it to stop? has something failed? who has no place?
//! who is not started? Late, double and lost events do no harm, and a recovered application manager needs no special case.

use forebay_plugin_sdk::{
    Action, DataflowPhase, Decision, Event, JobEnd, JobFailure, JobSpec, JobView, Moment, NodeId,
    NodePhase, NodeStall, PluginError, Problems, Refusal, StallKind, StateMachine, StopOrder, clip,
};

use crate::Standard;
use crate::failing;
use crate::limits::{Limits, stop_grace_ms};
use crate::situation::{Failure, Node, Situation};
use crate::state::{State, Stop};

impl StateMachine for Standard {
    fn decide(
        job: &JobSpec,
        now: &Moment,
        view: &JobView,
        state: &[u8],
        events: &[Event],
    ) -> Result<Decision, PluginError> {
        let mut problems = Problems::default();
        let limits = Limits::read(job, &mut problems);
        let state = State::read(state)?;
        let situation = Situation::new(job, view, &state.restarts)?;
        let mut turn = Turn {
            limits,
            situation,
            now_ms: now.now_ms,
            seed: now.seed,
            events,
            state,
            actions: Vec::new(),
        };
        turn.take_events();
        let step = turn.refuse_limits(problems).unwrap_or_else(|| turn.step());
        Ok(Decision {
            state: turn.state.write()?,
            phase: step.phase.to_owned(),
            note: step.note,
            actions: turn.actions,
        })
    }
}

/// One call of `decide`.
pub(crate) struct Turn<'a> {
    pub(crate) limits: Limits,
    pub(crate) situation: Situation<'a>,
    pub(crate) now_ms: u64,
    pub(crate) seed: u64,
    pub(crate) events: &'a [Event],
    pub(crate) state: State,
    pub(crate) actions: Vec<Action>,
}

/// What people see of a decision.
pub(crate) struct Step {
    phase: &'static str,
    note: Option<String>,
}

impl Step {
    pub(crate) fn new(phase: &'static str) -> Self {
        Self { phase, note: None }
    }

    pub(crate) fn because(phase: &'static str, note: String) -> Self {
        Self {
            phase,
            note: Some(note),
        }
    }
}

impl Turn<'_> {
    fn take_events(&mut self) {
        for event in self.events {
            match event {
                Event::StopRequested(stop) => {
                    self.state.stop.get_or_insert(Stop::Asked {
                        deadline_ms: stop.deadline_ms,
                    });
                }
                Event::FinishRequested(_) => self.state.finish_asked = true,
                Event::ScaleRequested(scale) => self.refuse(scale.request, "scale a role"),
                Event::RestartRequested(restart) => self.refuse(restart.request, "restart nodes"),
                Event::NodeStalled(stall) if stall.kind == StallKind::Lingering => {
                    self.end_lingering(stall);
                }
                _ => {}
            }
        }
    }

    fn refuse(&mut self, request: u64, what: &str) {
        let reason = format!("the standard machine cannot {what} yet");
        self.actions
            .push(Action::Refuse(Refusal { request, reason }));
    }

    /// Its work is done and its process stays: some frameworks never exit when a peer is gone. One that has read all its input is
    /// let be while others of its role have not been sent the end of theirs: it would not count as finished. It is told of again.
    fn end_lingering(&mut self, stall: &NodeStall) {
        let node = self
            .situation
            .node(&stall.node)
            .filter(|node| node.view.attempt == stall.attempt)
            .filter(|node| node.view.done || node.has_read_all());
        if node
            .is_some_and(|node| matches!(node.view.phase, NodePhase::Starting | NodePhase::Ready))
        {
            self.stop(vec![stall.node.clone()], u64::MAX);
        }
    }

    fn refuse_limits(&mut self, problems: Problems) -> Option<Step> {
        let problems: Vec<_> = Vec::from(problems)
            .into_iter()
            .map(|problem| problem.message)
            .collect();
        (!problems.is_empty()).then(|| self.fail(None, &problems.join("; ")))
    }

    fn step(&mut self) -> Step {
        if self.is_done() {
            return self.finish("succeeded", JobEnd::Succeeded);
        }
        if let Some(stop) = self.state.stop {
            return self.stop_job(stop);
        }
        if self.state.finish_asked {
            return self.stop_job(Stop::Asked {
                deadline_ms: u64::MAX,
            });
        }
        if let Some(reason) = self.job_failure() {
            return self.fail(None, &reason);
        }
        if !self.situation.is_published() {
            return self.place_cluster();
        }
        if self.state.restarts.current.is_some() && !self.has_certain_failure() {
            return self.restart();
        }
        failing::end_of(self).unwrap_or_else(|| self.start_cluster())
    }

    /// Once the nodes have been told to stop, the end of the job is `stopped`, whatever they do.
    fn is_done(&self) -> bool {
        let decided = matches!(self.state.stop, Some(Stop::Draining | Stop::Stopping));
        let is_asked = self.state.finish_asked && self.dataflow_allows_success();
        !decided && self.situation.is_done() || is_asked && !self.is_draining()
    }

    fn dataflow_allows_success(&self) -> bool {
        matches!(
            self.situation.view.dataflow,
            DataflowPhase::None | DataflowPhase::Ended
        )
    }

    /// A failure that is not one of a node.
    pub(crate) fn job_failure(&self) -> Option<String> {
        let failed = self.situation.view.dataflow == DataflowPhase::Failed;
        let told = self.events.iter().find_map(|event| match event {
            Event::DataflowFailed(reason) if failed => Some(reason.clone()),
            Event::PlaceFailed((nodes, reason)) if self.lacks_place(nodes) => Some(reason.clone()),
            _ => None,
        });
        told.or_else(|| failed.then(|| "the dataflow failed".to_owned()))
    }

    /// A restart does not help a node that would fail again.
    fn has_certain_failure(&self) -> bool {
        self.situation
            .core()
            .any(|node| node.failure() == Some(Failure::Certain))
    }

    fn lacks_place(&self, nodes: &[NodeId]) -> bool {
        self.situation
            .core()
            .any(|node| node.view.phase == NodePhase::Absent && nodes.contains(&node.id()))
    }

    /// Each node has the grace of its role, within the deadline.
    pub(crate) fn stop(&mut self, nodes: Vec<NodeId>, deadline_ms: u64) {
        let mut orders: Vec<StopOrder> = Vec::new();
        for id in nodes {
            let role = self.situation.node(&id).map(|node| node.role);
            // What is wrong with it was reported when the limits were read.
            let grace_ms = role.map_or(0, |role| stop_grace_ms(role, &mut Problems::default()));
            let grace_ms = grace_ms.min(deadline_ms);
            match orders.iter_mut().find(|order| order.grace_ms == grace_ms) {
                Some(order) => order.nodes.push(id),
                None => orders.push(StopOrder {
                    nodes: vec![id],
                    grace_ms,
                }),
            }
        }
        self.actions.extend(orders.into_iter().map(Action::Stop));
    }

    pub(crate) fn finish(&mut self, phase: &'static str, end: JobEnd) -> Step {
        self.actions.push(Action::Finish(end));
        Step::new(phase)
    }

    pub(crate) fn fail(&mut self, node: Option<NodeId>, reason: &str) -> Step {
        let reason = clip(reason);
        self.finish("failed", JobEnd::Failed(JobFailure { reason, node }))
    }
}

pub(crate) fn ids<'a, 'v: 'a>(nodes: impl Iterator<Item = &'a Node<'v>>) -> Vec<NodeId> {
    nodes.map(Node::id).collect()
}
