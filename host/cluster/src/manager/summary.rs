//! The last event of a run, and what `status` answers before.

use forebay_plugin::NodeId;
use serde_json::{Value as Json, json};

use super::core::Core;
use super::tables::{End, NodeRecord};
use crate::events::{Cause, NodeSummary, Summary};

impl Core {
    pub(super) fn summary(&self, end: &End) -> Summary {
        Summary {
            outcome: end.outcome,
            reason: end.reason.clone(),
            hint: end.hint.clone(),
            cause: end.node.as_ref().and_then(|id| self.cause(id)),
            engine_failed: end.engine_failed,
            duration_ms: self.now_ms.saturating_sub(self.setting.submitted_ms),
            run_dir: self.setting.run_dir.clone(),
            terms: self.tables.terms.clone(),
            nodes: self
                .tables
                .nodes()
                .map(|(id, node)| node_summary(&id, node))
                .collect(),
            dataflow: self.dataflow_summary(),
        }
    }

    /// A node whose machine was lost has an attempt without an exit.
    fn cause(&self, id: &NodeId) -> Option<Cause> {
        let node = self.tables.node(id)?;
        let last = node.attempts.last()?;
        let exit = node.last_exit.as_ref();
        let report = exit
            .map(|exit| &exit.report)
            .filter(|report| report.attempt == last.attempt);
        let error = report.and_then(|report| report.error.as_ref());
        Some(Cause {
            node: id.to_string(),
            attempt: last.attempt,
            ending: last.ending.clone(),
            traceback: error.map(|error| error.traceback.clone()),
            last_lines: report.map_or_else(Vec::new, |report| report.last_lines.clone()),
        })
    }

    /// What is true now, for `status`.
    pub(crate) fn describe(&self) -> Json {
        let agents = self.tables.agents.iter().map(|agent| {
            json!({ "agent": agent.name, "address": agent.address, "pid": agent.pid, "state": agent.state.word() })
        });
        let nodes = self.tables.nodes().map(|(id, node)| {
            json!({
                "node": id.to_string(),
                "phase": node.phase.as_str(),
                "attempt": node.attempt,
                "pid": node.pid,
                "agent": node.place.as_ref().map(|place| &self.tables.agents[place.agent].name),
                "last_report": node.last_report,
            })
        });
        json!({
            "kind": "status",
            "job": self.prepared.job.name,
            "run_dir": self.setting.run_dir,
            "phase": self.tables.phase,
            "term": self.setting.term,
            "pid": self.setting.pid,
            "quarantine": self.tables.quarantine.as_ref().map(|quarantine| {
                json!({
                    "reason": quarantine.reason,
                    "hint": quarantine.hint,
                    "fails_in_ms": quarantine.until_ms.saturating_sub(self.now_ms),
                })
            }),
            "generation": self.tables.generation,
            "running_ms": self.now_ms.saturating_sub(self.setting.submitted_ms),
            "agents": agents.collect::<Vec<_>>(),
            "nodes": nodes.collect::<Vec<_>>(),
            "dataflow": self.describe_dataflow(),
        })
    }
}

fn node_summary(id: &NodeId, node: &NodeRecord) -> NodeSummary {
    NodeSummary {
        node: id.to_string(),
        attempts: node.attempts.clone(),
        last_report: node.last_report.clone(),
    }
}
