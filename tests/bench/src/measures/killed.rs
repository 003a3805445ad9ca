//! A worker is killed: when its end is seen, and when its replacement runs, the wait that the state machine chose apart.

use std::time::Duration;

use anyhow::{Context, Result};
use forebay_test_support::Output;
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

/// Times of events and decisions have whole milliseconds, counted from a whole one.
const CLOCK_SLACK_MS: f64 = 2.0;

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
        Row::new(what, Unit::Milliseconds, at_most_ms, samples).judged_by(Judged::P99)
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
        moments.push((killed_ms, time_ms(&seen), replaced_ms));
    }
    let waits = restart_waits(&run.stop())?;
    let kill = |(killed_ms, seen_ms, replaced_ms)| {
        let waited = waits.iter().find(|wait| wait.decided_ms >= seen_ms);
        let wait_ms = waited
            .context("the journal has a wait for each restart")?
            .wait_ms;
        Ok(Kill {
            seen_ms: seen_ms - killed_ms,
            replaced_ms: replaced_ms - killed_ms - wait_ms,
        })
    };
    moments.into_iter().map(kill).collect()
}

/// The state machine had a timer set before a restart.
struct Wait {
    decided_ms: f64,
    wait_ms: f64,
}

/// All of a run, out of its journal.
fn restart_waits(output: &Output) -> Result<Vec<Wait>> {
    let mut command = forebay(&["events", "--format", "json"])?;
    command.arg(output.summary().run_dir());
    let decisions =
        forebay_test_support::Running::directly(command, Duration::from_mins(1)).finish();
    decisions.assert_code(0);
    let wait = |decision: &Value| {
        let actions = decision["actions"].as_array()?.iter();
        let mut timers = actions.map(|action| &action["set-timer"]);
        let timer = timers.find(|timer| timer["id"] == "restart")?;
        Some(Wait {
            decided_ms: time_ms(decision),
            wait_ms: timer["after_ms"].as_f64()?,
        })
    };
    Ok(decisions.events().iter().filter_map(wait).collect())
}
