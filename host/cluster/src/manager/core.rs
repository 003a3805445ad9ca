//! The deciding core of the application manager: inputs in, effects out. It is given the time, reads nothing and sends
//! nothing, so a simulation can drive it as well as the real loop.
//!
//! The types are [`Core`] (this file: events, decisions, journal entries), and its parts: agents and their outboxes
//! (`agents`), what happens to nodes (`nodes`) and to the dataflow (`dataflow`), what the state machine orders (`actions`), places (`placing`), new
//! attempts (`launching`), plugins that fail (`quarantine`), and the end (`ending`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use forebay_plugin::{Action, Event, JobView, Moment, NodeId, ValidDecision, unsupported};
use sha2::{Digest, Sha256};

use super::actions::{Id, ids_and_actions};
use super::effect::{Effect, Input, Link, Ticket};
use super::nodes::LogRecord;
use super::pace::Pace;
use super::quarantine::Failure;
use super::tables::{AgentState, DataflowRecord, Tables};
use crate::events::{JobEvent, Outcome, TermSummary};
use crate::journal::{DecisionRecord, Entry};
use crate::preparation::{PluginSet, Prepared};
use crate::submission::SubmittedPlugin;

/// What agents told is journaled at the latest after this, also when nothing had to be decided.
const JOURNAL_WITHIN_MS: u64 = 1_000;
const JOURNAL_WITHIN_QUARANTINED_MS: u64 = 15_000;
/// See [`Core::clock_due_ms`].
const CLOCK_EVERY_MS: u64 = 60_000;
/// Timers fire together, and no sooner than this after the ones before: each may cause a decision, and so a journal entry.
const TIMERS_EVERY_MS: u64 = 100;
/// Agents of an application manager that has died come to the next one within this; then they are lost.
pub(super) const RETURN_WITHIN_MS: u64 = 15_000;
/// An application manager that looks so much later than it wanted to has stood still itself.
const LATE_AFTER_MS: u64 = 500;
/// A state machine whose decisions cause new events at once, over and over, is wrong.
const DECISIONS_AT_ONCE_MAX: usize = 100;

/// Fixed for one application manager.
pub(crate) struct Setting {
    /// Name of the run directory.
    pub(crate) run: String,
    /// Path of the run directory, for the summary.
    pub(crate) run_dir: PathBuf,
    pub(crate) term: u64,
    pub(crate) pid: u32,
    /// Where agents of other machines join.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) submitted_ms: u64,
    /// How many agents with room `place` waits for.
    pub(crate) awaited_agents: u32,
    pub(crate) files: BTreeMap<String, Vec<crate::submission::SubmittedFile>>,
}

/// The open stream of an agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// Its index.
    pub(super) agent: usize,
    /// When something was heard last. Absent for an agent inside the engine: it ends with its process.
    pub(super) heard_ms: Option<u64>,
}

/// See the module.
pub(crate) struct Core {
    pub(super) setting: Setting,
    pub(super) prepared: Prepared,
    pub(super) plugins: PluginSet,
    pub(super) tables: Tables,
    pub(super) now_ms: u64,
    /// Open streams.
    pub(super) links: BTreeMap<Link, Connection>,
    /// When this application manager wanted to look again.
    due_ms: Option<u64>,
    /// The newest stream of each agent that has registered, as it counts them, by agent id.
    pub(super) streams: BTreeMap<String, u64>,
    /// Of attempts of which something was heard.
    pub(super) logs: BTreeMap<(String, u32), LogRecord>,
    /// Of the dataflow.
    pub(super) pace: Pace,
    /// Numbers of the outboxes that are in the tables, by agent id.
    pub(super) outbox: BTreeMap<String, u64>,
    pub(super) effects: Vec<Effect>,
    pub(super) state: Vec<u8>,
    /// The same as far as the journal has it: agents need not keep those.
    pub(super) journaled_outbox: BTreeMap<String, u64>,
    /// When timers fired last.
    timers_fired_ms: u64,
    entry_number: u64,
    /// The last decision of the application manager before: nobody knows how much of it was carried out.
    unfinished: Vec<(Id, Action)>,
    tickets: Vec<(Ticket, u64)>,
    /// Places that agents hold and nobody wants, by agent.
    pub(super) unwanted: Vec<(usize, NodeId)>,
    unjournaled_since_ms: Option<u64>,
    /// Of the newest entry.
    entry_ms: u64,
    /// See [`Core::expect_more`].
    expects_more: bool,
    /// Effects are held back until the entry that they follow from is written.
    is_gathering: bool,
    /// The summary is out.
    pub(super) is_over: bool,
}

