//! A decision is checked action by action, each against the job as the actions before it would leave it.

use std::collections::{BTreeMap, BTreeSet};

use super::{first_double, invalid, text};
use crate::error::Fault;
use crate::limits::{LimitExceeded, LimitKind, Limits};
use crate::types::{
    Action, DataflowPhase, Decision, Event, JobEnd, JobSpec, JobView, NodeId, NodePhase,
    PlaceRequest, Refusal, ResizeOrder, StopOrder, TimerOrder,
};

type Check = Result<(), String>;

pub(super) fn check(
    decision: &Decision,
    job: &JobSpec,
    view: &JobView,
    events: &[Event],
    limits: &Limits,
) -> Result<(), Fault> {
    LimitExceeded::check(
        LimitKind::StateBytes,
        limits.state_bytes,
        decision.state.len(),
    )?;
    LimitExceeded::check(LimitKind::Actions, limits.actions, decision.actions.len())?;
    text::word("phase", &decision.phase)
        .and_then(|()| text::optional("note", decision.note.as_deref(), limits.text_bytes))
        .map_err(|why| invalid("the decision", why))?;
    let mut effects = Effects::new(job, view, events, limits);
    for (position, action) in decision.actions.iter().enumerate() {
        let is_last = position + 1 == decision.actions.len();
        let place = || format!("the action at position {position} (`{}`)", action.kind());
        effects
            .apply(action, is_last)
            .map_err(|why| invalid(place(), why))?;
    }
    Ok(())
}

/// The job as the actions checked so far would leave it.
struct Effects<'a> {
    job: &'a JobSpec,
    view: &'a JobView,
    limits: &'a Limits,
    /// Phases that differ from the view.
    phases: BTreeMap<&'a NodeId, NodePhase>,
    /// Nodes that a `place` of this decision asks for.
    asked_for: BTreeSet<&'a NodeId>,
    /// Roles that a `resize` of this decision changes.
    sizes: BTreeMap<&'a str, u32>,
    /// There is a generation to start nodes in.
    published: bool,
    /// Requests of the events that are not refused yet.
    requests: BTreeSet<u64>,
}

impl<'a> Effects<'a> {
    fn new(job: &'a JobSpec, view: &'a JobView, events: &[Event], limits: &'a Limits) -> Self {
        Self {
            job,
            view,
            limits,
            phases: BTreeMap::new(),
            asked_for: BTreeSet::new(),
            sizes: BTreeMap::new(),
            published: view.generation > 0,
            requests: events.iter().filter_map(Event::request).collect(),
        }
    }

    fn apply(&mut self, action: &'a Action, is_last: bool) -> Check {
        match action {
            Action::Place(request) => self.place(request),
            Action::Release(nodes) => self.each(nodes, Self::release),
            Action::Publish(nodes) => self.publish(nodes),
            Action::Start(nodes) => self.each(nodes, Self::start),
            Action::Stop(order) => self.stop(order),
            Action::Rewind(nodes) => self.rewind(nodes),
            Action::EndInput(roles) => self.end_input(roles),
            Action::Resize(order) => self.resize(order),
            Action::SetTimer(order) => self.set_timer(order),
            Action::CancelTimer(id) => text::word("timer id", id),
            Action::Refuse(refusal) => self.refuse(refusal),
            Action::Finish(end) => self.finish(end, is_last),
            Action::Custom(custom) => Err(format!(
                "this host knows no custom action `{}`",
                custom.name.escape_debug()
            )),
        }
    }

    /// Where a node stands, or why there is no such node.
    fn phase(&self, node: &NodeId) -> Result<NodePhase, String> {
        if let Some(phase) = self.phases.get(node) {
            return Ok(*phase);
        }
        if let Some(seen) = self.view.node(node) {
            return Ok(seen.phase);
        }
        if self
            .sizes
            .get(node.role.as_str())
            .is_some_and(|size| node.index < *size)
        {
            return Ok(NodePhase::Absent);
        }
        let known = self.view.roles.iter().any(|role| role.role == node.role);
        let (what, name) = if known {
            ("node", node.to_string())
        } else {
            ("role", node.role.escape_debug().to_string())
        };
        Err(format!("the job has no {what} `{name}`"))
    }

