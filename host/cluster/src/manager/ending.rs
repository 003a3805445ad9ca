//! How a job ends: as the state machine says, because somebody wants it, or because the host cannot go on. Whatever the
//! way, every node and the dataflow are ended and every place is given back before the summary is written.

use forebay_plugin::{Event, JobFailure, NodeId, NodePhase, StopRequest};

use super::core::Core;
use super::effect::{StopCall, StopWay};
use super::tables::{AgentState, DataflowStop, End, StopRecord};
use crate::clock::milliseconds;
use crate::events::{JobEvent, Outcome};
use crate::wire::cluster::JobEnded;
use crate::wire::cluster::manager_message::Message as ToAgent;

/// A node that is still there so long after its SIGKILL is given up: its agent does not answer.
const GIVE_UP_AFTER_MS: u64 = 30_000;
/// How long the end waits for the next part of a log, and for all of them.
const LOGS_WITHIN_MS: u64 = 3_000;
const LOGS_WITHIN_MAX_MS: u64 = 120_000;

/// How nodes are ended with their job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    /// As their roles say.
    OfRole,
    /// SIGKILL at once.
    None,
}

impl Core {
    // ----------------------------------------------------------------------------------------- ways to the end

    pub(super) fn succeed(&mut self) {
        self.begin_end(Grace::OfRole, end(Outcome::Succeeded, self.success()));
    }

    fn success(&self) -> String {
        match &self.tables.finish_reason {
            Some(reason) => reason.clone(),
            None => "all work is done".into(),
        }
    }

    pub(super) fn stopped(&mut self) {
        let reason = self.stop_reason();
        self.begin_end(Grace::OfRole, end(Outcome::Stopped, reason));
    }

    pub(super) fn fail_job(&mut self, failure: JobFailure) {
        let exit = failure
            .node
            .as_ref()
            .and_then(|id| self.tables.node(id)?.last_exit.as_ref());
        let fault = self.dataflow_fault(&failure.reason);
        let fault = fault.filter(|_| failure.node.is_none());
        let hint = match fault {
            Some(fault) => fault.hint.clone(),
            None => exit.and_then(|exit| exit.verdict.hint.clone()),
        };
        let failed = End {
            hint,
            engine_failed: fault.is_some_and(|fault| fault.engine_failed),
            node: failure.node,
            ..end(Outcome::Failed, failure.reason)
        };
        self.begin_end(Grace::OfRole, failed);
    }

    /// The engine or a plugin failed, not the user's job.
    pub(super) fn fail_engine(&mut self, reason: String, hint: Option<String>) {
        let failed = End {
            hint,
            engine_failed: true,
            ..end(Outcome::Failed, reason)
        };
        self.begin_end(Grace::OfRole, failed);
    }

    /// Somebody wants the end. The same request, asked again, acts once and gets the same number.
    pub(super) fn stop_called(&mut self, call: StopCall) {
        let known = self.tables.requests.get(&call.request).copied();
        let number = known.unwrap_or_else(|| self.number_of_next_event());
        self.answer_when_journaled(call.ticket, number);
        if known.is_some() {
            return;
        }
        self.tables.requests.insert(call.request, number);
        if call.way == StopWay::Broken {
            return self.fail_engine(call.reason, None);
        }
        self.emit(JobEvent::Stop {
            now: call.way == StopWay::Now,
            reason: call.reason.clone(),
        });
        self.tables.stop_reason.get_or_insert(call.reason);
        match call.way {
            StopWay::Broken => {}
            StopWay::Now => self.kill_job(),
            StopWay::Orderly { deadline_ms } => {
                let deadline_ms = deadline_ms.unwrap_or_else(|| self.stop_within_ms());
                self.tables
                    .stop_deadline_ms
                    .get_or_insert(self.now_ms.saturating_add(deadline_ms));
                if self.tables.quarantine.is_some() {
                    return self.stopped();
                }
                self.happened(Event::StopRequested(StopRequest {
                    request: number,
                    deadline_ms,
                }));
            }
        }
    }

