//! The dataflow as its agent sees it: attempts that are ordered, and what an executor tells of them. What a dataflow is, the
//! executor knows alone.
//!
//! An attempt acts once: an order for one that was there already, or for an older one, changes nothing. There are never two at once.

use std::fmt::{self, Debug, Formatter};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_plugin::NodeId;
use tokio::sync::mpsc;

use super::uplink::Uplink;
use crate::wire::cluster::outbox_entry::Event as Outgoing;
use crate::wire::cluster::{
    DataflowEnded, DataflowFailed, DataflowNoted, DataflowProgress, DataflowStarted,
    DataflowStopped, EndInput, FeedProgress, HeldDataflow, InputEnded, OperatorProgress,
    RunDataflow, StopDataflow,
};

/// The application manager is told once a second how far the dataflow is, by the clock of the executor, which need not be this one.
const PROGRESS_EVERY_LEAST: Duration = Duration::from_millis(900);

/// Runs the dataflow of a job, and feeds nodes of its agent.
pub trait DataflowExecutor: Debug + Send + Sync {
    /// Begins an attempt and returns at once. `teller` is told what becomes of it, its end at last. `checkpoint`: where it goes on;
    /// absent: it begins the input. Never called before the attempt before has told its end.
    fn run(&self, attempt: u64, checkpoint: Option<u64>, teller: DataflowTeller);

    /// Ends this attempt and returns at once; one that has not begun yet does not begin. May be called again with another way.
    fn stop(&self, attempt: u64, way: DataflowWay);

    /// An attempt of a node begins: what its process inherits to be fed. May take some milliseconds.
    ///
    /// # Errors
    ///
    /// Why it cannot be fed, for people.
    fn feed(&self, fed: &FedAttempt) -> Result<Vec<OwnedFd>, String>;

    /// How far the node is with its input. Asked once a second while its process lives; returns at once.
    fn feed_state(&self, fed: &FedAttempt) -> FeedState;

    /// The attempt of the node is over, perhaps before it was fed: whether it has left input unread without having closed its feed.
    fn feed_ended(&self, fed: &FedAttempt) -> bool;

    /// The nodes of these roles get the end of their input behind what is on its way to them; returns at once.
    fn end_input(&self, attempt: u64, roles: &[String]);
}

/// An attempt of a node, and what feeds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FedAttempt {
    /// The node.
    pub node: NodeId,
    /// Of the node.
    pub attempt: u32,
    /// The attempt of the dataflow.
    pub fed_by: u64,
}

/// How far an attempt of a node is with its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedState {
    /// It has read the end of its input, or has closed its feed: nothing comes any more that it would read.
    pub read_all: bool,
    /// The dataflow waits for it: something is in the channel that it has not read, or it keeps all the room there.
    pub waits_with_input: bool,
    /// Grows with each record that it reads, and with each that it emits; by how much does not matter.
    pub progress: u64,
}

/// How an attempt is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataflowWay {
    /// The sources end where they are, what they have read goes through, and the sinks complete.
    Drain,
    /// Everything ends where it is, and what sinks have not completed is discarded.
    Abort,
}

/// How far an attempt is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HowFar {
    /// Since it began.
    pub running: Duration,
    /// Each operator, all its tasks together.
    pub operators: Vec<OperatorProgress>,
    /// Each node that is fed.
    pub feeds: Vec<FeedProgress>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum DataflowEnd {
    /// Its sources have ended, and its sinks are complete.
    Ended {
        /// The sources were told to end.
        drained: bool,
    },
    /// It could not go on.
    Failed(DataflowFault),
    /// It was aborted, or never began.
    Stopped,
}

/// Why an attempt could not go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataflowFault {
    /// Whose failure it is, where it is one of an operator.
    pub operator: Option<String>,
    /// With all causes, in one line.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Forebay is at fault, as against the job or its data.
    pub engine_failed: bool,
}

/// Something that a person should know; the attempt goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DataflowNote {
    /// Whose note it is.
    pub operator: String,
    /// One line.
    pub message: String,
}

/// What an executor tells of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum DataflowTold {
    /// See [`DataflowTeller::started`].
    Started,
    /// See [`DataflowTeller::note`].
    Noted(DataflowNote),
    /// See [`DataflowTeller::input_ended`].
    InputEnded(String),
    /// See [`DataflowTeller::progress`].
    Progress(HowFar),
    /// See [`DataflowTeller::ended`].
    Ended(DataflowEnd, HowFar),
}

/// Where an executor tells what becomes of one attempt. One that is dropped before the end was told has broken.
pub struct DataflowTeller {
    tell: Box<dyn Fn(DataflowTold) + Send + Sync>,
    has_ended: bool,
}

impl DataflowTeller {
    /// What is told goes there.
    pub fn new(tell: impl Fn(DataflowTold) + Send + Sync + 'static) -> Self {
        Self {
            tell: Box::new(tell),
            has_ended: false,
        }
    }