    /// Applies `effect` to each of a list that names at least one node and none twice.
    fn each(
        &mut self,
        nodes: &'a [NodeId],
        effect: fn(&mut Self, &'a NodeId, NodePhase) -> Check,
    ) -> Check {
        if nodes.is_empty() {
            return Err("it names no node".to_owned());
        }
        if let Some(double) = first_double(nodes) {
            return Err(format!("it names `{double}` twice"));
        }
        nodes.iter().try_for_each(|node| {
            let phase = self.phase(node)?;
            effect(self, node, phase)
        })
    }

    fn place(&mut self, request: &'a PlaceRequest) -> Check {
        text::wait("deadline", request.deadline_ms, self.limits.wait_ms)?;
        self.each(&request.nodes, |effects, node, phase| {
            if phase.has_place() {
                return Err(format!("`{node}` has a place already: release it first"));
            }
            if phase == NodePhase::Waiting {
                return Err(format!("a place for `{node}` has been asked for already"));
            }
            effects.asked_for.insert(node);
            effects.phases.insert(node, NodePhase::Waiting);
            Ok(())
        })
    }

    /// A node without a place is left alone, so that a release may cancel a `place`.
    fn release(&mut self, node: &'a NodeId, phase: NodePhase) -> Check {
        if phase.is_live() {
            return Err(format!(
                "`{node}` is {phase}: stop it and wait for its end first"
            ));
        }
        self.phases.insert(node, NodePhase::Absent);
        Ok(())
    }

    fn publish(&mut self, nodes: &'a [NodeId]) -> Check {
        self.each(nodes, |effects, node, phase| {
            effects.needs_place(node, phase)
        })?;
        self.published = true;
        Ok(())
    }

    fn needs_place(&mut self, node: &NodeId, phase: NodePhase) -> Check {
        if phase.has_place() {
            return Ok(());
        }
        if self.asked_for.contains(node) {
            return Err(format!(
                "`{node}` is only asked for in this decision: wait for `nodes-placed`"
            ));
        }
        Err(format!("`{node}` has no place: it is {phase}"))
    }

    fn start(&mut self, node: &'a NodeId, phase: NodePhase) -> Check {
        self.needs_place(node, phase)?;
        if matches!(phase, NodePhase::Starting | NodePhase::Ready) {
            return Err(format!(
                "an attempt of `{node}` is {phase} already: stop it first"
            ));
        }
        if !self.published {
            return Err(format!(
                "no cluster is published that `{node}` could start in"
            ));
        }
        self.phases.insert(node, NodePhase::Starting);
        Ok(())
    }

    /// A node without a live process is left alone.
    fn stop(&mut self, order: &'a StopOrder) -> Check {
        text::wait("grace", order.grace_ms, self.limits.wait_ms)?;
        self.each(&order.nodes, |effects, node, phase| {
            if phase.is_live() {
                effects.phases.insert(node, NodePhase::Stopping);
            }
            Ok(())
        })
    }

    fn rewind(&mut self, nodes: &'a [NodeId]) -> Check {
        if !nodes.is_empty() {
            self.each(nodes, |_, node, phase| {
                let live = matches!(phase, NodePhase::Starting | NodePhase::Ready);
                if live {
                    Ok(())
                } else {
                    Err(format!("`{node}` is {phase}: only a live node can go back"))
                }
            })?;
        }
        let named: BTreeSet<&NodeId> = nodes.iter().collect();
        match self.fed_and_live().find(|node| !named.contains(node)) {
            Some(node) => Err(format!(
                "`{node}` has input and is live: name it, or stop it first"
            )),
            None => Ok(()),
        }
    }

    fn fed_and_live(&self) -> impl Iterator<Item = NodeId> {
        let fed = self.job.roles.iter().filter(|role| role.has_input);
        let seen =
            fed.filter_map(|spec| self.view.roles.iter().find(|role| role.role == spec.name));
        let nodes = seen.flat_map(|role| {
            (0..)
                .zip(&role.nodes)
                .map(|(index, _)| NodeId::new(&role.role, index))
        });
        nodes.filter(|node| matches!(self.phase(node), Ok(NodePhase::Starting | NodePhase::Ready)))
    }

    fn end_input(&self, roles: &[String]) -> Check {
        if roles.is_empty() {
            return Err("it names no role".to_owned());
        }
        if let Some(double) = first_double(roles) {
            return Err(format!("it names `{double}` twice"));
        }
        roles.iter().try_for_each(|name| match self.job.role(name) {
            None => Err(format!("the job has no role `{name}`")),
            Some(role) if !role.has_input => Err(format!("role `{name}` has no input")),
            Some(_) => Ok(()),
        })
    }

    fn resize(&mut self, order: &'a ResizeOrder) -> Check {
        let ResizeOrder { role: name, nodes } = order;
        let role = self
            .job
            .role(name)
            .ok_or_else(|| format!("the job has no role `{name}`"))?;
        let (min, max) = (role.nodes_min, role.nodes_max);
        if !(min..=max).contains(nodes) {
            return Err(format!(
                "{nodes} nodes are outside the bounds {min} to {max} of role `{name}`"
            ));
        }
        self.sizes.insert(name, *nodes);
        Ok(())
    }

    fn set_timer(&self, order: &TimerOrder) -> Check {
        text::word("timer id", &order.id)?;
        text::wait("time", order.after_ms, self.limits.wait_ms)
    }

    fn refuse(&mut self, refusal: &Refusal) -> Check {
        text::required("reason", &refusal.reason, self.limits.text_bytes)?;
        if self.requests.remove(&refusal.request) {
            return Ok(());
        }
        Err(format!(
            "no event of this call carries the request {}, or it is refused already",
            refusal.request
        ))
    }

    fn finish(&self, end: &JobEnd, is_last: bool) -> Check {
        if !is_last {
            return Err("other actions follow it: it has to be the last".to_owned());
        }
        match (end, self.view.dataflow) {
            (JobEnd::Succeeded, dataflow @ (DataflowPhase::Running | DataflowPhase::Failed)) => {
                Err(format!(
                    "the job cannot have succeeded while its dataflow is {dataflow}"
                ))
            }
            (JobEnd::Failed(failure), _) => {
                text::required("reason", &failure.reason, self.limits.text_bytes)?;
                failure
                    .node
                    .as_ref()
                    .map_or(Ok(()), |node| self.phase(node).map(|_| ()))
            }
            _ => Ok(()),
        }
    }
}