impl Core {
    /// The core of a job's first application manager.
    pub(crate) fn new(setting: Setting, prepared: Prepared, plugins: PluginSet) -> Self {
        let mut tables = Tables::of_job(&prepared.spec);
        let has_dataflow = !prepared.job.dataflow.is_empty();
        tables.dataflow = has_dataflow.then(DataflowRecord::default);
        tables.terms.push(TermSummary {
            term: setting.term,
            pid: setting.pid,
        });
        Self {
            setting,
            prepared,
            plugins,
            tables,
            now_ms: 0,
            links: BTreeMap::new(),
            due_ms: None,
            streams: BTreeMap::new(),
            logs: BTreeMap::new(),
            pace: Pace::default(),
            outbox: BTreeMap::new(),
            journaled_outbox: BTreeMap::new(),
            timers_fired_ms: 0,
            effects: Vec::new(),
            state: Vec::new(),
            entry_number: 0,
            unfinished: Vec::new(),
            tickets: Vec::new(),
            unwanted: Vec::new(),
            unjournaled_since_ms: None,
            entry_ms: 0,
            expects_more: false,
            is_gathering: false,
            is_over: false,
        }
    }

    /// The core of an application manager that takes up the work of the one before, which wrote this entry last.
    pub(crate) fn resumed(
        setting: Setting,
        prepared: Prepared,
        plugins: PluginSet,
        entry: Entry,
    ) -> Self {
        let mut core = Self::new(setting, prepared, plugins);
        let terms = std::mem::take(&mut core.tables.terms);
        core.tables = entry.tables;
        core.tables.terms.extend(terms);
        core.state = entry.state;
        core.outbox.clone_from(&entry.outbox);
        core.journaled_outbox = entry.outbox;
        core.entry_number = entry.number;
        core.entry_ms = entry.time_ms;
        core.unfinished = entry
            .decision
            .as_ref()
            .map_or_else(Vec::new, ids_and_actions);
        core
    }

    pub(crate) fn term(&self) -> u64 {
        self.setting.term
    }

    /// Plugins in the place of submitted ones.
    pub(crate) fn replaced_plugins(&self) -> Vec<SubmittedPlugin> {
        self.tables.replaced.clone()
    }

    /// Takes everything that has happened, the passing of time included, and says what to do about it.
    pub(crate) fn handle(&mut self, now_ms: u64, inputs: Vec<Input>) -> Vec<Effect> {
        let before_ms = self.tables.clock_ms;
        self.now_ms = now_ms.max(before_ms);
        self.tables.clock_ms = self.now_ms;
        if self.has_stood_still(before_ms) {
            self.forgive_absence(self.now_ms - before_ms);
        }
        for input in inputs {
            self.take(input);
        }
        let has_heard_all = !std::mem::take(&mut self.expects_more);
        self.let_time_pass(has_heard_all);
        self.decide_all();
        self.journal_overdue();
        self.end_when_quiet();
        self.due_ms = self.next_wake_ms();
        std::mem::take(&mut self.effects)
    }

    /// What others say waits behind the next inputs: nobody is silent yet.
    pub(crate) fn expect_more(&mut self) {
        self.expects_more = true;
    }

    /// This application manager comes much too late: what others said in the meantime is still on its way.
    fn has_stood_still(&self, before_ms: u64) -> bool {
        let due_ms = self.due_ms.map(|due| due.max(before_ms));
        due_ms.is_some_and(|due| self.now_ms > due.saturating_add(LATE_AFTER_MS))
    }

