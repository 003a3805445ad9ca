use crate::types::words;

/// Ceilings of one call of a plugin, and of what it may answer. Compiling a component comes before all calls, on the
/// caller's thread, and has no ceiling but the component's size (64 MiB).
///
/// The first eight hold for WebAssembly alone, operators included; the two of operators for those; the rest for every
/// [`StateMachine`](crate::StateMachine) and [`NodeRunner`](crate::NodeRunner). Each has an error of its own that carries its
/// name, [`LimitKind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instructions of one call, roughly one unit each. Default 2,000,000,000 (a few seconds).
    /// The same for the same call on every machine, so it gives the verdict.
    pub fuel: u64,
    /// Wall-clock milliseconds of one call, kept to a tenth of a second. Default 30,000. Only a backstop behind `fuel`.
    pub deadline_ms: u64,
    /// Bytes of all linear memories of an instance. Default 256 MiB.
    pub memory_bytes: usize,
    /// Elements of all tables of an instance. Default 100,000.
    pub table_elements: usize,
    /// Core instances (and memories, and tables) within one component. Default 100.
    pub instances: usize,
    /// Stack of the guest. Default 512 KiB; fixed when the [`PluginHost`](crate::PluginHost) or
    /// [`OperatorHost`](crate::OperatorHost) is made.
    pub stack_bytes: usize,
    /// Bytes that cross from the plugin to the host at once: an answer, or a log line. Default 16 MiB. Operators have
    /// `output_bytes` and `operator_state_bytes` for theirs.
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
    /// Bytes of one text for people in a decision or preparation (note, reason, message, hint). Default 4 KiB. A verdict
    /// has half of it, and what a plugin is told of an exit a quarter, so that each can quote what it was told.
    pub text_bytes: usize,
    /// Most milliseconds that a plugin may ask the host to wait: timers, deadlines, graces. Default 366 days.
    pub wait_ms: u64,
    /// Bytes of all batches that an operator answers to one call. Default 64 MiB: 8192 rows of 40 columns have 2.6 MB.
    pub output_bytes: usize,
    /// Bytes of the state that an operator's task has at a checkpoint. Default 64 MiB.
    pub operator_state_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 2_000_000_000,
            deadline_ms: 30_000,
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
            wait_ms: 366 * 24 * 60 * 60 * 1_000,
            output_bytes: 64 << 20,
            operator_state_bytes: 64 << 20,
        }
    }
}

words! {
    /// Name of a limit, as messages show it.
    LimitKind {
        /// [`Limits::fuel`]
        Fuel = "fuel",
        /// [`Limits::deadline_ms`]
        DeadlineMs = "deadline-ms",
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
        /// [`Limits::output_bytes`]
        OutputBytes = "output-bytes",
        /// [`Limits::operator_state_bytes`]
        OperatorStateBytes = "operator-state-bytes",
    }
}

/// A plugin went beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it exceeds the limit `{limit}` of {allowed}{}", used_text(*used))]
pub struct LimitExceeded {
    /// Which limit.
    pub limit: LimitKind,
    /// Its value, in the unit that its name or the field of [`Limits`] says.
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
