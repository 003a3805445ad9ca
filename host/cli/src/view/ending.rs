//! The last screen of a run.

use std::time::Duration;

use forebay_cluster::events::{AttemptSummary, Cause, NodeSummary, Outcome, Summary};

use super::{operators, words};
use crate::runs;
use crate::text::{Colour, Palette, count, duration, neutral, table};

/// Most nodes whose last report is listed.
const NODES_SHOWN_MAX: usize = 12;
/// Most lines of a traceback that are shown, from its end.
const TRACEBACK_LINES_MAX: usize = 20;
/// Most lines of a node's log that are shown, from its end.
const LOG_LINES_MAX: usize = 12;
/// Most attempts that are listed.
const ATTEMPTS_SHOWN_MAX: usize = 6;

/// What a person needs to know at the end, without a line end at its own.
pub(crate) fn screen(summary: &Summary, palette: Palette) -> String {
    let mut lines = vec![headline(summary, palette)];
    if summary.outcome != Outcome::Succeeded {
        lines.extend(what_went_wrong(summary, palette));
    }
    lines.extend(reports(summary));
    lines.extend(summary.dataflow.iter().flat_map(operators::summary_table));
    lines.extend(hint(summary).map(|hint| format!("  hint: {}", neutral(&hint))));
    lines.extend(places(summary));
    lines.join("\n")
}

pub(super) fn headline(summary: &Summary, palette: Palette) -> String {
    let (word, colour) = match summary.outcome {
        Outcome::Succeeded => ("succeeded", Colour::Good),
        Outcome::Failed if summary.engine_failed => {
            ("failed (not the job's own fault)", Colour::Bad)
        }
        Outcome::Failed => ("failed", Colour::Bad),
        Outcome::Stopped => ("stopped", Colour::Warning),
    };
    let time = duration(Duration::from_millis(summary.duration_ms));
    let preposition = if summary.outcome == Outcome::Succeeded {
        "in"
    } else {
        "after"
    };
    format!(
        "{} {preposition} {time}: {}",
        palette.paint(colour, &format!("job {word}")),
        neutral(&summary.reason)
    )
}

/// The last report of each node that made one.
fn reports(summary: &Summary) -> Vec<String> {
    let reporting: Vec<_> = summary
        .nodes
        .iter()
        .filter(|node| !node.last_report.is_empty())
        .collect();
    let rows: Vec<_> = reporting
        .iter()
        .take(NODES_SHOWN_MAX)
        .map(|node| report_row(node))
        .collect();
    let mut lines: Vec<_> = table(&rows)
        .lines()
        .map(|line| format!("  {line}"))
        .collect();
    if reporting.len() > NODES_SHOWN_MAX {
        lines.push(format!(
            "  ... and {} more",
            reporting.len() - NODES_SHOWN_MAX
        ));
    }
    lines
}

fn report_row(node: &NodeSummary) -> Vec<String> {
    vec![node.node.clone(), words::last_report(&node.last_report)]
}

fn what_went_wrong(summary: &Summary, palette: Palette) -> Vec<String> {
    let Some(cause) = &summary.cause else {
        return Vec::new();
    };
    let cause_line = format!(
        "{}, attempt {}: {}",
        neutral(&cause.node),
        cause.attempt,
        neutral(&cause.ending)
    );
    let mut lines = vec![format!(
        "  first cause: {}",
        palette.paint(Colour::Strong, &cause_line)
    )];
    lines.extend(tail(
        "traceback",
        cause
            .traceback
            .as_deref()
            .map(str::lines)
            .into_iter()
            .flatten(),
        TRACEBACK_LINES_MAX,
    ));
    lines.extend(tail("last lines", untold_lines(cause), LOG_LINES_MAX));
    lines.extend(tried(summary, cause));
    lines
}

