//! The agent of this machine, inside the engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use forebay_cluster::agent::{self, AgentError, DataflowExecutor, Ended, Options, PortRange, Stop};
use forebay_cluster::connect::ManagerAddress;
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::token::Token;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::dataflow_task::Executor;
use crate::failure::Failure;
use crate::machine::Machine;

/// The application manager is started beside the agent: loading plugins is all that it may take.
const CONNECT_WITHIN: Duration = Duration::from_mins(1);

/// What the agent will be; found out before anything is started.
pub(super) struct Plan(Option<Options>);

impl Plan {
    /// Without slots and without a dataflow there is no agent. `listen`: where agents of other machines join.
    pub(super) async fn new(
        run: &RunDirectory,
        machine: &Machine,
        listen: Option<SocketAddr>,
        dataflow: Option<Executor>,
    ) -> Result<Self, Failure> {
        let resources = machine.resources();
        if resources.slots == 0 && dataflow.is_none() {
            return Ok(Self(None));
        }
        let (address, interface) = address(run, machine, listen).await?;
        let token =
            Token::read_file(&run.token_file()).map_err(|error| Failure::from_engine(&error))?;
        Ok(Self(Some(Options {
            manager: run.address(),
            token,
            name: None,
            address,
            interface,
            resources,
            folder: run.agent(),
            nodes: run.nodes(),
            output: run.output(),
            launcher: launcher()?,
            ports: PortRange::of_this_machine(),
            in_engine: true,
            connect_within: CONNECT_WITHIN,
            dataflow: dataflow.map(|executor| Arc::new(executor) as Arc<dyn DataflowExecutor>),
        })))
    }

    /// Joins the job once `watched` says that somebody sees what nodes write: lines that nobody waits for are not told
    /// again.
    pub(super) fn start(self, watched: Arc<Notify>) -> AgentTask {
        let (stop, mut stopped) = watch::channel(Stop::No);
        let join = |options| async move {
            tokio::select! {
                () = watched.notified() => agent::run(options, stopped).await,
                _ = stopped.changed() => Ok(Ended::Stopped),
            }
        };
        AgentTask {
            task: self.0.map(|options| tokio::spawn(join(options))),
            stop,
        }
    }
}

/// The program that agents start nodes through: this one.
pub(crate) fn launcher() -> Result<std::path::PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::engine("cannot find the forebay program").caused_by(Some(&error)))
}

/// Nodes of other machines reach ours where their agents reach the application manager, unless something else is said.
async fn address(
    run: &RunDirectory,
    machine: &Machine,
    listen: Option<SocketAddr>,
) -> Result<(std::net::IpAddr, String), Failure> {
    match listen {
        None => machine.address_towards(&run.address()).await,
        Some(listen) if listen.ip().is_unspecified() => {
            machine.address_towards(&ManagerAddress::Tcp(listen)).await
        }
        Some(listen) => {
            let machine = machine.or_at(listen.ip());
            machine.address_towards(&ManagerAddress::Tcp(listen)).await
        }
    }
}

/// The agent at work, or none.
pub(super) struct AgentTask {
    task: Option<JoinHandle<Result<Ended, AgentError>>>,
    stop: watch::Sender<Stop>,
}

impl AgentTask {
    /// Comes back when the agent could not do its work; never otherwise.
    pub(super) async fn failed(&mut self) -> Failure {
        let ended = match &mut self.task {
            Some(task) => task.await,
            None => std::future::pending().await,
        };
        self.task = None;
        match ended {
            Ok(Ok(Ended::Orphaned)) => {
                Failure::engine("no application manager took over for too long")
            }
            Ok(Ok(Ended::Job { .. } | Ended::Stopped)) => std::future::pending().await,
            Ok(Err(error)) => error
                .hint()
                .into_iter()
                .fold(Failure::from_engine(&error), Failure::with_hint),
            Err(error) => Failure::engine("the agent of the engine broke").caused_by(Some(&error)),
        }
    }

    /// Kills every node.
    pub(super) fn kill(&self) {
        // Nobody listens where there is no agent any more.
        let _ = self.stop.send(Stop::Now);
    }

    /// Waits for the agent to notice the end of the job and to clean up; kills what is left after `within`.
    pub(super) async fn finish(&mut self, within: Duration) {
        let Some(mut task) = self.task.take() else {
            return;
        };
        if tokio::time::timeout(within, &mut task).await.is_ok() {
            return;
        }
        self.kill();
        if tokio::time::timeout(within, &mut task).await.is_err() {
            // Its nodes end by themselves once nobody holds them any more.
            task.abort();
        }
    }
}
