//! Events in words, for views.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use forebay_cluster::events::{AgentPhase, DataflowPhase, JobEvent, NodeEvent};
use serde_json::Value;

use super::operators;
use crate::text::{Colour, Palette, duration, neutral};

/// Most values of a report that are shown in one line.
const VALUES_SHOWN_MAX: usize = 8;
/// Most lines of stacks that are shown.
const STACK_LINES_MAX: usize = 40;

/// One line for an event, if it is worth one. Reports and summaries are told elsewhere.
pub(super) fn of(event: &JobEvent, palette: Palette) -> Option<String> {
    Some(match event {
        JobEvent::Job { job, run_dir, .. } => format!(
            "job `{}`, run {}",
            neutral(job),
            neutral(&run_dir.to_string_lossy())
        ),
        JobEvent::Am { term, pid, .. } => format!("application manager: term {term}, pid {pid}"),
        JobEvent::Agent {
            agent,
            address,
            phase,
            ..
        } => agent_line(agent, address, *phase),
        JobEvent::Phase { phase, note } => phase_line(phase, note.as_deref()),
        // Said again a moment later, with its pid.
        JobEvent::Node(event) if event.phase == "starting" && event.pid.is_none() => return None,
        JobEvent::Node(event) => node_line(event, palette),
        JobEvent::Log { node, line, .. } => log_line(node, line, palette),
        JobEvent::Signal {
            node,
            name,
            payload,
            ..
        } => {
            format!(
                "{} signals `{}`: {}",
                neutral(node),
                neutral(name),
                neutral(payload)
            )
        }
        JobEvent::Stalled {
            node,
            stall,
            for_ms,
            stacks,
            ..
        } => stalled(node, stall, *for_ms, stacks, palette),
        JobEvent::Finish { node, reason, .. } if reason.is_empty() => {
            format!("{} finishes the job", neutral(node))
        }
        JobEvent::Finish { node, reason, .. } => {
            format!("{} finishes the job: {}", neutral(node), neutral(reason))
        }
        JobEvent::Warning { message, hint } => warning(message, hint.as_deref(), palette),
        JobEvent::Stop { now: false, reason } => format!("stopping: {}", neutral(reason)),
        JobEvent::Stop { now: true, reason } => {
            format!("stopping without delay: {}", neutral(reason))
        }
        JobEvent::Quarantined {
            reason,
            hint,
            for_ms,
        } => quarantined(reason, hint.as_deref(), *for_ms, palette),
        JobEvent::Resumed { plugins } => resumed(plugins),
        JobEvent::Dataflow(event) => operators::phase_line(event, palette),
        JobEvent::Progress(event) => operators::progress_line(event),
        JobEvent::Cluster { .. } | JobEvent::Report { .. } | JobEvent::Summary(_) => return None,
    })
}

/// Whether people want to see it go by even while a live view stands below.
pub(super) fn goes_by(event: &JobEvent) -> bool {
    match event {
        JobEvent::Node(event) => {
            event.phase == "exited" && event.verdict.as_deref() != Some("finished")
        }
        JobEvent::Agent { phase, .. } => *phase == AgentPhase::Lost,
        JobEvent::Dataflow(event) => {
            matches!(event.phase, DataflowPhase::Failed | DataflowPhase::Stopped)
        }
        JobEvent::Am { .. } | JobEvent::Phase { .. } | JobEvent::Progress(_) => false,
        _ => true,
    }
}

/// What is known of a node that stands still; an operator wants to see where.
fn stalled(node: &str, stall: &str, for_ms: u64, stacks: &str, palette: Palette) -> String {
    let time = duration(Duration::from_millis(for_ms));
    let head = format!("{} is {} for {time}", neutral(node), neutral(stall));
    let mut text = palette.paint(Colour::Warning, &head);
    for line in stacks.lines().take(STACK_LINES_MAX) {
        let _ = write!(text, "\n    {}", neutral(line));
    }
    text
}

/// An operator wants to know what is lost (nothing), how long there is, and what to type.
fn quarantined(reason: &str, hint: Option<&str>, for_ms: u64, palette: Palette) -> String {
    let head = format!("the plugin failed: {}", neutral(reason));
    let hint = hint.map_or(String::new(), |hint| format!("\n    {}", neutral(hint)));
    let time = duration(Duration::from_millis(for_ms));
    let what_now = format!(
        "\n    nodes go on; within {time}, `forebay resume --plugin FILE` goes on with a mended plugin, `forebay stop` ends the job"
    );
    palette.paint(Colour::Bad, &head) + &hint + &what_now
}

