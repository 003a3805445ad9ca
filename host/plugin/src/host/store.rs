//! What one call of a plugin has: its limits on memory, and its log.

use std::collections::VecDeque;
use std::sync::Arc;

use wasmtime::{Engine, ResourceLimiter, Store, Trap};

use super::chain;
use super::worker::TICK_MS;
use crate::error::{Call, Fault};
use crate::limits::{LimitExceeded, LimitKind, Limits};

/// Log lines that a trap's error carries, and the longest of them.
const LAST_LINES: usize = 10;
const LAST_LINE_BYTES: usize = 4 << 10;

/// What belongs to one call.
pub(super) struct CallState {
    pub(super) log: Log,
    limits: Arc<Limits>,
    memory_bytes: usize,
    table_elements: usize,
}

/// A store for one call, with everything limited.
pub(super) fn new_store(
    engine: &Engine,
    limits: &Arc<Limits>,
    plugin: &Arc<str>,
    call: Call,
) -> wasmtime::Result<Store<CallState>> {
    let log = Log {
        plugin: Arc::clone(plugin),
        call,
        budget: limits.log_bytes,
        dropped: 0,
        last: VecDeque::new(),
    };
    let state = CallState {
        log,
        limits: Arc::clone(limits),
        memory_bytes: 0,
        table_elements: 0,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_fuel(limits.fuel)?;
    store.set_epoch_deadline(ticks(limits.deadline_ms));
    store.set_hostcall_fuel(limits.answer_bytes);
    Ok(store)
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

/// What a guest says in one call.
pub(super) struct Log {
    plugin: Arc<str>,
    call: Call,
    budget: usize,
    dropped: u64,
    last: VecDeque<String>,
}

impl Log {
    /// Passes a line on, as long as there is room for it. The last lines are kept in any case, for a trap's error.
    pub(super) fn line(&mut self, level: Level, text: &str) {
        let shown = printable(text);
        self.keep(&shown);
        if text.len() > self.budget {
            self.dropped += 1;
            return;
        }
        self.budget -= text.len();
        let (plugin, call) = (&*self.plugin, self.call.as_str());
        match level {
            Level::Debug => tracing::debug!(plugin, call, "{shown}"),
            Level::Info => tracing::info!(plugin, call, "{shown}"),
            Level::Warn => tracing::warn!(plugin, call, "{shown}"),
            Level::Error => tracing::error!(plugin, call, "{shown}"),
        }
    }

    fn keep(&mut self, line: &str) {
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last
            .push_back(line[..line.floor_char_boundary(LAST_LINE_BYTES)].to_owned());
    }

    /// Says how much was dropped, once at the end of a call.
    pub(super) fn close(&self) {
        if self.dropped > 0 {
            let (plugin, call) = (&*self.plugin, self.call.as_str());
            tracing::warn!(
                plugin,
                call,
                dropped = self.dropped,
                "log lines beyond the limit `log-bytes` were dropped"
            );
        }
    }
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect()
}

/// Why a call ended without an answer.
pub(super) fn fault(error: &wasmtime::Error, state: &CallState) -> Fault {
    if let Some(exceeded) = exceeded(error, &state.limits) {
        return Fault::Limit(exceeded);
    }
    let cause = error
        .downcast_ref::<Trap>()
        .map_or_else(|| chain(error), ToString::to_string);
    Fault::Trap {
        cause,
        log: state.log.last.iter().cloned().collect(),
    }
}

/// The limit that ended a call, if one did.
pub(super) fn exceeded(error: &wasmtime::Error, limits: &Limits) -> Option<LimitExceeded> {
    if let Some(exceeded) = error.downcast_ref::<LimitExceeded>() {
        return Some(exceeded.clone());
    }
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
        return beyond(LimitKind::AnswerBytes, limits.answer_bytes as u64);
    }
    if text.contains("resource limit exceeded") {
        return beyond(LimitKind::Instances, limits.instances as u64);
    }
    None
}
