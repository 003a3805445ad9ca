//! One agent beside one played application manager, and short ways to say what both do.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay_cluster::agent::{
    self, AgentError, DataflowExecutor, Ended, Options, PortRange, Resources, Stop,
};
use forebay_cluster::connect::ManagerAddress;
use forebay_cluster::token::Token;
use forebay_cluster::wire::cluster::agent_message::Message as FromAgent;
use forebay_cluster::wire::cluster::manager_message::Message;
use forebay_cluster::wire::cluster::outbox_entry::Event;
use forebay_cluster::wire::cluster::program::Kind;
use forebay_cluster::wire::cluster::{
    self, Acknowledge, ActionId, AttemptEnded, CommandProgram, DataflowProgress, LogAcknowledge,
    LogChunk, ManagerMessage, NodeLimits, NodeReport, Place, PlaceNode, Program, Readiness,
    Register, Start, StopNode, Welcome, attempt_ended, readiness,
};
use forebay_cluster::wire::node::NodeId;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::manager::{Conversation, Manager};

pub(crate) const TERM: u64 = 7;

/// Options of an agent whose folders are below `folder`.
pub(crate) fn options(folder: &Path, manager: ManagerAddress, token: Token) -> Options {
    Options {
        manager,
        token,
        name: Some("here".to_owned()),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        interface: "lo".to_owned(),
        resources: Resources {
            slots: 8,
            cores: 1,
            memory_bytes: 1 << 30,
            gpus: Vec::new(),
        },
        folder: folder.join("agent"),
        nodes: folder.join("nodes"),
        output: folder.join("output"),
        launcher: std::env::current_exe().unwrap(),
        ports: PortRange::of_this_machine(),
        in_engine: false,
        connect_within: Duration::from_secs(30),
        dataflow: None,
    }
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) manager: Manager,
    pub(crate) stop: watch::Sender<Stop>,
    pub(crate) talk: Talk,
    agent: JoinHandle<Result<Ended, AgentError>>,
}

impl World {
    /// An agent that has been welcomed.
    pub(crate) async fn new() -> Self {
        Self::with(PortRange::of_this_machine(), None).await
    }

    /// The same, which leases these ports.
    pub(crate) async fn with_ports(ports: PortRange) -> Self {
        Self::with(ports, None).await
    }

    /// The same, which may run a dataflow.
    pub(crate) async fn with_dataflow(dataflow: Arc<dyn DataflowExecutor>) -> Self {
        Self::with(PortRange::of_this_machine(), Some(dataflow)).await
    }

    async fn with(ports: PortRange, dataflow: Option<Arc<dyn DataflowExecutor>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut manager = Manager::listen(folder.path());
        let (stop, stopped) = watch::channel(Stop::No);
        let (address, token) = (manager.address.clone(), manager.token.clone());
        let options = Options {
            ports,
            dataflow,
            ..options(folder.path(), address, token)
        };
        let agent = tokio::spawn(agent::run(options, stopped));
        let talk = Talk::begin(manager.next().await).await;
        Self {
            folder,
            manager,
            stop,
            talk,
            agent,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.agent.is_finished()
    }

    /// How the agent ended.
    pub(crate) async fn end(self) -> Result<Ended, AgentError> {
        self.agent.await.unwrap()
    }

    /// The manager dies and nobody follows it: how the agent ends.
    pub(crate) async fn abandon(self) -> Result<Ended, AgentError> {
        let Self {
            talk,
            manager,
            agent,
            stop,
            folder,
        } = self;
        drop((talk, manager));
        let ended = agent.await.unwrap();
        drop((stop, folder));
        ended
    }

    /// The connection breaks; the agent comes back.
    pub(crate) async fn reconnect(&mut self, welcome: Welcome) {
        self.talk.hang_up();
        self.talk = Talk::begin_with(self.manager.next().await, TERM, welcome).await;
    }

    pub(crate) fn node_folder(&self, node: &str) -> std::path::PathBuf {
        self.folder
            .path()
            .join("nodes")
            .join(node.replace(':', "-"))
    }
}

/// What the manager hears and says.
pub(crate) struct Talk {
    conversation: Option<Conversation>,
    pub(crate) register: Register,
    term: u64,
    /// Everything of the outbox so far.
    pub(crate) events: Vec<(u64, Event)>,
    pub(crate) reports: Vec<NodeReport>,
    pub(crate) progress: Vec<DataflowProgress>,
    pub(crate) log: Vec<u8>,
    pub(crate) log_is_complete: bool,
    /// Whose attempt's log it is.
    log_of: u32,
    pub(crate) acknowledges: bool,
    position: usize,
}

impl Talk {
    pub(crate) async fn begin(conversation: Conversation) -> Self {
        let welcome = Welcome {
            orphan_grace_ms: 60_000,
            ..welcome()
        };
        Self::begin_with(conversation, TERM, welcome).await
    }

