//! The dataflow of the job: it is ordered of the agent of the engine, watched, and ended with the job. An attempt ends with
//! its engine; the next engine is ordered another one, which begins the input again.

use std::collections::BTreeSet;

use forebay_plugin::Event;
use serde_json::{Value as Json, json};

use super::core::Core;
use super::effect::Effect;
use super::pace::{counts, feed_counts};
use super::tables::{AgentState, DataflowFault, DataflowRecord, DataflowStop};
use crate::events::{DataflowEvent, DataflowPhase, DataflowSummary, JobEvent, Outcome};
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::{
    DataflowEnded, DataflowFailed, DataflowNoted, DataflowProgress, DataflowStarted,
    DataflowStopped, EndInput, FeedProgress, HeldDataflow, InputEnded, OperatorProgress,
    RunDataflow, StopDataflow,
};

/// Longest reason and hint of a failure.
const TEXT_BYTES_MAX: usize = 4_000;
/// What is said of the end of an attempt whose engine is gone.
const ENGINE_IS_GONE: &str = "the engine that ran it is gone";

impl DataflowRecord {
    pub(super) fn runs(&self) -> bool {
        self.phase == DataflowPhase::Running
    }

    fn begin(&mut self, agent: usize) {
        *self = Self {
            attempt: self.attempt + 1,
            phase: DataflowPhase::Running,
            agent,
            ..Self::default()
        };
    }

    fn note(&mut self, running_us: u64, operators: &[OperatorProgress], feeds: &[FeedProgress]) {
        self.running_us = running_us;
        self.operators = operators.iter().map(counts).collect();
        self.feeds = feeds.iter().map(feed_counts).collect();
    }

    fn running_ms(&self) -> u64 {
        self.running_us / 1_000
    }

    fn beginning(&self) -> ToAgent {
        ToAgent::RunDataflow(RunDataflow {
            attempt: self.attempt,
            checkpoint: None,
        })
    }

    /// The newest order that its agent has not answered.
    fn order(&self) -> ToAgent {
        let attempt = self.attempt;
        match self.stop {
            None => self.beginning(),
            Some(stop) => ToAgent::StopDataflow(StopDataflow {
                attempt,
                drain: stop == DataflowStop::Drain,
                reason: match stop {
                    DataflowStop::Drain => "its input is to end".into(),
                    DataflowStop::Abort => "the job ends".into(),
                },
            }),
        }
    }

    fn event(&self, reason: Option<&str>) -> JobEvent {
        let fault = self.failure.as_ref();
        let reason = reason.or(fault.map(|fault| fault.reason.as_str()));
        JobEvent::Dataflow(DataflowEvent {
            attempt: self.attempt,
            phase: self.phase,
            reason: reason.map(Into::into),
            hint: fault.and_then(|fault| fault.hint.clone()),
            operator: fault.and_then(|fault| fault.operator.clone()),
            running_ms: self.running_ms(),
            operators: self.operators.clone(),
        })
    }

    fn summary(&self) -> DataflowSummary {
        let operators = self.operators.iter().cloned();
        DataflowSummary {
            feeds: self.feeds.clone(),
            ..DataflowSummary::new(self.attempt, self.phase, self.running_ms(), operators)
        }
    }
}

impl Core {
    // -------------------------------------------------------------------------------------------------------- orders

    /// An agent is here. That of an engine runs the dataflow, if nobody does.
    pub(super) fn begin_dataflow(&mut self, agent: usize) {
        if self.tables.end.is_some() || !self.tables.agents[agent].in_engine {
            return;
        }
        let waiting = |dataflow: &&mut DataflowRecord| dataflow.phase == DataflowPhase::Waiting;
        if let Some(dataflow) = self.tables.dataflow.as_mut().filter(waiting) {
            dataflow.begin(agent);
            self.journaled_first(Self::order_dataflow);
        }
    }

    /// Tells the agent that has the running attempt what it is to do with it.
    pub(super) fn order_dataflow(&mut self) {
        if let Some(dataflow) = self.tables.dataflow.as_ref().filter(|it| it.runs()) {
            self.tell(dataflow.agent, dataflow.order());
        }
    }