/// Last lines of the log that the traceback does not show already.
fn untold_lines(cause: &Cause) -> impl Iterator<Item = &str> {
    let traceback = cause.traceback.as_deref().unwrap_or_default();
    let is_told =
        |line: &str| !line.trim().is_empty() && traceback.lines().any(|told| told == line);
    cause
        .last_lines
        .iter()
        .map(String::as_str)
        .filter(move |line| !is_told(line))
}

fn tail<'a>(title: &str, lines: impl Iterator<Item = &'a str>, lines_max: usize) -> Vec<String> {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let left_out = lines.len().saturating_sub(lines_max);
    let mut shown = vec![format!("  {title}:")];
    if left_out > 0 {
        shown.push(format!(
            "    ... ({} before these)",
            count(left_out, "line")
        ));
    }
    shown.extend(
        lines[left_out..]
            .iter()
            .map(|line| format!("    {}", neutral(line))),
    );
    shown
}

/// What to do: what the plugin says, else where to read on.
fn hint(summary: &Summary) -> Option<String> {
    let read_on = || {
        let cause = summary
            .cause
            .as_ref()
            .filter(|_| log_name(summary).is_some())?;
        let run = runs::argument(&summary.run_dir);
        let command = format!("forebay logs --run {run} {}", cause.node);
        Some(format!("`{command}` shows everything that it wrote"))
    };
    summary.hint.clone().or_else(read_on)
}

/// Every attempt of the node that caused the end.
fn tried(summary: &Summary, cause: &Cause) -> Option<String> {
    let node = summary.nodes.iter().find(|node| node.node == cause.node)?;
    let skipped = node.attempts.len().saturating_sub(ATTEMPTS_SHOWN_MAX);
    let attempts = node.attempts[skipped..].iter().map(|attempt| {
        format!(
            "attempt {} ({}, {})",
            attempt.attempt,
            neutral(&attempt.ending),
            neutral(&attempt.verdict)
        )
    });
    let attempts = attempts.collect::<Vec<_>>().join(", ");
    (!attempts.is_empty()).then(|| format!("  tried: {attempts}"))
}

/// Where everything is.
fn places(summary: &Summary) -> Vec<String> {
    if summary.run_dir.as_os_str().is_empty() {
        return Vec::new();
    }
    let path = |below: &str| neutral(&summary.run_dir.join(below).to_string_lossy()).into_owned();
    let log = log_name(summary);
    let mut lines = vec![format!(
        "  run: {}",
        neutral(&summary.run_dir.to_string_lossy())
    )];
    match (summary.outcome, log) {
        (Outcome::Succeeded, _) if summary.nodes.is_empty() => {}
        (Outcome::Succeeded, _) => lines.push(format!("  output: {}", path("output"))),
        (_, Some(log)) => lines.push(format!("  log: {}", path(&log))),
        _ => lines.push(format!("  logs: {}", path("logs"))),
    }
    lines
}

