//! What a valid job is. Read by everybody; made only by the job file and the builder, which share one validation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod dataflow;
mod feeding;

pub use dataflow::{
    Compression, Dataflow, DataflowSettings, FileFormat, FormatKind, Generate, OperatorUse, Origin,
    Quote, Replay, Sink, SinkFiles, Source, SourceFiles, SourceTime, SqlText, Target, Transform,
    TransformKind, Values,
};
pub use feeding::{Dealing, Feeding, Tensor};

/// The node runner of a role that names none, in a job that names no framework: it runs any program.
pub const STANDARD_RUNNER: &str = "command";

/// A validated job. Written to the run directory as `job.json` and read back by whoever takes the job over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Lower-case letters, digits and dashes, at most 63 characters.
    pub name: String,
    /// The node runner of every role that names no other. Already applied to [`Role::plugin`].
    pub framework: Option<String>,
    /// What a failure may cost. Default: `none`.
    pub guarantee: Guarantee,
    /// The application manager of the job.
    pub manager: Manager,
    /// Job-wide properties, handed to every plugin as they are.
    pub properties: BTreeMap<String, String>,
    /// In the order of the job file.
    pub roles: Vec<Role>,
    /// Sources, transforms and sinks; empty: the job has no dataflow.
    #[serde(default)]
    pub dataflow: Dataflow,
    /// Limits of the job as a whole.
    pub limits: JobLimits,
    /// The folder of the job file; paths in the job are relative to it.
    pub base: PathBuf,
}

impl Job {
    /// The role of this name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// A path of the job, seen from the working folder: `path` joined to [`Job::base`].
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Where rows of a sink are when it is complete, for people; `None`: nowhere.
    pub fn place_of(&self, sink: &Sink) -> Option<String> {
        match &sink.target {
            Target::Files(files) if files.path.contains("://") => Some(files.path.clone()),
            Target::Files(files) => {
                let place = self.resolve(Path::new(&files.path));
                Some(place.to_string_lossy().into_owned())
            }
            Target::Stdout(_) => Some("standard output".into()),
            Target::Blackhole => None,
        }
    }
}

/// What a lost record may cost in a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Recovery starts the input again from its beginning.
    #[default]
    None,
    /// Recovery goes on from the last checkpoint; records after it may be seen again.
    AtLeastOnce,
    /// Recovery takes everything back to the same committed checkpoint.
    ExactlyOnce,
}

/// Which state machine decides for the job (`[am]`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manager {
    /// Name or path of the plugin. `None`: the standard machine.
    pub plugin: Option<String>,
    /// Handed to the state machine among the job's properties.
    pub properties: BTreeMap<String, String>,
}

/// A named group of equal nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Lower-case letters, digits and dashes, at most 63 characters.
    pub name: String,
    /// Nodes wanted at the start. Default: 1. Never outside the two bounds.
    pub nodes: u32,
    /// The fewest nodes the role may shrink to. Default: `nodes`.
    pub nodes_min: u32,
    /// The most nodes the role may grow to. Default: `nodes`.
    pub nodes_max: u32,
    /// Name or path of the node runner: the role's own, else the job's framework, else [`STANDARD_RUNNER`].
    pub plugin: String,
    /// Handed to the plugin as they are.
    pub properties: BTreeMap<String, String>,
    /// What a node of the role runs.
    pub program: Program,
    /// The Python of the role (`python =`): an environment's name, or a path where it has a `/`, relative to [`Job::base`].
    /// `None`: the agent looks for one.
    pub interpreter: Option<String>,
    /// Appended to the program's own arguments.
    pub arguments: Vec<String>,
    /// Added to the node's environment; wins over the plugin's and the agent's.
    pub environment: BTreeMap<String, String>,
    /// Globs of the files that travel with the script, relative to [`Job::base`].
    /// Default: `*.py` beside the script; nothing without a script.
    pub files: Vec<String>,
    /// What one node takes of its machine.
    pub resources: Resources,
    /// Limits of one node.
    pub limits: RoleLimits,
    /// The source, transform or role with an output that feeds the role. `None`: its nodes read their data themselves.
    pub input: Option<String>,
    /// How it is fed. Default: see [`Feeding`].
    #[serde(default)]
    pub feeding: Feeding,
}

impl Role {
    /// Whether its nodes answer rows, so that its name stands for these in SQL and in every `input`.
    pub fn has_output(&self) -> bool {
        !self.feeding.output.is_empty()
    }
}

