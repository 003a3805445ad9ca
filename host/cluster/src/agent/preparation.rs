//! Everything that happens before a node's process: working folder, files, program, environment.

use std::io;
use std::path::{Path, PathBuf};

use forebay_plugin::NodeId;

use super::attempt::{Assignment, Workshop};
use super::environment::{NodeFacts, node_environment};
use super::interpreter::NoInterpreter;
use super::node_program::{find, install_hint};
use super::probe::ProbeError;
use super::staging::{StagingError, write_below, write_error};
use crate::causes::{chain, remedy};
use crate::exec::Plan;
use crate::wire::cluster::{LaunchFile, NotStarted};

/// Why an attempt never ran.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unstarted {
    #[error("the start names no program")]
    NoProgram,
    #[error(transparent)]
    NoInterpreter(#[from] NoInterpreter),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("the interpreter `{interpreter}` has the package `forebay` {package}, this host is {host}", interpreter = .interpreter.display(), host = crate::submission::HOST_VERSION)]
    PackageVersion {
        interpreter: PathBuf,
        package: String,
    },
    #[error("the script `{path}` is not among the staged files")]
    NoScript { path: String },
    #[error("there is no program `{name}` {}", looked_in(.name, .folder))]
    NoCommand { name: String, folder: PathBuf },
    #[error("another program listens on port {number} (`{port}`)")]
    PortTaken { port: String, number: u16 },
    #[error(transparent)]
    Staging(#[from] StagingError),
    #[error("the node holds no place on this machine")]
    NoPlace,
    #[error("attempt {0} of the node still lives")]
    StillAlive(u32),
    #[error("`node-exec` could not be started: {0}")]
    Launcher(io::Error),
    #[error("it cannot be fed: {0}")]
    Feed(String),
    #[error("{0}")]
    Spawn(String),
    #[error("it was stopped before it ran")]
    Stopped,
}

impl Unstarted {
    fn code(&self) -> &'static str {
        match self {
            Self::NoInterpreter(_) | Self::Probe(_) => "interpreter-missing",
            Self::PackageVersion { .. } => "package-version",
            Self::NoScript { .. } => "script-missing",
            Self::NoProgram | Self::NoCommand { .. } => "program-missing",
            Self::PortTaken { .. } => "port-taken",
            Self::Staging(_) => "staging-failed",
            Self::NoPlace | Self::StillAlive(_) | Self::Launcher(_) | Self::Spawn(_) => {
                "spawn-failed"
            }
            Self::Feed(_) => "feed-failed",
            Self::Stopped => "stopped",
        }
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::NoInterpreter(error) => Some(error.hint().to_owned()),
            Self::PackageVersion { interpreter, .. } => Some(install_hint(interpreter)),
            Self::NoScript { .. } => Some("name it in `script` or `files` of the role".to_owned()),
            Self::NoCommand { .. } => {
                Some("install it on this machine, or give its path".to_owned())
            }
            Self::PortTaken { .. } => Some(
                "end that program: the agent had leased the port, and no other program may take it"
                    .to_owned(),
            ),
            Self::Launcher(error) => remedy(error).map(str::to_owned),
            _ => None,
        }
    }

    pub(super) fn to_wire(&self) -> NotStarted {
        NotStarted {
            code: self.code().to_owned(),
            message: chain(self),
        }
    }
}

fn looked_in(name: &str, folder: &Path) -> String {
    if name.contains('/') {
        format!("in the node's working folder `{}`", folder.display())
    } else {
        "on the path".to_owned()
    }
}

/// Name of a node in file names, `worker-0`.
pub(super) fn file_name(node: &NodeId) -> String {
    format!("{}-{}", node.role, node.index)
}

/// Makes the plan of an attempt. Takes seconds where files are to be fetched or an interpreter is asked for the first time.
pub(super) async fn prepare(
    workshop: &Workshop,
    assignment: &Assignment,
) -> Result<Plan, Unstarted> {
    let (start, node) = (&assignment.start, &assignment.node);
    let folder = workshop.nodes.join(file_name(node));
    tokio::fs::create_dir_all(&folder)
        .await
        .map_err(write_error(&folder))?;
    for file in &start.staged {
        workshop.staging.place(file, &folder).await?;
    }
    write_launch_files(&folder, start.files.clone()).await?;
    if let Some((port, number)) = assignment.place.taken_port() {
        return Err(Unstarted::PortTaken {
            port: port.to_owned(),
            number,
        });
    }
    let facts = NodeFacts {
        node,
        attempt: start.attempt,
        job: &assignment.run.job,
        output: &workshop.output,
        gpus: assignment.place.gpus(),
        cluster: &assignment.cluster,
    };
    let environment = node_environment(&workshop.variables, start, &facts);
    let program = find(
        start,
        &folder,
        &environment,
        &workshop.variables,
        &workshop.probes,
    )
    .await?;
    Ok(Plan {
        agent: std::process::id(),
        program: program.path.into(),
        name: program.name,
        arguments: program.arguments,
        environment: environment.into_iter().collect(),
        folder: folder.into(),
    })
}

async fn write_launch_files(folder: &Path, files: Vec<LaunchFile>) -> Result<(), Unstarted> {
    let folder = folder.to_owned();
    let write = move || {
        files
            .iter()
            .try_for_each(|file| write_below(&folder, &file.path, &file.content))
    };
    let written = tokio::task::spawn_blocking(write).await;
    Ok(written.map_err(|error| Unstarted::Spawn(error.to_string()))??)
}

/// Why the system did not run a program, by its number.
pub(super) fn spawn_error(errno: i32) -> Unstarted {
    Unstarted::Spawn(format!(
        "the program could not be run: {}",
        io::Error::from_raw_os_error(errno)
    ))
}
