//! Where the agent, which starts nodes, and the tasks, which feed them, meet: the agent leaves one end of a channel here for the task, and
//! takes the other one to the process of the node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use forebay_channel::{
    BeginError, Channel, Descriptors, Error, Gauge, HostEnd, Reading, Retention, Setting,
};

/// How the channels of a role are.
#[derive(Clone, Debug)]
pub(crate) struct ChannelPlan {
    pub(crate) setting: Setting,
    /// What nodes answer with: the body of a schema record. `None`: nothing.
    pub(crate) results: Option<Arc<[u8]>>,
}

/// The channels of all nodes that a job feeds. Cheap to clone.
#[derive(Clone)]
pub struct Feeds(Arc<Shared>);

struct Shared {
    plans: BTreeMap<String, ChannelPlan>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seats: BTreeMap<NodeName, Seat>,
    /// The attempt of the dataflow that the next two belong to.
    attempt: u64,
    /// Roles whose input is to end.
    ending: BTreeSet<String>,
    /// Roles whose nodes have all been sent their end.
    ended: BTreeSet<String>,
}

type NodeName = (String, u32);

/// What there is for one node.
#[derive(Default)]
struct Seat {
    /// The attempt of the dataflow that all of this is for.
    fed_by: u64,
    /// Of the node; 0: none has begun.
    attempt: u32,
    /// The task's end, until the task takes it.
    end: Option<HostEnd>,
    gauge: Option<Gauge>,
    counts: Arc<FeedCounts>,
    task: Option<Waker>,
    /// A channel of an attempt that is over: its memory is there already.
    spare: Option<Channel>,
}

/// What a task counts of its node.
#[derive(Debug, Default)]
pub(crate) struct FeedCounts {
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) pass: AtomicU32,
    pub(crate) ended: AtomicBool,
    /// There is no room in the ring for what is to be written.
    pub(crate) waits_for_room: AtomicBool,
}

/// How far one node is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedReading {
    /// Name of its role.
    pub role: String,
    /// Its number in the role.
    pub index: u32,
    /// Rows that were written for it, all passes together, and their bytes.
    pub rows: u64,
    /// See `rows`.
    pub bytes: u64,
    /// Rows that it has answered.
    pub answered: u64,
    /// The pass that it is fed, from 1.
    pub pass: u32,
    /// It reads no more: it has read all, or closed its feed.
    pub ended: bool,
    /// Its task waits for room in its ring.
    pub waits_for_room: bool,
    /// Its channel; all zero before it has one.
    pub channel: Reading,
}

/// Why a node cannot be fed.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The job feeds no such role.
    #[error("the dataflow feeds no role `{0}`")]
    NoRole(String),
    /// The dataflow goes on from where the attempt of the node before has left it.
    #[error(
        "the input of `{role}:{index}` has begun in attempt {fed_by} of the dataflow: it is rewound before the node starts again"
    )]
    HasBegun {
        /// Name of its role.
        role: String,
        /// Its number in the role.
        index: u32,
        /// The attempt of the dataflow.
        fed_by: u64,
    },
    /// A newer attempt of the dataflow is there.
    #[error("attempt {0} of the dataflow is over")]
    IsOver(u64),
    /// The channel cannot be made.
    #[error("the channel of `{role}:{index}` cannot be made")]
    Channel {
        /// Name of its role.
        role: String,
        /// Its number in the role.
        index: u32,
        /// Why.
        #[source]
        error: Error,
    },
}

impl FeedError {
    /// What would help.
    pub fn hint(&self) -> Option<&'static str> {
        matches!(self, Self::Channel { .. }).then_some(
            "give the role smaller rings (`input_ring`, `output_ring`), or the engine more memory",
        )
    }
}

