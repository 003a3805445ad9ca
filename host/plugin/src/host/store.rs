//! What a store has beside WebAssembly's own: limits, and a log. That of an engine plugin lives for one call, that of an
//! operator for as long as its task.

use std::collections::VecDeque;
use std::sync::Arc;

use wasmtime::{Engine, ResourceLimiter, Store, Trap};

use super::chain;
use super::clock::TICK_MS;
use crate::error::{Call, Fault};
use crate::limits::{LimitExceeded, LimitKind, Limits};

/// Log lines that a trap's error carries, and the longest of them.
const LAST_LINES: usize = 10;
const LAST_LINE_BYTES: usize = 4 << 10;

/// What belongs to one store.
pub(super) struct CallState {
    pub(super) log: Log,
    limits: Arc<Limits>,
    answer: Answer,
    memory_bytes: usize,
    table_elements: usize,
}

/// How many bytes may come back from a call, and which limit says so.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) limit: LimitKind,
    pub(super) bytes: usize,
}

/// A store for one call of an engine plugin, with everything limited.
pub(super) fn new_store(
    engine: &Engine,
    limits: &Arc<Limits>,
    plugin: &Arc<str>,
    call: Call,
) -> wasmtime::Result<Store<CallState>> {
    let mut store = empty_store(engine, limits, Speaker::Plugin(Arc::clone(plugin)));
    let answer = Answer {
        limit: LimitKind::AnswerBytes,
        bytes: limits.answer_bytes,
    };
    begin_call(&mut store, call.as_str(), answer)?;
    Ok(store)
}

/// A store whose memories and tables are limited over all calls; it has no fuel before [`begin_call`].
pub(super) fn empty_store(
    engine: &Engine,
    limits: &Arc<Limits>,
    speaker: Speaker,
) -> Store<CallState> {
    let state = CallState {
        log: Log {
            speaker,
            call: "",
            budget: 0,
            dropped: 0,
            last: VecDeque::new(),
        },
        limits: Arc::clone(limits),
        answer: Answer {
            limit: LimitKind::AnswerBytes,
            bytes: limits.answer_bytes,
        },
        memory_bytes: 0,
        table_elements: 0,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store
}

/// Gives the next call what each call has: fuel, time, bytes of an answer and of log lines.
pub(super) fn begin_call(
    store: &mut Store<CallState>,
    call: &'static str,
    answer: Answer,
) -> wasmtime::Result<()> {
    let limits = Arc::clone(&store.data().limits);
    let state = store.data_mut();
    state.answer = answer;
    state.log.begin(call, limits.log_bytes);
    store.set_fuel(limits.fuel)?;
    store.set_epoch_deadline(ticks(limits.deadline_ms));
    store.set_hostcall_fuel(answer.bytes);
    Ok(())
}

/// One more than fits: the clock may tick right after the start.
fn ticks(deadline_ms: u64) -> u64 {
    deadline_ms.div_ceil(TICK_MS).saturating_add(1)
}

impl ResourceLimiter for CallState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.memory_bytes += desired - current;
        LimitExceeded::check(
            LimitKind::MemoryBytes,
            self.limits.memory_bytes,
            self.memory_bytes,
        )?;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.table_elements += desired - current;
        LimitExceeded::check(
            LimitKind::TableElements,
            self.limits.table_elements,
            self.table_elements,
        )?;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }
}

/// How serious a guest means a line.
#[derive(Clone, Copy)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Whose lines these are.
pub(super) enum Speaker {
    Plugin(Arc<str>),
    Operator(Arc<str>),
}

impl Speaker {
    /// What stands in the fields `plugin` and `operator` of a line; an empty one is left out.
    fn fields(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Plugin(id) => (Some(id), None),
            Self::Operator(name) => (None, Some(name)),
        }
    }
}

/// What a guest says in one call.
pub(super) struct Log {
    speaker: Speaker,
    call: &'static str,
    budget: usize,
    dropped: u64,
    last: VecDeque<String>,
}

impl Log {
    fn begin(&mut self, call: &'static str, budget: usize) {
        self.call = call;
        self.budget = budget;
        self.dropped = 0;
        self.last.clear();
    }

    /// Passes a line on, as long as there is room for it. The last lines are kept in any case, for a trap's error.
    pub(super) fn line(&mut self, level: Level, text: &str) {
        self.keep(printable(text, LAST_LINE_BYTES));
        if text.len() > self.budget {
            self.dropped += 1;
            return;
        }
        self.budget -= text.len();
        let shown = printable(text, text.len());
        let (plugin, operator) = self.speaker.fields();
        let call = self.call;
        match level {
            Level::Debug => tracing::debug!(plugin, operator, call, "{shown}"),
            Level::Info => tracing::info!(plugin, operator, call, "{shown}"),
            Level::Warn => tracing::warn!(plugin, operator, call, "{shown}"),
            Level::Error => tracing::error!(plugin, operator, call, "{shown}"),
        }
    }

    fn keep(&mut self, line: String) {
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Says how much was dropped, once at the end of a call.
    pub(super) fn close(&self) {
        if self.dropped > 0 {
            let (plugin, operator) = self.speaker.fields();
            tracing::warn!(
                plugin,
                operator,
                call = self.call,
                dropped = self.dropped,
                "log lines beyond the limit `log-bytes` were dropped"
            );
        }
    }
}

/// The beginning of a guest's text, in one line.
pub(super) fn printable(text: &str, bytes_max: usize) -> String {
    let plain = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    let begin = &text[..text.floor_char_boundary(bytes_max)];
    begin.chars().map(plain).collect()
}

/// Why a call ended without an answer.
pub(super) enum Stop {
    Limit(LimitExceeded),
    Trap { cause: String, log: Vec<String> },
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Limit(exceeded) => Self::Limit(exceeded),
            Stop::Trap { cause, log } => Self::Trap { cause, log },
        }
    }
}

/// Why a call ended without an answer.
pub(super) fn stop(error: &wasmtime::Error, state: &CallState) -> Stop {
    if let Some(exceeded) = exceeded(error, state) {
        return Stop::Limit(exceeded);
    }
    let cause = error
        .downcast_ref::<Trap>()
        .map_or_else(|| chain(error), ToString::to_string);
    Stop::Trap {
        cause,
        log: state.log.last.iter().cloned().collect(),
    }
}

/// The limit that ended a call, if one did.
pub(super) fn exceeded(error: &wasmtime::Error, state: &CallState) -> Option<LimitExceeded> {
    if let Some(exceeded) = error.downcast_ref::<LimitExceeded>() {
        return Some(exceeded.clone());
    }
    let limits = &state.limits;
    let beyond = |limit, allowed| {
        Some(LimitExceeded {
            limit,
            allowed,
            used: None,
        })
    };
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return beyond(LimitKind::Fuel, limits.fuel),
        Some(Trap::Interrupt) => {
            return beyond(LimitKind::DeadlineMs, limits.deadline_ms);
        }
        Some(Trap::StackOverflow) => {
            return beyond(LimitKind::StackBytes, limits.stack_bytes as u64);
        }
        _ => {}
    }
    // wasmtime has no type for these two; a test for each would notice another text.
    let text = chain(error);
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        return beyond(state.answer.limit, state.answer.bytes as u64);
    }
    if text.contains("resource limit exceeded") {
        return beyond(LimitKind::Instances, limits.instances as u64);
    }
    None
}
