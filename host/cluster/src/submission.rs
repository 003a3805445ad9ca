//! What `run` leaves in the run directory before the first application manager starts: the resolved job, the plugins and
//! scripts by content hash, and what the operator grants. Every later term reads the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use forebay_job::{FilesError, Job, Program, StagedFile};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::run_directory::RunDirectory;

/// Version of the host: agents, wheel and application manager of one run must be of the same.
pub const HOST_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Name of the state machine of a job that names none.
pub const STANDARD_MACHINE: &str = "standard-machine";

/// A plugin as the command line found it.
#[derive(Clone, Debug)]
pub struct PluginSource {
    /// As the job names it.
    pub name: String,
    /// The WebAssembly component.
    pub component: Vec<u8>,
    /// Text of its `plugin.toml`.
    pub manifest: String,
}

/// A plugin of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedPlugin {
    /// As the job names it.
    pub name: String,
    /// Of the component in `plugins/`.
    pub sha256: String,
    /// Text of its `plugin.toml`.
    pub manifest: String,
}

/// The component of a transform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedOperator {
    /// As the job names it.
    pub transform: String,
    /// Of the component in `plugins/`.
    pub sha256: String,
}

/// A script or file of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedFile {
    /// Below the working folder of a node.
    pub path: String,
    /// Of the content in `staged/`.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Whether its owner may run it.
    pub executable: bool,
}

/// Everything that was submitted beside the job itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Of the host that made it.
    pub version: String,
    /// Milliseconds since 1970.
    pub submitted_ms: u64,
    /// How many agents `place` waits for.
    pub agents: u32,
    /// State machine and node runners.
    pub plugins: Vec<SubmittedPlugin>,
    /// Components of the dataflow.
    #[serde(default)]
    pub operators: Vec<SubmittedOperator>,
    /// Text of the operator's grants; empty: the defaults.
    pub grants: String,
    /// Files by role.
    pub files: BTreeMap<String, Vec<SubmittedFile>>,
}

/// Why a job could not be submitted, or its submission not be read.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// A file could not be read or written.
    #[error("cannot {verb} `{path}`")]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the run holds something else.
    #[error("`{path}` is damaged")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The files of a role cannot be collected.
    #[error("cannot collect the files of role `{role}`")]
    Staging {
        /// Which role.
        role: String,
        /// Why.
        #[source]
        source: FilesError,
    },
    /// Another version of the host made the run.
    #[error("the run was made by Forebay {theirs}, this is {HOST_VERSION}")]
    Version {
        /// Version of the run.
        theirs: String,
    },
}

/// Names of the plugins that a job needs, each once.
pub fn required_plugins(job: &Job) -> Vec<String> {
    let mut names = vec![machine_name(job).to_owned()];
    for role in &job.roles {
        if !names.contains(&role.plugin) {
            names.push(role.plugin.clone());
        }
    }
    names
}

/// Name of the state machine of a job.
pub fn machine_name(job: &Job) -> &str {
    job.manager.plugin.as_deref().unwrap_or(STANDARD_MACHINE)
}

impl Submission {
    /// Writes job, plugins, components of its dataflow (by transform) and files into a new run directory.
    pub fn stage(
        run: &RunDirectory,
        job: &Job,
        plugins: &[PluginSource],
        components: &BTreeMap<String, Vec<u8>>,
        grants: String,
        agents: u32,
    ) -> Result<Self, SubmissionError> {
        let submission = Self {
            version: HOST_VERSION.into(),
            submitted_ms: crate::clock::now_ms(),
            agents,
            plugins: plugins
                .iter()
                .map(|plugin| stage_plugin(run, plugin))
                .collect::<Result<_, _>>()?,
            operators: components
                .iter()
                .map(|(transform, component)| stage_operator(run, transform, component))
                .collect::<Result<_, _>>()?,
            grants,
            files: stage_roles(run, job)?,
        };
        write_json(&run.submission_file(), &submission)?;
        write_json(&run.job_file(), job)?;
        Ok(submission)
    }

    /// Reads them back.
    pub fn load(run: &RunDirectory) -> Result<(Job, Self), SubmissionError> {
        let submission: Self = read_json(&run.submission_file())?;
        if submission.version != HOST_VERSION {
            return Err(SubmissionError::Version {
                theirs: submission.version,
            });
        }
        Ok((read_json(&run.job_file())?, submission))
    }

    /// The same with these plugins in the place of those of their names.
    pub(crate) fn with(&self, replaced: &[SubmittedPlugin]) -> Self {
        let mut submission = self.clone();
        for plugin in &mut submission.plugins {
            if let Some(other) = replaced.iter().find(|other| other.name == plugin.name) {
                plugin.clone_from(other);
            }
        }
        submission
    }