impl Feeds {
    pub(crate) fn new(plans: BTreeMap<String, ChannelPlan>) -> Self {
        Self(Arc::new(Shared {
            plans,
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt of a node begins, fed by this attempt of the dataflow: what its process needs. Takes some milliseconds the first time.
    ///
    /// # Errors
    ///
    /// It cannot be fed.
    pub fn begin(
        &self,
        role: &str,
        index: u32,
        attempt: u32,
        fed_by: u64,
    ) -> Result<Descriptors, FeedError> {
        let plan = self.0.plans.get(role);
        let plan = plan.ok_or_else(|| FeedError::NoRole(role.to_owned()))?;
        let name = (role.to_owned(), index);
        let spare = self.state().seat(&name, fed_by)?.spare.take();
        let made = match spare {
            Some(channel) => Ok(channel),
            None => new_channel(plan),
        };
        let begun = made.and_then(|channel| {
            channel
                .begin(attempt)
                .map_err(|BeginError { error, .. }| error)
        });
        let (end, descriptors) = begun.map_err(|error| FeedError::Channel {
            role: role.to_owned(),
            index,
            error,
        })?;
        let mut state = self.state();
        let seat = state.seat(&name, fed_by)?;
        seat.attempt = attempt;
        seat.gauge = Some(end.gauge());
        seat.end = Some(end);
        if let Some(task) = seat.task.take() {
            task.wake();
        }
        Ok(descriptors)
    }

    /// Whether an attempt of a node, which is over, has left input unread, although it had not closed its feed.
    pub fn has_left_input(&self, role: &str, index: u32, attempt: u32) -> bool {
        let reading = self.reading_of(role, index, attempt);
        reading.is_some_and(|reading| !reading.channel.node_has_ended)
    }

    /// How far an attempt of a node is fed; `None`: it has no channel.
    pub fn reading_of(&self, role: &str, index: u32, attempt: u32) -> Option<FeedReading> {
        let name = (role.to_owned(), index);
        let state = self.state();
        let seat = state.seats.get(&name)?;
        (seat.attempt == attempt && seat.gauge.is_some()).then(|| reading(&name, seat))
    }

    /// The nodes of these roles get the end of their input behind what is in their rings.
    pub fn end_input(&self, fed_by: u64, roles: &[String]) {
        let mut state = self.state();
        state.renew(fed_by);
        if state.attempt != fed_by {
            return;
        }
        state.ending.extend(roles.iter().cloned());
        for seat in state.seats.values_mut() {
            if let Some(task) = seat.task.take() {
                task.wake();
            }
        }
    }

    /// The roles whose nodes have all been sent the end of their input in this attempt of the dataflow.
    pub fn ended_inputs(&self, fed_by: u64) -> BTreeSet<String> {
        let state = self.state();
        if state.attempt == fed_by {
            state.ended.clone()
        } else {
            BTreeSet::new()
        }
    }

    /// How far each node is fed by this attempt of the dataflow.
    pub fn readings(&self, fed_by: u64) -> Vec<FeedReading> {
        let state = self.state();
        let seats = state.seats.iter().filter(|(_, seat)| seat.fed_by == fed_by);
        seats.map(|(name, seat)| reading(name, seat)).collect()
    }

    /// What the task of a node does with it.
    pub(crate) fn seat(&self, role: &str, index: usize, fed_by: u64) -> TaskSeat {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let mut state = self.state();
        state.renew(fed_by);
        let name = (role.to_owned(), index);
        // A task of an attempt that is over finds nothing there.
        let counts = match state.seat(&name, fed_by) {
            Ok(seat) => seat.counts.clone(),
            Err(_) => Arc::default(),
        };
        drop(state);
        TaskSeat {
            feeds: self.clone(),
            name,
            fed_by,
            counts,
        }
    }
}

impl State {
    /// What belongs to an older attempt of the dataflow is forgotten.
    fn renew(&mut self, fed_by: u64) {
        if fed_by > self.attempt {
            self.attempt = fed_by;
            self.ending.clear();
            self.ended.clear();
        }
    }

    /// The seat of a node whose task has no end of its own yet.
    fn seat(&mut self, name: &NodeName, fed_by: u64) -> Result<&mut Seat, FeedError> {
        let seat = self.seats.entry(name.clone()).or_default();
        if fed_by < seat.fed_by {
            return Err(FeedError::IsOver(fed_by));
        }
        if fed_by > seat.fed_by {
            *seat = Seat {
                fed_by,
                spare: seat.spare.take(),
                ..Seat::default()
            };
        }
        if seat.attempt > 0 {
            return Err(FeedError::HasBegun {
                role: name.0.clone(),
                index: name.1,
                fed_by,
            });
        }
        Ok(seat)
    }
}

/// The seat of one node, for its task.
pub(crate) struct TaskSeat {
    feeds: Feeds,
    name: NodeName,
    fed_by: u64,
    pub(crate) counts: Arc<FeedCounts>,
}

impl TaskSeat {
    /// `worker:0`
    pub(crate) fn node(&self) -> String {
        format!("{}:{}", self.name.0, self.name.1)
    }

    /// The end of the channel, once the node has begun.
    pub(crate) fn poll_end(&self, context: &mut Context<'_>) -> Poll<HostEnd> {
        let mut state = self.feeds.state();
        let seat = state.seats.get_mut(&self.name);
        let Some(seat) = seat.filter(|seat| seat.fed_by == self.fed_by) else {
            return Poll::Pending;
        };
        if let Some(end) = seat.end.take() {
            seat.counts = self.counts.clone();
            return Poll::Ready(end);
        }
        seat.task = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether somebody wants the input of the role to end; else the task is woken when that is so.
    pub(crate) fn is_ending(&self, context: &mut Context<'_>) -> bool {
        let mut state = self.feeds.state();
        if state.attempt == self.fed_by && state.ending.contains(&self.name.0) {
            return true;
        }
        if let Some(seat) = state.seats.get_mut(&self.name) {
            seat.task = Some(context.waker().clone());
        }
        false
    }

    /// Whether the input of all roles is to end before its time.
    pub(crate) fn all_are_ending(&self) -> bool {
        let state = self.feeds.state();
        let mut roles = self.feeds.0.plans.keys();
        state.attempt == self.fed_by && roles.all(|role| state.ending.contains(role))
    }

    /// Whether no node of any role reads any more.
    pub(crate) fn all_have_ended(&self) -> bool {
        let state = self.feeds.state();
        let mut seats = state.seats.values();
        seats.all(|seat| seat.fed_by != self.fed_by || seat.counts.ended.load(Relaxed))
    }

    /// All nodes of the role have been sent the end of their input.
    pub(crate) fn input_has_ended(&self) {
        let mut state = self.feeds.state();
        if state.attempt == self.fed_by {
            state.ended.insert(self.name.0.clone());
        }
    }

    /// The next attempt of the node may have this channel.
    pub(crate) fn give_back(&self, channel: Channel) {
        let keeps_nothing = self.feeds.0.plans.get(&self.name.0);
        let keeps_nothing = keeps_nothing.map(|plan| plan.setting.retention);
        if keeps_nothing == Some(Retention::Read)
            && let Some(seat) = self.feeds.state().seats.get_mut(&self.name)
        {
            seat.spare = Some(channel);
        }
    }
}

fn new_channel(plan: &ChannelPlan) -> Result<Channel, Error> {
    let channel = Channel::new(plan.setting)?;
    Ok(match &plan.results {
        Some(results) => channel.with_results(results),
        None => channel,
    })
}

fn reading((role, index): &NodeName, seat: &Seat) -> FeedReading {
    let counts = &seat.counts;
    FeedReading {
        role: role.clone(),
        index: *index,
        rows: counts.rows.load(Relaxed),
        bytes: counts.bytes.load(Relaxed),
        answered: counts.answered.load(Relaxed),
        pass: counts.pass.load(Relaxed) + 1,
        ended: counts.ended.load(Relaxed),
        waits_for_room: counts.waits_for_room.load(Relaxed),
        channel: seat.gauge.as_ref().map(Gauge::read).unwrap_or_default(),
    }
}

impl fmt::Debug for Feeds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles = self.0.plans.keys();
        formatter.debug_set().entries(roles).finish()
    }
}
