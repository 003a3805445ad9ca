//! The agent's loop: owns all state, takes one event at a time. The connection is in `link`, what the AM commands
//! in `commands`.

mod commands;
mod link;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_plugin::NodeId;
use rustix::process::{getpid, set_child_subreaper};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until};

use super::actions::Actions;
use super::attempt::{Asker, Order, Publication, Run, Told, Workshop};
use super::dataflow::{DataflowTold, Desk};
use super::launcher::Launcher;
use super::places::Places;
use super::probe::Probes;
use super::staging::Staging;
use super::uplink::Uplink;
use super::{AgentError, Ended, Options, Stop, connection};
use crate::clock::now_ms;
use crate::connect::Discovery;
use crate::wire::cluster::agent_message::Message;
use crate::wire::cluster::outbox_entry::Event as Outgoing;
use crate::wire::cluster::{AgentMessage, Heartbeat};

/// From SIGTERM to SIGKILL when nobody states a grace.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// How long the last events are waited for after the last node, when the owner stops the agent.
pub(super) const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// How long an agent that ends waits for its dataflow.
pub(super) const DATAFLOW_ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Events that wait for the loop; then their senders wait.
const EVENTS_MAX: usize = 256;
pub(super) const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(1);
/// Heartbeats come at least so often, whatever an AM asks.
const HEARTBEAT_MIN: Duration = Duration::from_millis(10);

enum Event {
    Connection(connection::Event),
    Attempt(NodeId, u32, Told),
    /// Something of an attempt of the dataflow.
    Dataflow(u64, DataflowTold),
    /// The network takes another message; `None`: it takes no more, the connection is about to go down.
    RoomToSend(Option<mpsc::OwnedPermit<AgentMessage>>),
    /// There is more to send, or the last events were waited for long enough.
    LookAgain,
    Heartbeat,
    /// No AM for too long.
    Alone,
    /// `None`: the owner will never say anything again.
    Stop(Option<Stop>),
}

/// A connection that stands.
struct Link {
    outbound: mpsc::Sender<AgentMessage>,
    welcomed: bool,
}

/// A process that lives, or is about to.
struct Held {
    attempt: u32,
    pid: u32,
    ready: bool,
    stopping: bool,
    since: Instant,
    generation: u64,
    orders: mpsc::UnboundedSender<Order>,
}

/// How the agent will end, once its nodes have.
type Ending = Result<Ended, AgentError>;

pub(super) struct Agent {
    options: Options,
    id: String,
    name: String,
    workshop: Workshop,
    stop: watch::Receiver<Stop>,
    owner_is_gone: bool,
    connection_events: mpsc::Receiver<connection::Event>,
    attempt_events: mpsc::Receiver<(NodeId, u32, Told)>,
    attempt_sender: mpsc::Sender<(NodeId, u32, Told)>,
    logs_grew: Arc<Notify>,
    /// The connection and the attempts; all end with the agent.
    tasks: JoinSet<()>,
    link: Option<Link>,
    /// Streams so far.
    streams: u64,
    uplink: Uplink,
    heartbeat: Interval,
    term: u64,
    run: Run,
    /// When the agent gives up without an AM; absent while there is one.
    alone_until: Option<Instant>,
    orphan_grace: Duration,
    last_trouble: String,
    actions: Actions,
    places: Places,
    held: BTreeMap<NodeId, Held>,
    dataflow: Desk,
    /// When the dataflow is waited for no longer; absent while the agent does not end.
    dataflow_until: Option<Instant>,
    cluster: Option<Arc<Publication>>,
    ending: Option<Ending>,
    flush_until: Option<Instant>,
}

