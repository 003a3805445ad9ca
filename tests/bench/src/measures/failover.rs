//! An application manager is killed: from then until the next one answers and has every agent back.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use forebay_cluster::connect;
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::token::Token;
use forebay_cluster::wire::job::DescribeRequest;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::{Duration, sleep};

use crate::Effort;
use crate::engine::{Run, sleepers};
use crate::process::kill;
use crate::row::{Judged, Row, Unit, milliseconds};

const NODES: u32 = 2;
/// The next application manager is asked for so long.
const SERVES_WITHIN: Duration = Duration::from_mins(1);
/// Between two questions.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(5);

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
    runtime.block_on(until_served(&directory, 2))?;
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

/// Asks as `forebay status` does, until the application manager of this term answers and has its agents.
async fn until_served(run: &RunDirectory, term: u64) -> Result<()> {
    let given_up = Instant::now() + SERVES_WITHIN;
    while Instant::now() < given_up {
        let answer = describe(run).await.unwrap_or_default();
        let agents = answer["agents"].as_array().cloned().unwrap_or_default();
        let all_are_back = agents.iter().all(|agent| agent["state"] == "connected");
        if answer["term"] == term && !agents.is_empty() && all_are_back {
            return Ok(());
        }
        sleep(ASK_AGAIN_AFTER).await;
    }
    bail!("term {term} never served")
}

/// What an application manager says of its job.
pub(super) async fn describe(run: &RunDirectory) -> Result<Value> {
    let token = Token::read_file(&run.token_file())?;
    let mut control = connect::job_control(&run.address(), &token).await?;
    let description = control.describe(DescribeRequest {}).await?;
    Ok(serde_json::from_str(&description.into_inner().json)?)
}
