//! The small parent of one node process: `forebay node-exec`.
//!
//! It stays for as long as the node lives. It is a child subreaper, so whatever the node leaves behind becomes its
//! child: when the node is gone, or the agent is, it ends the node's process group and all orphans, reaps them and
//! exits. That exit is what an agent takes as "the node is gone". One thread, no files of its own.
//!
//! An agent gives it three streams: a socket as standard input (plan and control socket come down once, then
//! `Order`s; `Status` goes up), and the pipe that captures the node as standard output and error.

mod children;
mod handover;
mod supervisor;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use command_fds::CommandFdExt;
use rustix::process::{
    Signal, getpid, getppid, set_child_subreaper, set_parent_process_death_signal,
};
use serde::{Deserialize, Serialize};

pub(crate) use children::{children, reap};
pub(crate) use handover::{Inheritance, send};
use supervisor::{Signals, Supervisor};

/// Name of the variable that tells a node the number of its control socket.
const NODE_FD: &str = "FOREBAY_NODE_FD";
/// Name of the variable that tells a node the numbers of what feeds it.
const CHANNEL: &str = "FOREBAY_CHANNEL";

/// How long a program that was just written may look busy, and how often it is tried again.
const BUSY_FOR: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What to run, exactly.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Process of the agent: when another one is the parent, the agent is gone already.
    pub(crate) agent: u32,
    /// Absolute path.
    pub(crate) program: OsString,
    /// The program's name for itself.
    pub(crate) name: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// All of it; only `FOREBAY_NODE_FD` and `FOREBAY_CHANNEL` are added.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Working folder.
    pub(crate) folder: OsString,
}

/// What `node-exec` tells its agent, one JSON object a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// The node runs.
    Started {
        /// Its process, and its process group.
        pid: u32,
    },
    /// The program could not be run.
    NotStarted {
        /// Why, by the system's number; 0: unknown.
        errno: i32,
    },
    /// The node's process has ended; its group and orphans are being ended.
    Ended {
        /// How.
        ending: Ending,
        /// Since its start.
        ran_ms: u64,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(u32),
}

/// What an agent tells `node-exec`, one JSON value a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// SIGTERM to the group.
    Terminate,
    /// SIGKILL to everything.
    Kill,
}

/// Why `node-exec` could not do its work. It is only ever started by an agent, which reads this in the node's log.
#[derive(Debug, thiserror::Error)]
#[error("`node-exec` cannot {doing}; only an agent starts it")]
pub struct ExecError {
    doing: &'static str,
    #[source]
    source: io::Error,
}

impl ExecError {
    fn new(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { doing, source }
    }
}

/// Runs one node and returns when nothing of it is left. Blocks; makes a runtime of its own on this thread.
pub fn run() -> Result<(), ExecError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ExecError::new("start"))?
        .block_on(supervise())
}

async fn supervise() -> Result<(), ExecError> {
    let signals = Signals::listen().map_err(ExecError::new("listen for signals"))?;
    set_child_subreaper(Some(getpid()))
        .map_err(|error| ExecError::new("adopt orphans")(error.into()))?;
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| ExecError::new("watch its agent")(error.into()))?;
    let channel = own_input().map_err(ExecError::new("use its standard input"))?;
    let (plan, inheritance) =
        handover::receive(&channel).map_err(ExecError::new("read its plan"))?;
    if !is_parent(plan.agent) {
        return Ok(());
    }
    let spawned = spawn(&plan, inheritance);
    let supervisor =
        Supervisor::new(channel, signals).map_err(ExecError::new("use its standard input"))?;
    match spawned {
        Ok(node) => supervisor.watch(&node).await,
        Err(error) => supervisor.tell(Status::NotStarted {
            errno: error.raw_os_error().unwrap_or_default(),
        }),
    }
    Ok(())
}

/// The parent-death signal is only sent for a parent that dies after it was asked for.
fn is_parent(agent: u32) -> bool {
    getppid().is_some_and(|parent| u32::try_from(parent.as_raw_pid()) == Ok(agent))
}

fn own_input() -> io::Result<UnixStream> {
    io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(UnixStream::from)
}

/// Starts the node in a process group of its own. What it inherits keeps its numbers: a chosen one could be in use by
/// the standard library's own bookkeeping between fork and exec.
fn spawn(plan: &Plan, inheritance: Inheritance) -> io::Result<Child> {
    let Inheritance { control, feed } = inheritance;
    let numbers: Vec<String> = feed.iter().map(|one| one.as_raw_fd().to_string()).collect();
    let channel = (!numbers.is_empty()).then(|| (CHANNEL, numbers.join(",")));
    let mut command = Command::new(&plan.program);
    command
        .arg0(&plan.name)
        .args(&plan.arguments)
        .env_clear()
        .envs(plan.environment.iter().map(|(name, value)| (name, value)))
        .env(NODE_FD, control.as_raw_fd().to_string())
        .envs(channel)
        .current_dir(&plan.folder)
        .stdin(Stdio::null())
        .process_group(0)
        .preserved_fds(std::iter::once(control).chain(feed).collect());
    let busy_until = Instant::now() + BUSY_FOR;
    loop {
        match command.spawn() {
            Err(error) if is_busy(&error) && Instant::now() < busy_until => {
                std::thread::sleep(LOOK_AGAIN);
            }
            spawned => return spawned,
        }
    }
}

/// The program was written a moment ago, and a process that the agent starts just now still has it open, until its own
/// exec.
fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ExecutableFileBusy
}