impl Agent {
    pub(super) fn new(
        options: Options,
        mut stop: watch::Receiver<Stop>,
    ) -> Result<Self, AgentError> {
        set_child_subreaper(Some(getpid()))
            .map_err(|error| system("adopt orphans")(error.into()))?;
        // What the owner wants already counts as well.
        stop.mark_changed();
        let (client_sender, client) = watch::channel(None);
        let (connection_sender, connection_events) = mpsc::channel(EVENTS_MAX);
        let (attempt_sender, attempt_events) = mpsc::channel(EVENTS_MAX);
        let workshop = workshop(&options, client)?;
        let mut tasks = JoinSet::new();
        let (address, token) = (options.manager.clone(), options.token.clone());
        tasks.spawn(connection::keep(
            address,
            token,
            connection_sender,
            client_sender,
        ));
        Ok(Self {
            id: uuid::Uuid::new_v4().to_string(),
            name: options.name.clone().unwrap_or_else(host_name),
            logs_grew: workshop.logs_grew.clone(),
            workshop,
            stop,
            owner_is_gone: false,
            connection_events,
            attempt_events,
            attempt_sender,
            tasks,
            link: None,
            streams: 0,
            uplink: Uplink::default(),
            heartbeat: heartbeat_every(HEARTBEAT_DEFAULT),
            term: 0,
            run: Run::default(),
            alone_until: Instant::now().checked_add(options.connect_within),
            orphan_grace: options.connect_within,
            last_trouble: "no try has ended".to_owned(),
            actions: Actions::default(),
            places: Places::new(
                options.resources.slots,
                options.resources.gpus.clone(),
                options.ports.clone(),
            ),
            held: BTreeMap::new(),
            dataflow: Desk::new(options.dataflow.clone()),
            dataflow_until: None,
            cluster: None,
            ending: None,
            flush_until: None,
            options,
        })
    }

