//! What waits to be sent to the AM, and in which order: events, reports, logs.

use std::collections::BTreeMap;

use forebay_plugin::NodeId;

use super::logs::Logs;
use super::outbox::Outbox;
use crate::wire::cluster::agent_message::Message;
use crate::wire::cluster::{AgentMessage, DataflowProgress, NodeReport};
use crate::wire::node::Report;
use crate::wire::to_wire;

/// Values kept of one node's reports; more keys are left out.
const REPORT_VALUES_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Uplink {
    pub(super) outbox: Outbox,
    pub(super) logs: Logs,
    /// Latest values that were not sent; at most one report a node is ever waiting.
    reports: BTreeMap<(NodeId, u32), Report>,
    /// How far the dataflow is, as long as that was not sent.
    progress: Option<DataflowProgress>,
}

impl Uplink {
    pub(super) fn report(&mut self, node: NodeId, attempt: u32, report: Report) {
        let waiting = self.reports.entry((node, attempt)).or_default();
        waiting.step = waiting.step.max(report.step);
        waiting.time_ms = report.time_ms;
        for (key, value) in report.values {
            if waiting.values.len() < REPORT_VALUES_MAX || waiting.values.contains_key(&key) {
                waiting.values.insert(key, value);
            }
        }
    }

    /// The newest, in the place of one that waits; `None`: there is nothing to say any more.
    pub(super) fn progress(&mut self, progress: Option<DataflowProgress>) {
        self.progress = progress;
    }

    pub(super) fn has_next(&self) -> bool {
        let has_values = !self.reports.is_empty() || self.progress.is_some();
        self.outbox.has_next() || has_values || self.logs.has_next()
    }

    /// Nothing is left that the AM has not taken.
    pub(super) fn is_empty(&self) -> bool {
        self.outbox.is_empty() && self.logs.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<AgentMessage> {
        let outbox = self.outbox.next().map(Message::Outbox);
        let message = outbox
            .or_else(|| self.progress.take().map(Message::Dataflow))
            .or_else(|| self.next_report())
            .or_else(|| self.logs.next().map(Message::Log));
        message.map(|message| AgentMessage {
            message: Some(message),
        })
    }

    #[cfg(test)]
    pub(super) fn next_progress(&mut self) -> Option<DataflowProgress> {
        self.progress.take()
    }

    fn next_report(&mut self) -> Option<Message> {
        let ((node, attempt), report) = self.reports.pop_first()?;
        Some(Message::Report(NodeReport {
            node: Some(to_wire(&node)),
            attempt,
            report: Some(report),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::node::{Value, value::Kind};

    fn report(step: u64, key: &str, number: f64) -> Report {
        let value = Value {
            kind: Some(Kind::Number(number)),
        };
        Report {
            step: Some(step),
            values: [(key.to_owned(), value)].into(),
            time_ms: step,
        }
    }

    #[test]
    fn reports_that_wait_become_one() {
        let mut uplink = Uplink::default();
        uplink.report(NodeId::new("worker", 0), 1, report(5, "loss", 2.0));
        uplink.report(NodeId::new("worker", 0), 1, report(4, "accuracy", 0.5));
        uplink.report(NodeId::new("worker", 0), 1, report(6, "loss", 1.0));
        let Some(Message::Report(sent)) = uplink.next().and_then(|message| message.message) else {
            panic!()
        };
        let sent = sent.report.unwrap();
        assert_eq!(
            (sent.step, sent.values.len(), sent.time_ms),
            (Some(6), 2, 6)
        );
        assert_eq!(sent.values["loss"].kind, Some(Kind::Number(1.0)));
        assert!(!uplink.has_next());
    }
}
