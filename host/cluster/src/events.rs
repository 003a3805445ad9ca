//! What a run tells people and programs: one JSON object a line, in `events.jsonl`, on `Watch`, and on the standard
//! output of `--format json`. A stable interface: docs/events.md. Fields are only ever added.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use forebay_job::{Job, Sink};
use serde::{Deserialize, Serialize};

/// One line: the event with its number and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// From 1, without gaps, over all terms of a run. Absent for `log`, and for most of `progress`: such lines go to those who
    /// watch, but not to `events.jsonl`.
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
    /// The dataflow of the job began, or came to an end.
    Dataflow(DataflowEvent),
    /// How far the running dataflow is: once a second to those who watch, every ten seconds to `events.jsonl` too.
    Progress(ProgressEvent),
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

/// See [`JobEvent::Dataflow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataflowEvent {
    /// From 1; each begins the input again.
    pub attempt: u64,
    /// Where it stands now.
    pub phase: DataflowPhase,
    /// Why, when `failed` or `stopped`.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whose failure it is, where it is one of an operator.
    pub operator: Option<String>,
    /// How long it has run.
    pub running_ms: u64,
    /// What each operator has done; empty where it has not run.
    pub operators: Vec<OperatorCounts>,
}

/// Where the dataflow of a job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataflowPhase {
    /// For the agent of an engine; never told as an event.
    #[default]
    Waiting,
    /// It runs.
    Running,
    /// Its sources have ended, and its sinks are complete.
    Ended,
    /// The same, but its sources were told to end where they were.
    Drained,
    /// It could not go on.
    Failed,
    /// It was ended where it was.
    Stopped,
}

impl DataflowPhase {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Drained => "drained",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// See [`JobEvent::Progress`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressEvent {
    /// Of the dataflow.
    pub attempt: u64,
    /// How long it has run.
    pub running_ms: u64,
    /// Each operator, from the sources on.
    pub operators: Vec<OperatorProgress>,
    /// Each node that is fed.
    #[serde(default)]
    pub feeds: Vec<FeedCounts>,
}

/// What has gone through the channel of one node since the attempt of the dataflow began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedCounts {
    /// `worker:0`
    pub node: String,
    /// Rows that were written for it, all passes together.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows that it has answered.
    pub answered: u64,
    /// The pass over the data that it is fed, from 1.
    pub pass: u32,
    /// Bytes of the ring to it.
    pub ring_bytes: u64,
    /// Bytes of the ring that wait for it, or that it holds.
    pub occupied_bytes: u64,
    /// Bytes of the ring that it has read and holds.
    pub held_bytes: u64,
    /// How long the dataflow has waited for room in the ring.
    pub dataflow_waited_ms: u64,
    /// How long the node has waited for rows.
    pub node_waited_ms: u64,
    /// How long the node has waited for room for its answers.
    pub node_waited_for_room_ms: u64,
    /// It has read all, or has closed its feed.
    pub ended: bool,
}

/// What an operator of the dataflow has done since its attempt began, all its tasks together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorCounts {
    /// Its name.
    pub operator: String,
    /// What it is.
    #[serde(default)]
    pub part: OperatorPart,
    /// Its tasks.
    pub tasks: u32,
    /// Those that have ended.
    pub ended: u32,
    /// Rows that came in; for a source, rows that it read.
    pub rows_in: u64,
    /// Rows that it emitted.
    pub rows_out: u64,
    /// Rows that came after their time and were left out.
    pub late: u64,
    /// Rows that could not be read and were left out.
    pub malformed: u64,
    /// Rows that filled no round and were left out.
    pub dropped: u64,
}

/// What an operator is in its dataflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorPart {
    /// It makes rows of rows.
    #[default]
    Transform,
    /// It reads from outside.
    Source,
    /// It gives rows away.
    Sink,
    /// It feeds nodes, and takes their answers.
    Role,
}

/// An operator of the running dataflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperatorProgress {
    /// Since the attempt began.
    #[serde(flatten)]
    pub counts: OperatorCounts,
    /// `rows_in` of the last interval.
    pub rows_per_second: f64,
    /// The event time that all its tasks have reached, milliseconds since 1970; absent without one, and at the end.
    pub watermark_ms: Option<i64>,
    /// The clock of the application manager less that event time.
    pub watermark_lag_ms: Option<i64>,
    /// All its sources are silent: nobody waits for their event time.
    pub idle: bool,
    /// Rows that wait before it.
    pub queued_rows: u64,
    /// Bytes that wait before it.
    pub queued_bytes: u64,
    /// Share of its time, in the last interval, that its tasks computed: 0 to 1.
    pub busy: f64,
    /// That they waited for input.
    pub waiting: f64,
    /// That they waited for room behind them; of sinks, for what they write to.
    pub back_pressured: f64,
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
    /// Its dataflow, where it has one.
    #[serde(default)]
    pub dataflow: Option<DataflowSummary>,
}

/// See [`Summary::dataflow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataflowSummary {
    /// How many there were; 0: it never ran.
    pub attempts: u64,
    /// How the last one ended.
    pub phase: DataflowPhase,
    /// How long the last one ran.
    pub running_ms: u64,
    /// What each operator did in the last one.
    pub operators: Vec<OperatorSummary>,
    /// What each fed node got in the last one.
    #[serde(default)]
    pub feeds: Vec<FeedCounts>,
    /// Where sinks have written; empty unless the last one ended or was drained.
    #[serde(default)]
    pub outputs: Vec<SinkOutput>,
}

/// See [`DataflowSummary::outputs`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkOutput {
    /// The name of the sink.
    pub sink: String,
    /// An absolute path, a URL, or `standard output`.
    pub place: String,
}

/// See [`DataflowSummary::operators`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorSummary {
    /// Over the whole attempt.
    #[serde(flatten)]
    pub counts: OperatorCounts,
    /// `rows_in` by time, over the whole attempt.
    pub rows_per_second: f64,
}

impl DataflowSummary {
    /// Of a dataflow that ran so long at last.
    pub fn new(
        attempts: u64,
        phase: DataflowPhase,
        running_ms: u64,
        operators: impl IntoIterator<Item = OperatorCounts>,
    ) -> Self {
        let running = Duration::from_millis(running_ms);
        let summary = |counts: OperatorCounts| OperatorSummary {
            rows_per_second: rate(counts.rows_in, running),
            counts,
        };
        Self {
            attempts,
            phase,
            running_ms,
            operators: operators.into_iter().map(summary).collect(),
            feeds: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// With the places of the sinks of this job, if they are complete.
    #[must_use]
    pub fn with_outputs(self, job: &Job) -> Self {
        if !matches!(self.phase, DataflowPhase::Ended | DataflowPhase::Drained) {
            return self;
        }
        let output = |sink: &Sink| {
            Some(SinkOutput {
                sink: sink.name.clone(),
                place: job.place_of(sink)?,
            })
        };
        let outputs = job.dataflow.sinks.iter().filter_map(output).collect();
        Self { outputs, ..self }
    }
}

/// So many a second; 0 in no time at all.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate of rows need not be exact beyond 2^53"
)]
pub(crate) fn rate(count: u64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        count as f64 / time.as_secs_f64()
    }
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
