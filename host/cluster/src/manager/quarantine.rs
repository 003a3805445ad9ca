//! A plugin that fails brings nobody down: nodes go on, no plugin is asked anything, and what needed one (events, starts,
//! ends) waits, in the tables, until a person resumes the job with a mended plugin, stops it, or nobody has done either for too long.

use std::collections::BTreeMap;

use forebay_plugin::{CallError, Event, ExitReport, NodePhase, VerdictKind};

use super::core::Core;
use super::effect::{Effect, ResumeCall};
use super::mending::Mended;
use super::nodes::verdict;
use super::tables::{AgentState, Quarantine, Tables, Unjudged};
use crate::causes::chain;
use crate::clock::milliseconds;
use crate::events::JobEvent;
use crate::preparation::Prepared;

/// Most signals of scripts that wait while a job is quarantined, and the most bytes of them: all are told in one call. Beyond
/// this they are dropped; nothing else comes in such numbers.
const SIGNALS_MAX: usize = 10_000;
const SIGNAL_BYTES_MAX: usize = 4 << 20;

impl Quarantine {
    fn is_full(&self) -> bool {
        self.signals > SIGNALS_MAX || self.signal_bytes > SIGNAL_BYTES_MAX
    }
}

/// What a plugin did.
pub(super) struct Failure {
    pub(super) reason: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn of(error: &CallError) -> Self {
        Self {
            reason: chain(error),
            hint: error.hint().map(Into::into),
        }
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, hint: None }
    }
}

impl Core {
    // ------------------------------------------------------------------------------------------------------ begin

    /// A plugin cannot be used any more. A job that ends, or that somebody wants to end, does so without it.
    pub(super) fn quarantine(&mut self, failure: Failure) {
        let Failure { reason, hint } = failure;
        if self.tables.end.is_some() {
            return self.emit(JobEvent::Warning {
                message: format!("a plugin failed while the job ends: {reason}"),
                hint,
            });
        }
        if self.tables.quarantine.is_some() {
            return;
        }
        let grace_ms = self.quarantine_grace_ms();
        self.emit(JobEvent::Quarantined {
            reason: reason.clone(),
            hint: hint.clone(),
            for_ms: grace_ms,
        });
        self.tables.quarantine = Some(Quarantine {
            reason,
            hint,
            until_ms: self.now_ms.saturating_add(grace_ms),
            unjudged: Vec::new(),
            signals: 0,
            signal_bytes: 0,
        });
        self.journal_soon();
        if self.tables.stop_deadline_ms.is_some() {
            return self.stopped();
        }
        self.enter_phase("quarantined", None);
    }

    fn quarantine_grace_ms(&self) -> u64 {
        milliseconds(self.prepared.job.limits.quarantine_grace)
    }

    // ----------------------------------------------------------------------------------------------- what waits

    /// Its process is gone; what that means stays open. At the end of the job it is bad.
    pub(super) fn keep_unjudged(&mut self, report: ExitReport) {
        let Some(mut quarantine) = self.tables.quarantine.take() else {
            let bad = verdict(
                VerdictKind::Fatal,
                "its node runner could not judge its end",
            );
            return self.exited(report, bad);
        };
        let mut unjudged = Unjudged { report, pid: None };
        let id = unjudged.report.node.clone();
        if let Some(node) = self.tables.node_mut(&id) {
            unjudged.pid = node.pid.take();
            if node.phase.is_live() {
                node.phase = NodePhase::Exited;
            }
        }
        quarantine.unjudged.push(unjudged);
        self.tables.quarantine = Some(quarantine);
        self.show(&id);
    }

    fn take_up(&mut self, unjudged: Unjudged) -> ExitReport {
        if let Some(node) = self.tables.node_mut(&unjudged.report.node) {
            node.pid = unjudged.pid;
        }
        unjudged.report
    }

    /// Whether the event may wait with the others. Only what scripts say may come without end.
    pub(super) fn takes_in(&mut self, event: &Event) -> bool {
        let Some(quarantine) = &mut self.tables.quarantine else {
            return true;
        };
        match event {
            Event::Custom(signal) => {
                let was_full = quarantine.is_full();
                quarantine.signals += 1;
                quarantine.signal_bytes += signal.name.len() + signal.payload.len();
                let is_full = quarantine.is_full();
                if is_full && !was_full {
                    self.emit(JobEvent::Warning {
                        message: "too many signals of scripts wait for the plugin: they are dropped from now on".into(),
                        hint: Some("`forebay resume` or `forebay stop`".into()),
                    });
                }
                !is_full
            }
            // Once is enough.
            Event::FinishRequested(again) => !self.tables.undecided.iter().any(|event| {
                matches!(event, Event::FinishRequested(finish) if finish.node == again.node)
            }),
            _ => true,
        }
    }