    /// The attempt of the dataflow that feeds a node which starts now.
    pub(super) fn feeding_attempt(&self) -> u64 {
        let dataflow = self.tables.dataflow.as_ref();
        dataflow.map_or(0, |dataflow| match dataflow.phase {
            DataflowPhase::Waiting => dataflow.attempt + 1,
            _ => dataflow.attempt,
        })
    }

    /// The dataflow begins its input again, in a new attempt; the one before ends where it is, and what its sinks have not completed is
    /// discarded. All nodes with input are down. An agent that has an older attempt ends it before it begins this one.
    pub(super) fn rewind(&mut self) {
        if self.tables.end.is_some() || self.tables.dataflow.is_none() {
            return;
        }
        if self.dataflow_runs() {
            self.end_attempt("its input begins again");
        }
        if let Some(dataflow) = &mut self.tables.dataflow {
            dataflow.phase = DataflowPhase::Waiting;
        }
        let mut agents = self.tables.agents.iter();
        let engine = agents.position(|agent| agent.in_engine && agent.state != AgentState::Lost);
        if let Some((dataflow, agent)) = self.tables.dataflow.as_mut().zip(engine) {
            dataflow.begin(agent);
            self.order_dataflow();
        }
    }

    /// The input of these roles ends behind what is on its way to them. A stream is drained, so that its sinks are complete; what has
    /// an end of its own goes on for others, as far as there are any.
    pub(super) fn end_input(&mut self, roles: &[String]) {
        let Some(dataflow) = &mut self.tables.dataflow else {
            return;
        };
        dataflow.ending_inputs.extend(roles.iter().cloned());
        let ending = dataflow.ending_inputs.clone();
        let is_of_all = self.fed_roles().is_subset(&ending);
        if is_of_all && self.may_drain() {
            if self.note_dataflow_stop(DataflowStop::Drain) {
                self.order_dataflow();
            }
        } else {
            self.order_end_of_input();
        }
    }

    fn fed_roles(&self) -> BTreeSet<String> {
        let roles = self.prepared.job.roles.iter();
        let fed = roles.filter(|role| role.input.is_some());
        fed.map(|role| role.name.clone()).collect()
    }

    /// Orders it of the agent that has the running attempt.
    fn order_end_of_input(&mut self) {
        let running = self
            .tables
            .dataflow
            .as_ref()
            .filter(|dataflow| dataflow.runs());
        let Some(dataflow) = running.filter(|dataflow| !dataflow.ending_inputs.is_empty()) else {
            return;
        };
        let order = EndInput {
            attempt: dataflow.attempt,
            roles: dataflow.ending_inputs.iter().cloned().collect(),
        };
        self.tell(dataflow.agent, ToAgent::EndInput(order));
    }

    /// Every node of a role has been sent the end of its input.
    pub(super) fn input_ended(&mut self, agent: usize, ended: InputEnded) {
        if let Some(dataflow) = self.running_dataflow(agent, ended.attempt) {
            dataflow.ended_inputs.insert(ended.role);
            self.changed();
        }
    }

    /// An agent is back: it hears again what it may have missed, and ends what nobody knows.
    pub(super) fn repeat_dataflow_order(&mut self, agent: usize, held: Option<HeldDataflow>) {
        let dataflow = self.tables.dataflow.as_ref();
        let known = dataflow.filter(|dataflow| dataflow.runs() && dataflow.agent == agent);
        let missed = known.filter(|dataflow| self.has_missed(dataflow, held));
        let missed = missed.map(DataflowRecord::beginning);
        let known = known.map(|dataflow| dataflow.attempt);
        if let Some(beginning) = missed {
            self.tell(agent, beginning);
        }
        if known.is_some() {
            self.order_dataflow();
            self.order_end_of_input();
        }
        if let Some(held) = held.filter(|held| held.running && Some(held.attempt) != known) {
            self.tell(
                agent,
                ToAgent::StopDataflow(StopDataflow {
                    attempt: held.attempt,
                    drain: false,
                    reason: "the application manager does not know it".into(),
                }),
            );
        }
    }

    /// Its input is to end, and its agent has not heard yet that it is to begin: nodes wait for what it gives them.
    fn has_missed(&self, dataflow: &DataflowRecord, held: Option<HeldDataflow>) -> bool {
        let is_new = held.is_none_or(|held| held.attempt < dataflow.attempt);
        let drains = dataflow.stop == Some(DataflowStop::Drain);
        is_new && drains && self.tables.end.is_none()
    }

