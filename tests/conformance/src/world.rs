use forebay_plugin::{
    Action, CallError, CheckedMachine, DataflowPhase, Event, FinishRule, JobEnd, JobSpec, JobView,
    Moment, NodeExit, NodeId, NodePhase, NodeView, RoleView, Verdict, VerdictKind,
};

/// Calls after which a job that has not ended is given up.
const CALLS_MAX: usize = 200;

/// A host in memory: does what a state machine decides, and lets the nodes of a job run to a chosen end.
pub struct World {
    /// The job as the machine sees it.
    pub job: JobSpec,
    /// The truth.
    pub view: JobView,
    /// The machine's own.
    pub state: Vec<u8>,
    /// What is told in the next call.
    pub events: Vec<Event>,
    calls: usize,
    timers: Vec<String>,
    end: Option<JobEnd>,
}

/// Why a job did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    /// The machine gave no valid decision.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Nothing more happens, or too much.
    #[error("{0}")]
    Unfinished(String),
}

impl World {
    /// A job that has just been submitted.
    pub fn new(job: JobSpec) -> Self {
        let of = |role: &forebay_plugin::RoleSpec| RoleView {
            role: role.name.clone(),
            nodes: vec![NodeView::default(); role.nodes as usize],
            input_ended: false,
        };
        let view = JobView {
            dataflow: DataflowPhase::None,
            generation: 0,
            last_checkpoint: None,
            roles: job.roles.iter().map(of).collect(),
            machines: vec!["one".to_owned()],
        };
        let events = vec![Event::Submitted];
        Self {
            job,
            view,
            state: Vec::new(),
            events,
            calls: 0,
            timers: Vec::new(),
            end: None,
        }
    }

    /// When the next call is made; the same in every world.
    pub fn moment(&self) -> Moment {
        let calls = self.calls as u64;
        Moment {
            now_ms: 1_700_000_000_000 + 1_000 * calls,
            event_number: 1 + calls,
            seed: 7 + calls,
        }
    }

    /// Makes one call and does what it says.
    pub fn step(&mut self, machine: &CheckedMachine) -> Result<(), CallError> {
        let events = std::mem::take(&mut self.events);
        let decision = machine
            .decide(&self.job, &self.moment(), &self.view, &self.state, &events)?
            .into_inner();
        self.calls += 1;
        self.state = decision.state;
        decision
            .actions
            .into_iter()
            .for_each(|action| self.act(action));
        Ok(())
    }

    /// Runs until every node that was started is ready.
    pub fn start(&mut self, machine: &CheckedMachine) -> Result<(), Stuck> {
        while !self.nodes_in(NodePhase::Starting).is_empty() || !self.events.is_empty() {
            self.call(machine)?;
            if self.events.is_empty() {
                self.become_ready();
            }
        }
        Ok(())
    }

    /// Runs to the end of the job. Nodes that have work end with `verdict`, one after the other.
    pub fn finish(
        &mut self,
        machine: &CheckedMachine,
        verdict: VerdictKind,
    ) -> Result<JobEnd, Stuck> {
        loop {
            while !self.events.is_empty() && self.end.is_none() {
                self.call(machine)?;
            }
            match self.end.take() {
                Some(end) => return Ok(end),
                None if !self.happen(verdict) => {
                    return Err(self.unfinished("nothing more happens"));
                }
                None => {}
            }
        }
    }

    fn call(&mut self, machine: &CheckedMachine) -> Result<(), Stuck> {
        if self.calls >= CALLS_MAX {
            return Err(self.unfinished("too many calls"));
        }
        Ok(self.step(machine)?)
    }

    fn unfinished(&self, why: &str) -> Stuck {
        let phases = self
            .nodes()
            .map(|(id, node)| format!("{id} {}", node.phase))
            .collect::<Vec<_>>();
        Stuck::Unfinished(format!(
            "{why} after {} calls: {}",
            self.calls,
            phases.join(", ")
        ))
    }

    fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeView)> {
        self.view.roles.iter().flat_map(|role| {
            let nodes = (0..).zip(&role.nodes);
            nodes.map(|(index, node)| (NodeId::new(&role.role, index), node))
        })
    }

    fn nodes_in(&self, phase: NodePhase) -> Vec<NodeId> {
        self.nodes()
            .filter(|(_, node)| node.phase == phase)
            .map(|(id, _)| id)
            .collect()
    }

    fn node(&mut self, id: &NodeId) -> Option<&mut NodeView> {
        let role = self
            .view
            .roles
            .iter_mut()
            .find(|role| role.role == id.role)?;
        role.nodes.get_mut(id.index as usize)
    }

    fn put(&mut self, nodes: &[NodeId], phase: NodePhase) {
        for id in nodes {
            if let Some(node) = self.node(id) {
                node.phase = phase;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Place(request) => {
                self.put(&request.nodes, NodePhase::Placed);
                self.events.push(Event::NodesPlaced(request.nodes));
            }
            Action::Release(nodes) => self.put(&nodes, NodePhase::Absent),
            Action::Publish(_) => self.view.generation += 1,
            Action::Start(nodes) => {
                self.put(&nodes, NodePhase::Starting);
                for id in &nodes {
                    self.attempt(id);
                }
            }
            Action::Stop(order) => {
                let live = order
                    .nodes
                    .into_iter()
                    .filter(|id| self.view.node(id).is_some_and(|node| node.phase.is_live()));
                let live = live.collect::<Vec<_>>();
                self.put(&live, NodePhase::Stopping);
            }
            Action::SetTimer(order) => self.timers.push(order.id),
            Action::CancelTimer(id) => self.timers.retain(|timer| *timer != id),
            Action::Finish(end) => self.end = Some(end),
            Action::Rewind(_)
            | Action::EndInput(_)
            | Action::Resize(_)
            | Action::Refuse(_)
            | Action::Custom(_) => {}
        }
    }

    fn attempt(&mut self, id: &NodeId) {
        let generation = self.view.generation;
        if let Some(node) = self.node(id) {
            node.attempt += 1;
            node.generation = generation;
        }
    }

    /// The next thing that happens by itself, if there is one.
    fn happen(&mut self, verdict: VerdictKind) -> bool {
        if let Some(id) = self.nodes_in(NodePhase::Stopping).first() {
            self.exit(id, VerdictKind::Stopped);
        } else if !self.nodes_in(NodePhase::Starting).is_empty() {
            self.become_ready();
        } else if let Some(timer) = self.timers.pop() {
            self.events.push(Event::Timer(timer));
        } else if let Some(id) = self
            .nodes_in(NodePhase::Ready)
            .iter()
            .find(|id| self.has_work(id))
        {
            self.exit(id, verdict);
        } else {
            return false;
        }
        true
    }

    fn become_ready(&mut self) {
        let starting = self.nodes_in(NodePhase::Starting);
        self.put(&starting, NodePhase::Ready);
        if !starting.is_empty() {
            self.events.push(Event::NodesReady(starting));
        }
    }

    fn has_work(&self, id: &NodeId) -> bool {
        let policy = self
            .job
            .role(&id.role)
            .and_then(|role| role.policy.as_ref());
        policy.is_some_and(|policy| matches!(policy.finish, FinishRule::All | FinishRule::First))
    }

    fn exit(&mut self, id: &NodeId, kind: VerdictKind) {
        let Some(node) = self.node(id) else { return };
        node.phase = NodePhase::Exited;
        node.last = Some(kind);
        node.ran_ms = 60_000;
        let (attempt, reason) = (node.attempt, format!("{id} came to its end"));
        let verdict = Verdict {
            kind,
            reason,
            hint: None,
        };
        self.events.push(Event::NodeExited(NodeExit {
            node: id.clone(),
            attempt,
            verdict,
        }));
    }
}
