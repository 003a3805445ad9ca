//! What happens to nodes: they start, become ready, report, end, and are lost.

use std::collections::BTreeMap;

use forebay_plugin::{
    CustomEvent, Ending, Event, ExitReport, FinishRequest, KnownCause, NodeExit, NodeId, NodePhase,
    NodeStall, ScriptError, StallKind, StartFailure, Valid, Verdict, VerdictKind,
};
use nix::sys::signal::Signal;
use serde_json::Value as Json;

use super::core::Core;
use super::quarantine::Failure;
use super::tables::{Exit, NodeRecord};
use crate::events::{AttemptSummary, JobEvent, NodeEvent};
use crate::preparation::spec_of_runner;
use crate::wire::cluster::attempt_ended::Ending as WireEnding;
use crate::wire::cluster::{
    AttemptEnded, AttemptReady, AttemptStalled, AttemptStarted, KnownCause as WireCause, NodeDone,
    NodeFinishJob, NodeGenerationTaken, NodeReport, NodeSignal, StallKind as WireStall,
};
use crate::wire::node::value::Kind;
use crate::wire::node_id;

/// Most values that are kept of one node's reports.
const REPORT_KEYS_MAX: usize = 1_000;

/// How much of a log is here, and how much there is, once the attempt has ended. Logs go beside the outbox: the last of one
/// may be here before the start of its attempt is.
#[derive(Debug, Default)]
pub(super) struct LogRecord {
    pub(super) held: u64,
    pub(super) announced: Option<u64>,
    pub(super) is_closed: bool,
}

impl Core {
    // --------------------------------------------------------------------------------------------- start and ready

    pub(super) fn attempt_started(&mut self, started: &AttemptStarted) {
        let Some((id, node)) = self.current(started.node.as_ref(), started.attempt) else {
            return;
        };
        node.pid = Some(started.pid);
        self.logs
            .entry((id.to_string(), started.attempt))
            .or_default();
        self.show(&id);
    }

    pub(super) fn attempt_ready(&mut self, ready: &AttemptReady) {
        let Some((id, node)) = self.current(ready.node.as_ref(), ready.attempt) else {
            return;
        };
        if node.phase == NodePhase::Starting {
            node.phase = NodePhase::Ready;
            self.show(&id);
            self.became_ready(id);
        }
    }

    pub(super) fn generation_taken(&mut self, taken: &NodeGenerationTaken) {
        let Some((id, node)) = self.current(taken.node.as_ref(), taken.attempt) else {
            return;
        };
        let is_newer = taken.generation > node.generation;
        node.generation = node.generation.max(taken.generation);
        if is_newer && node.phase == NodePhase::Ready {
            self.became_ready(id);
        }
    }

    // ------------------------------------------------------------------------------------------------- what they say

    pub(super) fn reported(&mut self, reported: NodeReport) {
        let id = node_id(reported.node.as_ref());
        // Also of an attempt that has ended: its last report may have waited behind its end.
        let newest = self.tables.node_mut(&id);
        let Some(node) = newest.filter(|node| node.attempt == reported.attempt) else {
            return;
        };
        let Some(report) = reported.report else {
            return;
        };
        let values: BTreeMap<String, Json> = report
            .values
            .into_iter()
            .filter_map(|(key, value)| Some((key, json(value.kind?))))
            .collect();
        node.progress = node.progress.max(report.step.unwrap_or_default());
        if let Some(step) = report.step {
            node.last_report.insert("step".into(), step.into());
        }
        for (key, value) in &values {
            if node.last_report.len() < REPORT_KEYS_MAX || node.last_report.contains_key(key) {
                node.last_report.insert(key.clone(), value.clone());
            }
        }
        self.emit(JobEvent::Report {
            node: id.to_string(),
            attempt: reported.attempt,
            step: report.step,
            values,
        });
    }

    pub(super) fn signalled(&mut self, signal: NodeSignal) {
        let Some((id, _)) = self.current(signal.node.as_ref(), signal.attempt) else {
            return;
        };
        self.emit(JobEvent::Signal {
            node: id.to_string(),
            attempt: signal.attempt,
            name: signal.name.clone(),
            payload: signal.payload.clone(),
        });
        let event = CustomEvent {
            name: signal.name,
            node: Some(id),
            payload: signal.payload,
        };
        self.happened(Event::Custom(event));
    }

    pub(super) fn said_done(&mut self, done: &NodeDone) {
        let Some((_, node)) = self.current(done.node.as_ref(), done.attempt) else {
            return;
        };
        if !node.done {
            node.done = true;
            self.finished_members_changed();
        }
    }

