//! Agents as this program plays them: real gRPC, and nodes that are nothing but answers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use forebay_cluster::connect::{self, ManagerAddress};
use forebay_cluster::submission::HOST_VERSION;
use forebay_cluster::token::Token;
use forebay_cluster::wire::cluster::agent_message::Message as Said;
use forebay_cluster::wire::cluster::attempt_ended::Ending;
use forebay_cluster::wire::cluster::manager_message::Message as Heard;
use forebay_cluster::wire::cluster::outbox_entry::Event;
use forebay_cluster::wire::cluster::{
    AgentMessage, AttemptEnded, AttemptReady, AttemptStarted, Heartbeat, HeldPlace, Inventory,
    LogChunk, OutboxEntry, Place, PlaceGranted, Register, Resources, Start, Stop,
};
use forebay_cluster::wire::node::Port;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// An agent says so often that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Ports and processes of nodes that are none are counted from here.
const PORTS_FROM: u32 = 20_000;
const PIDS_FROM: u32 = 5_000_000;
const SIGTERM: u32 = 15;

/// When an agent granted its last places, and when it had the whole cluster.
type Moments = (Instant, Instant);

/// An agent that is played.
pub(crate) struct Played {
    started: Option<oneshot::Receiver<Moments>>,
    life: JoinHandle<Result<()>>,
}

impl Played {
    /// Waits until it has the whole cluster, and all of its nodes have started.
    pub(crate) async fn all_started(&mut self) -> Result<Moments> {
        let started = self.started.take().context("it is asked once")?;
        started
            .await
            .context("an agent ended before its nodes had started")
    }

    /// Waits until it has heard that the job is over.
    pub(crate) async fn end(self) -> Result<()> {
        self.life.await?
    }
}

/// Lets an agent join a job of so many nodes.
pub(crate) fn play(
    runtime: &Handle,
    manager: &ManagerAddress,
    token: &Token,
    number: u32,
    nodes: u32,
) -> Played {
    let (announce, started) = oneshot::channel();
    let (manager, token) = (manager.clone(), token.clone());
    let life = runtime.spawn(async move {
        let (sender, messages) = mpsc::unbounded_channel();
        let agent = Agent {
            sender,
            nodes,
            outbox: 0,
            held: 0,
            running: 0,
            granted: None,
            told: None,
            announce: Some(announce),
        };
        agent.say(Said::Register(register(number)))?;
        let mut client = connect::discovery(&manager, &token).await?;
        let attached = client
            .attach(UnboundedReceiverStream::new(messages))
            .await?;
        agent.live(attached.into_inner()).await
    });
    Played {
        started: Some(started),
        life,
    }
}

fn register(number: u32) -> Register {
    Register {
        agent_id: format!("played-{number}"),
        name: format!("machine-{number}"),
        version: HOST_VERSION.to_owned(),
        address: format!("10.77.0.{}", number + 1),
        interface: "eth0".to_owned(),
        resources: Some(Resources {
            slots: 64,
            cores: 64,
            memory_bytes: 1 << 40,
            gpus: Vec::new(),
        }),
        term: 0,
        inventory: Some(Inventory::default()),
        pid: PIDS_FROM + number,
        stream: 1,
        in_engine: false,
    }
}

struct Agent {
    sender: mpsc::UnboundedSender<AgentMessage>,
    /// Of the whole job.
    nodes: u32,
    outbox: u64,
    /// How many places it has given.
    held: u32,
    running: u32,
    granted: Option<Instant>,
    told: Option<Instant>,
    announce: Option<oneshot::Sender<Moments>>,
}

impl Agent {
    async fn live(
        mut self,
        mut heard: tonic::Streaming<forebay_cluster::wire::cluster::ManagerMessage>,
    ) -> Result<()> {
        let mut heartbeat = interval(HEARTBEAT);
        loop {
            tokio::select! {
                message = heard.message() => match message?.and_then(|message| message.message) {
                    Some(Heard::JobEnded(_)) => return Ok(()),
                    Some(message) => self.obey(message)?,
                    None => bail!("the application manager hung up"),
                },
                _ = heartbeat.tick() => self.say(Said::Heartbeat(Heartbeat::default()))?,
            }
        }
    }

    fn obey(&mut self, message: Heard) -> Result<()> {
        match message {
            Heard::Place(place) => self.grant(place),
            Heard::Cluster(spec) => {
                let members = spec.cluster.map_or(0, |cluster| cluster.members.len());
                if members == self.nodes as usize {
                    self.told.get_or_insert_with(Instant::now);
                }
                Ok(())
            }
            Heard::Start(start) => self.start(start),
            Heard::Stop(stop) => self.stop(stop),
            _ => Ok(()),
        }
    }

    fn grant(&mut self, place: Place) -> Result<()> {
        let held = |node: forebay_cluster::wire::cluster::PlaceNode| {
            self.held += 1;
            let port = |name| Port {
                name,
                number: PORTS_FROM + self.held,
            };
            HeldPlace {
                node: node.node,
                ports: node.ports.into_iter().map(port).collect(),
                gpus: Vec::new(),
            }
        };
        let places = place.nodes.into_iter().map(held).collect();
        self.granted = Some(Instant::now());
        self.tell(Event::PlaceGranted(PlaceGranted {
            action: place.action,
            places,
        }))
    }

    fn start(&mut self, start: Start) -> Result<()> {
        let (node, attempt) = (start.node, start.attempt);
        self.running += 1;
        self.tell(Event::AttemptStarted(AttemptStarted {
            node: node.clone(),
            attempt,
            pid: PIDS_FROM + self.running,
        }))?;
        self.tell(Event::AttemptReady(AttemptReady { node, attempt }))?;
        if self.running == self.held
            && let (Some(granted), Some(told)) = (self.granted, self.told)
            && let Some(announce) = self.announce.take()
        {
            // Nobody waits where another agent has failed.
            let _ = announce.send((granted, told));
        }
        Ok(())
    }

    fn stop(&mut self, stop: Stop) -> Result<()> {
        for stopped in stop.nodes {
            self.say(Said::Log(LogChunk {
                node: stopped.node.clone(),
                attempt: stopped.attempt,
                last: true,
                ..LogChunk::default()
            }))?;
            self.tell(Event::AttemptEnded(AttemptEnded {
                node: stopped.node,
                attempt: stopped.attempt,
                ending: Some(Ending::Signal(SIGTERM)),
                was_ready: true,
                stop_was_asked: true,
                ..AttemptEnded::default()
            }))?;
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) -> Result<()> {
        self.outbox += 1;
        self.say(Said::Outbox(OutboxEntry {
            number: self.outbox,
            time_ms: 0,
            event: Some(event),
        }))
    }

    fn say(&self, message: Said) -> Result<()> {
        let message = AgentMessage {
            message: Some(message),
        };
        self.sender.send(message).context("the stream is closed")
    }
}
