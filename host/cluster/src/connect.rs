//! How a client reaches an application manager: through the unix socket of its run, or over TCP.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Request;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};

/// Why a call was not answered.
pub use tonic::Status;

use crate::run_directory::with_short_path;
use crate::token::Token;
use crate::wire::cluster::discovery_client::DiscoveryClient;
use crate::wire::job::job_control_client::JobControlClient;

/// How long the making of a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Dead peers on the other side of a network are noticed after this and its double.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Largest message either way; cluster specs of 10,000 nodes are 2 MB.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Where an application manager listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManagerAddress {
    /// `RUN/am.sock`
    Unix(PathBuf),
    /// `run --listen ADDRESS:PORT`
    Tcp(SocketAddr),
}

impl fmt::Display for ManagerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "{}", path.display()),
            Self::Tcp(address) => write!(formatter, "{address}"),
        }
    }
}

/// Adds the job token to each call.
#[derive(Clone, Debug)]
pub struct Signer(Token);

impl Interceptor for Signer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        self.0.sign(&mut request);
        Ok(request)
    }
}

/// Client of cluster/v1.
pub type Discovery = DiscoveryClient<InterceptedService<Channel, Signer>>;
/// Client of job/v1.
pub type JobControl = JobControlClient<InterceptedService<Channel, Signer>>;

/// Connects as an agent.
pub async fn discovery(
    address: &ManagerAddress,
    token: &Token,
) -> Result<Discovery, tonic::transport::Error> {
    let channel = channel(address).await?;
    Ok(
        DiscoveryClient::with_interceptor(channel, Signer(token.clone()))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX),
    )
}

/// Connects as a person's command.
pub async fn job_control(
    address: &ManagerAddress,
    token: &Token,
) -> Result<JobControl, tonic::transport::Error> {
    let channel = channel(address).await?;
    Ok(
        JobControlClient::with_interceptor(channel, Signer(token.clone()))
            .max_decoding_message_size(MESSAGE_BYTES_MAX),
    )
}

async fn channel(address: &ManagerAddress) -> Result<Channel, tonic::transport::Error> {
    match address {
        ManagerAddress::Tcp(address) => {
            // A machine may vanish without a word. On one machine the socket ends with its owner; one that stands still is a
            // matter of whoever waits for its answer.
            endpoint(format!("http://{address}"))?
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE)
                .keep_alive_while_idle(true)
                .connect()
                .await
        }
        ManagerAddress::Unix(path) => {
            let path = path.clone();
            let connector = tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move {
                    let short = with_short_path(&path)?;
                    UnixStream::connect(short.path()).await.map(TokioIo::new)
                }
            });
            // The name is never looked up: the connector knows the path.
            endpoint("http://am.forebay".to_owned())?
                .connect_with_connector(connector)
                .await
        }
    }
}

fn endpoint(uri: String) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(uri)?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true))
}