    /// When [`Core::handle`] is due again though nothing has come, milliseconds since 1970; absent while only others can cause something.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        let away = self
            .tables
            .agents
            .iter()
            .filter_map(|agent| match agent.state {
                AgentState::Away { lost_at_ms } => Some(lost_at_ms),
                AgentState::Connected | AgentState::Lost => None,
            });
        let end = self
            .tables
            .end
            .as_ref()
            .map(|end| end.logs_until_ms.unwrap_or(end.nodes_until_ms));
        let timers = self.tables.timers.values().min();
        let timers = timers.map(|at| self.timers_due_ms().max(*at));
        let silent = self.links.values().filter_map(|link| link.heard_ms);
        let silent = silent.map(|heard| heard.saturating_add(self.lost_after_ms()));
        away.chain(timers)
            .chain(silent)
            .chain(
                self.tables
                    .placings
                    .iter()
                    .map(|placing| placing.deadline_ms),
            )
            .chain(self.tables.stop_deadline_ms)
            .chain(
                self.tables
                    .quarantine
                    .as_ref()
                    .map(|quarantine| quarantine.until_ms),
            )
            .chain(
                self.unjournaled_since_ms
                    .map(|since| since + self.journal_within_ms()),
            )
            .chain(self.clock_due_ms())
            .chain(end)
            .min()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Submitted => self.submitted(),
            Input::Recovered => self.recovered(),
            Input::Joined { link, register } => self.joined(link, &register),
            Input::Agent { link, message } => self.agent_said(link, message),
            Input::Gone { link } => self.gone(link),
            Input::LogGrew {
                link,
                node,
                attempt,
                length,
            } => {
                self.heard(link);
                self.log_grew(node, attempt, length);
            }
            Input::LogClosed {
                link,
                node,
                attempt,
            } => {
                self.heard(link);
                self.logs.entry((node, attempt)).or_default().is_closed = true;
            }
            Input::Stop(call) => self.stop_called(call),
            Input::Resume(call) => self.resume_called(*call),
        }
    }

    /// Takes up the work where the journal ends: agents are away until they come, and what was decided last is carried out
    /// again, under its old ids.
    fn recovered(&mut self) {
        self.announce_self();
        for agent in &mut self.tables.agents {
            if agent.state != AgentState::Lost {
                agent.state = AgentState::Away {
                    lost_at_ms: self.now_ms + RETURN_WITHIN_MS,
                };
            }
        }
        for id in self.tables.nodes_where(|node| node.phase.is_live()) {
            if let Some(node) = self.tables.node(&id).filter(|node| node.pid.is_some()) {
                self.logs
                    .insert((id.to_string(), node.attempt), LogRecord::default());
            }
        }
        let downtime_ms = self.now_ms.saturating_sub(self.entry_ms);
        self.put_off_deadlines(downtime_ms);
        self.changed();
        let unfinished = std::mem::take(&mut self.unfinished);
        self.carry_out_all(unfinished);
        self.happened(Event::Recovered(downtime_ms));
    }

    /// Nobody could keep them while there was no application manager; and the clock may have been set meanwhile.
    fn put_off_deadlines(&mut self, by_ms: u64) {
        let placings = self.tables.placings.iter_mut();
        let placings = placings.map(|placing| &mut placing.deadline_ms);
        let end = self.tables.end.iter_mut();
        let end = end.flat_map(|end| {
            [&mut end.nodes_until_ms]
                .into_iter()
                .chain(&mut end.logs_until_ms)
        });
        let quarantine = self.tables.quarantine.iter_mut();
        let quarantine = quarantine.map(|quarantine| &mut quarantine.until_ms);
        let stop = &mut self.tables.stop_deadline_ms;
        for deadline_ms in placings.chain(end).chain(quarantine).chain(stop) {
            *deadline_ms = deadline_ms.saturating_add(by_ms);
        }
    }

    fn announce_self(&mut self) {
        self.emit(JobEvent::Am {
            term: self.setting.term,
            pid: self.setting.pid,
            listen: self.setting.listen.clone(),
        });
    }

    fn submitted(&mut self) {
        self.emit(JobEvent::Job {
            job: self.prepared.job.name.clone(),
            run_dir: self.setting.run_dir.clone(),
            version: crate::submission::HOST_VERSION.into(),
        });
        self.announce_self();
        for warning in self.prepared.warnings.clone() {
            let message = format!("{}: {}", warning.key, warning.message);
            self.emit(JobEvent::Warning {
                message,
                hint: warning.hint,
            });
        }
        self.happened(Event::Submitted);
    }

    fn let_time_pass(&mut self, has_heard_all: bool) {
        if has_heard_all {
            self.cut_silent_links();
            self.lose_agents();
        }
        self.fire_timers();
        self.settle_placings();
        self.enforce_stop();
        self.end_quarantine_in_time();
    }

    /// The earliest moment at which timers fire again.
    fn timers_due_ms(&self) -> u64 {
        self.timers_fired_ms.saturating_add(TIMERS_EVERY_MS)
    }

    fn fire_timers(&mut self) {
        if self.now_ms < self.timers_due_ms() {
            return;
        }
        let due: Vec<String> = self
            .tables
            .timers
            .iter()
            .filter(|(_, at)| **at <= self.now_ms)
            .map(|(id, _)| id.clone())
            .collect();
        if !due.is_empty() {
            self.timers_fired_ms = self.now_ms;
        }
        for id in due {
            self.tables.timers.remove(&id);
            self.happened(Event::Timer(id));
        }
    }

    // ------------------------------------------------------------------------------------------ events and decisions

    /// An event for the state machine. Nobody asks it once the job is ending.
    pub(super) fn happened(&mut self, event: Event) {
        if self.tables.end.is_none() && self.takes_in(&event) {
            self.tables.undecided.push(event);
        }
    }

    /// Nodes became ready: one event for all that did at once.
    pub(super) fn became_ready(&mut self, node: NodeId) {
        if let Some(Event::NodesReady(nodes)) = self.tables.undecided.last_mut() {
            nodes.push(node);
        } else {
            self.happened(Event::NodesReady(vec![node]));
        }
    }

    /// Number that the next event of [`Core::happened`] will have.
    pub(super) fn number_of_next_event(&self) -> u64 {
        self.tables.next_event + self.tables.undecided.len() as u64
    }

    /// The person behind the ticket hears this number once it is journaled.
    pub(super) fn answer_when_journaled(&mut self, ticket: Ticket, event_number: u64) {
        self.tickets.push((ticket, event_number));
        self.changed();
    }

    fn decide_all(&mut self) {
        for _ in 0..DECISIONS_AT_ONCE_MAX {
            if self.tables.end.is_some() {
                self.tables.undecided.clear();
            }
            if self.tables.undecided.is_empty() || self.tables.quarantine.is_some() {
                return;
            }
            self.decide();
        }
        self.quarantine(
            "its decisions cause new events without end"
                .to_owned()
                .into(),
        );
    }

    /// Asks the state machine. Where it fails, the events stay, under their numbers.
    fn decide(&mut self) {
        let events = &self.tables.undecided;
        let (now, view) = (self.moment(), self.tables.view());
        let answer =
            self.plugins
                .machine
                .decide(&self.prepared.spec, &now, &view, &self.state, events);
        match answer {
            Err(error) => self.quarantine(Failure::of(&error)),
            Ok(decision) => {
                if let Some(unsupported) = decision.actions.iter().find_map(unsupported) {
                    return self.quarantine(unsupported.to_string().into());
                }
                let events = std::mem::take(&mut self.tables.undecided);
                self.tables.next_event += events.len() as u64;
                let record = record(&self.plugins.machine_sha256, now, view, events, &decision);
                self.accept(record, &decision);
            }
        }
    }

    /// The decision takes effect: journal first, then the actions in their order.
    fn accept(&mut self, record: DecisionRecord, decision: &ValidDecision) {
        self.state.clone_from(&decision.state);
        // With the decided end begins a phase of the host's own.
        let is_end = |action: &Action| matches!(action, Action::Finish(_));
        if !decision.actions.iter().any(is_end) {
            self.enter_phase(&decision.phase, decision.note.as_deref());
        }
        let actions = ids_and_actions(&record);
        self.journal(Some(record));
        self.carry_out_all(actions);
    }

    fn moment(&self) -> Moment {
        let event_number = self.tables.next_event;
        let digest = Sha256::digest(format!("{} {event_number}", self.setting.run));
        let seed = digest
            .iter()
            .take(8)
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        Moment {
            now_ms: self.now_ms,
            event_number,
            seed,
        }
    }

    pub(super) fn enter_phase(&mut self, phase: &str, note: Option<&str>) {
        if self.tables.phase != phase {
            phase.clone_into(&mut self.tables.phase);
            self.emit(JobEvent::Phase {
                phase: phase.into(),
                note: note.map(Into::into),
            });
        }
    }

    // --------------------------------------------------------------------------------------------------- journal

    /// Something is in the tables that is not in the journal.
    pub(super) fn changed(&mut self) {
        self.unjournaled_since_ms.get_or_insert(self.now_ms);
    }

    /// While something has a deadline, the journal says what time it is: the next application manager puts deadlines off by what
    /// it takes for a downtime.
    fn clock_due_ms(&self) -> Option<u64> {
        let tables = &self.tables;
        let has_deadline = tables.quarantine.is_some() || tables.stop_deadline_ms.is_some();
        has_deadline.then(|| self.entry_ms.saturating_add(CLOCK_EVERY_MS))
    }

    /// What waits in a quarantine is written with each entry.
    fn journal_within_ms(&self) -> u64 {
        match self.tables.quarantine {
            Some(_) => JOURNAL_WITHIN_QUARANTINED_MS,
            None => JOURNAL_WITHIN_MS,
        }
    }

    fn journal_overdue(&mut self) {
        let overdue = self
            .unjournaled_since_ms
            .is_some_and(|since| since + self.journal_within_ms() <= self.now_ms);
        let is_late = self.clock_due_ms().is_some_and(|due| due <= self.now_ms);
        if overdue || is_late || !self.tickets.is_empty() || !self.unwanted.is_empty() {
            self.journal(None);
        }
    }

    /// Does `work` and writes the tables that it leaves before anything of it is told: an order has to follow from the
    /// tables alone.
    pub(super) fn journaled_first(&mut self, work: impl FnOnce(&mut Self)) {
        if self.is_gathering {
            return work(self);
        }
        self.is_gathering = true;
        let before = std::mem::take(&mut self.effects);
        work(self);
        let caused = std::mem::replace(&mut self.effects, before);
        self.is_gathering = false;
        self.journal(None);
        self.effects.extend(caused);
    }

    /// The tables go to the journal in this step.
    pub(super) fn journal_soon(&mut self) {
        self.unjournaled_since_ms = Some(0);
    }

    /// Writes an entry; what was waiting for it is let go. Within [`Core::journaled_first`] that one's entry is meant.
    pub(super) fn journal(&mut self, decision: Option<DecisionRecord>) {
        if self.is_gathering {
            return;
        }
        self.entry_number += 1;
        self.entry_ms = self.now_ms;
        self.unjournaled_since_ms = None;
        self.effects.push(Effect::Journal(Box::new(Entry {
            number: self.entry_number,
            term: self.setting.term,
            time_ms: self.now_ms,
            decision,
            state: self.state.clone(),
            outbox: self.outbox.clone(),
            tables: self.tables.clone(),
        })));
        self.journaled_outbox.clone_from(&self.outbox);
        self.acknowledge();
        self.release_unwanted();
        for (ticket, event_number) in std::mem::take(&mut self.tickets) {
            self.effects.push(Effect::Answer {
                ticket,
                event_number,
            });
        }
    }

    // ---------------------------------------------------------------------------------------------------- output

    pub(super) fn emit(&mut self, event: JobEvent) {
        self.effects.push(Effect::Emit(event));
    }

    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.effects.push(Effect::Ended(outcome));
    }
}

fn record(
    plugin: &str,
    now: Moment,
    view: JobView,
    events: Vec<Event>,
    decision: &ValidDecision,
) -> DecisionRecord {
    DecisionRecord {
        plugin: plugin.into(),
        now,
        view,
        events,
        phase: decision.phase.clone(),
        note: decision.note.clone(),
        actions: decision.actions.clone(),
    }
}
