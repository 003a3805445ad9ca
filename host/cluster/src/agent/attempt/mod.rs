//! One attempt of a node, a task of its own: preparation, `node-exec`, the watch over both, the end.
//!
//! What happens is decided in [`life`], without I/O; here stand the process, its sockets and its output.

mod life;
#[cfg(test)]
pub(in crate::agent) mod simulated;
mod stacks;
mod timers;
mod watch;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forebay_plugin::NodeId;
use tokio::sync::{Notify, mpsc};

use super::control::Frame;
use super::dataflow::{DataflowExecutor, FedAttempt};
use super::environment::Variables;
use super::launcher::Launcher;
use super::logs::LogProgress;
use super::places::Place;
use super::preparation::{Unstarted, file_name, prepare};
use super::probe::Probes;
use super::staging::Staging;
use crate::wire::cluster::outbox_entry::Event;
use crate::wire::cluster::{AttemptEnded, Start, attempt_ended};
use crate::wire::node::{Cluster, Report, RollBack, Save};
use crate::wire::to_wire;

/// What all attempts of an agent share. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Workshop {
    pub(super) launcher: Launcher,
    pub(super) staging: Staging,
    pub(super) probes: Probes,
    /// The agent's own environment.
    pub(super) variables: Arc<Variables>,
    /// Working folders.
    pub(super) nodes: PathBuf,
    pub(super) output: PathBuf,
    pub(super) spool: PathBuf,
    pub(super) logs_grew: Arc<Notify>,
    /// What feeds nodes; absent: nobody does on this machine.
    pub(super) dataflow: Option<Arc<dyn DataflowExecutor>>,
}

impl Workshop {
    pub(super) fn log_file(&self, node: &NodeId, attempt: u32) -> PathBuf {
        self.spool
            .join(format!("{}.{attempt}.log", file_name(node)))
    }
}

/// The run that an agent serves, as its AM names it.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub(super) job: String,
    pub(super) name: String,
}

/// What is to be run.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) start: Start,
    pub(super) node: NodeId,
    pub(super) place: Arc<Place>,
    pub(super) run: Run,
    /// The newest that the agent knows.
    pub(super) cluster: Cluster,
    pub(super) log: Arc<LogProgress>,
}

impl Assignment {
    /// Absent: the node is not fed.
    fn fed(&self) -> Option<FedAttempt> {
        Some(FedAttempt {
            node: self.node.clone(),
            attempt: self.start.attempt,
            fed_by: self.start.fed_by?,
        })
    }
}

/// A cluster with its frame for node control, encoded once for all nodes.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) cluster: Cluster,
    pub(super) frame: Frame,
}

/// Who wants the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Manager,
    Agent,
}

/// What the agent wants of an attempt.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// SIGTERM, and SIGKILL after the grace; a grace of zero: SIGKILL at once.
    Stop {
        by: Asker,
        grace: Duration,
        reason: String,
    },
    Publish(Arc<Publication>),
    Save(Save),
    RollBack(RollBack),
}

/// What an attempt tells the agent.
#[derive(Debug)]
pub(super) enum Told {
    /// For the outbox.
    Event(Box<Event>),
    Report(Report),
    /// Last of all: process, group and orphans are gone.
    Ended(Box<AttemptEnded>),
}

/// The way to the agent's loop. Waits while the agent has no room.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    pub(super) node: NodeId,
    pub(super) attempt: u32,
    pub(super) sender: mpsc::Sender<(NodeId, u32, Told)>,
}

impl Teller {
    async fn tell(&self, told: Told) {
        let _agent_is_gone = self
            .sender
            .send((self.node.clone(), self.attempt, told))
            .await;
    }
}

/// The whole life of an attempt. When the future is dropped, `node-exec` sees a hang-up and ends everything.
pub(super) async fn live(
    workshop: Workshop,
    assignment: Assignment,
    mut orders: mpsc::UnboundedReceiver<Order>,
    teller: Teller,
) {
    let log = assignment.log.clone();
    let (node, attempt) = (assignment.node.clone(), assignment.start.attempt);
    let fed = assignment.fed();
    let mut ended = match try_live(&workshop, assignment, &mut orders, &teller).await {
        Ok(ended) => ended,
        Err(error) => {
            log.complete();
            never_ran(&node, attempt, &error)
        }
    };
    if let Some((executor, fed)) = workshop.dataflow.as_ref().zip(fed) {
        ended.input_left = executor.feed_ended(&fed);
    }
    teller.tell(Told::Ended(Box::new(ended))).await;
}

async fn try_live(
    workshop: &Workshop,
    assignment: Assignment,
    orders: &mut mpsc::UnboundedReceiver<Order>,
    teller: &Teller,
) -> Result<AttemptEnded, Unstarted> {
    let mut early = Vec::new();
    let plan = tokio::select! {
        plan = prepare(workshop, &assignment) => plan?,
        () = stop_order(orders, &mut early) => return Err(Unstarted::Stopped),
    };
    let feed = feed_of(workshop, &assignment).await?;
    let mut watch = watch::Watch::begin(workshop, &assignment, plan, feed).await?;
    for order in early {
        watch.take(life::Input::Order(order), teller).await;
    }
    watch.follow(orders, teller).await
}

/// What feeds the node; nothing where nobody does.
async fn feed_of(workshop: &Workshop, assignment: &Assignment) -> Result<Vec<OwnedFd>, Unstarted> {
    let Some(fed) = assignment.fed() else {
        return Ok(Vec::new());
    };
    let executor = workshop.dataflow.clone();
    let executor = executor.ok_or_else(|| Unstarted::Feed("the agent runs no dataflow".into()))?;
    let made = tokio::task::spawn_blocking(move || executor.feed(&fed)).await;
    made.unwrap_or_else(|error| Err(error.to_string()))
        .map_err(Unstarted::Feed)
}

/// Returns with the first stop; other orders are kept for later.
async fn stop_order(orders: &mut mpsc::UnboundedReceiver<Order>, kept: &mut Vec<Order>) {
    while let Some(order) = orders.recv().await {
        if matches!(order, Order::Stop { .. }) {
            return;
        }
        kept.push(order);
    }
}

/// What the AM is told of an attempt that had no process.
pub(super) fn never_ran(node: &NodeId, attempt: u32, error: &Unstarted) -> AttemptEnded {
    AttemptEnded {
        node: Some(to_wire(node)),
        attempt,
        ending: Some(attempt_ended::Ending::NotStarted(error.to_wire())),
        hint: error.hint().unwrap_or_default(),
        stop_was_asked: matches!(error, Unstarted::Stopped),
        ..AttemptEnded::default()
    }
}