/// What a node of a role runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// A Python script, run by [`Role::interpreter`]. Relative to [`Job::base`].
    Script(PathBuf),
    /// Program and arguments, without a shell. Never empty. A program with a `/` is relative to [`Job::base`],
    /// another one is looked up in the agent's `PATH`.
    Command(Vec<String>),
    /// Neither is given: the plugin names the program itself (a service that the framework brings along).
    /// Never with [`STANDARD_RUNNER`].
    Plugin,
}

/// What one node takes of its machine; nothing is asked for unless it is stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Processor cores. Default: none asked for.
    pub cores: Option<u32>,
    /// Main memory in bytes. Default: none asked for.
    pub memory_bytes: Option<u64>,
    /// GPUs. Default: 0, and then the node sees none.
    pub gpus: u32,
}

/// Limits of the job as a whole (`[limits]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobLimits {
    /// How long nodes that have no room wait for an agent that is still awaited. Default: 60 s.
    #[serde(rename = "place_within_ms", with = "milliseconds")]
    pub place_within: Duration,
    /// How long an orderly stop of the whole job may take before everything is killed. Default: 30 s.
    #[serde(rename = "stop_within_ms", with = "milliseconds")]
    pub stop_within: Duration,
    /// How long a remote agent keeps its nodes without hearing from an application manager. Default: 10 min.
    #[serde(rename = "orphan_grace_ms", with = "milliseconds")]
    pub orphan_grace: Duration,
    /// How long an agent may be away or silent before its nodes are given up and, where the job has restarts, placed
    /// elsewhere. Default: 3 s.
    #[serde(rename = "agent_lost_after_ms", with = "milliseconds")]
    pub agent_lost_after: Duration,
    /// How long a job whose plugin failed waits for a person before it fails. Default: 1 hour.
    #[serde(rename = "quarantine_grace_ms", with = "milliseconds")]
    pub quarantine_grace: Duration,
    /// How many restarts of failed nodes there may be in the whole life of the job. Default: 0, a failure ends it.
    pub restarts: u32,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            place_within: Duration::from_mins(1),
            stop_within: Duration::from_secs(30),
            orphan_grace: Duration::from_mins(10),
            agent_lost_after: Duration::from_secs(3),
            quarantine_grace: Duration::from_hours(1),
            restarts: 0,
        }
    }
}

/// Limits of one node of a role (`[roles.NAME.limits]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleLimits {
    /// From the start of the process until it is ready; later it is stalled (`not-ready`). Default: 10 min.
    #[serde(rename = "start_within_ms", with = "milliseconds")]
    pub start_within: Duration,
    /// The longest silence of a node that has reported before; later it is stalled (`no-progress`). Default: 10 min.
    #[serde(rename = "report_within_ms", with = "milliseconds")]
    pub report_within: Duration,
    /// How long a Python interpreter may leave pings unanswered; later it is stalled (`unresponsive`). Default: 60 s.
    #[serde(rename = "respond_within_ms", with = "milliseconds")]
    pub respond_within: Duration,
    /// From the start of the process until its script has asked for its node; later it is stalled (`not-ready`). Default: zero,
    /// for ever, because scripts need not ask.
    #[serde(rename = "attach_within_ms", with = "milliseconds")]
    pub attach_within: Duration,
    /// How long a process may stay after its work is done, or after an exception has left its script; later it is ended, as
    /// finished or as failed. Default: 30 s.
    #[serde(rename = "linger_within_ms", with = "milliseconds")]
    pub linger_within: Duration,
    /// How long a stalled node is left alone after its stacks were saved; then it is killed. Default: 10 min.
    #[serde(rename = "stall_kill_ms", with = "milliseconds")]
    pub stall_kill: Duration,
    /// Between SIGTERM and SIGKILL. Default: 10 s.
    #[serde(rename = "stop_grace_ms", with = "milliseconds")]
    pub stop_grace: Duration,
    /// Bytes of output kept for each attempt; the rest is dropped and counted. Default: 64 MiB.
    pub log_bytes: u64,
}

impl Default for RoleLimits {
    fn default() -> Self {
        Self {
            start_within: Duration::from_mins(10),
            report_within: Duration::from_mins(10),
            respond_within: Duration::from_mins(1),
            attach_within: Duration::ZERO,
            linger_within: Duration::from_secs(30),
            stall_kill: Duration::from_mins(10),
            stop_grace: Duration::from_secs(10),
            log_bytes: 64 << 20,
        }
    }
}

/// Durations as whole milliseconds.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// The same, where there may be none.
mod optional_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let whole = |value: &Duration| u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        value.as_ref().map(whole).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<u64>::deserialize(deserializer).map(|value| value.map(Duration::from_millis))
    }
}
