//! What a run tells people and programs: one JSON object a line, in `events.jsonl`, on `Watch`, and on the standard
//! output of `--format json`. A stable interface: docs/events.md. Fields are only ever added.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One line: the event with its number and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// From 1, without gaps, over all terms of a run. Absent for `log`: such lines go to those who watch, and to the
    /// node's own log, but not to `events.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Milliseconds since 1970, by the application manager's clock.
    pub time_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: JobEvent,
}

/// What happened to a job, to an agent, or to a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobEvent {
    /// First line of a run.
    Job {
        /// The job's name.
        job: String,
        /// Absolute path of the run directory.
        run_dir: PathBuf,
        /// Version of the host.
        version: String,
    },
    /// An application manager took charge.
    Am {
        /// From 1; each new process of it is a new term.
        term: u64,
        /// Its process.
        pid: u32,
        /// Where agents of other machines join it, with the ports that were really taken.
        #[serde(default)]
        listen: Vec<SocketAddr>,
    },
    /// A node stands still; nothing has been killed.
    Stalled {
        /// Which node.
        node: String,
        /// Which attempt of it.
        attempt: u32,
        /// In which way: `not-ready`, `no-progress`, `unresponsive`, `lingering`.
        stall: String,
        /// Since when, in milliseconds.
        for_ms: u64,
        /// What all threads of its interpreter were doing; empty where it could not be asked.
        stacks: String,
    },
    /// A script called `finish_job`.
    Finish {
        /// Which node.
        node: String,
        /// Which attempt of it.
        attempt: u32,
        /// What it said.
        reason: String,
    },
    /// An agent came or went.
    Agent {
        /// Name of the agent, and so of its machine.
        agent: String,
        /// Where its nodes are reached.
        address: String,
        /// Its process.
        pid: u32,
        /// Joined or lost.
        phase: AgentPhase,
    },
    /// The state machine's word for where the job is.
    Phase {
        /// Such as `placing`, `starting`, `running`.
        phase: String,
        /// Why, in one sentence.
        note: Option<String>,
    },
    /// A cluster was published.
    Cluster {
        /// Number of the generation.
        generation: u64,
        /// Its nodes and where they are reached: `host:port` by port name.
        members: BTreeMap<String, BTreeMap<String, String>>,
    },
    /// A node changed its phase.
    Node(NodeEvent),
    /// Latest values that a node reported.
    Report {
        /// `worker:0`
        node: String,
        /// Its attempt.
        attempt: u32,
        /// Global step, if the script gave one.
        step: Option<u64>,
        /// What else it said.
        values: BTreeMap<String, serde_json::Value>,
    },
    /// A line that a node wrote.
    Log {
        /// `worker:0`
        node: String,
        /// Its attempt.
        attempt: u32,
        /// Without line end; bytes that are not UTF-8 are replaced.
        line: String,
    },
    /// User code called `node.signal`.
    Signal {
        /// `worker:0`
        node: String,
        /// Its attempt.
        attempt: u32,
        /// Name of the signal.
        name: String,
        /// Its payload.
        payload: String,
    },
    /// Something that a person should read; the job goes on.
    Warning {
        /// What, on which thing.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// An end of the job was asked for.
    Stop {
        /// Without a question to the state machine.
        now: bool,
        /// Who asked, or why.
        reason: String,
    },
    /// A plugin failed: nodes are left alone, and the job waits.
    Quarantined {
        /// What it did.
        reason: String,
        /// What to do about it.
        #[serde(default)]
        hint: Option<String>,
        /// How long the job waits before it fails, in milliseconds.
        #[serde(default)]
        for_ms: u64,
    },
    /// A quarantined job goes on.
    Resumed {
        /// Plugins that are in the place of the submitted ones, by the name that the job gives them: SHA-256 of the component.
        plugins: BTreeMap<String, String>,
    },
    /// Last line of a run.
    Summary(Summary),
}

/// See [`JobEvent::Agent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentPhase {
    /// It registered.
    Joined,
    /// Its connection is gone.
    Lost,
}

/// See [`JobEvent::Node`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEvent {
    /// `worker:0`
    pub node: String,
    /// 0 while it never ran.
    pub attempt: u32,
    /// `absent`, `waiting`, `placed`, `starting`, `ready`, `stopping`, `exited`.
    pub phase: String,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Where it is placed.
    pub agent: Option<String>,
    /// How it ended, when `exited`.
    pub ending: Option<String>,
    /// What the node runner makes of it, when `exited`.
    pub verdict: Option<String>,
    /// One sentence, when `exited`.
    pub reason: Option<String>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did its work.
    Succeeded,
    /// It could not.
    Failed,
    /// Somebody asked for its end.
    Stopped,
}

/// The end of a run, complete in itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How it ended.
    pub outcome: Outcome,
    /// The first cause, in one sentence.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The node that caused the end, with its attempt and what it left.
    pub cause: Option<Cause>,
    /// The engine or a plugin failed, as against the user's job: exit code 2.
    pub engine_failed: bool,
    /// From submission to this line.
    pub duration_ms: u64,
    /// Absolute path of the run directory.
    pub run_dir: PathBuf,
    /// Each application manager that was in charge.
    pub terms: Vec<TermSummary>,
    /// Each node.
    pub nodes: Vec<NodeSummary>,
}

/// First cause of a failed job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// `worker:0`
    pub node: String,
    /// Its attempt.
    pub attempt: u32,
    /// Exit code, signal, or why it did not start.
    pub ending: String,
    /// Traceback of the script, if one is known.
    pub traceback: Option<String>,
    /// Last lines of its log, newest last.
    pub last_lines: Vec<String>,
}

/// See [`Summary::terms`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TermSummary {
    /// From 1.
    pub term: u64,
    /// Its process.
    pub pid: u32,
}

/// See [`Summary::nodes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSummary {
    /// `worker:0`
    pub node: String,
    /// All of its attempts, first to last.
    pub attempts: Vec<AttemptSummary>,
    /// Last values that it reported, `step` among them.
    pub last_report: BTreeMap<String, serde_json::Value>,
}

/// See [`NodeSummary::attempts`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptSummary {
    /// From 1.
    pub attempt: u32,
    /// Its process; absent when it never ran.
    pub pid: Option<u32>,
    /// Exit code, signal, or why it did not start.
    pub ending: String,
    /// `finished`, `stopped`, `retry`, `retry-elsewhere`, `fatal`.
    pub verdict: String,
}
