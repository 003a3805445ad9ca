//! `forebay agent`

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use forebay_cluster::agent::{self, AgentError, Ended, Options, PortRange, Stop};
use forebay_cluster::connect::ManagerAddress;
use forebay_cluster::token::Token;
use tokio::sync::watch;

use crate::engine::{Asked, SUSPEND_REFUSED, Signals, launcher, refuse_plain_text};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::logging;
use crate::machine::Machine;
use crate::output::tell;

/// How long the first answer of the application manager is waited for.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Between SIGTERM and SIGKILL of nodes whose agent is stopped.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Runs nodes of a job on this machine, until the job ends
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay run job.toml --listen 127.0.0.1:7000 --agents 2\n  forebay agent --am 127.0.0.1:7000 --token-file .forebay/runs/NAME-TIME/token"
)]
pub(crate) struct Agent {
    /// Where the application manager listens: ADDRESS:PORT as `run --listen` says, or the path of a run's `am.sock`
    #[arg(long, value_name = "ADDRESS")]
    am: String,
    /// File with the job token: a copy of `token` in the run's folder, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Unique in the job [default: the host name]
    #[arg(long)]
    name: Option<String>,
    /// Folder for logs, staged files, and the nodes' working and output folders
    /// [default: a new one, `.forebay/agents/TIME-PID`]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Allows an application manager beyond loopback, where the job token travels in plain text
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    machine: Machine,
}

impl Agent {
    pub(crate) async fn execute(self) -> Result<Exit, Failure> {
        let signals = Signals::listen().map_err(|error| {
            Failure::engine("cannot listen for signals").caused_by(Some(&error))
        })?;
        logging::to_stderr();
        let options = self.options().await?;
        let remark = format!(
            "agent at {} ({}), folder {}",
            options.address,
            options.interface,
            options.folder.display()
        );
        // Nobody needs to read it.
        let _ = tell(&remark);
        let (stop, stopped) = watch::channel(Stop::No);
        let ended = tokio::select! {
            ended = agent::run(options, stopped) => ended,
            never = pass_on(signals, stop) => match never {},
        };
        conclude(ended)
    }

    async fn options(self) -> Result<Options, Failure> {
        let manager = manager_address(&self.am)?;
        if let ManagerAddress::Tcp(address) = manager {
            refuse_plain_text(address, self.insecure.into())?;
        }
        let token =
            Token::read_file(&self.token_file).map_err(|error| Failure::from_input(&error))?;
        let (address, interface) = self.machine.address_towards(&manager).await?;
        let own = || PathBuf::from(format!(".forebay/agents/{}", new_name()));
        let folder = self.folder.unwrap_or_else(own);
        let folder = std::path::absolute(&folder).map_err(|error| {
            Failure::input(format!("`{}` is no folder", folder.display())).caused_by(Some(&error))
        })?;
        Ok(Options {
            manager,
            token,
            name: self.name,
            address,
            interface,
            resources: self.machine.resources(),
            nodes: folder.join("nodes"),
            output: folder.join("output"),
            folder,
            launcher: launcher()?,
            ports: PortRange::of_this_machine(),
            in_engine: false,
            connect_within: CONNECT_WITHIN,
            dataflow: None,
        })
    }
}

/// Process numbers come again, above all in containers.
fn new_name() -> String {
    let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    format!("{now}-{}", std::process::id())
}

/// A path is a socket; anything else a host with a port.
fn manager_address(text: &str) -> Result<ManagerAddress, Failure> {
    if text.contains('/') {
        return Ok(ManagerAddress::Unix(text.into()));
    }
    let failed = || {
        Failure::input(format!("`{text}` is no address of an application manager"))
            .with_hint("give ADDRESS:PORT as `forebay run --listen` shows it")
    };
    let found: Option<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| failed().caused_by(Some(&error)))?
        .next();
    found.map(ManagerAddress::Tcp).ok_or_else(failed)
}

/// First signal: in order; second: at once.
async fn pass_on(mut signals: Signals, stop: watch::Sender<Stop>) -> std::convert::Infallible {
    loop {
        let remark = match signals.next().await {
            Asked::Suspend => SUSPEND_REFUSED,
            Asked::Stop(_) => {
                let first = *stop.borrow() == Stop::No;
                stop.send_replace(if first {
                    Stop::Within(STOP_GRACE)
                } else {
                    Stop::Now
                });
                if first {
                    "ending the nodes here; Ctrl-C again kills them at once"
                } else {
                    "killing the nodes here"
                }
            }
        };
        // The terminal may be the thing that is gone.
        let _ = tell(remark);
    }
}

fn conclude(ended: Result<Ended, AgentError>) -> Result<Exit, Failure> {
    let (exit, text) = match ended {
        Ok(Ended::Job { outcome }) => (Exit::Done, format!("the job has {outcome}")),
        Ok(Ended::Stopped) => (Exit::Stopped, "stopped".to_owned()),
        Ok(Ended::Orphaned) => {
            return Err(Failure::engine(
                "the application manager was gone for too long: every node here was ended",
            ));
        }
        Err(
            error @ (AgentError::Refused { .. }
            | AgentError::Unreachable { .. }
            | AgentError::Folder { .. }),
        ) => {
            return Err(error
                .hint()
                .into_iter()
                .fold(Failure::from_input(&error), Failure::with_hint));
        }
        Err(error) => return Err(Failure::from_engine(&error)),
    };
    let _ = tell(&crate::text::neutral(&text));
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_manager_has_an_address_or_a_socket() {
        assert!(matches!(
            manager_address("./runs/a/am.sock"),
            Ok(ManagerAddress::Unix(_))
        ));
        assert!(
            matches!(manager_address("127.0.0.1:7000"), Ok(ManagerAddress::Tcp(address)) if address.port() == 7000)
        );
        insta::assert_snapshot!(manager_address("127.0.0.1").unwrap_err(), @r"
        error: `127.0.0.1` is no address of an application manager
          cause: invalid socket address
          hint: give ADDRESS:PORT as `forebay run --listen` shows it
        ");
    }
}
