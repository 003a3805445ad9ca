//! What runs the dataflow of a simulated job: attempts that take their time, and end by themselves, fail, or last for ever. None
//! comes to an end before each of its nodes was there to be fed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_plugin::NodeId;

use super::Scene;
use super::script::{percent, short};
use super::witness::FlowEnd;
use crate::agent::dataflow::{
    DataflowEnd, DataflowExecutor, DataflowFault, DataflowTeller, DataflowWay, FedAttempt,
    FeedState, HowFar,
};

const TELLS_EVERY_MS: u64 = 1_000;
/// Until everything is through that a drained attempt had read; one in so many takes much longer.
const DRAINS_MS: u64 = 3_000;
const DRAINS_SLOWLY_MS: u64 = 60_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flow(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Orders that came since the last look, in their order.
    orders: Vec<Order>,
    attempt: Option<Attempt>,
    /// Nodes that were fed, and by which attempt.
    fed: BTreeSet<(u64, NodeId)>,
}

#[derive(Debug)]
enum Order {
    EndInput(u64, Vec<String>),
    Run(u64, DataflowTeller),
    Stop(u64, DataflowWay),
}

#[derive(Debug)]
struct Attempt {
    number: u64,
    teller: DataflowTeller,
    began_ms: u64,
    /// Absent once it has.
    starts_ms: Option<u64>,
    tells_ms: u64,
    ends_ms: u64,
    end: FlowEnd,
    /// Whom it feeds.
    feeds: Vec<NodeId>,
    /// When the input of a role ends; absent once that is told.
    inputs: BTreeMap<String, Option<u64>>,
}

impl DataflowExecutor for Flow {
    fn run(&self, attempt: u64, _: Option<u64>, teller: DataflowTeller) {
        self.state().orders.push(Order::Run(attempt, teller));
    }

    fn stop(&self, attempt: u64, way: DataflowWay) {
        self.state().orders.push(Order::Stop(attempt, way));
    }

    /// Simulated processes inherit nothing.
    fn feed(&self, fed: &FedAttempt) -> Result<Vec<OwnedFd>, String> {
        self.state().fed.insert((fed.fed_by, fed.node.clone()));
        Ok(Vec::new())
    }

    fn feed_state(&self, _: &FedAttempt) -> FeedState {
        FeedState::default()
    }

    fn feed_ended(&self, _: &FedAttempt) -> bool {
        false
    }

    fn end_input(&self, attempt: u64, roles: &[String]) {
        let order = Order::EndInput(attempt, roles.to_vec());
        self.state().orders.push(order);
    }
}

impl Flow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        let state = self.state();
        let attempt = state.attempt.as_ref()?;
        let ends_ms = (!attempt.waits(&state.fed)).then_some(attempt.ends_ms);
        let inputs_ms = attempt.inputs.values().copied().flatten();
        let some_time = attempt.starts_ms.into_iter().chain(ends_ms);
        some_time.chain(inputs_ms).chain([attempt.tells_ms]).min()
    }

    pub(super) fn advance(&self, scene: &mut Scene<'_>) {
        let mut state = self.state();
        for order in std::mem::take(&mut state.orders) {
            match order {
                Order::Run(number, teller) => {
                    scene.witness.dataflow_began(number);
                    state.attempt = Some(Attempt::draw(number, teller, scene));
                }
                Order::Stop(number, way) => {
                    if let Some(attempt) = state.attempt_if(number) {
                        attempt.stop(way, scene);
                    }
                }
                Order::EndInput(number, roles) => {
                    if let Some(attempt) = state.attempt_if(number) {
                        attempt.end_input(roles, scene);
                    }
                }
            }
        }
        if let Some(attempt) = state.attempt.take() {
            state.attempt = attempt.advance(&state.fed, scene);
        }
    }

    /// With its process.
    pub(super) fn die(&self, scene: &mut Scene<'_>) {
        if let Some(attempt) = self.state().attempt.take() {
            scene.witness.dataflow_ended(attempt.number, FlowEnd::Died);
        }
    }
}

impl State {
    fn attempt_if(&mut self, number: u64) -> Option<&mut Attempt> {
        let attempt = self.attempt.as_mut();
        attempt.filter(|attempt| attempt.number == number)
    }
}

