//! Application managers in the simulated world: they begin, work, stand still, and die between two effects.

use forebay_job::{Document, Job};

use super::network::{Down, Up, latency};
use super::process::{Mail, Manager};
use super::world::{KEEP_ALIVE_MS, World};
use crate::agent::simulated::script::short;
use crate::events::{AgentPhase, JobEvent, Outcome};
use crate::journal::Journal;
use crate::manager::core::Core;
use crate::manager::effect::{Effect, Input, Link, Refusal};
use crate::manager::mending::Mended;
use crate::manager::tests::bench::{dataflow, setting};
use crate::preparation::prepare;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::{ActionId, LogAcknowledge, LogChunk, ManagerMessage};
use crate::wire::node_id;

/// Until the engine has started the next application manager.
const NEXT_TERM_MS: u64 = 1_500;
/// Of every application manager.
const PID: u32 = 42;
/// A wall clock that is behind this much is not corrected for: the core itself must cope.
const UNCORRECTED_MS: u64 = 20_000;

impl World<'_> {
    // -------------------------------------------------------------------------------------------------------- begin

    pub(super) fn begin_term(&mut self) {
        if self.next_term_at_ms.is_none_or(|at| at > self.now_ms) {
            return;
        }
        self.next_term_at_ms = None;
        if self.summary.is_some() {
            return;
        }
        self.replace_engine();
        let term = self.journal.last_term() + 1;
        let claimed = self.journal.claim_term(term, PID);
        claimed.expect("nobody has it");
        let last = self.journal.last().expect("it can be read");
        let clock_ms = self.wall_clock_ms(last.as_ref().map(|entry| entry.time_ms));
        self.witness
            .note(&format!("-- term {term}, its clock is {clock_ms}"));
        let Mended {
            plugins, prepared, ..
        } = self.mended();
        let setting = setting(term, self.scenario.awaited_agents);
        let (core, begin) = match last {
            None => (Core::new(setting, prepared, plugins), Input::Submitted),
            Some(entry) => (
                Core::resumed(setting, prepared, plugins, entry),
                Input::Recovered,
            ),
        };
        let dies_after = self.deaths.pop_front();
        let mut manager = Manager::new(term, core, self.now_ms, clock_ms, dies_after);
        manager.post(Mail::Input(begin), self.now_ms);
        self.managers.push(manager);
    }

    /// The plugins of the job, as somebody has made them.
    pub(super) fn mended(&self) -> Mended {
        let plugins = self.plugins.of_job(&self.scenario.roles, &self.breakdown);
        let job = self.job();
        let prepared = prepare(&job, &plugins).expect("the job can be prepared");
        Mended {
            plugins,
            prepared,
            replaced: Vec::new(),
        }
    }

    fn job(&self) -> Job {
        let text = self.scenario.job_file();
        let document = Document::parse(&text, "job.toml", std::path::Path::new("/nowhere"));
        let (mut job, _) = document.check().into_job().expect("the job is valid");
        let roles = &self.scenario.roles;
        job.roles.retain(|role| roles.contains_key(&role.name));
        for role in &mut job.roles {
            let is_fed = roles.get(&role.name).is_some_and(|rule| rule.is_fed);
            role.input = is_fed.then(|| "rows".into());
        }
        if self.scenario.has_dataflow {
            job.dataflow = dataflow(self.scenario.habits.endless_dataflow);
        }
        job
    }

    /// As in `clock`: no earlier than what the journal knows. Sometimes a little earlier all the same.
    fn wall_clock_ms(&mut self, known_ms: Option<u64>) -> u64 {
        let wall_ms = self.now_ms.saturating_add_signed(self.clock_step_ms);
        let known_ms = known_ms.unwrap_or_default();
        if wall_ms < known_ms && self.rng.bool() {
            return known_ms.saturating_sub(self.rng.u64(0..UNCORRECTED_MS));
        }
        wall_ms.max(known_ms)
    }

    // --------------------------------------------------------------------------------------------------------- work

    pub(super) fn manage(&mut self) {
        for position in 0..self.managers.len() {
            let manager = &mut self.managers[position];
            if manager.next_ms() <= self.now_ms {
                if manager.frozen_until_ms.take().is_some() {
                    let term = manager.term;
                    self.witness.note(&format!("-- term {term} wakes up"));
                }
                self.handle(position);
            }
        }
    }

    fn handle(&mut self, position: usize) {
        let mail = std::mem::take(&mut self.managers[position].mailbox);
        self.managers[position].looks_at_ms = None;
        let mut inputs = Vec::with_capacity(mail.len());
        for mail in mail {
            match mail {
                Mail::Input(input) => {
                    self.note_input(position, &input);
                    inputs.push(input);
                }
                Mail::Log(link, chunk) => inputs.extend(self.log(position, link, &chunk)),
            }
        }
        let manager = &mut self.managers[position];
        let clock_ms = manager.clock_ms(self.now_ms);
        for effect in manager.core.handle(clock_ms, inputs) {
            if self.is_to_die(position) {
                return self.die(position);
            }
            if !self.perform(position, effect) {
                return;
            }
        }
        self.managers[position].rest(self.now_ms);
    }

    fn is_to_die(&mut self, position: usize) -> bool {
        let Some(left) = &mut self.managers[position].dies_after else {
            return false;
        };
        *left = left.saturating_sub(1);
        *left == 0
    }

    fn note_input(&mut self, position: usize, input: &Input) {
        let now_ms = self.now_ms;
        let contacts = &mut self.managers[position].contacts;
        match input {
            Input::Gone { link } => {
                let mut contacts = contacts.values_mut();
                if let Some(contact) = contacts.find(|contact| contact.link == *link) {
                    contact.closed_ms = Some(now_ms);
                }
            }
            Input::Joined { link, register } => {
                contacts
                    .entry(register.pid)
                    .or_default()
                    .join(*link, register.stream, now_ms);
            }
            Input::Agent { link, .. } | Input::LogClosed { link, .. } => {
                let mut contacts = contacts.values_mut();
                if let Some(contact) = contacts.find(|contact| contact.link == *link) {
                    contact.heard_ms = now_ms;
                }
            }
            _ => {}
        }
        let term = self.managers[position].term;
        if !matches!(input, Input::Agent { .. }) {
            let text = format!("{input:?}");
            let short = text
                .split(&[' ', '{'][..])
                .next()
                .unwrap_or_default()
                .to_owned();
            self.witness.note(&format!("   {term} < {short}"));
        }
    }

    /// As the shell does: the log is stored at once, whatever becomes of the rest.
    fn log(&mut self, position: usize, link: Link, chunk: &LogChunk) -> Option<Input> {
        if !self.managers[position].core.takes_log(link, chunk) {
            return None;
        }
        let held = LogAcknowledge {
            node: chunk.node.clone(),
            attempt: chunk.attempt,
            offset: 1,
        };
        self.send(position, link, ToAgent::LogAcknowledge(held));
        Some(Input::LogClosed {
            link,
            node: node_id(chunk.node.as_ref()).to_string(),
            attempt: chunk.attempt,
        })
    }

    /// False where that was the last thing that it did.
    fn perform(&mut self, position: usize, effect: Effect) -> bool {
        let is_in_charge = position + 1 == self.managers.len();
        match effect {
            Effect::Journal(entry) => {
                if self.journal.append(&entry).is_err() {
                    if is_in_charge {
                        self.witness
                            .violated(format!("entry {} is not the next one", entry.number));
                    }
                    self.die(position);
                    return false;
                }
                self.note_entry(&entry);
                self.judge_entry(&entry);
            }
            Effect::Send { link, message } => self.send(position, link, message),
            Effect::Close { link, refusal } => self.close(position, link, &refusal),
            Effect::Emit(JobEvent::Summary(_)) if !is_in_charge => {
                self.witness
                    .violated("one that was overtaken ends the job".into());
            }
            Effect::Emit(event) if is_in_charge => self.emit(event),
            Effect::Answer { ticket, .. } | Effect::Decline { ticket, .. } => self.answered(ticket),
            Effect::Emit(_) | Effect::Show(_) => {}
            Effect::Ended(outcome) => {
                self.end(position, outcome);
                return false;
            }
        }
        true
    }

    fn note_entry(&mut self, entry: &crate::journal::Entry) {
        let decision = entry
            .decision
            .as_ref()
            .map_or_else(String::new, |decision| {
                format!(
                    "{:?} => [{}] {:?}",
                    decision.events, decision.phase, decision.actions
                )
            });
        self.witness.note(&format!(
            "   {} entry {} {decision}",
            entry.term, entry.number
        ));
    }

    fn send(&mut self, position: usize, link: Link, message: ToAgent) {
        let (term, now_ms) = (self.managers[position].term, self.now_ms);
        let Some(seat) = self.streams.get(&link).map(|stream| stream.seat) else {
            return;
        };
        if matches!(message, ToAgent::Welcome(_)) && position + 1 == self.managers.len() {
            let id = self.seats[seat].id.clone();
            self.witness.given_up.retain(|given_up| *given_up != id);
        }
        if !matches!(
            message,
            ToAgent::Acknowledge(_) | ToAgent::LogAcknowledge(_) | ToAgent::Cluster(_)
        ) {
            let text = format!("{}: {}", self.seats[seat].id, brief(&message));
            self.witness.note(&format!("   {term} > {text}"));
            if let Some(action) = action_of(&message) {
                self.judge_order(action, &text);
            }
        }
        let Some(stream) = self.streams.get_mut(&link) else {
            return;
        };
        let message = ManagerMessage {
            term,
            message: Some(message),
        };
        let takes_ms = latency(&mut self.rng, &self.scenario);
        stream.down.push(now_ms, takes_ms, Down::Message(message));
    }

    fn close(&mut self, position: usize, link: Link, refusal: &Refusal) {
        let now_ms = self.now_ms;
        self.witness
            .note(&format!("   link {link} is refused: {refusal:?}"));
        if *refusal != Refusal::Silent {
            let contacts = &mut self.managers[position].contacts;
            contacts.retain(|_, contact| contact.link != link);
        }
        if let Some(stream) = self.streams.get_mut(&link) {
            let takes_ms = latency(&mut self.rng, &self.scenario);
            let last = match refusal {
                Refusal::Unfit(_) | Refusal::Over => Down::Refused,
                Refusal::Overtaken(_) | Refusal::Outdated | Refusal::Silent => Down::Closed,
            };
            stream.down.close(now_ms, takes_ms, last);
        }
    }

    fn emit(&mut self, event: JobEvent) {
        match event {
            JobEvent::Agent {
                pid,
                phase: AgentPhase::Lost,
                agent,
                ..
            } => {
                self.witness
                    .note(&format!("   {agent} (process {pid}) is lost"));
                self.judge_loss(pid);
            }
            JobEvent::Summary(summary) => {
                self.witness
                    .note(&format!("== {:?}: {}", summary.outcome, summary.reason));
                self.judge_summary(&summary);
                self.summary = Some(summary);
            }
            JobEvent::Warning { message, .. } => {
                self.witness.note(&format!("   warning: {message}"));
            }
            JobEvent::Quarantined { reason, .. } => {
                self.witness.note(&format!("   quarantined: {reason}"));
            }
            JobEvent::Resumed { .. } => self.witness.note("   resumed"),
            JobEvent::Phase { phase, note } => {
                self.witness
                    .note(&format!("   phase {phase} {}", note.unwrap_or_default()));
            }
            _ => {}
        }
    }

    // ---------------------------------------------------------------------------------------------------------- end

    /// It ends with its job: what it has said arrives.
    fn end(&mut self, position: usize, outcome: Outcome) {
        let (term, now_ms) = (self.managers[position].term, self.now_ms);
        self.witness
            .note(&format!("-- term {term} ends: {outcome:?}"));
        self.managers[position].is_gone = true;
        for stream in self
            .streams
            .values_mut()
            .filter(|stream| stream.term == term)
        {
            let takes_ms = latency(&mut self.rng, &self.scenario);
            stream.down.close(now_ms, takes_ms, Down::Closed);
            stream.up.tear(&mut self.rng, now_ms, 0, Up::Closed);
        }
    }

    /// It is killed: some of what it has said arrives.
    pub(super) fn die(&mut self, position: usize) {
        let (term, now_ms) = (self.managers[position].term, self.now_ms);
        self.witness.note(&format!("-- term {term} dies"));
        self.managers[position].is_gone = true;
        for stream in self
            .streams
            .values_mut()
            .filter(|stream| stream.term == term)
        {
            let notices_after_ms = short(&mut self.rng, 500);
            stream
                .down
                .tear(&mut self.rng, now_ms, notices_after_ms, Down::Closed);
            stream.up.tear(&mut self.rng, now_ms, 0, Up::Closed);
        }
        if position + 1 == self.managers.len() && self.summary.is_none() {
            let after_ms = 50 + short(&mut self.rng, NEXT_TERM_MS);
            self.next_term_at_ms = Some(now_ms + after_ms);
        }
    }

    pub(super) fn kill_manager(&mut self) {
        let position = self.managers.len().saturating_sub(1);
        if self
            .managers
            .get(position)
            .is_some_and(|manager| !manager.is_gone)
        {
            self.die(position);
        }
    }

    /// It stands still, and another one takes over.
    pub(super) fn freeze(&mut self, ms: u64) {
        let now_ms = self.now_ms;
        let Some(manager) = self.managers.last_mut().filter(|manager| !manager.is_gone) else {
            return;
        };
        manager.frozen_until_ms = Some(now_ms + ms.max(1));
        let term = manager.term;
        for stream in self
            .streams
            .values_mut()
            .filter(|stream| stream.term == term)
        {
            let notices_after_ms = short(&mut self.rng, KEEP_ALIVE_MS);
            stream.down.close(now_ms, notices_after_ms, Down::Closed);
        }
        self.next_term_at_ms = Some(now_ms + 50 + short(&mut self.rng, NEXT_TERM_MS));
    }
}

