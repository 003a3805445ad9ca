//! An application manager is killed: from then until the next one answers and has every agent back.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;

use crate::Effort;
use crate::asking::{self, all};
use crate::engine::{Run, sleepers};
use crate::process::kill;
use crate::row::{Judged, Row, Unit, milliseconds};

const NODES: u32 = 2;

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let runtime = Runtime::new()?;
    let (mut served_ms, mut restarts) = (Vec::new(), Vec::new());
    for _ in 0..effort.times(30, 3) {
        let (took, restarted) = lose_manager(&runtime)?;
        served_ms.push(took);
        restarts.push(restarted);
    }
    Ok(vec![
        Row::new(
            "application manager killed to the next one serving, with its agents",
            Unit::Milliseconds,
            3_000.0,
            served_ms,
        ),
        Row::new("node restarts that this caused", Unit::Count, 0.0, restarts)
            .judged_by(Judged::Worst),
    ])
}

fn lose_manager(runtime: &Runtime) -> Result<(f64, f64)> {
    let run = Run::start(&sleepers(NODES), &[])?;
    let (_, pids) = run.all_ready(NODES);
    let directory = run.directory()?;
    let manager = run.manager_pid();
    let begun = Instant::now();
    kill(manager)?;
    runtime.block_on(asking::until(&directory, |answer| {
        answer["term"] == 2 && all(answer, "agents", |agent| agent["state"] == "connected")
    }))?;
    let took = milliseconds(begun.elapsed());
    ensure!(
        pids.iter()
            .all(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(false)),
        "a node is gone"
    );
    let summary = run.stop().summary();
    let nodes = summary.value()["nodes"]
        .as_array()
        .context("a summary has nodes")?;
    let attempts: usize = nodes
        .iter()
        .filter_map(|node| Some(node["attempts"].as_array()?.len()))
        .sum();
    let restarts = u32::try_from(attempts)?.saturating_sub(NODES);
    Ok((took, f64::from(restarts)))
}