fn resumed(plugins: &BTreeMap<String, String>) -> String {
    if plugins.is_empty() {
        return "the job is resumed with the plugins that it had".into();
    }
    let names: Vec<String> = plugins
        .keys()
        .map(|name| format!("`{}`", neutral(name)))
        .collect();
    format!("the job is resumed with another {}", names.join(", "))
}

fn agent_line(agent: &str, address: &str, phase: AgentPhase) -> String {
    let what = match phase {
        AgentPhase::Joined => "joined",
        AgentPhase::Lost => "is lost",
    };
    format!("agent {} ({}) {what}", neutral(agent), neutral(address))
}

fn phase_line(phase: &str, note: Option<&str>) -> String {
    let note = note.map_or(String::new(), |note| format!(": {}", neutral(note)));
    format!("job: {}{note}", neutral(phase))
}

fn node_line(event: &NodeEvent, palette: Palette) -> String {
    let text = format!(
        "{} {}{}",
        neutral(&event.node),
        neutral(&event.phase),
        node_details(event)
    );
    match event.verdict.as_deref() {
        Some("finished" | "stopped") | None => text,
        Some(_) => palette.paint(Colour::Bad, &text),
    }
}

fn node_details(event: &NodeEvent) -> String {
    let mut details = Vec::new();
    if event.attempt > 0 {
        details.push(format!("attempt {}", event.attempt));
    }
    details.extend(event.pid.map(|pid| format!("pid {pid}")));
    details.extend(
        event
            .agent
            .iter()
            .map(|agent| format!("on {}", neutral(agent))),
    );
    details.extend(
        event
            .ending
            .iter()
            .map(|ending| neutral(ending).into_owned()),
    );
    details.extend(
        event
            .verdict
            .iter()
            .map(|verdict| neutral(verdict).into_owned()),
    );
    let reason = event
        .reason
        .as_deref()
        .filter(|reason| !reason.is_empty() && event.ending.as_deref() != Some(*reason));
    let reason = reason.map_or(String::new(), |reason| format!(": {}", neutral(reason)));
    if details.is_empty() {
        reason
    } else {
        format!(" ({}){reason}", details.join(", "))
    }
}

fn log_line(node: &str, line: &str, palette: Palette) -> String {
    format!(
        "{} {}",
        palette.paint(Colour::Faint, &format!("{} |", neutral(node))),
        neutral(line)
    )
}

fn warning(message: &str, hint: Option<&str>, palette: Palette) -> String {
    let hint = hint.map_or(String::new(), |hint| format!("\n  hint: {}", neutral(hint)));
    format!(
        "{} {}{hint}",
        palette.paint(Colour::Warning, "warning:"),
        neutral(message)
    )
}

/// `step 120, loss 0.53`
pub(super) fn report(step: Option<u64>, values: &BTreeMap<String, Value>) -> String {
    let step = step.map(|step| format!("step {step}"));
    let shown = values
        .iter()
        .filter(|(name, _)| *name != "step")
        .take(VALUES_SHOWN_MAX);
    let values =
        shown.map(|(name, value)| format!("{} {}", neutral(name), neutral(&value_text(value))));
    step.into_iter()
        .chain(values)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The same out of a summary, where the step is among the values.
pub(crate) fn last_report(values: &BTreeMap<String, Value>) -> String {
    report(values.get("step").and_then(Value::as_u64), values)
}

/// Numbers with as many digits as help, everything else as it is.
fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            let magnitude = number.abs();
            if magnitude != 0.0 && !(1e-3..1e6).contains(&magnitude) {
                format!("{number:.3e}")
            } else {
                let text = format!("{number:.4}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_are_short() {
        let values: BTreeMap<_, _> = [
            ("loss", json!(0.531_249)),
            ("rate", json!(1e-5)),
            ("note", json!("a\u{1b}b")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        insta::assert_snapshot!(report(Some(120), &values), @"step 120, loss 0.5312, note a␛b, rate 1.000e-5");
        assert_eq!(
            report(None, &BTreeMap::from([("accuracy".into(), json!(1.0))])),
            "accuracy 1"
        );
    }
}
