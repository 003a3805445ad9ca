use serde::{Deserialize, Serialize};

use super::{NodeId, words};

words! {
    /// What an exit means for the job.
    VerdictKind {
        /// Did its work.
        Finished = "finished",
        /// Ended because the host told it to; never a plugin's answer.
        Stopped = "stopped",
        /// May succeed when started again.
        Retry = "retry",
        /// As retry, but placed anew.
        RetryElsewhere = "retry-elsewhere",
        /// Would fail again.
        Fatal = "fatal",
    }
}

/// A node runner's judgement on an exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it means.
    pub kind: VerdictKind,
    /// One sentence for people.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(u32),
    /// It could not be started.
    NotStarted(StartFailure),
}

/// Why an attempt never ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// Stable: `interpreter-missing`, `port-taken` and so on.
    pub code: String,
    /// For people.
    pub message: String,
}

/// What the host already knows of the cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownCause {
    /// Nothing.
    #[default]
    None,
    /// The kernel ended it for want of memory.
    OutOfMemory,
    /// It made no progress.
    Stalled,
    /// It was not ready in time.
    StartTimeout,
    /// The host would not talk to it; the text says why.
    Refused(String),
}

/// A Python exception that left the user's script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptError {
    /// Class of the exception.
    pub kind: String,
    /// Its text.
    pub message: String,
    /// As Python prints it.
    pub traceback: String,
}

/// All that the host knows of an ended attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// Which node.
    pub node: NodeId,
    /// Which attempt of it.
    pub attempt: u32,
    /// How its process ended.
    pub ending: Ending,
    /// What the host knows of the cause.
    pub cause: KnownCause,
    /// The exception that ended it.
    pub error: Option<ScriptError>,
    /// What would mend it, where the host knows.
    pub hint: Option<String>,
    /// Newest last.
    pub last_lines: Vec<String>,
    /// It had been ready.
    pub was_ready: bool,
    /// It left input unread.
    pub input_left: bool,
    /// How long it ran.
    pub ran_ms: u64,
}
