//! The loop around the core, and the servers that fill its mailbox.

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

use super::ManagerError;
use super::core::Core;
use super::effect::{Effect, Input, Link, Refusal, ResumeCall, StopCall, Ticket};
use super::event_log::EventLog;
use super::fault_point::Fuse;
use super::log_store::LogStore;
use super::mending::Mending;
use super::service::{Answer, Mail, ResumeLetter, Services};
use crate::clock;
use crate::connect::MESSAGE_BYTES_MAX;
use crate::events::{JobEvent, Outcome};
use crate::journal::Journal;
use crate::token::Token;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::discovery_server::DiscoveryServer;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::{LogAcknowledge, LogChunk, ManagerMessage};
use crate::wire::job::job_control_server::JobControlServer;
use crate::wire::{node_id, to_wire};

/// Mail that is handled in one step of the core: a burst of reports must not keep events waiting.
const MAIL_AT_ONCE: usize = 256;
/// Streams that are still open so long after the end are cut.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);

/// Peers are asked for a sign of life this often, also when nothing else is said.
const PEER_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// A peer that gives none within this is cut off: its machine is gone, or its process stands still.
const PEER_ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// The loop.
pub(super) struct Shell {
    core: Core,
    journal: Box<dyn Journal>,
    events: EventLog,
    logs: LogStore,
    term: u64,
    commands: BTreeMap<Link, mpsc::Sender<Result<ManagerMessage, Status>>>,
    mending: Mending,
    answers: BTreeMap<Ticket, Answer>,
    tickets: Ticket,
    fuse: Fuse,
}

impl Shell {
    pub(super) fn new(
        core: Core,
        journal: Box<dyn Journal>,
        events: EventLog,
        mending: Mending,
        fuse: Fuse,
    ) -> Self {
        let term = core.term();
        Self {
            core,
            journal,
            events,
            logs: LogStore::new(&mending.run),
            term,
            commands: BTreeMap::new(),
            mending,
            answers: BTreeMap::new(),
            tickets: 0,
            fuse,
        }
    }

    pub(super) async fn run(
        mut self,
        begin: Input,
        mut letters: mpsc::Receiver<Mail>,
    ) -> Result<Outcome, ManagerError> {
        let mut outcome = self.step(vec![begin])?;
        while outcome.is_none() {
            let mail = next_mail(&mut letters, self.core.next_wake_ms()).await;
            self.fuse.carried_out();
            outcome = tokio::task::block_in_place(|| {
                if mail.len() == MAIL_AT_ONCE {
                    self.core.expect_more();
                }
                let inputs = self.open(mail)?;
                self.step(inputs)
            })?;
        }
        self.fuse.carried_out();
        Ok(outcome.unwrap_or(Outcome::Failed))
    }

    fn step(&mut self, inputs: Vec<Input>) -> Result<Option<Outcome>, ManagerError> {
        let mut effects = VecDeque::from(self.core.handle(clock::now_ms(), inputs));
        let mut outcome = None;
        while let Some(effect) = effects.pop_front() {
            if let Effect::Ended(how) = effect {
                outcome = Some(how);
            } else {
                self.perform(effect)?;
            }
        }
        Ok(outcome)
    }

    // --------------------------------------------------------------------------------------------------- what comes

    fn open(&mut self, mail: Vec<Mail>) -> Result<Vec<Input>, ManagerError> {
        let mut inputs = Vec::with_capacity(mail.len());
        for letter in mail {
            if let Some(input) = self.input(letter)? {
                inputs.push(input);
            }
        }
        Ok(inputs)
    }