/// The log of the attempt that is the cause; one that never ran has none.
fn log_name(summary: &Summary) -> Option<String> {
    let cause = summary.cause.as_ref()?;
    let node = summary.nodes.iter().find(|node| node.node == cause.node)?;
    let ran = |attempt: &&AttemptSummary| attempt.attempt == cause.attempt && attempt.pid.is_some();
    node.attempts.iter().find(ran)?;
    let (role, index) = cause.node.rsplit_once(':')?;
    Some(format!("logs/{role}-{index}.{}.log", cause.attempt))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use forebay_cluster::events::{DataflowPhase, DataflowSummary, TermSummary};
    use serde_json::json;

    use super::*;

    fn summary(outcome: Outcome) -> Summary {
        let node = |index: u32, verdict: &str| NodeSummary {
            node: format!("worker:{index}"),
            attempts: vec![AttemptSummary {
                attempt: 1,
                pid: Some(7),
                ending: "exit code 1".into(),
                verdict: verdict.into(),
            }],
            last_report: BTreeMap::from([
                ("step".into(), json!(300)),
                ("accuracy".into(), json!(0.974_321)),
            ]),
        };
        Summary {
            outcome,
            reason: "`worker:1` failed".into(),
            hint: None,
            cause: None,
            engine_failed: false,
            duration_ms: 3210,
            run_dir: "/jobs/.forebay/runs/digits-1".into(),
            terms: vec![TermSummary { term: 1, pid: 5 }],
            nodes: vec![node(0, "finished"), node(1, "fatal")],
            dataflow: None,
        }
    }

    fn cause(traceback: Option<&str>, lines: usize) -> Cause {
        Cause {
            node: "worker:1".into(),
            attempt: 1,
            ending: "exit code 1".into(),
            traceback: traceback.map(Into::into),
            last_lines: (1..=lines)
                .map(|line| format!("line {line}\u{1b}[2J"))
                .collect(),
        }
    }

    #[test]
    fn a_failed_job_ends_with_its_first_cause() {
        let traceback =
            "Traceback (most recent call last):\n  File \"train.py\", line 3\nValueError: no data";
        let mut failed = cause(Some(traceback), 2);
        failed.last_lines.extend(traceback.lines().map(Into::into));
        let summary = Summary {
            cause: Some(failed),
            hint: Some("mend the script".into()),
            ..summary(Outcome::Failed)
        };
        insta::assert_snapshot!(screen(&summary, Palette::default()), @r#"
        job failed after 3.2 s: `worker:1` failed
          first cause: worker:1, attempt 1: exit code 1
          traceback:
            Traceback (most recent call last):
              File "train.py", line 3
            ValueError: no data
          last lines:
            line 1␛[2J
            line 2␛[2J
          tried: attempt 1 (exit code 1, fatal)
          worker:0  step 300, accuracy 0.9743
          worker:1  step 300, accuracy 0.9743
          hint: mend the script
          run: /jobs/.forebay/runs/digits-1
          log: /jobs/.forebay/runs/digits-1/logs/worker-1.1.log
        "#);
    }

    #[test]
    fn a_long_log_fits_on_one_screen() {
        let summary = Summary {
            cause: Some(cause(None, 50)),
            ..summary(Outcome::Failed)
        };
        let screen = screen(&summary, Palette::default());
        assert!(screen.lines().count() < 24, "{screen}");
        assert!(screen.contains("... (38 lines before these)"), "{screen}");
    }

    #[test]
    fn a_succeeded_job_ends_with_reports_and_output() {
        insta::assert_snapshot!(screen(&summary(Outcome::Succeeded), Palette::default()), @r"
        job succeeded in 3.2 s: `worker:1` failed
          worker:0  step 300, accuracy 0.9743
          worker:1  step 300, accuracy 0.9743
          run: /jobs/.forebay/runs/digits-1
          output: /jobs/.forebay/runs/digits-1/output
        ");
    }

    #[test]
    fn a_job_without_nodes_ends_with_what_its_dataflow_did() {
        let counts = operators::tests::operator("flights", 336_776).counts;
        let phase = DataflowPhase::Ended;
        let summary = Summary {
            nodes: Vec::new(),
            dataflow: Some(DataflowSummary::new(1, phase, 2_500, [counts])),
            ..summary(Outcome::Succeeded)
        };
        insta::assert_snapshot!(screen(&summary, Palette::default()), @r"
        job succeeded in 3.2 s: `worker:1` failed
          dataflow ended after 2.5 s:
            OPERATOR  ROWS IN  ROWS OUT   ROWS/S  LATE  MALFORMED
            flights   336,776   168,388  134,710     0          0
          run: /jobs/.forebay/runs/digits-1
        ");
    }

    #[test]
    fn a_run_that_never_was_names_no_folder() {
        let summary = Summary {
            engine_failed: true,
            run_dir: "".into(),
            nodes: Vec::new(),
            ..summary(Outcome::Failed)
        };
        insta::assert_snapshot!(screen(&summary, Palette::default()), @"job failed (not the job's own fault) after 3.2 s: `worker:1` failed");
    }
}