    // --------------------------------------------------------------------------------------------------------- end

    /// The job ends: nobody waits for a plugin any more.
    pub(super) fn end_quarantine(&mut self) {
        let Some(quarantine) = self.tables.quarantine.take() else {
            return;
        };
        for unjudged in quarantine.unjudged {
            let report = self.take_up(unjudged);
            self.keep_unjudged(report);
        }
    }

    pub(super) fn end_quarantine_in_time(&mut self) {
        let over = self.tables.quarantine.as_ref();
        if let Some(over) = over.filter(|quarantine| quarantine.until_ms <= self.now_ms) {
            let (reason, hint) = (over.reason.clone(), over.hint.clone());
            self.fail_engine(format!("the plugin failed: {reason}"), hint);
        }
    }

    /// Somebody has a mended plugin, or believes that this one works now. The same request, asked again, acts once.
    pub(super) fn resume_called(&mut self, call: ResumeCall) {
        if let Some(number) = self.tables.requests.get(&call.request) {
            return self.answer_when_journaled(call.ticket, *number);
        }
        let ticket = call.ticket;
        match self.take_plugins(call) {
            Ok(request) => {
                let number = self.number_of_next_event();
                self.tables.requests.insert(request, number);
                self.answer_when_journaled(ticket, number);
                self.resume();
            }
            Err(why) => self.effects.push(Effect::Decline { ticket, why }),
        }
    }

    /// Why nobody need load plugins for this request. One that was taken is answered again.
    pub(crate) fn refusal_to_resume(&self, request: &str) -> Option<String> {
        let is_known = self.tables.requests.contains_key(request);
        let may_resume = self.tables.quarantine.is_some() || is_known;
        (!may_resume).then(|| "the job is not quarantined".into())
    }

    /// Puts the plugins of this call in charge, or nothing of them.
    fn take_plugins(&mut self, call: ResumeCall) -> Result<String, String> {
        if let Some(why) = self.refusal_to_resume(&call.request) {
            return Err(why);
        }
        let Mended {
            plugins,
            prepared,
            replaced,
        } = call.mended;
        if let Some(difference) = other_roles(&self.tables, &prepared) {
            return Err(difference);
        }
        let before = &self.plugins.machine.describe().state_format;
        if plugins.machine.describe().state_format != *before && !self.state.is_empty() {
            let migrated = plugins.machine.migrate(before, &self.state);
            self.state = migrated.map_err(|error| chain(&error))?;
        }
        self.plugins = plugins;
        self.prepared = prepared;
        self.tables.replaced = replaced;
        Ok(call.request)
    }

    /// Everything that waited goes on, in the order in which it would have happened.
    fn resume(&mut self) {
        let Some(quarantine) = self.tables.quarantine.take() else {
            return;
        };
        let replaced = self.tables.replaced.iter();
        self.emit(JobEvent::Resumed {
            plugins: replaced
                .map(|plugin| (plugin.name.clone(), plugin.sha256.clone()))
                .collect(),
        });
        self.happened(Event::Resumed);
        // Somebody has looked.
        for node in self.tables.nodes_mut() {
            node.started_ms.clear();
        }
        self.journaled_first(|core| {
            core.order_all_starts();
            for unjudged in quarantine.unjudged {
                let report = core.take_up(unjudged);
                core.judge(report);
            }
            core.launch_all_deferred();
        });
    }

    /// What began in the meantime has not been ordered.
    fn order_all_starts(&mut self) {
        for agent in 0..self.tables.agents.len() {
            if self.tables.agents[agent].state == AgentState::Connected {
                let nodes = self.tables.nodes_on(agent);
                self.order_starts(&self.unstarted(&nodes));
            }
        }
    }

    fn launch_all_deferred(&mut self) {
        let waiting = self
            .tables
            .nodes_where(|node| node.phase == NodePhase::Exited && node.start_when_ended.is_some());
        for id in waiting {
            if self.tables.quarantine.is_none() {
                self.launch_deferred(&id);
            }
        }
    }
}

/// Roles and their sizes are in the tables: another plugin cannot change them.
fn other_roles(tables: &Tables, prepared: &Prepared) -> Option<String> {
    let now: BTreeMap<&str, usize> = tables
        .roles
        .iter()
        .map(|role| (role.name.as_str(), role.nodes.len()))
        .collect();
    let wanted: BTreeMap<&str, usize> = prepared
        .spec
        .roles
        .iter()
        .map(|role| (role.name.as_str(), role.nodes as usize))
        .collect();
    (now != wanted).then(|| {
        format!("with this plugin the job would have other nodes: {wanted:?} instead of {now:?}")
    })
}
