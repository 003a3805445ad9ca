//! The two services of the application manager. They know nothing of the job: everything goes to its loop as mail.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::effect::{Link, StopWay};
use super::event_log::Watcher;
use crate::run_directory::RunDirectory;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::discovery_server::Discovery;
use crate::wire::cluster::{AgentMessage, FetchRequest, FileChunk, ManagerMessage, Register};
use crate::wire::job::job_control_server::JobControl;
use crate::wire::job::{
    Accepted, DescribeRequest, Description, PingRequest, Pong, RestartRequest, ResumeRequest,
    ScaleRequest, StopRequest, WatchRequest,
};

/// How long a new stream may take to say who it is.
const REGISTER_WITHIN: Duration = Duration::from_secs(10);
/// Commands on their way to one agent. One that takes none any more is cut off and has to come back.
const AGENT_COMMANDS: usize = 16_384;
/// A staged file travels in pieces of this size.
const FILE_CHUNK_BYTES: usize = 256 << 10;
/// Longest id and reason of a request.
const REQUEST_TEXT_MAX: usize = 1_000;

/// What the services tell the loop.
#[derive(Debug)]
pub(crate) enum Mail {
    Join {
        link: Link,
        register: Register,
        commands: mpsc::Sender<Result<ManagerMessage, Status>>,
    },
    Agent {
        link: Link,
        message: FromAgent,
    },
    Gone {
        link: Link,
    },
    Stop {
        request: String,
        way: StopWay,
        reason: String,
        answer: Answer,
    },
    Resume(ResumeLetter),
    Describe {
        answer: oneshot::Sender<String>,
    },
}

/// The number under which a request was journaled, or why it was not taken.
pub(crate) type Answer = oneshot::Sender<Result<u64, String>>;

/// See [`Mail::Resume`].
#[derive(Debug)]
pub(crate) struct ResumeLetter {
    pub(crate) request: String,
    /// Of a component in the run's `plugins/`; empty: those that are in charge.
    pub(crate) component_sha256: String,
    pub(crate) manifest: String,
    pub(crate) answer: Answer,
}

/// Both services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Services {
    mail: mpsc::Sender<Mail>,
    watcher: Watcher,
    staged: PathBuf,
    links: Arc<AtomicU64>,
}

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Services {
    pub(crate) fn new(mail: mpsc::Sender<Mail>, watcher: Watcher, run: &RunDirectory) -> Self {
        Self {
            mail,
            watcher,
            staged: run.staged(),
            links: Arc::default(),
        }
    }

    async fn post(&self, mail: Mail) -> Result<(), Status> {
        self.mail.send(mail).await.map_err(|_| over())
    }

    async fn ask<T>(&self, mail: impl FnOnce(oneshot::Sender<T>) -> Mail) -> Result<T, Status> {
        let (answer, answered) = oneshot::channel();
        self.post(mail(answer)).await?;
        answered.await.map_err(|_| over())
    }
}

fn over() -> Status {
    Status::unavailable("the job has ended")
}

#[tonic::async_trait]
impl Discovery for Services {
    type AttachStream = Out<ManagerMessage>;
    type FetchStream = Out<FileChunk>;

