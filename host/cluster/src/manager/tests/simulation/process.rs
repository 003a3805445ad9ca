//! The process of an application manager: a core, its clock, its mailbox, and how long it lives.

use std::collections::BTreeMap;

use crate::manager::core::Core;
use crate::manager::effect::Input;
use crate::wire::cluster::LogChunk;

/// Something that waits for the loop.
#[expect(
    clippy::large_enum_variant,
    reason = "a handful wait at once, in a test"
)]
pub(super) enum Mail {
    Input(Input),
    Log(u64, LogChunk),
}

/// See the module.
pub(super) struct Manager {
    pub(super) term: u64,
    pub(super) core: Core,
    pub(super) began_ms: u64,
    /// What its clock showed then.
    pub(super) clock_began_ms: u64,
    pub(super) mailbox: Vec<Mail>,
    /// When it looks into its mailbox.
    pub(super) looks_at_ms: Option<u64>,
    /// When it does something though no mail has come.
    wakes_at_ms: Option<u64>,
    pub(super) frozen_until_ms: Option<u64>,
    /// Effects that it still performs.
    pub(super) dies_after: Option<u64>,
    /// Agents by process: since when their streams are open, or closed.
    pub(super) contacts: BTreeMap<u32, Contact>,
    pub(super) is_gone: bool,
}

/// What one application manager knows of the newest stream of an agent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contact {
    pub(super) link: u64,
    stream: u64,
    /// Absent while it is open.
    pub(super) closed_ms: Option<u64>,
    /// Since when nothing has come.
    pub(super) heard_ms: u64,
}

impl Contact {
    pub(super) fn join(&mut self, link: u64, stream: u64, now_ms: u64) {
        if stream > self.stream {
            *self = Self {
                link,
                stream,
                closed_ms: None,
                heard_ms: now_ms,
            };
        }
    }
}

impl Manager {
    pub(super) fn new(
        term: u64,
        core: Core,
        now_ms: u64,
        clock_ms: u64,
        dies_after: Option<u64>,
    ) -> Self {
        Self {
            term,
            core,
            began_ms: now_ms,
            clock_began_ms: clock_ms,
            mailbox: Vec::new(),
            looks_at_ms: Some(now_ms),
            wakes_at_ms: None,
            frozen_until_ms: None,
            dies_after,
            contacts: BTreeMap::new(),
            is_gone: false,
        }
    }

    pub(super) fn clock_ms(&self, now_ms: u64) -> u64 {
        self.clock_began_ms + (now_ms - self.began_ms)
    }

    pub(super) fn post(&mut self, mail: Mail, looks_at_ms: u64) {
        self.mailbox.push(mail);
        self.looks_at_ms.get_or_insert(looks_at_ms);
    }

    /// It has done what it had to do by now, and waits.
    pub(super) fn rest(&mut self, now_ms: u64) {
        let clock_ms = self.clock_ms(now_ms);
        let wake_ms = self.core.next_wake_ms();
        // As the loop of the real one: it does not turn without a pause.
        let rest_ms = wake_ms.map(|at| at.saturating_sub(clock_ms).max(1));
        self.wakes_at_ms = rest_ms.map(|rest_ms| now_ms.saturating_add(rest_ms));
    }

    /// It waits for what may come, as long as that takes.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_gone && self.frozen_until_ms.is_none() && self.looks_at_ms.is_none()
    }

    /// When it does something next.
    pub(super) fn next_ms(&self) -> u64 {
        if self.is_gone {
            return u64::MAX;
        }
        let awake = self.looks_at_ms.into_iter().chain(self.wakes_at_ms).min();
        self.frozen_until_ms.or(awake).unwrap_or(u64::MAX)
    }
}