impl Attempt {
    fn draw(number: u64, teller: DataflowTeller, scene: &mut Scene<'_>) -> Self {
        let habits = scene.habits;
        let fails = percent(scene.rng, habits.fails / 2);
        let lives_ms = short(scene.rng, habits.lives_ms);
        let starts_ms = scene.now_ms + short(scene.rng, 400);
        let does_not_start = percent(scene.rng, habits.does_not_start);
        let is_endless = habits.endless_dataflow && !fails;
        let ends_ms = match (does_not_start, is_endless) {
            (true, _) => scene.now_ms,
            (false, true) => u64::MAX,
            (false, false) => starts_ms + lives_ms,
        };
        Self {
            number,
            teller,
            began_ms: scene.now_ms,
            starts_ms: Some(starts_ms),
            tells_ms: starts_ms + TELLS_EVERY_MS,
            ends_ms,
            end: if fails || does_not_start {
                FlowEnd::Failed
            } else {
                FlowEnd::ByItself
            },
            feeds: habits.fed.clone(),
            inputs: BTreeMap::new(),
        }
    }

    /// Nobody has read for a node that is not there.
    fn waits(&self, fed: &BTreeSet<(u64, NodeId)>) -> bool {
        let is_there = |node: &NodeId| fed.contains(&(self.number, node.clone()));
        let is_whole = matches!(self.end, FlowEnd::ByItself | FlowEnd::Drained);
        is_whole && !self.feeds.iter().all(is_there)
    }

    fn end_input(&mut self, roles: Vec<String>, scene: &mut Scene<'_>) {
        for role in roles {
            let ends_ms = scene.now_ms + short(scene.rng, DRAINS_MS);
            self.inputs.entry(role).or_insert(Some(ends_ms));
        }
    }

    fn tell_ended_inputs(&mut self, until_ms: u64) {
        for (role, ends_ms) in &mut self.inputs {
            if ends_ms.is_some_and(|at| at <= until_ms) {
                *ends_ms = None;
                self.teller.input_ended(role.clone());
            }
        }
    }

    fn stop(&mut self, way: DataflowWay, scene: &mut Scene<'_>) {
        let (takes_ms, end) = match way {
            DataflowWay::Abort => (short(scene.rng, 500), FlowEnd::Aborted),
            DataflowWay::Drain if percent(scene.rng, 10) => (DRAINS_SLOWLY_MS, FlowEnd::Drained),
            DataflowWay::Drain => (short(scene.rng, DRAINS_MS), FlowEnd::Drained),
        };
        let ends_ms = scene.now_ms + takes_ms;
        // Of what drains, some fails all the same.
        if way == DataflowWay::Abort || ends_ms < self.ends_ms {
            (self.ends_ms, self.end) = (ends_ms, end);
        }
    }

    /// Absent: it has ended.
    fn advance(mut self, fed: &BTreeSet<(u64, NodeId)>, scene: &mut Scene<'_>) -> Option<Self> {
        if self.starts_ms.is_some_and(|at| at <= scene.now_ms) {
            self.starts_ms = None;
            self.teller.started();
        }
        let how_far = HowFar {
            running: Duration::from_millis(scene.now_ms - self.began_ms),
            ..HowFar::default()
        };
        self.tell_ended_inputs(scene.now_ms);
        if self.ends_ms <= scene.now_ms && !self.waits(fed) {
            if matches!(self.end, FlowEnd::ByItself | FlowEnd::Drained) {
                let roles = self.feeds.iter().map(|node| node.role.clone());
                self.end_input(roles.collect(), scene);
                self.tell_ended_inputs(u64::MAX);
            }
            scene.witness.dataflow_ended(self.number, self.end);
            self.teller.ended(self.end.told(), how_far);
            return None;
        }
        if self.tells_ms <= scene.now_ms {
            self.tells_ms = scene.now_ms + TELLS_EVERY_MS;
            self.teller.progress(how_far);
        }
        Some(self)
    }
}

impl FlowEnd {
    fn told(self) -> DataflowEnd {
        match self {
            Self::ByItself => DataflowEnd::Ended { drained: false },
            Self::Drained => DataflowEnd::Ended { drained: true },
            Self::Aborted | Self::Died => DataflowEnd::Stopped,
            Self::Failed => DataflowEnd::Failed(DataflowFault {
                reason: "`rows` failed".into(),
                ..DataflowFault::default()
            }),
        }
    }
}