    async fn attach(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut inbound = request.into_inner();
        let register = first_message(&mut inbound).await?;
        let link = self.links.fetch_add(1, Ordering::Relaxed) + 1;
        let (commands, outbound) = mpsc::channel(AGENT_COMMANDS);
        self.post(Mail::Join {
            link,
            register,
            commands,
        })
        .await?;
        tokio::spawn(forward(inbound, link, self.mail.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(outbound))))
    }

    async fn fetch(
        &self,
        request: Request<FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let sha256 = request.into_inner().sha256;
        check_sha256(&sha256)?;
        let file = tokio::fs::File::open(self.staged.join(&sha256)).await;
        let file =
            file.map_err(|_| Status::not_found(format!("this run has no file `{sha256}`")))?;
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(send_file(file, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

async fn first_message(inbound: &mut Streaming<AgentMessage>) -> Result<Register, Status> {
    let first = tokio::time::timeout(REGISTER_WITHIN, inbound.message()).await;
    match first.map_err(|_| Status::deadline_exceeded("no `register` came"))?? {
        Some(AgentMessage {
            message: Some(FromAgent::Register(register)),
        }) => Ok(register),
        _ => Err(Status::invalid_argument(
            "the first message has to be `register`",
        )),
    }
}

async fn forward(mut inbound: Streaming<AgentMessage>, link: Link, mail: mpsc::Sender<Mail>) {
    while let Ok(Some(said)) = inbound.message().await {
        let Some(message) = said.message else {
            continue;
        };
        if mail.send(Mail::Agent { link, message }).await.is_err() {
            return;
        }
    }
    // The loop may have ended with the job.
    let _ = mail.send(Mail::Gone { link }).await;
}

async fn send_file(mut file: tokio::fs::File, sender: mpsc::Sender<Result<FileChunk, Status>>) {
    loop {
        let mut content = vec![0; FILE_CHUNK_BYTES];
        let chunk = match file.read(&mut content).await {
            Ok(0) => return,
            Ok(length) => {
                content.truncate(length);
                Ok(FileChunk { content })
            }
            Err(error) => Err(Status::internal(format!("cannot read the file: {error}"))),
        };
        let failed = chunk.is_err();
        if sender.send(chunk).await.is_err() || failed {
            return;
        }
    }
}

#[tonic::async_trait]
impl JobControl for Services {
    type WatchStream = Out<crate::wire::job::Event>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let events = self.watcher.watch(request.into_inner().after);
        Ok(Response::new(Box::pin(ReceiverStream::new(events))))
    }

    async fn ping(&self, _request: Request<PingRequest>) -> Result<Response<Pong>, Status> {
        Ok(Response::new(Pong {}))
    }

    async fn describe(
        &self,
        _request: Request<DescribeRequest>,
    ) -> Result<Response<Description>, Status> {
        let json = self.ask(|answer| Mail::Describe { answer }).await?;
        Ok(Response::new(Description { json }))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<Accepted>, Status> {
        let StopRequest {
            request,
            now,
            deadline_ms,
            reason,
            broken,
        } = request.into_inner();
        check_request(&request, &reason)?;
        let way = match (broken, now) {
            (true, _) => StopWay::Broken,
            (false, true) => StopWay::Now,
            (false, false) => StopWay::Orderly {
                deadline_ms: Some(deadline_ms).filter(|deadline| *deadline > 0),
            },
        };
        let event_number = self
            .ask(|answer| Mail::Stop {
                request,
                way,
                reason,
                answer,
            })
            .await?
            .map_err(Status::failed_precondition)?;
        Ok(Response::new(Accepted { event_number }))
    }

    async fn scale(&self, _request: Request<ScaleRequest>) -> Result<Response<Accepted>, Status> {
        Err(unsupported("scale", "a running job keeps its size"))
    }

    async fn restart(
        &self,
        _request: Request<RestartRequest>,
    ) -> Result<Response<Accepted>, Status> {
        Err(unsupported(
            "restart",
            "nodes are only started again when they have failed",
        ))
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<Accepted>, Status> {
        let ResumeRequest {
            request,
            plugin_sha256,
            manifest,
        } = request.into_inner();
        check_request(&request, "")?;
        if !plugin_sha256.is_empty() {
            check_sha256(&plugin_sha256)?;
        }
        let event_number = self
            .ask(|answer| {
                Mail::Resume(ResumeLetter {
                    request,
                    component_sha256: plugin_sha256,
                    manifest,
                    answer,
                })
            })
            .await?
            .map_err(Status::failed_precondition)?;
        Ok(Response::new(Accepted { event_number }))
    }
}

fn check_request(request: &str, reason: &str) -> Result<(), Status> {
    if request.is_empty() || request.len().max(reason.len()) > REQUEST_TEXT_MAX {
        return Err(Status::invalid_argument(
            "`request` has to be an id of 1 to 1000 bytes, `reason` at most 1000",
        ));
    }
    Ok(())
}

/// It becomes a part of a path.
fn check_sha256(text: &str) -> Result<(), Status> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Status::invalid_argument("not a SHA-256 in hexadecimal"));
    }
    Ok(())
}

fn unsupported(verb: &str, why: &str) -> Status {
    Status::unimplemented(format!(
        "`{verb}` is not supported by this version of the host: {why}"
    ))
}