    /// All tasks of the attempt run.
    pub fn started(&self) {
        (self.tell)(DataflowTold::Started);
    }

    /// A person should know it. Each is kept until the application manager has it: executors tell few.
    pub fn note(&self, note: DataflowNote) {
        (self.tell)(DataflowTold::Noted(note));
    }

    /// Every node of this role has been sent the end of its input.
    pub fn input_ended(&self, role: String) {
        (self.tell)(DataflowTold::InputEnded(role));
    }

    /// How far it is. Told as often as you like: what the application manager has no use for is left out.
    pub fn progress(&self, how_far: HowFar) {
        (self.tell)(DataflowTold::Progress(how_far));
    }

    /// Nothing of the attempt is left.
    pub fn ended(mut self, end: DataflowEnd, how_far: HowFar) {
        self.has_ended = true;
        (self.tell)(DataflowTold::Ended(end, how_far));
    }
}

impl Debug for DataflowTeller {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("DataflowTeller")
    }
}

impl Drop for DataflowTeller {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let fault = DataflowFault {
            reason: "the engine broke while it ran the dataflow".into(),
            engine_failed: true,
            ..DataflowFault::default()
        };
        let end = DataflowEnd::Failed(fault);
        (self.tell)(DataflowTold::Ended(end, HowFar::default()));
    }
}

/// Which attempt there is, and what waits to be said of it.
#[derive(Debug)]
pub(super) struct Desk {
    executor: Option<Arc<dyn DataflowExecutor>>,
    sender: mpsc::UnboundedSender<(u64, DataflowTold)>,
    told: mpsc::UnboundedReceiver<(u64, DataflowTold)>,
    /// The newest that this agent was told of; 0: none.
    attempt: u64,
    /// One that has not told its end.
    running: Option<u64>,
    /// Begins when the one before has ended.
    next: Option<Next>,
    /// When progress was passed on last.
    passed_on: Option<Instant>,
}

/// An attempt that begins later, and what was ordered of it meanwhile.
#[derive(Debug)]
struct Next {
    order: RunDataflow,
    /// How it is to end, if that is known already; what is aborted does not begin.
    end: Option<DataflowWay>,
    /// Roles whose input is to end.
    ending: Vec<String>,
}

