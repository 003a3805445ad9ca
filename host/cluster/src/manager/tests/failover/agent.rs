//! An agent that does at once what it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use forebay_plugin::NodeId;

use crate::submission::HOST_VERSION;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{
    ActionId, AttemptEnded, AttemptReady, AttemptStarted, DataflowEnded, DataflowStarted,
    DataflowStopped, HeldAttempt, HeldDataflow, HeldPlace, Inventory, OutboxEntry, PlaceGranted,
    Register, Resources, Start, Stop, StopDataflow, attempt_ended,
};
use crate::wire::node::Port;
use crate::wire::{node_id, to_wire};

/// An agent as far as an application manager sees it.
#[derive(Default)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) term: u64,
    pub(super) link: Option<u64>,
    pub(super) carried_out: BTreeSet<(u64, u32, u32)>,
    pub(super) places: BTreeMap<NodeId, u16>,
    pub(super) live: BTreeMap<NodeId, u32>,
    pub(super) ready: BTreeSet<NodeId>,
    /// Of the newest cluster that it was told.
    pub(super) members: Vec<NodeId>,
    pub(super) outbox: VecDeque<OutboxEntry>,
    pub(super) numbered: u64,
    /// Every start that took effect.
    pub(super) starts: Vec<(NodeId, u32, Option<u64>)>,
    pub(super) in_engine: bool,
    /// The newest attempt that it was told of.
    pub(super) dataflow: u64,
    pub(super) dataflow_runs: bool,
    /// Every attempt that began.
    pub(super) dataflows: Vec<u64>,
}

impl Agent {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    pub(super) fn of_engine(name: &str) -> Self {
        Self {
            in_engine: true,
            ..Self::new(name)
        }
    }

    pub(super) fn is_new(&mut self, action: Option<ActionId>) -> bool {
        let id = action.unwrap();
        self.carried_out
            .insert((id.event_number, id.position, id.part))
    }

    pub(super) fn tell(&mut self, event: Told) {
        self.numbered += 1;
        self.outbox.push_back(OutboxEntry {
            number: self.numbered,
            time_ms: 0,
            event: Some(event),
        });
    }

    pub(super) fn register(&self) -> Register {
        let place = |(id, port): (&NodeId, &u16)| held_place(id, *port);
        let attempt = |(id, attempt): (&NodeId, &u32)| HeldAttempt {
            node: Some(to_wire(id)),
            attempt: *attempt,
            ..HeldAttempt::default()
        };
        Register {
            agent_id: format!("id-{}", self.name),
            name: self.name.clone(),
            version: HOST_VERSION.into(),
            address: "127.0.0.1".into(),
            interface: "lo".into(),
            term: self.term,
            resources: Some(Resources {
                slots: 64,
                ..Resources::default()
            }),
            inventory: Some(Inventory {
                places: self.places.iter().map(place).collect(),
                attempts: self.live.iter().map(attempt).collect(),
                outbox_number: self.numbered,
                dataflow: (self.dataflow > 0).then_some(HeldDataflow {
                    attempt: self.dataflow,
                    running: self.dataflow_runs,
                }),
            }),
            in_engine: self.in_engine,
            ..Register::default()
        }
    }

    pub(super) fn obey(&mut self, order: ToAgent) {
        match order {
            ToAgent::Welcome(welcome) => {
                self.outbox
                    .retain(|entry| entry.number > welcome.outbox_number);
                for unknown in welcome.unknown {
                    self.end(&node_id(unknown.node.as_ref()), code(0));
                }
            }
            ToAgent::Acknowledge(acknowledge) => self
                .outbox
                .retain(|entry| entry.number > acknowledge.outbox_number),
            ToAgent::Place(place) if self.is_new(place.action) => {
                let ids: Vec<_> = place
                    .nodes
                    .iter()
                    .map(|node| node_id(node.node.as_ref()))
                    .collect();
                for id in &ids {
                    let next = 20_000 + u16::try_from(self.places.len()).unwrap();
                    self.places.entry(id.clone()).or_insert(next);
                }
                let places = ids.iter().map(|id| held_place(id, self.places[id]));
                self.tell(Told::PlaceGranted(PlaceGranted {
                    action: place.action,
                    places: places.collect(),
                }));
            }
            ToAgent::Release(release) => {
                for node in &release.nodes {
                    let id = node_id(Some(node));
                    assert!(!self.live.contains_key(&id), "{id} runs without a place");
                    self.places.remove(&id);
                }
            }
            ToAgent::Cluster(spec) => {
                let members = spec.cluster.unwrap().members;
                let ids = members.iter().map(|member| node_id(member.node.as_ref()));
                self.members = ids.collect();
            }
            ToAgent::Start(start) if self.is_new(start.action) => self.start(&start),
            ToAgent::Stop(stop) if self.is_new(stop.action) => self.stop(&stop),
            ToAgent::RunDataflow(run) if run.attempt > self.dataflow => {
                self.run_dataflow(run.attempt);
            }
            ToAgent::StopDataflow(stop) => self.stop_dataflow(&stop),
            _ => {}
        }
    }