    pub(super) fn said_finish(&mut self, finish: NodeFinishJob) {
        let Some((id, _)) = self.current(finish.node.as_ref(), finish.attempt) else {
            return;
        };
        let said = if finish.reason.is_empty() {
            String::new()
        } else {
            format!(": {}", finish.reason)
        };
        self.tables
            .finish_reason
            .get_or_insert_with(|| format!("`{id}` finished the job{said}"));
        self.emit(JobEvent::Finish {
            node: id.to_string(),
            attempt: finish.attempt,
            reason: finish.reason.clone(),
        });
        self.happened(Event::FinishRequested(FinishRequest {
            node: id,
            reason: finish.reason,
        }));
    }

    pub(super) fn stalled(&mut self, stalled: &AttemptStalled) {
        let Some((id, _)) = self.current(stalled.node.as_ref(), stalled.attempt) else {
            return;
        };
        let kind = match stalled.kind() {
            WireStall::NotReady => StallKind::NotReady,
            WireStall::NoProgress => StallKind::NoProgress,
            WireStall::Unresponsive => StallKind::Unresponsive,
            WireStall::Lingering => StallKind::Lingering,
        };
        self.emit(JobEvent::Stalled {
            node: id.to_string(),
            attempt: stalled.attempt,
            stall: kind.to_string(),
            for_ms: stalled.for_ms,
            stacks: stalled.stacks.clone(),
        });
        self.happened(Event::NodeStalled(NodeStall {
            node: id,
            attempt: stalled.attempt,
            kind,
            for_ms: stalled.for_ms,
        }));
    }

    /// The nodes learn who has finished, or has not any more: a change within the generation.
    pub(super) fn finished_members_changed(&mut self) {
        self.tables.revision += 1;
        if self.tables.generation > 0 {
            self.tell_cluster();
        }
    }

    // ----------------------------------------------------------------------------------------------------------- end

    pub(super) fn attempt_ended(&mut self, ended: AttemptEnded) {
        let Some((id, node)) = self.current(ended.node.as_ref(), ended.attempt) else {
            return;
        };
        node.done |= ended.was_done;
        let known = known_verdict(node, &ended);
        if let Some(log) = self.logs.get_mut(&(id.to_string(), ended.attempt)) {
            log.announced = Some(ended.log_bytes);
        }
        let report = exit_report(id, ended);
        match known {
            Some(verdict) => self.exited(report, verdict),
            None => self.judge(report),
        }
    }

    /// Asks the node runner what this end means. While that is not possible, the end waits.
    pub(super) fn judge(&mut self, report: ExitReport) {
        if self.tables.quarantine.is_some() {
            return self.keep_unjudged(report);
        }
        match self.ask_runner(&report) {
            Ok(verdict) => self.exited(report, verdict),
            Err(error) => {
                self.quarantine(Failure::of(&error));
                self.keep_unjudged(report);
            }
        }
    }

    fn ask_runner(&self, report: &ExitReport) -> Result<Verdict, forebay_plugin::CallError> {
        let runner_name = self
            .prepared
            .job
            .role(&report.node.role)
            .map(|role| role.plugin.as_str())
            .unwrap_or_default();
        let Some(runner) = self.plugins.runners.get(runner_name) else {
            return Ok(verdict(VerdictKind::Fatal, "its role has no node runner"));
        };
        let spec = spec_of_runner(&self.prepared.spec, &self.prepared.job, runner_name);
        runner.interpret_exit(&spec, report).map(Valid::into_inner)
    }

    pub(super) fn exited(&mut self, report: ExitReport, verdict: Verdict) {
        let (id, attempt) = (report.node.clone(), report.attempt);
        let Some(node) = self.tables.node_mut(&id) else {
            return;
        };
        node.attempts.push(AttemptSummary {
            attempt,
            pid: node.pid,
            ending: ending_text(&report.ending),
            verdict: verdict.kind.to_string(),
        });
        // It may have lost its place while its end waited to be judged.
        node.phase = match node.place {
            Some(_) => NodePhase::Exited,
            None => NodePhase::Absent,
        };
        node.pid = None;
        node.last = Some(verdict.kind);
        node.ran_ms = report.ran_ms;
        node.last_exit = Some(Exit {
            report,
            verdict: verdict.clone(),
        });
        self.show(&id);
        if verdict.kind == VerdictKind::Finished {
            self.finished_members_changed();
        }
        self.happened(Event::NodeExited(NodeExit {
            node: id.clone(),
            attempt,
            verdict,
        }));
        if self.tables.end.is_none() && self.tables.quarantine.is_none() {
            self.launch_deferred(&id);
        }
    }