fn action_of(message: &ToAgent) -> Option<ActionId> {
    match message {
        ToAgent::Place(place) => place.action,
        ToAgent::Start(start) => start.action,
        ToAgent::Stop(stop) => stop.action,
        ToAgent::Release(release) => release.action,
        _ => None,
    }
}

fn brief(message: &ToAgent) -> String {
    match message {
        ToAgent::Place(place) => {
            let nodes = place.nodes.iter();
            let nodes = nodes.map(|node| node_id(node.node.as_ref()).to_string());
            format!("place {}", nodes.collect::<Vec<_>>().join(" "))
        }
        ToAgent::Start(start) => format!(
            "start {}, attempt {}, fed by {:?}",
            node_id(start.node.as_ref()),
            start.attempt,
            start.fed_by
        ),
        ToAgent::Stop(stop) => {
            let nodes = stop.nodes.iter();
            let nodes = nodes.map(|node| node_id(node.node.as_ref()).to_string());
            format!(
                "stop {} within {} ms",
                nodes.collect::<Vec<_>>().join(" "),
                stop.grace_ms
            )
        }
        ToAgent::Release(release) => {
            let nodes = release
                .nodes
                .iter()
                .map(|node| node_id(Some(node)).to_string());
            format!("release {}", nodes.collect::<Vec<_>>().join(" "))
        }
        ToAgent::RunDataflow(run) => format!("run the dataflow, attempt {}", run.attempt),
        ToAgent::StopDataflow(stop) if stop.drain => {
            format!("drain the dataflow, attempt {}", stop.attempt)
        }
        ToAgent::StopDataflow(stop) => format!("stop the dataflow, attempt {}", stop.attempt),
        ToAgent::EndInput(order) => format!(
            "end the input of {}, attempt {}",
            order.roles.join(" "),
            order.attempt
        ),
        ToAgent::Welcome(welcome) => format!("welcome, {} are unknown", welcome.unknown.len()),
        other => format!("{other:?}"),
    }
}
