//! The application manager as a test plays it: a server on a unix socket whose conversations the test has in hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use forebay_cluster::connect::ManagerAddress;
use forebay_cluster::token::Token;
use forebay_cluster::wire::cluster::discovery_server::{Discovery, DiscoveryServer};
use forebay_cluster::wire::cluster::{AgentMessage, FetchRequest, FileChunk, ManagerMessage};
use sha2::{Digest, Sha256};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_stream::{Stream, iter};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// One conversation with an agent.
pub(crate) struct Conversation {
    pub(crate) inbound: Streaming<AgentMessage>,
    pub(crate) outbound: mpsc::Sender<Result<ManagerMessage, Status>>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    fetches: Mutex<Vec<String>>,
}

pub(crate) struct Manager {
    pub(crate) address: ManagerAddress,
    pub(crate) token: Token,
    pub(crate) conversations: mpsc::Receiver<Conversation>,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Manager {
    pub(crate) fn listen(folder: &Path) -> Self {
        let token = Token::generate();
        Self::listen_with(folder, token)
    }

    pub(crate) fn listen_with(folder: &Path, token: Token) -> Self {
        let socket = folder.join("am.sock");
        let _none_yet = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, conversations) = mpsc::channel(8);
        let shared = Arc::new(Shared::default());
        let service = Service {
            token: token.clone(),
            sender,
            shared: shared.clone(),
        };
        let serving = Server::builder()
            .add_service(DiscoveryServer::new(service))
            .serve_with_incoming(UnixListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self {
            address: ManagerAddress::Unix(socket),
            token,
            conversations,
            shared,
            server,
        }
    }

    /// Makes a file fetchable and returns its hash.
    pub(crate) fn stage(&self, content: &[u8]) -> String {
        let hash = hex::encode(Sha256::digest(content));
        self.shared
            .files
            .lock()
            .unwrap()
            .insert(hash.clone(), content.to_vec());
        hash
    }

    pub(crate) fn fetches(&self) -> Vec<String> {
        self.shared.fetches.lock().unwrap().clone()
    }

    /// The next conversation; the agent has not registered yet.
    pub(crate) async fn next(&mut self) -> Conversation {
        self.conversations.recv().await.unwrap()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Service {
    token: Token,
    sender: mpsc::Sender<Conversation>,
    shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Discovery for Service {
    type AttachStream = ReceiverStream<Result<ManagerMessage, Status>>;
    type FetchStream = Pin<Box<dyn Stream<Item = Result<FileChunk, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        self.token.check(&request)?;
        let (outbound, messages) = mpsc::channel(64);
        let conversation = Conversation {
            inbound: request.into_inner(),
            outbound,
        };
        self.sender
            .send(conversation)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn fetch(
        &self,
        request: Request<FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        self.token.check(&request)?;
        let hash = request.into_inner().sha256;
        self.shared.fetches.lock().unwrap().push(hash.clone());
        let content = self.shared.files.lock().unwrap().get(&hash).cloned();
        let content = content.ok_or_else(|| Status::not_found("no such file"))?;
        let chunks: Vec<_> = content
            .chunks(7)
            .map(|part| {
                Ok(FileChunk {
                    content: part.to_vec(),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(iter(chunks))))
    }
}