    pub(crate) async fn begin_with(
        mut conversation: Conversation,
        term: u64,
        welcome: Welcome,
    ) -> Self {
        let first = conversation.inbound.message().await.unwrap().unwrap();
        let Some(FromAgent::Register(register)) = first.message else {
            panic!("not a register: {first:?}")
        };
        let talk = Self {
            conversation: Some(conversation),
            register,
            term,
            events: Vec::new(),
            reports: Vec::new(),
            progress: Vec::new(),
            log: Vec::new(),
            log_is_complete: false,
            log_of: 1,
            acknowledges: true,
            position: 0,
        };
        talk.say(Message::Welcome(welcome)).await;
        talk
    }

    pub(crate) fn hang_up(&mut self) {
        self.conversation = None;
    }

    pub(crate) async fn say(&self, message: Message) {
        self.say_as(self.term, message).await;
    }

    pub(crate) async fn say_as(&self, term: u64, message: Message) {
        let conversation = self.conversation.as_ref().unwrap();
        conversation
            .outbound
            .send(Ok(ManagerMessage {
                term,
                message: Some(message),
            }))
            .await
            .unwrap();
    }

    /// One that no manager has used before.
    pub(crate) fn action() -> ActionId {
        static ACTIONS: AtomicU64 = AtomicU64::new(1);
        ActionId {
            event_number: ACTIONS.fetch_add(1, Ordering::Relaxed),
            ..ActionId::default()
        }
    }

    /// Takes one message of the agent.
    async fn hear(&mut self) {
        let conversation = self.conversation.as_mut().unwrap();
        let message = conversation
            .inbound
            .message()
            .await
            .unwrap()
            .expect("the agent hung up");
        match message.message.unwrap() {
            FromAgent::Outbox(entry) => {
                if self.acknowledges {
                    self.say(Message::Acknowledge(Acknowledge {
                        outbox_number: entry.number,
                    }))
                    .await;
                }
                self.events.push((entry.number, entry.event.unwrap()));
            }
            FromAgent::Report(report) => self.reports.push(report),
            FromAgent::Dataflow(progress) => self.progress.push(progress),
            FromAgent::Log(chunk) => self.hear_log(chunk).await,
            FromAgent::Heartbeat(_) | FromAgent::Register(_) => {}
        }
    }

    /// Keeps the log of the newest attempt of `worker:0`; others are acknowledged alone.
    async fn hear_log(&mut self, chunk: LogChunk) {
        let offset = chunk.offset + chunk.content.len() as u64;
        if chunk.node == Some(node_id("worker:0")) {
            if chunk.attempt > self.log_of {
                self.log_of = chunk.attempt;
                self.log.clear();
                self.log_is_complete = false;
            }
            assert_eq!(chunk.offset, self.log.len() as u64, "without gaps");
            self.log.extend(chunk.content);
            self.log_is_complete |= chunk.last;
        }
        let (node, attempt) = (chunk.node, chunk.attempt);
        let held = LogAcknowledge {
            node,
            attempt,
            offset,
        };
        self.say(Message::LogAcknowledge(held)).await;
    }

    /// Waits for the next event that `wanted` takes; events before it are passed over.
    pub(crate) async fn event<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            while let Some((_, event)) = self.events.get(self.position) {
                self.position += 1;
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            self.hear().await;
        }
    }