    fn stop_within_ms(&self) -> u64 {
        milliseconds(self.prepared.job.limits.stop_within)
    }

    /// The deadline of an orderly stop has passed.
    pub(super) fn enforce_stop(&mut self) {
        if self
            .tables
            .stop_deadline_ms
            .is_some_and(|deadline| deadline <= self.now_ms)
        {
            self.kill_job();
        }
    }

    fn kill_job(&mut self) {
        self.tables.stop_deadline_ms = None;
        if let Some(end) = &mut self.tables.end {
            let give_up_ms = self.now_ms.saturating_add(GIVE_UP_AFTER_MS);
            end.nodes_until_ms = end.nodes_until_ms.min(give_up_ms);
            self.stop_everything(Grace::None, DataflowStop::Abort);
        } else {
            let reason = self.stop_reason();
            self.begin_end(Grace::None, end(Outcome::Stopped, reason));
        }
    }

    fn stop_reason(&self) -> String {
        self.tables
            .stop_reason
            .clone()
            .unwrap_or_else(|| "the state machine stopped it".into())
    }

    // ------------------------------------------------------------------------------------------------- the end

    fn begin_end(&mut self, grace: Grace, end: End) {
        if self.tables.end.is_some() {
            return;
        }
        self.tables.timers.clear();
        self.tables.placings.clear();
        let dataflow_stop = self.dataflow_stop(grace, end.outcome);
        let drain_ms = self.drain_ms(dataflow_stop);
        let live = self.tables.nodes_where(|node| node.phase.is_live());
        let graces = live.iter().map(|id| self.grace_ms(id, grace));
        let graces = graces.chain(drain_ms);
        let nodes_until_ms = self
            .now_ms
            .saturating_add(graces.max().unwrap_or_default())
            .saturating_add(GIVE_UP_AFTER_MS);
        let phase = match end.outcome {
            Outcome::Succeeded => "finishing",
            Outcome::Failed => "failing",
            Outcome::Stopped => "stopping",
        };
        let reason = end.reason.clone();
        self.tables.end = Some(End {
            nodes_until_ms,
            ..end
        });
        self.end_quarantine();
        self.enter_phase(phase, Some(&reason));
        self.stop_everything(grace, dataflow_stop);
    }

    fn dataflow_stop(&self, grace: Grace, outcome: Outcome) -> DataflowStop {
        let is_orderly = grace == Grace::OfRole && outcome == Outcome::Stopped;
        if is_orderly && self.may_drain() {
            DataflowStop::Drain
        } else {
            DataflowStop::Abort
        }
    }

    /// How long a dataflow that is drained may take: until the deadline of the stop, which it gets where nobody has set one.
    fn drain_ms(&mut self, stop: DataflowStop) -> Option<u64> {
        let within_ms = self.stop_within_ms();
        let now_ms = self.now_ms;
        (stop == DataflowStop::Drain).then(|| {
            let deadline = &mut self.tables.stop_deadline_ms;
            let deadline = deadline.get_or_insert(now_ms.saturating_add(within_ms));
            deadline.saturating_sub(now_ms)
        })
    }

    /// Stops every live node and the dataflow, once the journal says so.
    fn stop_everything(&mut self, grace: Grace, dataflow_stop: DataflowStop) {
        let number = self.tables.next_event;
        self.tables.next_event += 1;
        let mut stopping = self.tables.nodes_where(|node| node.phase.is_live());
        let mut part = 0;
        stopping.retain(|id| {
            let stop = StopRecord {
                action: (number, 0),
                part,
                grace_ms: self.grace_ms(id, grace),
                reason: "the job ends".into(),
            };
            part += 1;
            self.note_stop(id, stop)
        });
        let stops_dataflow = self.note_dataflow_stop(dataflow_stop);
        self.journal(None);
        for id in stopping {
            self.order_stop(&id);
        }
        if stops_dataflow {
            self.order_dataflow();
        }
    }