    /// From now on the dataflow is ending, as far as the tables know; false where there is nothing to tell anybody.
    pub(super) fn note_dataflow_stop(&mut self, stop: DataflowStop) -> bool {
        let Some(dataflow) = &mut self.tables.dataflow else {
            return false;
        };
        if dataflow.phase == DataflowPhase::Waiting {
            dataflow.phase = DataflowPhase::Stopped;
        }
        let is_news = dataflow.runs() && dataflow.stop < Some(stop);
        if is_news {
            dataflow.stop = Some(stop);
        }
        is_news
    }

    /// A stream ends where somebody wants it to, and its sinks are whole; what has an end of its own and does not come to it must
    /// not look whole.
    pub(super) fn may_drain(&self) -> bool {
        let mut sources = self.prepared.job.dataflow.sources.iter();
        self.dataflow_runs() && sources.any(forebay_job::Source::is_unbounded)
    }

    pub(super) fn dataflow_runs(&self) -> bool {
        let dataflow = self.tables.dataflow.as_ref();
        dataflow.is_some_and(DataflowRecord::runs)
    }

    // ------------------------------------------------------------------------------------------------- what happened

    /// The running attempt, if it is this one of this agent: what is said of another is stale.
    fn running_dataflow(&mut self, agent: usize, attempt: u64) -> Option<&mut DataflowRecord> {
        let dataflow = self.tables.dataflow.as_mut()?;
        let is_meant = dataflow.agent == agent && dataflow.attempt == attempt;
        (dataflow.runs() && is_meant).then_some(dataflow)
    }

    pub(super) fn dataflow_started(&mut self, agent: usize, started: DataflowStarted) {
        if self.running_dataflow(agent, started.attempt).is_some() {
            self.pace.begin(self.now_ms);
            self.show_dataflow(None);
        }
    }

    pub(super) fn dataflow_noted(&mut self, agent: usize, noted: &DataflowNoted) {
        if self.running_dataflow(agent, noted.attempt).is_some() {
            let operator = &noted.operator;
            self.emit(JobEvent::Warning {
                message: format!("`{operator}`: {}", clipped(&noted.message)),
                hint: None,
            });
        }
    }

    /// How far it is: to those who watch, and to everybody now and then.
    pub(super) fn dataflow_progressed(&mut self, agent: usize, progress: &DataflowProgress) {
        let Some(dataflow) = self.running_dataflow(agent, progress.attempt) else {
            return;
        };
        dataflow.note(progress.running_us, &progress.operators, &progress.feeds);
        if let Some(event) = self.pace.take(self.now_ms, progress) {
            let event = JobEvent::Progress(event);
            let is_kept = self.pace.is_kept(self.now_ms);
            self.effects.push(if is_kept {
                Effect::Emit(event)
            } else {
                Effect::Show(event)
            });
        }
    }

    pub(super) fn dataflow_ended(&mut self, agent: usize, ended: &DataflowEnded) {
        let phase = if ended.drained {
            DataflowPhase::Drained
        } else {
            DataflowPhase::Ended
        };
        let fed = self.fed_roles();
        if let Some(dataflow) = self.running_dataflow(agent, ended.attempt) {
            dataflow.note(ended.running_us, &ended.operators, &ended.feeds);
            dataflow.phase = phase;
            dataflow.ended_inputs.extend(fed);
            self.show_dataflow(None);
            self.happened(Event::DataflowEnded);
        }
    }

    pub(super) fn dataflow_failed(&mut self, agent: usize, failed: DataflowFailed) {
        let Some(dataflow) = self.running_dataflow(agent, failed.attempt) else {
            return;
        };
        dataflow.note(failed.running_us, &failed.operators, &failed.feeds);
        dataflow.phase = DataflowPhase::Failed;
        let was_draining = dataflow.stop == Some(DataflowStop::Drain);
        let reason = clipped(&failed.reason).to_owned();
        dataflow.failure = Some(DataflowFault {
            operator: Some(failed.operator).filter(|operator| !operator.is_empty()),
            reason: reason.clone(),
            hint: Some(clipped(&failed.hint).to_owned()).filter(|hint| !hint.is_empty()),
            engine_failed: failed.engine_failed,
        });
        self.show_dataflow(None);
        if was_draining {
            self.drain_failed();
        }
        self.happened(Event::DataflowFailed(reason));
    }

