//! The application manager of one job: [`run`] is its process.
//!
//! One loop takes everything that happens as mail, hands it to the core, and carries out what the core answers, in
//! order: journal, messages to agents, events for people. The core (`core` and the modules that add to it) decides and
//! does no input or output; the services, the event log and the log store do that and decide nothing.

mod actions;
mod agents;
mod cluster_spec;
mod core;
mod dataflow;
mod effect;
mod ending;
mod event_log;
mod fault_point;
mod launching;
mod log_store;
mod mending;
mod nodes;
mod orders;
mod pace;
mod placement;
mod placing;
mod quarantine;
mod service;
mod shell;
mod summary;
mod tables;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use forebay_plugin::{HostError, PluginHost};
use tokio::sync::mpsc;

pub use self::event_log::read_summary;
pub use self::fault_point::{FaultPoint, NoFaultPoint};
pub use self::mending::LoadError;
pub(crate) use self::mending::Mending;
pub use self::tables::Tables;

use self::core::{Core, Setting};
use self::effect::Input;
use self::event_log::EventLog;
use self::fault_point::Fuse;
use self::mending::Mended;
use self::service::Services;
use self::shell::{Servers, Shell};
use crate::clock;
use crate::events::Outcome;
use crate::journal::{Entry, Journal, JournalError, LocalJournal};
use crate::run_directory::RunDirectory;
use crate::submission::{Submission, SubmissionError};
use crate::token::{Token, TokenError};

/// Mail that waits for the loop; senders wait when it is full.
const MAIL: usize = 4096;

/// What an application manager needs.
pub struct Options {
    /// The run that it takes charge of.
    pub run: RunDirectory,
    /// Its term; it fails where somebody has it already.
    pub term: u64,
    /// `RUN/am.sock`, bound by the engine so that it outlives a term.
    pub unix: UnixListener,
    /// Further addresses that agents on other machines reach.
    pub tcp: Vec<TcpListener>,
    /// Where compiled plugins are kept; absent: nowhere.
    pub plugin_cache: Option<PathBuf>,
    /// Where it kills itself, for tests.
    pub fault_point: Option<FaultPoint>,
}

/// Why an application manager ended without ending its job.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The submission cannot be read.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// The job token cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no WebAssembly to be had.
    #[error("cannot set up the plugin host")]
    PluginHost(#[source] HostError),
    /// The plugins cannot go on with the job.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run directory or a socket failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl ManagerError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// Takes charge of a run until its job has ended.
pub async fn run(options: Options) -> Result<Outcome, ManagerError> {
    let mut journal = LocalJournal::open(&options.run.journal())?;
    journal.claim_term(options.term, std::process::id())?;
    let last = journal.last()?;
    clock::begin_after(last.as_ref().map_or(0, |entry| entry.time_ms));
    let (job, submission) = Submission::load(&options.run)?;
    let mending = Mending {
        run: options.run.clone(),
        job,
        submission,
        host: PluginHost::new(options.plugin_cache.clone()).map_err(ManagerError::PluginHost)?,
    };
    let (core, begin) = core_of(&options, &mending, last)?;
    let token = Token::read_file(&options.run.token_file())?;
    let events = EventLog::open(&options.run).map_err(ManagerError::io("open the events"))?;
    let (mail, letters) = mpsc::channel(MAIL);
    let services = Services::new(mail, events.watcher(), &options.run);
    let servers = Servers::start(&services, &token, options.unix, options.tcp)?;
    let fuse = Fuse::new(options.fault_point);
    let shell = Shell::new(core, Box::new(journal), events, mending, fuse);
    let outcome = shell.run(begin, letters).await?;
    servers.stop().await;
    Ok(outcome)
}

fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, ManagerError> {
    let taken = listeners.iter().map(TcpListener::local_addr);
    taken
        .collect::<io::Result<_>>()
        .map_err(ManagerError::io("learn where it listens"))
}

/// The core, and what happens to it first: `last` is the journal's last entry.
fn core_of(
    options: &Options,
    mending: &Mending,
    last: Option<Entry>,
) -> Result<(Core, Input), ManagerError> {
    let replaced = last.as_ref().map(|entry| entry.tables.replaced.clone());
    let Mended {
        plugins, prepared, ..
    } = mending.load(replaced.unwrap_or_default())?;
    let submission = &mending.submission;
    let setting = Setting {
        run: options.run.name(),
        run_dir: options.run.root().into(),
        term: options.term,
        pid: std::process::id(),
        listen: addresses(&options.tcp)?,
        submitted_ms: submission.submitted_ms,
        awaited_agents: submission.agents,
        files: submission.files.clone(),
    };
    Ok(match last {
        None => (Core::new(setting, prepared, plugins), Input::Submitted),
        Some(entry) => (
            Core::resumed(setting, prepared, plugins, entry),
            Input::Recovered,
        ),
    })
}
