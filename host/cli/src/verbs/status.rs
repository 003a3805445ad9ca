//! `forebay status`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use forebay_cluster::events::{OperatorProgress, Summary};
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::wire::job::DescribeRequest;
use serde_json::{Map, Value, json};

use crate::control::{self, ANSWER_WITHIN};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, FormatArgument, print, print_json, written};
use crate::runs::{self, State};
use crate::text::{Palette, duration, neutral, table};
use crate::view;

/// Says how a run stands: what its application manager knows, or how it ended
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay status\n  forebay status --format json digits-20260101-120000"
)]
pub(crate) struct Status {
    /// Folder or name of the run [default: the newest below `.forebay/runs`]
    run: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArgument,
}

impl Status {
    pub(crate) async fn execute(self) -> Result<Exit, Failure> {
        let run = runs::find(self.run.as_deref())?;
        let status = match runs::state_of(&run) {
            (State::Running, _) => describe(&run).await?,
            (state, summary) => ended(&run, state, summary.as_ref()),
        };
        written(match self.format.format {
            Format::Json => print_json(&status),
            Format::Text => print(&text(&status)),
        })
    }
}

/// What the application manager says; what it wrote, where it ended in this moment.
async fn describe(run: &RunDirectory) -> Result<Map<String, Value>, Failure> {
    match ask(run).await {
        Ok(described) => Ok(described),
        Err(failure) => match runs::summary_of(run) {
            Some(summary) => Ok(ended(run, summary.outcome.into(), Some(&summary))),
            None => Err(failure),
        },
    }
}

pub(super) async fn ask(run: &RunDirectory) -> Result<Map<String, Value>, Failure> {
    let mut manager = control::connect(run).await?;
    let answer = control::within(run, ANSWER_WITHIN, manager.describe(DescribeRequest {})).await?;
    let damaged = |error| {
        Failure::engine("the application manager gives no valid answer").caused_by(Some(&error))
    };
    let mut status: Map<String, Value> =
        serde_json::from_str(&answer.into_inner().json).map_err(damaged)?;
    status.insert("state".into(), State::Running.word().into());
    Ok(status)
}

fn ended(run: &RunDirectory, state: State, summary: Option<&Summary>) -> Map<String, Value> {
    let status =
        json!({ "kind": "status", "run_dir": run.root(), "state": state, "summary": summary });
    status.as_object().cloned().unwrap_or_default()
}

fn text(status: &Map<String, Value>) -> String {
    let mut text = table(&facts(status));
    let rows: Vec<_> = items(status, "nodes").map(node_row).collect();
    if !rows.is_empty() {
        text.push_str("nodes\n");
        text.extend(table(&rows).lines().map(|line| format!("  {line}\n")));
    }
    let dataflow = status.get("dataflow").and_then(Value::as_object);
    let operators: Vec<OperatorProgress> = items(dataflow, "operators")
        .filter_map(|operator| serde_json::from_value(operator.clone().into()).ok())
        .collect();
    if !operators.is_empty() {
        text.push_str("operators\n");
        let lines = view::operator_lines(&operators);
        text.extend(lines.iter().map(|line| format!("  {line}\n")));
    }
    let summary = status
        .get("summary")
        .cloned()
        .and_then(|summary| serde_json::from_value(summary).ok());
    if let Some(summary) = summary {
        text.push_str(&view::screen(&summary, Palette::of_stdout()));
        text.push('\n');
    }
    text
}

fn facts(status: &Map<String, Value>) -> Vec<Vec<String>> {
    let fact = |name: &str, text: String| vec![name.to_owned(), text];
    let mut rows = vec![
        fact("run", word(status, "run_dir")),
        fact("state", word(status, "state")),
    ];
    if status.contains_key("phase") {
        let running = duration(Duration::from_millis(
            status
                .get("running_ms")
                .and_then(Value::as_u64)
                .unwrap_or(0),
        ));
        rows.push(fact("job", word(status, "job")));
        rows.push(fact("phase", word(status, "phase")));
        rows.push(fact("running", format!("for {running}")));
        if let Some(quarantine) = status.get("quarantine").and_then(Value::as_object) {
            rows.push(fact("plugin", quarantined(quarantine)));
        }
        if let Some(dataflow) = status.get("dataflow").and_then(Value::as_object) {
            rows.push(fact("dataflow", dataflow_words(dataflow)));
        }
        rows.push(fact(
            "manager",
            format!("term {}, pid {}", word(status, "term"), word(status, "pid")),
        ));
    }
    let agents = items(status, "agents").map(|agent| {
        fact(
            "agent",
            format!(
                "{} ({}), {}",
                word(agent, "agent"),
                word(agent, "address"),
                word(agent, "state")
            ),
        )
    });
    rows.extend(agents);
    rows
}