    fn grace_ms(&self, id: &NodeId, grace: Grace) -> u64 {
        match (grace, self.prepared.job.role(&id.role)) {
            (Grace::OfRole, Some(role)) => milliseconds(role.limits.stop_grace),
            (Grace::None, _) | (_, None) => 0,
        }
    }

    /// Ends the job once nothing of it runs and its logs are here.
    pub(super) fn end_when_quiet(&mut self) {
        let Some(end) = self.tables.end.as_ref().filter(|_| !self.is_over) else {
            return;
        };
        let running = self.tables.nodes_where(|node| node.phase.is_live());
        let is_running = !running.is_empty() || self.dataflow_runs();
        if is_running && self.now_ms < end.nodes_until_ms {
            return;
        }
        self.give_up_nodes(&running);
        self.give_up_dataflow();
        if self.somebody_is_away() {
            return;
        }
        let logs_until = self.logs_until();
        let all_here = self.logs.values().all(|log| log.is_closed);
        if all_here || logs_until <= self.now_ms {
            self.warn_of_torn_logs();
            self.close();
        }
    }

    /// An agent that comes back in time hears of the end, and still sends its logs.
    fn somebody_is_away(&self) -> bool {
        let is_awaited = |state: AgentState| matches!(state, AgentState::Away { lost_at_ms } if lost_at_ms > self.now_ms);
        self.tables
            .agents
            .iter()
            .any(|agent| is_awaited(agent.state))
    }

    fn give_up_nodes(&mut self, running: &[NodeId]) {
        for id in running {
            let message =
                format!("the agent of node `{id}` does not answer: its process may still run");
            self.emit(JobEvent::Warning {
                message,
                hint: None,
            });
            if let Some(node) = self.tables.node_mut(id) {
                node.phase = NodePhase::Absent;
            }
        }
    }

    fn warn_of_torn_logs(&mut self) {
        let logs = std::mem::take(&mut self.logs);
        for ((node, attempt), log) in logs.into_iter().filter(|(_, log)| !log.is_closed) {
            let missing = log.announced.map_or_else(
                || "its end".to_owned(),
                |all| format!("the last {} bytes", all.saturating_sub(log.held)),
            );
            self.emit(JobEvent::Warning {
                message: format!("the log of node `{node}`, attempt {attempt}, lacks {missing}"),
                hint: Some("its agent was too slow to send it, or is gone".into()),
            });
        }
    }

    /// More of a log is here: while something comes, the end waits, within reason.
    pub(super) fn log_grew(&mut self, node: String, attempt: u32, held: u64) {
        let log = self.logs.entry((node, attempt)).or_default();
        log.held = log.held.max(held);
        let longer = self.now_ms + LOGS_WITHIN_MS;
        if let Some(end) = &mut self.tables.end
            && let Some(until) = &mut end.logs_until_ms
        {
            let latest = end.nodes_ended_ms + LOGS_WITHIN_MAX_MS;
            *until = longer.min(latest).max(*until);
        }
    }

    fn logs_until(&mut self) -> u64 {
        let now_ms = self.now_ms;
        self.tables.end.as_mut().map_or(now_ms, |end| {
            *end.logs_until_ms.get_or_insert_with(|| {
                end.nodes_ended_ms = now_ms;
                now_ms + LOGS_WITHIN_MS
            })
        })
    }

    fn close(&mut self) {
        let Some(end) = self.tables.end.clone() else {
            return;
        };
        self.is_over = true;
        let summary = self.summary(&end);
        self.journal(None);
        self.emit(JobEvent::Summary(summary));
        let outcome = match end.outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::Stopped => "stopped",
        };
        self.tell_all(&ToAgent::JobEnded(JobEnded {
            outcome: outcome.into(),
        }));
        self.ended(end.outcome);
    }
}

fn end(outcome: Outcome, reason: String) -> End {
    End {
        outcome,
        reason,
        hint: None,
        node: None,
        engine_failed: false,
        nodes_until_ms: 0,
        nodes_ended_ms: 0,
        logs_until_ms: None,
    }
}