    pub(crate) async fn until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) {
            self.hear().await;
        }
    }

    /// Places a node with these ports and returns their numbers.
    pub(crate) async fn place(&mut self, node: &str, ports: &[&str]) -> Vec<u16> {
        let action = Some(Talk::action());
        let nodes = vec![place_node(node, ports)];
        self.say(Message::Place(Place { action, nodes })).await;
        let places = self.event(|event| match event {
            Event::PlaceGranted(granted) if granted.action == action => {
                Some(granted.places.clone())
            }
            Event::PlaceRefused(refused) => panic!("{}", refused.reason),
            _ => None,
        });
        places.await[0]
            .ports
            .iter()
            .map(|port| u16::try_from(port.number).unwrap())
            .collect()
    }

    pub(crate) async fn start(&mut self, start: Start) {
        let action = Some(Self::action());
        self.say(Message::Start(Start { action, ..start })).await;
    }

    /// Places a node and starts its first attempt; returns its process.
    pub(crate) async fn run(&mut self, start: Start) -> u32 {
        let node = start.node.clone().unwrap();
        self.place(&format!("{}:{}", node.role, node.index), &[])
            .await;
        self.start(start).await;
        self.started().await
    }

    pub(crate) async fn started(&mut self) -> u32 {
        self.event(|event| match event {
            Event::AttemptStarted(started) => Some(started.pid),
            Event::AttemptEnded(ended) => panic!("{ended:?}"),
            _ => None,
        })
        .await
    }

    pub(crate) async fn ready(&mut self) {
        self.event(|event| matches!(event, Event::AttemptReady(_)).then_some(()))
            .await;
    }

    pub(crate) async fn ended(&mut self) -> AttemptEnded {
        self.event(|event| match event {
            Event::AttemptEnded(ended) => Some(ended.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn stop(&mut self, node: &str, attempt: u32, grace: Duration) {
        let stop = cluster::Stop {
            action: Some(Self::action()),
            nodes: vec![StopNode {
                node: Some(node_id(node)),
                attempt,
            }],
            grace_ms: u64::try_from(grace.as_millis()).unwrap(),
            reason: "the test wants it".to_owned(),
        };
        self.say(Message::Stop(stop)).await;
    }

    /// Waits for the end of the log and returns it.
    pub(crate) async fn whole_log(&mut self) -> String {
        self.until(|talk| talk.log_is_complete).await;
        String::from_utf8_lossy(&self.log).into_owned()
    }

    /// Waits for a line of the log that begins so, and returns the rest of it.
    pub(crate) async fn line(&mut self, begin: &str) -> String {
        let find = |log: &[u8]| {
            let text = String::from_utf8_lossy(log).into_owned();
            let complete = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            complete
                .lines()
                .find_map(|line| line.strip_prefix(begin))
                .map(str::to_owned)
        };
        self.until(|talk| find(&talk.log).is_some()).await;
        find(&self.log).unwrap()
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        job: "digits".to_owned(),
        run: "digits-1".to_owned(),
        heartbeat_interval_ms: 100,
        orphan_grace_ms: 60_000,
        ..Welcome::default()
    }
}

pub(crate) fn node_id(node: &str) -> NodeId {
    let (role, index) = node.split_once(':').unwrap();
    NodeId {
        role: role.to_owned(),
        index: index.parse().unwrap(),
    }
}

pub(crate) fn place_node(node: &str, ports: &[&str]) -> PlaceNode {
    PlaceNode {
        node: Some(node_id(node)),
        ports: ports.iter().map(ToString::to_string).collect(),
        gpus: 0,
    }
}

/// The first attempt of `worker:0`: this program, ready when started.
pub(crate) fn program(kind: Kind) -> Start {
    Start {
        node: Some(node_id("worker:0")),
        attempt: 1,
        program: Some(Program { kind: Some(kind) }),
        readiness: Some(Readiness {
            kind: Some(readiness::Kind::Started(cluster::Started {})),
        }),
        limits: Some(NodeLimits::default()),
        ..Start::default()
    }
}

/// The same with a shell script.
pub(crate) fn shell(script: &str) -> Start {
    let words = ["sh", "-c", script].map(str::to_owned).to_vec();
    program(Kind::Command(CommandProgram { words }))
}

pub(crate) fn code(ended: &AttemptEnded) -> Option<i32> {
    match ended.ending {
        Some(attempt_ended::Ending::Code(code)) => Some(code),
        _ => None,
    }
}

pub(crate) fn signal(ended: &AttemptEnded) -> Option<u32> {
    match ended.ending {
        Some(attempt_ended::Ending::Signal(signal)) => Some(signal),
        _ => None,
    }
}

/// Gone: no such process, or one that only waits to be reaped.
pub(crate) fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |text| {
        text.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
    })
}

pub(crate) async fn until_gone(pid: u32) {
    let wait = move || {
        if let Ok(process) = pidfd_open(as_pid(pid), PidfdFlags::empty()) {
            poll(&mut [PollFd::new(&process, PollFlags::IN)], None).unwrap();
        }
    };
    tokio::task::spawn_blocking(wait).await.unwrap();
}

pub(crate) fn parent_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

pub(crate) fn kill(pid: u32) {
    kill_process(as_pid(pid), Signal::KILL).unwrap();
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}