    /// Until the end that was given a reason, and then until every node and the dataflow are gone.
    pub(super) async fn work(mut self) -> Ending {
        loop {
            if self.may_end()
                && let Some(ending) = self.ending.take()
            {
                return ending;
            }
            match self.next_event().await {
                Event::Connection(event) => self.connection(event),
                Event::Attempt(node, attempt, told) => self.told(node, attempt, told),
                Event::Dataflow(attempt, told) => {
                    let now = Instant::now();
                    self.dataflow.hear(now, attempt, told, &mut self.uplink);
                }
                Event::RoomToSend(Some(permit)) => self.send_next(permit),
                Event::RoomToSend(None) => self.link = None,
                Event::LookAgain => {}
                Event::Heartbeat => {
                    self.send_now(Message::Heartbeat(Heartbeat { time_ms: now_ms() }));
                }
                Event::Alone => self.give_up(),
                Event::Stop(stop) => self.stop(stop),
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let outbound = self
            .link
            .as_ref()
            .filter(|link| link.welcomed)
            .map(|link| link.outbound.clone());
        let has_room = self.uplink.outbox.has_room() || self.ending.is_some();
        tokio::select! {
            Some(event) = self.connection_events.recv() => Event::Connection(event),
            Some((node, attempt, told)) = self.attempt_events.recv(), if has_room => Event::Attempt(node, attempt, told),
            (attempt, told) = self.dataflow.next() => Event::Dataflow(attempt, told),
            permit = reserve(outbound), if self.uplink.has_next() => Event::RoomToSend(permit),
            () = self.logs_grew.notified() => Event::LookAgain,
            _ = self.heartbeat.tick() => Event::Heartbeat,
            () = until(self.alone_until), if self.ending.is_none() => Event::Alone,
            () = until(self.flush_until) => Event::LookAgain,
            () = until(self.dataflow_until), if self.dataflow.is_running() => Event::LookAgain,
            changed = self.stop.changed(), if !self.owner_is_gone => {
                Event::Stop(changed.ok().map(|()| *self.stop.borrow_and_update()))
            }
        }
    }

    fn told(&mut self, node: NodeId, attempt: u32, told: Told) {
        match told {
            Told::Report(report) => self.uplink.report(node, attempt, report),
            Told::Event(event) => {
                if let Some(held) = self.held.get_mut(&node) {
                    held.note(&event);
                }
                self.uplink.outbox.push(*event);
            }
            Told::Ended(ended) => {
                self.held.remove(&node);
                self.uplink.outbox.push(Outgoing::AttemptEnded(*ended));
                while self.tasks.try_join_next().is_some() {}
            }
        }
    }

    fn give_up(&mut self) {
        let ending = if self.term > 0 {
            Ok(Ended::Orphaned)
        } else {
            let (address, reason) = (self.options.manager.clone(), self.last_trouble.clone());
            Err(AgentError::Unreachable { address, reason })
        };
        self.end(ending, GRACE, "no application manager is there");
    }

    fn stop(&mut self, stop: Option<Stop>) {
        match stop {
            None => self.owner_is_gone = true,
            Some(Stop::No) => {}
            Some(Stop::Within(grace)) => {
                self.end(Ok(Ended::Stopped), grace, "the agent is stopped");
            }
            Some(Stop::Now) => self.end(Ok(Ended::Stopped), Duration::ZERO, "the agent is stopped"),
        }
    }

    /// The first reason stays; a shorter grace counts.
    fn end(&mut self, ending: Ending, grace: Duration, reason: &str) {
        self.ending.get_or_insert(ending);
        for held in self.held.values_mut() {
            held.stop(Asker::Agent, grace, reason);
        }
        self.dataflow.close();
        self.dataflow_until
            .get_or_insert_with(|| Instant::now() + DATAFLOW_ENDS_WITHIN);
        self.places.release_all();
    }

    /// It has no process of its own that could be killed.
    fn dataflow_is_awaited(&self) -> bool {
        let in_time = self
            .dataflow_until
            .is_none_or(|until| Instant::now() < until);
        self.dataflow.is_running() && in_time
    }

    fn may_end(&mut self) -> bool {
        if self.ending.is_none() || !self.held.is_empty() || self.dataflow_is_awaited() {
            return false;
        }
        let listens = self.link.as_ref().is_some_and(|link| link.welcomed);
        let stopped = matches!(self.ending, Some(Ok(Ended::Stopped)));
        if !listens || !stopped || self.uplink.is_empty() {
            return true;
        }
        let until = *self
            .flush_until
            .get_or_insert_with(|| Instant::now() + FLUSH_WITHIN);
        Instant::now() >= until
    }
}

impl Held {
    /// What is part of the inventory.
    fn note(&mut self, event: &Outgoing) {
        match event {
            Outgoing::AttemptStarted(started) => self.pid = started.pid,
            Outgoing::AttemptReady(_) => self.ready = true,
            Outgoing::GenerationTaken(taken) => self.generation = taken.generation,
            _ => {}
        }
    }

    fn stop(&mut self, by: Asker, grace: Duration, reason: &str) {
        self.stopping = true;
        self.order(Order::Stop {
            by,
            grace,
            reason: reason.to_owned(),
        });
    }

    fn order(&self, order: Order) {
        let _it_is_ending = self.orders.send(order);
    }
}

fn workshop(
    options: &Options,
    client: watch::Receiver<Option<Discovery>>,
) -> Result<Workshop, AgentError> {
    Ok(Workshop {
        launcher: Launcher::start(options.launcher.clone()).map_err(system("start a thread"))?,
        staging: Staging::new(make_folder(options.folder.join("staged"))?, client),
        probes: Probes::default(),
        variables: Arc::new(std::env::vars_os().collect()),
        nodes: make_folder(options.nodes.clone())?,
        output: make_folder(options.output.clone())?,
        spool: make_folder(options.folder.join("spool"))?,
        logs_grew: Arc::new(Notify::new()),
        dataflow: options.dataflow.clone(),
    })
}

fn system(doing: &'static str) -> impl FnOnce(io::Error) -> AgentError {
    move |source| AgentError::System { doing, source }
}

fn make_folder(path: PathBuf) -> Result<PathBuf, AgentError> {
    let made = fs::create_dir_all(&path).and_then(|()| path.canonicalize());
    made.map_err(|source| AgentError::Folder { path, source })
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() {
        "agent".to_owned()
    } else {
        name.trim().to_owned()
    }
}

fn heartbeat_every(period: Duration) -> Interval {
    let mut interval = interval(period.max(HEARTBEAT_MIN));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Never ready without a connection; `None` when that is closing.
async fn reserve(
    outbound: Option<mpsc::Sender<AgentMessage>>,
) -> Option<mpsc::OwnedPermit<AgentMessage>> {
    match outbound {
        Some(outbound) => outbound.reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}
