//! `forebay am`

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use clap::Args;
use forebay_cluster::manager::{self, FaultPoint, Options};
use forebay_cluster::run_directory::RunDirectory;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::{folders, logging};

/// Manages one job; `forebay run` starts it, people do not
#[derive(Debug, Args)]
#[command(
    after_help = "Its standard input is the listening socket of the run, its standard output the one of `run --listen`, if there is one.\n\nExample:\n  forebay run job.toml    (starts `forebay am --run .forebay/runs/NAME-TIME --term 1 --engine PID`)"
)]
pub(crate) struct Am {
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// From 1; each new manager of a run has the next one
    #[arg(long, value_name = "N")]
    term: u64,
    /// The process that started it, and without which it ends
    #[arg(long, value_name = "PID")]
    engine: u32,
    /// Kills itself there, for tests
    #[arg(long, hide = true, value_name = "before|after:ACTION")]
    fault_point: Option<FaultPoint>,
}

impl Am {
    pub(crate) async fn execute(self) -> Result<Exit, Failure> {
        let mut terminate =
            signal(SignalKind::terminate()).map_err(|error| Failure::from_engine(&error))?;
        let unix = inherited(io::stdin().as_fd())
            .map(UnixListener::from)
            .ok_or_else(by_hand)?;
        let tcp = inherited(io::stdout().as_fd()).map(TcpListener::from);
        end_with(self.engine)?;
        logging::to_stderr();
        let run = RunDirectory::open(&self.run).map_err(|error| Failure::from_engine(&error))?;
        let options = Options {
            run,
            term: self.term,
            unix,
            tcp: tcp.into_iter().collect(),
            plugin_cache: folders::compiled_plugins(),
            fault_point: self.fault_point,
        };
        let managing = tokio::spawn(manager::run(options));
        let ended = tokio::select! {
            ended = managing => ended,
            // The journal has everything: whoever continues the run goes on from there.
            _ = terminate.recv() => return Err(Failure::engine("told to end: its engine is gone, or somebody sent SIGTERM")),
        };
        match ended {
            Ok(Ok(_outcome)) => Ok(Exit::Done),
            Ok(Err(error)) => Err(Failure::from_engine(&error)),
            Err(error) => {
                Err(Failure::engine("the application manager broke").caused_by(Some(&error)))
            }
        }
    }
}

/// The descriptor as a listening socket, if it is one.
fn inherited(descriptor: BorrowedFd) -> Option<OwnedFd> {
    let listens = rustix::net::sockopt::socket_acceptconn(descriptor).unwrap_or(false);
    if listens {
        descriptor.try_clone_to_owned().ok()
    } else {
        None
    }
}

fn by_hand() -> Failure {
    Failure::input("`forebay am` has no socket to listen on as its standard input")
        .with_hint("`forebay run` starts it; people have no use for it")
}

/// Asks for SIGTERM when the engine dies; it may be gone already.
fn end_with(engine: u32) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| Failure::engine("cannot watch the engine").caused_by(Some(&error)))?;
    let parent = getppid().and_then(|parent| u32::try_from(parent.as_raw_pid()).ok());
    if parent == Some(engine) {
        Ok(())
    } else {
        Err(Failure::engine(format!(
            "the engine (pid {engine}) is gone"
        )))
    }
}