    /// The plugins with their components.
    pub fn plugin_sources(&self, run: &RunDirectory) -> Result<Vec<PluginSource>, SubmissionError> {
        let read = |plugin: &SubmittedPlugin| {
            let path = component_path(run, &plugin.sha256);
            let component = fs::read(&path).map_err(|source| file_error("read", &path, source))?;
            Ok(PluginSource {
                name: plugin.name.clone(),
                component,
                manifest: plugin.manifest.clone(),
            })
        };
        self.plugins.iter().map(read).collect()
    }
}

impl Submission {
    /// The components of its dataflow, by transform.
    pub fn components(
        &self,
        run: &RunDirectory,
    ) -> Result<BTreeMap<String, Vec<u8>>, SubmissionError> {
        let read = |operator: &SubmittedOperator| {
            let path = component_path(run, &operator.sha256);
            let component = fs::read(&path).map_err(|source| file_error("read", &path, source))?;
            Ok((operator.transform.clone(), component))
        };
        self.operators.iter().map(read).collect()
    }
}

/// Lower-case hexadecimal SHA-256.
pub fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// Adds a component to those of a run that may be in charge of it.
pub fn stage_component(run: &RunDirectory, component: &[u8]) -> Result<String, SubmissionError> {
    let sha256 = sha256(component);
    write(&component_path(run, &sha256), component)?;
    Ok(sha256)
}

fn component_path(run: &RunDirectory, sha256: &str) -> PathBuf {
    run.plugins().join(format!("{sha256}.wasm"))
}

fn stage_operator(
    run: &RunDirectory,
    transform: &str,
    component: &[u8],
) -> Result<SubmittedOperator, SubmissionError> {
    Ok(SubmittedOperator {
        transform: transform.to_owned(),
        sha256: stage_component(run, component)?,
    })
}

fn stage_plugin(
    run: &RunDirectory,
    plugin: &PluginSource,
) -> Result<SubmittedPlugin, SubmissionError> {
    Ok(SubmittedPlugin {
        name: plugin.name.clone(),
        sha256: stage_component(run, &plugin.component)?,
        manifest: plugin.manifest.clone(),
    })
}

fn stage_roles(
    run: &RunDirectory,
    job: &Job,
) -> Result<BTreeMap<String, Vec<SubmittedFile>>, SubmissionError> {
    let mut roles = BTreeMap::new();
    for role in &job.roles {
        let files = role
            .staged_files(&job.base)
            .map_err(|source| SubmissionError::Staging {
                role: role.name.clone(),
                source,
            })?;
        let staged = files
            .iter()
            .map(|file| stage_file(run, file))
            .collect::<Result<_, _>>()?;
        roles.insert(role.name.clone(), staged);
    }
    Ok(roles)
}

fn stage_file(run: &RunDirectory, file: &StagedFile) -> Result<SubmittedFile, SubmissionError> {
    let failed = |source| file_error("read", &file.absolute, source);
    let content = fs::read(&file.absolute).map_err(failed)?;
    let mode = fs::metadata(&file.absolute)
        .map_err(failed)?
        .permissions()
        .mode();
    let sha256 = sha256(&content);
    write(&run.staged().join(&sha256), &content)?;
    Ok(SubmittedFile {
        path: file.relative.clone(),
        sha256,
        bytes: content.len() as u64,
        executable: mode & 0o100 != 0,
    })
}

/// The script of a role as the node's working folder has it.
pub(crate) fn script_path(program: &Program) -> Option<String> {
    match program {
        Program::Script(path) => Some(path.to_string_lossy().into_owned()),
        Program::Command(_) | Program::Plugin => None,
    }
}

/// Writes a file whole or not at all: beside it first, then renamed.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), SubmissionError> {
    let beside = path.with_extension("partial");
    fs::File::create(&beside)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|source| file_error("write", path, source))
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), SubmissionError> {
    let text = serde_json::to_vec_pretty(value).map_err(|source| SubmissionError::Damaged {
        path: path.into(),
        source,
    })?;
    write(path, &text)
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, SubmissionError> {
    let text = fs::read(path).map_err(|source| file_error("read", path, source))?;
    serde_json::from_slice(&text).map_err(|source| SubmissionError::Damaged {
        path: path.into(),
        source,
    })
}

fn file_error(verb: &'static str, path: &Path, source: io::Error) -> SubmissionError {
    SubmissionError::File {
        verb,
        path: path.into(),
        source,
    }
}
