//! The last words to agents whose application manager has died: whoever holds its listener can still say that the job is
//! over, so that they end their nodes at once and not after the orphan grace.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio_stream::Empty;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::token::Token;
use crate::wire::cluster::discovery_server::{Discovery, DiscoveryServer};
use crate::wire::cluster::{AgentMessage, FetchRequest, FileChunk, ManagerMessage};

/// How long connections may stay open after that.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);

struct Over;

/// Answers every agent that comes within `time` that the job is over.
///
/// # Errors
/// The listener cannot be used.
pub async fn say(listener: TcpListener, token: &Token, time: Duration) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener)?);
    let service = InterceptedService::new(DiscoveryServer::new(Over), token.clone());
    let served = Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, tokio::time::sleep(time));
    // A peer that stands still would keep its connection for ever.
    match tokio::time::timeout(time + LAST_WORDS_WITHIN, served).await {
        Ok(served) => served.map_err(io::Error::other),
        Err(_) => Ok(()),
    }
}

fn over() -> Status {
    Status::failed_precondition("the job is over: its application manager has died")
}

#[tonic::async_trait]
impl Discovery for Over {
    type AttachStream = Empty<Result<ManagerMessage, Status>>;
    type FetchStream = Empty<Result<FileChunk, Status>>;

    async fn attach(
        &self,
        _request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Err(over())
    }

    async fn fetch(
        &self,
        _request: Request<FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        Err(over())
    }
}