fn dataflow_words(dataflow: &Map<String, Value>) -> String {
    let mut text = word(dataflow, "phase");
    if dataflow.get("attempt").and_then(Value::as_u64) > Some(1) {
        text = format!("{text}, attempt {}", word(dataflow, "attempt"));
    }
    let reason = word(dataflow, "reason");
    if reason.is_empty() {
        text
    } else {
        format!("{text}: {reason}")
    }
}

fn quarantined(quarantine: &Map<String, Value>) -> String {
    let left = quarantine.get("fails_in_ms").and_then(Value::as_u64);
    let left = duration(Duration::from_millis(left.unwrap_or(0)));
    let mut text = format!(
        "failed: {}; the job fails in {left} unless it is resumed or stopped",
        word(quarantine, "reason")
    );
    let hint = word(quarantine, "hint");
    if !hint.is_empty() {
        text = format!("{text}; {hint}");
    }
    text
}

fn node_row(node: &Map<String, Value>) -> Vec<String> {
    let pid = word(node, "pid");
    let pid = if pid.is_empty() {
        pid
    } else {
        format!("pid {pid}")
    };
    let attempt = match node.get("attempt").and_then(Value::as_u64) {
        None | Some(0) => String::new(),
        Some(attempt) => format!("attempt {attempt}"),
    };
    let report = node
        .get("last_report")
        .cloned()
        .and_then(|report| serde_json::from_value(report).ok());
    let report = report
        .map(|report| view::last_report(&report))
        .unwrap_or_default();
    vec![
        word(node, "node"),
        word(node, "phase"),
        attempt,
        pid,
        word(node, "agent"),
        report,
    ]
}

fn items<'a>(
    status: impl Into<Option<&'a Map<String, Value>>>,
    name: &str,
) -> impl Iterator<Item = &'a Map<String, Value>> {
    let status = status.into();
    status
        .and_then(|status| status.get(name))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
}

/// A value as a word; nothing where it is absent.
fn word(object: &Map<String, Value>, name: &str) -> String {
    match object.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => neutral(text).into_owned(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_job_is_described_with_its_nodes() {
        let status = json!({
            "kind": "status", "state": "running", "job": "digits", "run_dir": "/runs/digits-1", "phase": "running",
            "term": 1, "pid": 11, "generation": 1, "running_ms": 12_345,
            "quarantine": { "reason": "it has no water", "hint": null, "fails_in_ms": 60_000 },
            "agents": [{ "agent": "mill", "address": "127.0.0.1", "pid": 10, "state": "connected" }],
            "nodes": [
                { "node": "worker:0", "phase": "ready", "attempt": 1, "pid": 12, "agent": "mill", "last_report": { "step": 3, "loss": 0.5 } },
                { "node": "ps:0", "phase": "absent", "attempt": 0, "pid": null, "agent": null, "last_report": {} },
            ],
            "dataflow": {
                "attempt": 2, "phase": "running", "reason": null, "hint": null, "running_ms": 9_000,
                "operators": [{ "operator": "flights", "tasks": 1, "ended": 0, "rows_in": 12_345, "rows_out": 12_340, "late": 0,
                    "malformed": 5, "dropped": 0, "rows_per_second": 1000.0, "watermark_ms": 0, "watermark_lag_ms": 2000,
                    "idle": false, "queued_rows": 0, "queued_bytes": 0, "busy": 0.5, "waiting": 0.5, "back_pressured": 0.0 }],
            },
        });
        insta::assert_snapshot!(text(status.as_object().unwrap()), @r"
        run       /runs/digits-1
        state     running
        job       digits
        phase     running
        running   for 12.3 s
        plugin    failed: it has no water; the job fails in 1 min 0 s unless it is resumed or stopped
        dataflow  running, attempt 2
        manager   term 1, pid 11
        agent     mill (127.0.0.1), connected
        nodes
          worker:0  ready   attempt 1  pid 12  mill  step 3, loss 0.5
          ps:0      absent
        operators
          flights  12,345 in  12,340 out  1,000/s  2.0 s behind  busy 50 %  5 malformed
        ");
    }
}
