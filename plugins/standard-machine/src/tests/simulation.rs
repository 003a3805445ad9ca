//! A host that does at once what a decision says, and shows decisions as text.

use forebay_plugin_sdk::{
    Action, DataflowPhase, Event, FinishRule, Guarantee, JobEnd, JobSpec, JobView, Moment,
    NodeExit, NodeId, NodePhase, NodeView, RolePolicy, RoleSpec, RoleView, StateMachine, Verdict,
    VerdictKind,
};

use crate::Standard;

/// Roles of a test: name, nodes, finish rule.
pub(super) type Roles<'a> = &'a [(&'a str, u32, FinishRule)];

pub(super) struct Simulation {
    pub(super) job: JobSpec,
    pub(super) view: JobView,
    pub(super) state: Vec<u8>,
    pub(super) now_ms: u64,
    pub(super) seed: u64,
}

impl Simulation {
    pub(super) fn new(roles: Roles<'_>) -> Self {
        let spec = |&(name, nodes, finish): &(&str, u32, FinishRule)| RoleSpec {
            policy: Some(RolePolicy::new(name, finish)),
            ..RoleSpec::new(name, nodes)
        };
        let view = |&(name, nodes, _): &(&str, u32, FinishRule)| RoleView {
            role: name.to_owned(),
            nodes: vec![absent(); nodes as usize],
            input_ended: false,
        };
        Self {
            job: JobSpec {
                name: "job".into(),
                guarantee: Guarantee::None,
                roles: roles.iter().map(spec).collect(),
                properties: Vec::new(),
            },
            view: JobView {
                dataflow: DataflowPhase::None,
                generation: 0,
                last_checkpoint: None,
                roles: roles.iter().map(view).collect(),
                machines: vec!["m".into()],
            },
            state: Vec::new(),
            now_ms: 1_000_000,
            seed: 0,
        }
    }

    /// As [`Simulation::new`], with a dataflow that feeds the role `worker`.
    pub(super) fn fed(roles: Roles<'_>) -> Self {
        let mut simulation = Self::new(roles);
        simulation.view.dataflow = DataflowPhase::Running;
        for role in simulation
            .job
            .roles
            .iter_mut()
            .filter(|role| role.name == "worker")
        {
            role.has_input = true;
        }
        simulation
    }

    /// The dataflow is complete, and its nodes have been sent the end of their input.
    pub(super) fn end_dataflow(&mut self) -> Event {
        self.view.dataflow = DataflowPhase::Ended;
        for role in &mut self.view.roles {
            role.input_ended = role.role == "worker";
        }
        Event::DataflowEnded
    }

    /// All nodes but observers are ready, and observers are placed.
    pub(super) fn running(roles: Roles<'_>) -> Self {
        Self::new(roles).up()
    }

    pub(super) fn up(mut self) -> Self {
        self.decide(&[Event::Submitted]);
        for phase in [NodePhase::Placed, NodePhase::Ready] {
            self.advance(phase);
            self.decide(&[]);
        }
        self
    }

    /// What was asked for has come about: waiting nodes are placed, or starting ones ready.
    pub(super) fn advance(&mut self, to: NodePhase) {
        let from = if to == NodePhase::Placed {
            NodePhase::Waiting
        } else {
            NodePhase::Starting
        };
        for node in self
            .view
            .roles
            .iter_mut()
            .flat_map(|role| &mut role.nodes)
            .filter(|node| node.phase == from)
        {
            node.phase = to;
        }
    }

    pub(super) fn node(&mut self, name: &str) -> &mut NodeView {
        let id = node_id(name);
        let role = self
            .view
            .roles
            .iter_mut()
            .find(|role| role.role == id.role)
            .unwrap();
        &mut role.nodes[id.index as usize]
    }

    /// The process of a node ends; the event that tells it.
    pub(super) fn exit(&mut self, name: &str, kind: VerdictKind) -> Event {
        let node = self.node(name);
        (node.phase, node.last) = (NodePhase::Exited, Some(kind));
        let verdict = Verdict {
            kind,
            reason: format!("{name} ended"),
            hint: None,
        };
        Event::NodeExited(NodeExit {
            node: node_id(name),
            attempt: node.attempt,
            verdict,
        })
    }

    /// One call; what it decided, as text.
    pub(super) fn decide(&mut self, events: &[Event]) -> String {
        let now = Moment {
            now_ms: self.now_ms,
            event_number: 1,
            seed: self.seed,
        };
        let decision = Standard::decide(&self.job, &now, &self.view, &self.state, events).unwrap();
        self.state = decision.state;
        let mut text = format!("[{}]", decision.phase);
        for action in &decision.actions {
            text = format!("{text} {}", self.carry_out(action));
        }
        text
    }

    #[track_caller]
    pub(super) fn check(&mut self, events: &[Event], expected: &str) {
        assert_eq!(self.decide(events), expected);
    }

    /// The process of a node ends, and the machine is told.
    #[track_caller]
    pub(super) fn check_exit(&mut self, name: &str, kind: VerdictKind, expected: &str) {
        let event = self.exit(name, kind);
        self.check(&[event], expected);
    }

    fn carry_out(&mut self, action: &Action) -> String {
        match action {
            Action::Place(place) => {
                format!("place({})", self.set(&place.nodes, NodePhase::Waiting))
            }
            Action::Publish(nodes) => {
                self.view.generation += 1;
                format!("publish({})", names(nodes))
            }
            Action::Start(nodes) => {
                for node in nodes {
                    self.node(&node.to_string()).attempt += 1;
                }
                format!("start({})", self.set(nodes, NodePhase::Starting))
            }
            Action::Release(nodes) => format!("release({})", self.set(nodes, NodePhase::Absent)),
            Action::Stop(stop) => format!("stop({})", self.set(&stop.nodes, NodePhase::Stopping)),
            Action::SetTimer(timer) => format!("timer({}, {})", timer.id, timer.after_ms),
            Action::Rewind(nodes) => {
                self.view.dataflow = DataflowPhase::Running;
                for role in &mut self.view.roles {
                    role.input_ended = false;
                }
                format!("rewind({})", names(nodes))
            }
            Action::EndInput(roles) => format!("end-input({})", roles.join(" ")),
            Action::Refuse(refusal) => format!("refuse({}: {})", refusal.request, refusal.reason),
            Action::Finish(JobEnd::Succeeded) => "finish(succeeded)".to_owned(),
            Action::Finish(JobEnd::Stopped) => "finish(stopped)".to_owned(),
            Action::Finish(JobEnd::Failed(failure)) => {
                let node = failure
                    .node
                    .as_ref()
                    .map_or_else(|| "job".to_owned(), ToString::to_string);
                format!("finish(failed, {node}: {})", failure.reason)
            }
            other => format!("{other:?}"),
        }
    }

    fn set(&mut self, nodes: &[NodeId], phase: NodePhase) -> String {
        for node in nodes {
            self.node(&node.to_string()).phase = phase;
        }
        names(nodes)
    }
}

pub(super) fn node_id(name: &str) -> NodeId {
    let (role, index) = name.split_once(':').unwrap();
    NodeId::new(role, index.parse().unwrap())
}

fn names(nodes: &[NodeId]) -> String {
    nodes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

fn absent() -> NodeView {
    NodeView {
        phase: NodePhase::Absent,
        attempt: 0,
        generation: 0,
        machine: None,
        last: None,
        done: false,
        progress: 0,
        ran_ms: 0,
    }
}