    /// Its machine is gone, and its place with it.
    pub(super) fn lost(&mut self, id: &NodeId) {
        let Some(node) = self.tables.node_mut(id) else {
            return;
        };
        if node.phase.is_live() {
            node.last = None;
            self.logs.remove(&(id.to_string(), node.attempt));
            node.attempts.push(AttemptSummary {
                attempt: node.attempt,
                pid: node.pid,
                ending: "lost with its machine".into(),
                verdict: VerdictKind::Retry.to_string(),
            });
        }
        node.phase = NodePhase::Absent;
        node.start_when_ended = None;
        node.place = None;
        node.pid = None;
        self.show(id);
    }

    // ------------------------------------------------------------------------------------------------------- output

    /// Tells people where a node is now.
    pub(super) fn show(&mut self, id: &NodeId) {
        let Some(node) = self.tables.node(id) else {
            return;
        };
        let exit = node
            .last_exit
            .as_ref()
            .filter(|exit| exit.report.attempt == node.attempt)
            .filter(|_| node.phase == NodePhase::Exited);
        let event = NodeEvent {
            node: id.to_string(),
            attempt: node.attempt,
            phase: node.phase.to_string(),
            pid: node.pid,
            agent: node
                .place
                .as_ref()
                .map(|place| self.tables.agents[place.agent].name.clone()),
            ending: exit.map(|exit| ending_text(&exit.report.ending)),
            verdict: exit.map(|exit| exit.verdict.kind.to_string()),
            reason: exit.map(|exit| exit.verdict.reason.clone()),
        };
        self.emit(JobEvent::Node(event));
    }
}

/// What the host knows without asking: the node had said that it was done, or the host had told it to stop.
fn known_verdict(node: &NodeRecord, ended: &AttemptEnded) -> Option<Verdict> {
    if node.done {
        Some(verdict(
            VerdictKind::Finished,
            "it had said that its work was done",
        ))
    } else if ended.stop_was_asked || node.phase == NodePhase::Stopping {
        Some(verdict(VerdictKind::Stopped, "it was told to stop"))
    } else if !ended.agent_stopped.is_empty() {
        let reason = format!("its agent ended it: {}", ended.agent_stopped);
        Some(verdict(VerdictKind::Retry, &reason))
    } else {
        None
    }
}

pub(super) fn verdict(kind: VerdictKind, reason: &str) -> Verdict {
    Verdict {
        kind,
        reason: reason.into(),
        hint: None,
    }
}

fn exit_report(node: NodeId, ended: AttemptEnded) -> ExitReport {
    ExitReport {
        node,
        attempt: ended.attempt,
        cause: match ended.cause() {
            _ if !ended.refusal.is_empty() => KnownCause::Refused(ended.refusal),
            WireCause::None => KnownCause::None,
            WireCause::OutOfMemory => KnownCause::OutOfMemory,
            WireCause::Stalled => KnownCause::Stalled,
            WireCause::StartTimeout => KnownCause::StartTimeout,
        },
        ending: match ended.ending {
            Some(WireEnding::Code(code)) => Ending::Code(code),
            Some(WireEnding::Signal(signal)) => Ending::Signal(signal),
            Some(WireEnding::NotStarted(why)) => Ending::NotStarted(StartFailure {
                code: why.code,
                message: why.message,
            }),
            None => Ending::NotStarted(StartFailure {
                code: "spawn-failed".into(),
                message: "the agent did not say how it ended".into(),
            }),
        },
        hint: Some(ended.hint).filter(|hint| !hint.is_empty()),
        error: ended.error.map(|error| ScriptError {
            kind: error.kind,
            message: error.message,
            traceback: error.traceback,
        }),
        last_lines: ended.last_lines,
        was_ready: ended.was_ready,
        input_left: ended.input_left,
        ran_ms: ended.ran_ms,
    }
}

pub(super) fn ending_text(ending: &Ending) -> String {
    match ending {
        Ending::Code(code) => format!("exit code {code}"),
        Ending::Signal(number) => format!("signal {number}{}", signal_name(*number)),
        Ending::NotStarted(failure) => format!("not started ({})", failure.code),
    }
}

fn signal_name(number: u32) -> String {
    let signal = i32::try_from(number)
        .ok()
        .and_then(|number| Signal::try_from(number).ok());
    signal
        .map(|signal| format!(" ({signal})"))
        .unwrap_or_default()
}

fn json(value: Kind) -> Json {
    match value {
        Kind::Number(number) => number.into(),
        Kind::Integer(number) => number.into(),
        Kind::Text(text) => text.into(),
        Kind::Flag(flag) => flag.into(),
    }
}