impl Desk {
    pub(super) fn new(executor: Option<Arc<dyn DataflowExecutor>>) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        Self {
            executor,
            sender,
            told,
            attempt: 0,
            running: None,
            next: None,
            passed_on: None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// For the inventory.
    pub(super) fn held(&self) -> Option<HeldDataflow> {
        (self.attempt > 0).then_some(HeldDataflow {
            attempt: self.attempt,
            running: self.running == Some(self.attempt) || self.next.is_some(),
        })
    }

    // -------------------------------------------------------------------------------------------------------- orders

    pub(super) fn run(&mut self, order: RunDataflow, uplink: &mut Uplink) {
        if order.attempt <= self.attempt {
            return;
        }
        self.attempt = order.attempt;
        if self.running.is_some() {
            self.leave_out_next(uplink);
            self.next = Some(Next {
                order,
                end: None,
                ending: Vec::new(),
            });
            self.abort();
        } else {
            self.begin(&order, uplink);
        }
    }

    fn begin(&mut self, order: &RunDataflow, uplink: &mut Uplink) {
        let attempt = order.attempt;
        let Some(executor) = &self.executor else {
            let fault = DataflowFault {
                reason: "this agent runs no dataflow: only that of the engine does".into(),
                engine_failed: true,
                ..DataflowFault::default()
            };
            let end = DataflowEnd::Failed(fault);
            return uplink
                .outbox
                .push(outgoing(attempt, end, HowFar::default()));
        };
        self.running = Some(attempt);
        self.passed_on = None;
        let sender = self.sender.clone();
        let teller = DataflowTeller::new(move |told| {
            let _the_agent_may_be_gone = sender.send((attempt, told));
        });
        executor.run(attempt, order.checkpoint, teller);
    }

    /// The attempt before has ended. One that nobody wants any more is over only now: with it, the dataflow is.
    fn take_turn(&mut self, next: &Next, uplink: &mut Uplink) {
        let attempt = next.order.attempt;
        if next.end == Some(DataflowWay::Abort) {
            return uplink.outbox.push(never_ran(attempt));
        }
        self.begin(&next.order, uplink);
        if let Some(way) = next.end {
            self.end(attempt, way);
        }
        if !next.ending.is_empty() {
            self.end_input_of(attempt, &next.ending);
        }
    }

    fn next_if(&mut self, attempt: u64) -> Option<&mut Next> {
        let next = self.next.as_mut();
        next.filter(|next| next.order.attempt == attempt)
    }

    /// One that was never there does not come any more. One that waits for its turn is drained once it has come: nodes wait for the
    /// end of their input.
    pub(super) fn stop(&mut self, order: &StopDataflow, uplink: &mut Uplink) {
        if order.attempt > self.attempt {
            self.attempt = order.attempt;
            uplink.outbox.push(never_ran(order.attempt));
        } else if let Some(next) = self.next_if(order.attempt) {
            next.end = Some(way_of(order));
        } else if self.running == Some(order.attempt) {
            self.end(order.attempt, way_of(order));
        }
    }

    pub(super) fn end_input(&mut self, order: &EndInput) {
        if let Some(next) = self.next_if(order.attempt) {
            next.ending.clone_from(&order.roles);
        } else if self.running == Some(order.attempt) {
            self.end_input_of(order.attempt, &order.roles);
        }
    }

    fn end_input_of(&self, attempt: u64, roles: &[String]) {
        if let Some(executor) = &self.executor {
            executor.end_input(attempt, roles);
        }
    }

    /// The agent ends: nothing begins any more.
    pub(super) fn close(&mut self) {
        if let Some(next) = &mut self.next {
            next.end = Some(DataflowWay::Abort);
        }
        self.abort();
    }

    fn abort(&self) {
        if let Some(attempt) = self.running {
            self.end(attempt, DataflowWay::Abort);
        }
    }

    fn end(&self, attempt: u64, way: DataflowWay) {
        if let Some(executor) = &self.executor {
            executor.stop(attempt, way);
        }
    }

    fn leave_out_next(&mut self, uplink: &mut Uplink) {
        if let Some(next) = self.next.take() {
            uplink.outbox.push(never_ran(next.order.attempt));
        }
    }

    // --------------------------------------------------------------------------------------------------- what is told

    /// What an executor tells next, and of which attempt.
    pub(super) async fn next(&mut self) -> (u64, DataflowTold) {
        match self.told.recv().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }

    /// The same, if it was told already.
    #[cfg(test)]
    pub(super) fn try_next(&mut self) -> Option<(u64, DataflowTold)> {
        self.told.try_recv().ok()
    }

    /// What is told of an attempt that is not the running one is stale.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        attempt: u64,
        told: DataflowTold,
        uplink: &mut Uplink,
    ) {
        if self.running != Some(attempt) {
            return;
        }
        match told {
            DataflowTold::Started => {
                let started = DataflowStarted { attempt };
                uplink.outbox.push(Outgoing::DataflowStarted(started));
            }
            DataflowTold::Noted(note) => {
                uplink.outbox.push(Outgoing::DataflowNoted(DataflowNoted {
                    attempt,
                    operator: note.operator,
                    message: note.message,
                }));
            }
            DataflowTold::InputEnded(role) => {
                let ended = InputEnded { attempt, role };
                uplink.outbox.push(Outgoing::InputEnded(ended));
            }
            DataflowTold::Progress(how_far) => self.pass_on(now, attempt, how_far, uplink),
            DataflowTold::Ended(end, how_far) => {
                self.running = None;
                uplink.progress(None);
                uplink.outbox.push(outgoing(attempt, end, how_far));
                if let Some(next) = self.next.take() {
                    self.take_turn(&next, uplink);
                }
            }
        }
    }

    fn pass_on(&mut self, now: Instant, attempt: u64, how_far: HowFar, uplink: &mut Uplink) {
        if self
            .passed_on
            .is_none_or(|last| now.saturating_duration_since(last) >= PROGRESS_EVERY_LEAST)
        {
            self.passed_on = Some(now);
            uplink.progress(Some(DataflowProgress {
                attempt,
                running_us: microseconds(how_far.running),
                operators: how_far.operators,
                feeds: how_far.feeds,
            }));
        }
    }
}

fn way_of(order: &StopDataflow) -> DataflowWay {
    if order.drain {
        DataflowWay::Drain
    } else {
        DataflowWay::Abort
    }
}

fn never_ran(attempt: u64) -> Outgoing {
    outgoing(attempt, DataflowEnd::Stopped, HowFar::default())
}

fn outgoing(attempt: u64, end: DataflowEnd, how_far: HowFar) -> Outgoing {
    let HowFar {
        operators,
        feeds,
        running,
    } = how_far;
    let running_us = microseconds(running);
    match end {
        DataflowEnd::Ended { drained } => Outgoing::DataflowEnded(DataflowEnded {
            attempt,
            operators,
            drained,
            running_us,
            feeds,
        }),
        DataflowEnd::Stopped => Outgoing::DataflowStopped(DataflowStopped {
            attempt,
            operators,
            running_us,
            feeds,
        }),
        DataflowEnd::Failed(fault) => Outgoing::DataflowFailed(DataflowFailed {
            attempt,
            operator: fault.operator.unwrap_or_default(),
            reason: fault.reason,
            hint: fault.hint.unwrap_or_default(),
            engine_failed: fault.engine_failed,
            operators,
            running_us,
            feeds,
        }),
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
