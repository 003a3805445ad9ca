//! What must be true of every run, whatever goes wrong. The judge is the witness of the simulated machines, not the tables
//! of the application manager.

use std::collections::BTreeSet;

use forebay_plugin::{Event, FinishRule, NodeId};

use super::scenario::kind;
use super::world::{Seat, World};
use crate::agent::simulated::Agent;
use crate::agent::simulated::script::Kind;
use crate::agent::simulated::witness::FlowEnd;
use crate::events::{DataflowPhase, Outcome, Summary};
use crate::exec::Ending;
use crate::journal::Entry;
use crate::manager::core::RETURN_WITHIN_MS;
use crate::wire::cluster::ActionId;

/// The limit `agent_lost_after` of the jobs.
pub(super) const LOST_AFTER_MS: u64 = 3_000;

/// Event number, position and part.
pub(super) type ActionKey = (u64, u32, u32);

impl World<'_> {
    /// An action that is told again is the same one, and told to the same agent: agents act once for its id.
    pub(super) fn judge_order(&mut self, action: ActionId, order: &str) {
        let key = (action.event_number, action.position, action.part);
        let before = self.orders.entry(key).or_insert_with(|| order.to_owned());
        if before != order {
            let text = format!("action {key:?} is `{before}`, and `{order}` as well");
            self.violated(text);
        }
    }

    /// The state machine hears once of what happens once.
    pub(super) fn judge_entry(&mut self, entry: &Entry) {
        let events = entry.decision.iter().flat_map(|decision| &decision.events);
        for event in events {
            let news = match event {
                Event::Custom(signal) => format!("signal {}", signal.payload),
                Event::NodeExited(exit) => {
                    format!("end of {}, attempt {}", exit.node, exit.attempt)
                }
                Event::DataflowEnded | Event::DataflowFailed(_) => {
                    self.judge_end_of_dataflow();
                    continue;
                }
                _ => continue,
            };
            if !self.news.insert(news.clone()) {
                self.violated(format!("the state machine hears twice: {news}"));
            }
        }
    }

    /// The state machine hears as often that it has ended as attempts have come to an end of their own.
    fn judge_end_of_dataflow(&mut self) {
        self.ends_heard += 1;
        let is_own = |end: FlowEnd| !matches!(end, FlowEnd::Aborted | FlowEnd::Died);
        let ended = self.witness.flows.iter().filter_map(|flow| flow.ended);
        if self.ends_heard > ended.filter(|end| is_own(*end)).count() {
            self.violated("the state machine hears twice: end of the dataflow".into());
        }
    }

    fn violated(&mut self, text: String) {
        self.witness.violated(text);
    }

    /// An agent is given up only after its time: that it was away, or that it said nothing.
    pub(super) fn judge_loss(&mut self, pid: u32) {
        let Some(manager) = self.managers.last() else {
            return;
        };
        let Some(seat) = self.seats.iter().find(|seat| seat.pid == pid) else {
            return;
        };
        let is_replaced = seat.in_engine && seat.agent.is_none();
        let (waited_ms, due_ms) = match manager.contacts.get(&pid) {
            Some(contact) => {
                let since_ms = contact.closed_ms.unwrap_or(contact.heard_ms);
                (self.now_ms - since_ms, LOST_AFTER_MS)
            }
            None => (self.now_ms - manager.began_ms, RETURN_WITHIN_MS),
        };
        let id = seat.id.clone();
        self.witness.given_up.push(id.clone());
        self.witness.troubles += 1;
        if waited_ms < due_ms && !is_replaced {
            self.violated(format!(
                "{id} is given up after {waited_ms} ms and has {due_ms}"
            ));
        }
    }

    pub(super) fn judge_summary(&mut self, summary: &Summary) {
        if self.summary.is_some() {
            self.violated("the job ends twice".into());
        }
        let live = self.witness.live();
        let heeded = live.filter(|process| !self.witness.given_up.contains(&process.agent));
        let heeded: Vec<String> = heeded
            .map(|process| format!("{} on {}", process.node, process.agent))
            .collect();
        if !heeded.is_empty() {
            self.violated(format!("the job ends before {}", heeded.join(", ")));
        }
        self.judge_dataflow(summary);
        if summary.engine_failed && !self.was_broken {
            self.violated(format!("the engine has failed: {}", summary.reason));
        }
        let is_plausible = match summary.outcome {
            Outcome::Succeeded => self.work_is_done(),
            Outcome::Stopped => self.was_stopped || self.was_finished_early(),
            Outcome::Failed => self.has_had_trouble(),
        };
        if !is_plausible {
            let text = format!("the job ends as {:?}: {}", summary.outcome, summary.reason);
            self.violated(text);
        }
        for node in &summary.nodes {
            let numbers: Vec<u32> = node
                .attempts
                .iter()
                .map(|attempt| attempt.attempt)
                .collect();
            if !numbers.is_sorted_by(|one, next| one < next) {
                self.violated(format!("attempts of {} are told as {numbers:?}", node.node));
            }
        }
    }

    /// What is told of the dataflow is what became of it, and it is over.
    fn judge_dataflow(&mut self, summary: &Summary) {
        let is_given_up = |agent: &String| self.witness.given_up.contains(agent);
        let live = self.witness.live_flows();
        if live.filter(|flow| !is_given_up(&flow.agent)).count() > 0 {
            self.violated("the job ends before its dataflow".into());
        }
        let told = summary.dataflow.as_ref();
        let newest = self.witness.newest_flow();
        let newest = newest.filter(|flow| told.is_some_and(|told| told.attempts == flow.attempt));
        let newest = newest.and_then(|flow| flow.ended);
        let told = told.map(|dataflow| dataflow.phase);
        let is_true = match told {
            None => !self.scenario.has_dataflow,
            Some(DataflowPhase::Waiting | DataflowPhase::Running) => false,
            Some(DataflowPhase::Ended) => newest == Some(FlowEnd::ByItself),
            Some(DataflowPhase::Drained) => newest == Some(FlowEnd::Drained),
            Some(DataflowPhase::Failed) => newest == Some(FlowEnd::Failed),
            Some(DataflowPhase::Stopped) => true,
        };
        if !is_true {
            let really: Vec<_> = self.witness.flows.iter().map(|flow| flow.ended).collect();
            self.violated(format!("the dataflow is {told:?} and really {really:?}"));
        }
        let is_endless = self.scenario.habits.endless_dataflow;
        if !is_endless && self.witness.flow_ended_as(FlowEnd::Drained) {
            self.violated("a dataflow that ends by itself is cut short and looks whole".into());
        }
    }

    /// A script finished the job; what the dataflow had not done then is given up.
    fn was_finished_early(&self) -> bool {
        self.scenario.has_dataflow && self.said_finish()
    }

    fn said_finish(&self) -> bool {
        let mut processes = self.witness.processes.iter();
        processes.any(|process| process.said_finish)
    }

    /// What the finish rules want has really happened.
    fn work_is_done(&self) -> bool {
        let flow = self.witness.newest_flow();
        let is_complete = match flow.and_then(|flow| flow.ended) {
            Some(FlowEnd::ByItself) => true,
            Some(FlowEnd::Drained) => self.said_finish(),
            _ => !self.scenario.has_dataflow,
        };
        if !is_complete || self.said_finish() {
            return is_complete;
        }
        let of_rule = |wanted: FinishRule, most: u32| {
            let roles = self.scenario.roles.iter();
            let roles = roles.filter(move |(_, rule)| rule.finish == wanted);
            roles.flat_map(move |(role, rule)| {
                (0..rule.nodes.min(most)).map(move |index| NodeId::new(role.clone(), index))
            })
        };
        let first: Vec<NodeId> = of_rule(FinishRule::First, 1).collect();
        let all = of_rule(FinishRule::All, u32::MAX).collect();
        let awaited = if first.is_empty() { all } else { first };
        awaited.iter().all(|id| self.has_finished(id))
    }

    /// Its newest process counts; and what that has been fed is what the dataflow has made of its input last.
    fn has_finished(&self, id: &NodeId) -> bool {
        let processes = self.witness.processes.iter();
        let newest = processes
            .filter(|process| process.node == *id)
            .max_by_key(|process| process.attempt);
        let flow = self.witness.newest_flow().map(|flow| flow.attempt);
        let flow = flow.filter(|_| self.scenario.habits.fed.contains(id));
        newest.is_some_and(|process| process.has_finished() && process.fed_by == flow)
    }

    fn has_had_trouble(&self) -> bool {
        let failed = |(ending, was_told): (Ending, bool), kind: Kind| {
            !was_told && (ending != Ending::Code(0) || kind == Kind::Service)
        };
        let mut processes = self.witness.processes.iter();
        self.was_broken
            || self.witness.troubles > 0
            || self.scenario.is_tight()
            || self.witness.flow_ended_as(FlowEnd::Failed)
            || processes.any(|process| {
                let kind = kind(&process.node.role);
                process.ended.is_some_and(|ended| failed(ended, kind))
            })
    }

    /// Nothing is on its way and everybody is there: then the tables say what is true.
    pub(super) fn judge_quiet_moment(&mut self) {
        let Some(manager) = self.managers.last().filter(|_| self.is_quiet()) else {
            return;
        };
        let tables = &manager.core.tables;
        let mut wrong = Vec::new();
        let dataflow = tables.dataflow.as_ref().filter(|dataflow| dataflow.runs());
        let dataflow = dataflow.map(|dataflow| dataflow.attempt);
        let agents = self.seats.iter().filter_map(|seat| seat.agent.as_ref());
        let runs: Vec<u64> = agents.filter_map(Agent::running_dataflow).collect();
        if !dataflow.iter().eq(&runs) && !self.is_missing_engine() {
            wrong.push(format!(
                "attempts {runs:?} of the dataflow run, the tables say {dataflow:?}"
            ));
        }
        for seat in &self.seats {
            let record = tables.agents.iter().position(|agent| agent.pid == seat.pid);
            let is_heeded = !self.witness.given_up.contains(&seat.id);
            let agent = seat.agent.as_ref().filter(|_| is_heeded);
            let (Some(agent), Some(index)) = (agent, record) else {
                continue;
            };
            let placed: BTreeSet<NodeId> = tables.nodes_on(index).into_iter().collect();
            let held: BTreeSet<NodeId> = agent.places().cloned().collect();
            // With the end of the job nobody asks for places any more.
            if placed != held && tables.end.is_none() {
                wrong.push(format!(
                    "{} holds {held:?}, the tables say {placed:?}",
                    seat.id
                ));
            }
            let is_live = |id: &NodeId| {
                let node = tables.node(id).filter(|node| node.phase.is_live())?;
                Some((id.clone(), node.attempt))
            };
            // Without plugins, starts wait, and an agent may have one already.
            let may_wait = |id: &NodeId| {
                let node = tables.node(id);
                tables.quarantine.is_some() && node.is_some_and(|node| node.pid.is_none())
            };
            let live = placed.iter().filter(|id| !may_wait(id));
            let live: BTreeSet<_> = live.filter_map(is_live).collect();
            let runs: BTreeSet<_> = agent
                .attempts()
                .filter(|(id, _)| !may_wait(id))
                .map(|(id, number)| (id.clone(), number))
                .collect();
            if live != runs {
                wrong.push(format!(
                    "{} runs {runs:?}, the tables say {live:?}",
                    seat.id
                ));
            }
        }
        for text in wrong {
            self.violated(text);
        }
    }

    /// The agent of the engine is gone, or is given up: it says nothing of its dataflow any more.
    fn is_missing_engine(&self) -> bool {
        let is_there = |seat: &Seat| {
            seat.in_engine && seat.agent.is_some() && !self.witness.given_up.contains(&seat.id)
        };
        !self.seats.iter().any(is_there)
    }

    fn is_quiet(&self) -> bool {
        let others_are_gone = self
            .managers
            .iter()
            .rev()
            .skip(1)
            .all(|manager| manager.is_gone);
        let manager = self.managers.last();
        let is_idle = |manager: &super::process::Manager| {
            !manager.is_gone && manager.frozen_until_ms.is_none() && manager.mailbox.is_empty()
        };
        let on_its_way =
            |stream: &super::network::Stream| !stream.up.is_empty() || !stream.down.is_empty();
        let is_settled = |seat: &Seat| match &seat.agent {
            None => true,
            Some(agent) => {
                self.witness.given_up.contains(&seat.id)
                    || seat.frozen_until_ms <= self.now_ms
                        && agent.link == Some(true)
                        && agent.has_told_all()
                        && !agent.is_ending()
            }
        };
        others_are_gone
            && manager.is_some_and(is_idle)
            && !self.streams.values().any(on_its_way)
            && self.seats.iter().all(is_settled)
    }

    /// The job is over and everybody has gone home.
    pub(super) fn judge_end(&mut self) {
        let live: Vec<String> = self
            .witness
            .live()
            .map(|process| process.node.to_string())
            .collect();
        if !live.is_empty() {
            self.violated(format!("these nodes live for ever: {}", live.join(", ")));
        }
        if self.witness.live_flows().next().is_some() {
            self.violated("the dataflow lives for ever".into());
        }
        for process in self.witness.processes.clone() {
            let rule = self.scenario.roles.get(&process.node.role);
            let is_observer = rule.is_some_and(|rule| rule.finish == FinishRule::Observer);
            let most = if is_observer {
                1
            } else {
                1 + self.scenario.restarts + self.witness.ports_taken
            };
            if process.attempt > most {
                self.violated(format!(
                    "attempt {} of {} is beyond all restarts",
                    process.attempt, process.node
                ));
            }
        }
        let outcome = self.summary.as_ref().map(|summary| summary.outcome);
        if self.scenario.is_calm && outcome != Some(Outcome::Succeeded) {
            self.violated(format!(
                "nothing went wrong, and the job ended as {outcome:?}"
            ));
        }
    }
}