    fn input(&mut self, letter: Mail) -> Result<Option<Input>, ManagerError> {
        Ok(match letter {
            Mail::Join {
                link,
                register,
                commands,
            } => {
                self.commands.insert(link, commands);
                Some(Input::Joined { link, register })
            }
            Mail::Agent {
                link,
                message: FromAgent::Log(chunk),
            } if !self.core.takes_log(link, &chunk) => {
                tracing::warn!(link, node = ?chunk.node, "a part of a log that nobody asked for is dropped");
                None
            }
            Mail::Agent {
                link,
                message: FromAgent::Log(chunk),
            } => Some(self.store_log(link, &chunk)?),
            Mail::Agent { link, message } => Some(Input::Agent { link, message }),
            Mail::Gone { link } => {
                self.commands.remove(&link);
                Some(Input::Gone { link })
            }
            Mail::Stop {
                request,
                way,
                reason,
                answer,
            } => Some(Input::Stop(StopCall {
                ticket: self.ticket(answer),
                request,
                way,
                reason,
            })),
            Mail::Resume(letter) => self.resume(letter),
            Mail::Describe { answer } => {
                // Whoever asked may have gone.
                let _ = answer.send(self.core.describe().to_string());
                None
            }
        })
    }

    /// Somebody who waits for an answer.
    fn ticket(&mut self, answer: Answer) -> Ticket {
        self.tickets += 1;
        self.answers.insert(self.tickets, answer);
        self.tickets
    }

    /// Loads what shall go on with the job; where that fails, nothing has happened.
    fn resume(&mut self, letter: ResumeLetter) -> Option<Input> {
        let ResumeLetter {
            request,
            component_sha256,
            manifest,
            answer,
        } = letter;
        let replaced = self.core.replaced_plugins();
        if let Some(why) = self.core.refusal_to_resume(&request) {
            let _ = answer.send(Err(why));
            return None;
        }
        match self.mending.mend(replaced, &component_sha256, &manifest) {
            Ok(mended) => Some(Input::Resume(Box::new(ResumeCall {
                ticket: self.ticket(answer),
                request,
                mended,
            }))),
            Err(why) => {
                // Whoever asked may have gone.
                let _ = answer.send(Err(why));
                None
            }
        }
    }

    fn store_log(&mut self, link: Link, chunk: &LogChunk) -> Result<Input, ManagerError> {
        let stored = self
            .logs
            .store(chunk)
            .map_err(ManagerError::io("write a node's log"))?;
        for line in stored.lines {
            self.events.show(JobEvent::Log {
                node: stored.node.clone(),
                attempt: chunk.attempt,
                line,
            });
        }
        let node = Some(to_wire(&node_id(chunk.node.as_ref())));
        let held = LogAcknowledge {
            node,
            attempt: chunk.attempt,
            offset: stored.length,
        };
        self.send(link, ToAgent::LogAcknowledge(held));
        let (node, attempt) = (stored.node, chunk.attempt);
        Ok(if stored.is_closed {
            Input::LogClosed {
                link,
                node,
                attempt,
            }
        } else {
            Input::LogGrew {
                link,
                node,
                attempt,
                length: stored.length,
            }
        })
    }

    // -------------------------------------------------------------------------------------------------- what is done

    fn perform(&mut self, effect: Effect) -> Result<(), ManagerError> {
        match effect {
            Effect::Journal(entry) => {
                self.journal.append(&entry)?;
                self.fuse.decided(&entry);
            }
            Effect::Send { link, message } => self.send(link, message),
            Effect::Close { link, refusal } => self.close(link, refusal),
            Effect::Emit(event) => {
                tracing::debug!(event = %serde_json::to_string(&event).unwrap_or_default());
                self.events
                    .emit(event)
                    .map_err(ManagerError::io("write an event"))?;
            }
            Effect::Show(event) => self.events.show(event),
            Effect::Answer {
                ticket,
                event_number,
            } => {
                self.answer(ticket, Ok(event_number));
            }
            Effect::Decline { ticket, why } => self.answer(ticket, Err(why)),
            Effect::Ended(_) => {}
        }
        Ok(())
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<u64, String>) {
        if let Some(asker) = self.answers.remove(&ticket) {
            // Whoever asked may have gone.
            let _ = asker.send(answer);
        }
    }

