//! A worker is killed: when its end is seen, and when its replacement runs, the wait that the state machine chose apart.

use std::time::Duration;

use anyhow::{Context, Result};
use forebay_test_support::{Output, Running};
use serde_json::Value;

use crate::Effort;
use crate::engine::{Run, forebay, now_ms, pid_in, sleepers, time_ms};
use crate::process::kill;
use crate::row::{Judged, Row, Unit};

/// In one run; the standard machine takes no more in a row without a step forward.
const KILLS_OF_RUN: usize = 3;
/// The one that is killed has a neighbour that stays.
const NODES: u32 = 2;
const VICTIM: &str = "worker:1";
/// A short wait before each restart: it is taken off again, and what is left does not depend on it.
const RESTARTS: &str = "[limits]\nrestarts = 100\n[am.properties]\nrestart-backoff-ms = 50\n";

/// One kill.
struct Kill {
    seen_ms: f64,
    replaced_ms: f64,
}

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let wanted = effort.times(200, 6);
    let mut kills = Vec::new();
    while kills.len() < wanted {
        kills.extend(kill_workers(KILLS_OF_RUN.min(wanted - kills.len()))?);
    }
    let row = |what: &str, at_most_ms, samples| {
        Row::new(what, Unit::Milliseconds, at_most_ms, samples).judged_by(Judged::Worst)
    };
    let seen = kills.iter().map(|kill| kill.seen_ms).collect();
    let replaced = kills.iter().map(|kill| kill.replaced_ms).collect();
    Ok(vec![
        row("worker killed to its end seen", 50.0, seen),
        row(
            "worker killed to its replacement started, back-off apart",
            1_000.0,
            replaced,
        ),
    ])
}

fn kill_workers(number: usize) -> Result<Vec<Kill>> {
    let run = Run::start(&(sleepers(NODES) + RESTARTS), &[])?;
    run.all_ready(NODES);
    let mut moments = Vec::new();
    for attempt in (1..).take(number) {
        let victim = pid_in(&run.ready(VICTIM, attempt));
        let killed_ms = now_ms();
        kill(victim)?;
        let replaced_ms = time_ms(&run.ready(VICTIM, attempt + 1));
        let seen = run.running.wait_event("its end", |event| {
            event["node"] == VICTIM && event["attempt"] == attempt && event["phase"] == "exited"
        });
        moments.push((attempt, killed_ms, time_ms(&seen), replaced_ms));
    }
    let decisions = decisions(&run.stop())?;
    let kill = |(attempt, killed_ms, seen_ms, replaced_ms)| {
        let decision = decisions
            .iter()
            .find(|decision| decided_about(decision, attempt))
            .context("the journal has the end of each attempt")?;
        Ok(Kill {
            seen_ms: seen_ms - killed_ms,
            replaced_ms: replaced_ms - killed_ms - back_off_ms(decision),
        })
    };
    moments.into_iter().map(kill).collect()
}

/// Out of the journal of a run.
fn decisions(output: &Output) -> Result<Vec<Value>> {
    let mut command = forebay(&["events", "--format", "json"])?;
    command.arg(output.summary().run_dir());
    let journal = Running::directly(command, Duration::from_mins(1)).finish();
    journal.assert_code(0);
    Ok(journal.events())
}

/// The state machine was asked because this attempt had ended.
fn decided_about(decision: &Value, attempt: u64) -> bool {
    let events = decision["events"].as_array();
    events.into_iter().flatten().any(|event| {
        let exit = &event["node-exited"];
        exit["node"] == VICTIM && exit["attempt"] == attempt
    })
}

/// How long the state machine had a restart wait.
fn back_off_ms(decision: &Value) -> f64 {
    let actions = decision["actions"].as_array().into_iter().flatten();
    let mut timers = actions.map(|action| &action["set-timer"]);
    let timer = timers.find(|timer| timer["id"] == "restart");
    timer
        .and_then(|timer| timer["after_ms"].as_f64())
        .unwrap_or_default()
}