    /// An orderly stop promises that sinks are complete.
    fn drain_failed(&mut self) {
        let dataflow = self.tables.dataflow.as_ref();
        let fault = dataflow.and_then(|dataflow| dataflow.failure.clone());
        if let (Some(end), Some(fault)) = (&mut self.tables.end, fault) {
            end.outcome = Outcome::Failed;
            end.engine_failed = fault.engine_failed;
            end.hint = fault.hint;
            end.reason.clone_from(&fault.reason);
            self.enter_phase("failing", Some(&fault.reason));
        }
    }

    /// As ordered, or because its agent ends, which is then lost soon.
    pub(super) fn dataflow_stopped(&mut self, agent: usize, stopped: &DataflowStopped) {
        if let Some(dataflow) = self.running_dataflow(agent, stopped.attempt) {
            dataflow.note(stopped.running_us, &stopped.operators, &stopped.feeds);
            self.leave_dataflow(None);
        }
    }

    /// An agent is lost, and the attempt that it had.
    pub(super) fn lose_dataflow(&mut self, agent: usize) {
        let dataflow = self.tables.dataflow.as_ref();
        if dataflow.is_some_and(|dataflow| dataflow.runs() && dataflow.agent == agent) {
            self.leave_dataflow(Some(ENGINE_IS_GONE));
        }
    }

    /// The end of the job does not wait any longer.
    pub(super) fn give_up_dataflow(&mut self) {
        if self.dataflow_runs() {
            self.leave_dataflow(Some("it did not end in time"));
            self.emit(JobEvent::Warning {
                message: "the dataflow does not end: it is left as it is".into(),
                hint: None,
            });
        }
    }

    fn end_attempt<'a>(&mut self, why: impl Into<Option<&'a str>>) {
        if let Some(dataflow) = &mut self.tables.dataflow {
            dataflow.phase = DataflowPhase::Stopped;
            self.show_dataflow(why.into());
        }
    }

    /// Nothing of the attempt is left. Another engine may begin the next, unless the job ends.
    fn leave_dataflow(&mut self, why: Option<&str>) {
        self.end_attempt(why);
        if let Some(dataflow) = self
            .tables
            .dataflow
            .as_mut()
            .filter(|_| self.tables.end.is_none())
        {
            dataflow.phase = DataflowPhase::Waiting;
        }
        self.changed();
    }

    fn show_dataflow(&mut self, why: Option<&str>) {
        if let Some(dataflow) = &self.tables.dataflow {
            self.emit(dataflow.event(why));
        }
    }

    // ------------------------------------------------------------------------------------------------------- people

    /// Why the dataflow failed, where it is what the job fails for.
    pub(super) fn dataflow_fault(&self, reason: &str) -> Option<&DataflowFault> {
        let dataflow = self.tables.dataflow.as_ref()?;
        let fault = dataflow.failure.as_ref()?;
        // The state machine may have shortened it.
        let told = reason.trim_end_matches('…');
        let is_meant = fault.reason.starts_with(told) || told == "the dataflow failed";
        is_meant.then_some(fault)
    }

    /// For the last event of the run.
    pub(super) fn dataflow_summary(&self) -> Option<DataflowSummary> {
        let dataflow = self.tables.dataflow.as_ref()?;
        Some(dataflow.summary().with_outputs(&self.prepared.job))
    }

    /// For `status`.
    pub(super) fn describe_dataflow(&self) -> Option<Json> {
        let dataflow = self.tables.dataflow.as_ref()?;
        let progress = self.pace.latest().filter(|_| dataflow.runs());
        let operators = match progress {
            Some(operators) => json!(operators),
            None => json!(dataflow.operators),
        };
        let fault = dataflow.failure.as_ref();
        Some(json!({
            "attempt": dataflow.attempt,
            "phase": dataflow.phase,
            "reason": fault.map(|fault| &fault.reason),
            "hint": fault.and_then(|fault| fault.hint.as_ref()),
            "running_ms": dataflow.running_ms(),
            "operators": operators,
        }))
    }
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