    /// An agent that takes no commands any more is cut off; it comes back and hears everything again.
    fn send(&mut self, link: Link, mut message: ToAgent) {
        if let ToAgent::Welcome(welcome) = &mut message {
            welcome.logs = self.logs.held();
        }
        let message = ManagerMessage {
            term: self.term,
            message: Some(message),
        };
        let sent = self
            .commands
            .get(&link)
            .map(|commands| commands.try_send(Ok(message)));
        if matches!(sent, Some(Err(_))) {
            tracing::warn!(link, "an agent takes no commands: its stream is cut");
            self.commands.remove(&link);
        }
    }

    fn close(&mut self, link: Link, refusal: Refusal) {
        let status = match refusal {
            Refusal::Unfit(why) => Status::failed_precondition(why),
            Refusal::Silent => Status::unavailable("nothing was heard for too long"),
            Refusal::Over => Status::failed_precondition("the job is over"),
            Refusal::Overtaken(term) => Status::unavailable(format!(
                "term {term} has taken over from term {}",
                self.term
            )),
            Refusal::Outdated => Status::unavailable("a newer stream of this agent is there"),
        };
        if let Some(commands) = self.commands.remove(&link) {
            // It may have gone by itself.
            let _ = commands.try_send(Err(status));
        }
    }
}

/// Everything that is there, or nothing when the time has come.
async fn next_mail(letters: &mut mpsc::Receiver<Mail>, wake_ms: Option<u64>) -> Vec<Mail> {
    let mut mail = Vec::new();
    let receive = letters.recv_many(&mut mail, MAIL_AT_ONCE);
    match wake_ms {
        None => {
            receive.await;
        }
        Some(at_ms) => {
            let rest = Duration::from_millis(at_ms.saturating_sub(clock::now_ms()).max(1));
            // Time is up: the core hears of it by being asked with no input.
            tokio::time::timeout(rest, receive)
                .await
                .unwrap_or_default();
        }
    }
    mail
}

/// The servers of all listeners.
pub(super) struct Servers {
    tasks: JoinSet<Result<(), tonic::transport::Error>>,
    stop: watch::Sender<()>,
}

impl Servers {
    pub(super) fn start(
        services: &Services,
        token: &Token,
        unix: UnixListener,
        tcp: Vec<TcpListener>,
    ) -> Result<Self, ManagerError> {
        let failed = || ManagerError::io("listen");
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        unix.set_nonblocking(true).map_err(failed())?;
        let unix =
            UnixListenerStream::new(tokio::net::UnixListener::from_std(unix).map_err(failed())?);
        tasks.spawn(
            router(services, token).serve_with_incoming_shutdown(unix, until(stopped.clone())),
        );
        for listener in tcp {
            listener.set_nonblocking(true).map_err(failed())?;
            let incoming = TcpListenerStream::new(
                tokio::net::TcpListener::from_std(listener).map_err(failed())?,
            );
            tasks.spawn(
                router(services, token)
                    .serve_with_incoming_shutdown(incoming, until(stopped.clone())),
            );
        }
        Ok(Self { tasks, stop })
    }

    /// Lets open streams say their last words.
    pub(super) async fn stop(mut self) {
        // Every server may have ended by itself.
        let _ = self.stop.send(());
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GOODBYE_WITHIN, all).await.is_err() {
            tracing::warn!("some streams were still open at the end");
        }
    }
}

async fn until(mut stopped: watch::Receiver<()>) {
    // An error means that the sender is gone: stop as well.
    let _ = stopped.changed().await;
}

/// The token is looked at before anything of a call is read.
fn router(services: &Services, token: &Token) -> tonic::transport::server::Router {
    let discovery = DiscoveryServer::new(services.clone())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let control = JobControlServer::new(services.clone());
    Server::builder()
        .http2_keepalive_interval(Some(PEER_ALIVE_EVERY))
        .http2_keepalive_timeout(Some(PEER_ALIVE_WITHIN))
        .add_service(InterceptedService::new(discovery, token.clone()))
        .add_service(InterceptedService::new(control, token.clone()))
}