    pub(super) fn run_dataflow(&mut self, attempt: u64) {
        assert!(self.in_engine, "only an engine runs it");
        self.end_dataflow(Told::DataflowStopped(DataflowStopped {
            attempt: self.dataflow,
            ..DataflowStopped::default()
        }));
        self.dataflow = attempt;
        self.dataflow_runs = true;
        self.dataflows.push(attempt);
        self.tell(Told::DataflowStarted(DataflowStarted { attempt }));
    }

    pub(super) fn stop_dataflow(&mut self, stop: &StopDataflow) {
        let attempt = stop.attempt;
        let stopped = Told::DataflowStopped(DataflowStopped {
            attempt,
            ..DataflowStopped::default()
        });
        if attempt > self.dataflow {
            self.dataflow = attempt;
            self.tell(stopped);
        } else if attempt == self.dataflow && stop.drain {
            self.end_dataflow(Told::DataflowEnded(DataflowEnded {
                attempt,
                drained: true,
                ..DataflowEnded::default()
            }));
        } else if attempt == self.dataflow {
            self.end_dataflow(stopped);
        }
    }

    pub(super) fn end_dataflow(&mut self, end: Told) {
        if std::mem::take(&mut self.dataflow_runs) {
            self.tell(end);
        }
    }

    pub(super) fn start(&mut self, start: &Start) {
        let id = node_id(start.node.as_ref());
        let port = self.places.get(&id).expect("it has a place");
        assert_eq!(start.arguments, [format!("[{port}]")], "its own port");
        assert!(self.members.contains(&id), "{id} is in the cluster it sees");
        let before = self.live.insert(id.clone(), start.attempt);
        assert_eq!(before, None, "two live attempts of {id}");
        if let Some(fed_by) = start.fed_by {
            assert_eq!(fed_by, self.dataflow, "who feeds {id}");
        }
        self.starts.push((id, start.attempt, start.fed_by));
        self.tell(Told::AttemptStarted(AttemptStarted {
            node: start.node.clone(),
            attempt: start.attempt,
            pid: 100,
        }));
        self.tell(Told::AttemptReady(AttemptReady {
            node: start.node.clone(),
            attempt: start.attempt,
        }));
        self.ready.insert(node_id(start.node.as_ref()));
    }

    pub(super) fn stop(&mut self, stop: &Stop) {
        for node in &stop.nodes {
            let id = node_id(node.node.as_ref());
            if self.live.get(&id) == Some(&node.attempt) {
                self.end(&id, attempt_ended::Ending::Signal(15));
            }
        }
    }

    pub(super) fn end(&mut self, id: &NodeId, ending: attempt_ended::Ending) {
        if let Some(attempt) = self.live.remove(id) {
            self.tell(Told::AttemptEnded(AttemptEnded {
                node: Some(to_wire(id)),
                attempt,
                stop_was_asked: ending == attempt_ended::Ending::Signal(15),
                ending: Some(ending),
                ..AttemptEnded::default()
            }));
        }
    }
}

pub(super) fn code(code: i32) -> attempt_ended::Ending {
    attempt_ended::Ending::Code(code)
}

pub(super) fn held_place(id: &NodeId, port: u16) -> HeldPlace {
    HeldPlace {
        node: Some(to_wire(id)),
        ports: vec![Port {
            name: "main".into(),
            number: port.into(),
        }],
        gpus: Vec::new(),
    }
}
