use std::time::Duration;

use crate::types::words;

/// Ceilings of one call of a plugin, and of what it may answer.
///
/// The first eight hold for WebAssembly alone; the rest for every [`StateMachine`](crate::StateMachine) and
/// [`NodeRunner`](crate::NodeRunner). Each has an error of its own that carries its name, [`LimitKind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instructions of one call, roughly one unit each. Default 2,000,000,000 (a few seconds).
    /// The same for the same call on every machine, so it gives the verdict.
    pub fuel: u64,
    /// Wall-clock time of one call, kept to a tenth of a second. Default 30 s. Only a backstop behind `fuel`.
    pub deadline: Duration,
    /// Bytes of all linear memories of an instance. Default 256 MiB.
    pub memory_bytes: usize,
    /// Elements of all tables of an instance. Default 100,000.
    pub table_elements: usize,
    /// Core instances (and memories, and tables) within one component. Default 100.
    pub instances: usize,
    /// Stack of the guest. Default 512 KiB; fixed when the [`PluginHost`](crate::PluginHost) is made.
    pub stack_bytes: usize,
    /// Bytes that cross from the plugin to the host at once: an answer, or a log line. Default 16 MiB.
    pub answer_bytes: usize,
    /// Bytes of log lines of one call. Default 64 KiB. What is beyond is dropped and counted: never an error.
    pub log_bytes: usize,
    /// Bytes of the state that the host keeps and journals with every decision. Default 1 MiB.
    pub state_bytes: usize,
    /// Actions in one decision. Default 1,000.
    pub actions: usize,
    /// Bytes of all launch plans of one call: arguments, environment and files. Default 16 MiB.
    pub plan_bytes: usize,
    /// Problems that one `prepare` reports. Default 1,000.
    pub problems: usize,
    /// Bytes of one text for people (phase, note, reason, message, hint). Default 4 KiB.
    pub text_bytes: usize,
    /// Longest time that a plugin may ask the host to wait: timers, deadlines, graces. Default 366 days.
    pub wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 2_000_000_000,
            deadline: Duration::from_secs(30),
            memory_bytes: 256 << 20,
            table_elements: 100_000,
            instances: 100,
            stack_bytes: 512 << 10,
            answer_bytes: 16 << 20,
            log_bytes: 64 << 10,
            state_bytes: 1 << 20,
            actions: 1_000,
            plan_bytes: 16 << 20,
            problems: 1_000,
            text_bytes: 4 << 10,
            wait: Duration::from_hours(366 * 24),
        }
    }
}

words! {
    /// Name of a limit, as messages show it.
    LimitKind {
        /// [`Limits::fuel`]
        Fuel = "fuel",
        /// [`Limits::deadline`]
        Deadline = "deadline",
        /// [`Limits::memory_bytes`]
        MemoryBytes = "memory-bytes",
        /// [`Limits::table_elements`]
        TableElements = "table-elements",
        /// [`Limits::instances`]
        Instances = "instances",
        /// [`Limits::stack_bytes`]
        StackBytes = "stack-bytes",
        /// [`Limits::answer_bytes`]
        AnswerBytes = "answer-bytes",
        /// [`Limits::state_bytes`]
        StateBytes = "state-bytes",
        /// [`Limits::actions`]
        Actions = "actions",
        /// [`Limits::plan_bytes`]
        PlanBytes = "plan-bytes",
        /// [`Limits::problems`]
        Problems = "problems",
    }
}

/// A plugin went beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it exceeds the limit `{limit}` of {allowed}{}", used_text(*used))]
pub struct LimitExceeded {
    /// Which limit.
    pub limit: LimitKind,
    /// Its value, in the unit of the field of [`Limits`] (milliseconds for times).
    pub allowed: u64,
    /// What was asked for, where that is known.
    pub used: Option<u64>,
}

fn used_text(used: Option<u64>) -> String {
    used.map_or_else(String::new, |used| format!(": it asks for {used}"))
}

impl LimitExceeded {
    /// Fails if `used` is more than `allowed`.
    pub(crate) fn check(limit: LimitKind, allowed: usize, used: usize) -> Result<(), Self> {
        if used <= allowed {
            return Ok(());
        }
        Err(Self {
            limit,
            allowed: allowed as u64,
            used: Some(used as u64),
        })
    }
}
