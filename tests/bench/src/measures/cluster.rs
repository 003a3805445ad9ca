//! A large cluster: 1,000 nodes on 16 agents, which this program plays. From the last grant of places until every agent has
//! the whole cluster, and what the application manager needs for it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use forebay_cluster::connect::ManagerAddress;
use forebay_cluster::token::Token;
use forebay_test_conformance::RING;
use tokio::runtime::Runtime;

use crate::Effort;
use crate::agents::{Played, play};
use crate::asking::{self, all};
use crate::engine::Run;
use crate::process::{idle_percent, memory_peak_mb};
use crate::row::{Judged, Row, Unit, milliseconds};

const NODES: u32 = 1_000;
const AGENTS: u32 = 16;
/// Each node has a port and is told that of the next one, so the cluster is as large as clusters are.
const JOB: &str = "name = \"large\"\n[roles.worker]\nnodes = 1000\ncommand = [\"true\"]\nplugin = \"./ring.wasm\"\n";
/// The application manager has come to rest by then.
const REST: Duration = Duration::from_secs(3);

/// What one run gave.
struct Sample {
    told_ms: f64,
    memory_mb: f64,
    idle_percent: Option<f64>,
}

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    fs::write("ring.wasm", RING.component)?;
    fs::write("plugin.toml", RING.manifest)?;
    let runtime = Runtime::new()?;
    let window = Duration::from_secs(effort.times(10, 2));
    let mut samples = Vec::new();
    for number in 0..effort.times(10, 2) {
        // Idling takes its time.
        let idle = (number < effort.times(3, 1)).then_some(window);
        samples.push(start_cluster(&runtime, idle)?);
    }
    let told = samples.iter().map(|sample| sample.told_ms).collect();
    let memory = samples.iter().map(|sample| sample.memory_mb).collect();
    let idle = samples.iter().filter_map(|sample| sample.idle_percent);
    let of = format!("{NODES} simulated nodes on {AGENTS} agents");
    Ok(vec![
        Row::new(
            format!("last placement to the full cluster at every agent: {of}"),
            Unit::Milliseconds,
            500.0,
            told,
        ),
        Row::new(
            format!("memory of the application manager, peak: {of}, all started"),
            Unit::Megabytes,
            60.0,
            memory,
        )
        .judged_by(Judged::Worst),
        Row::new(
            format!("idle CPU of the application manager: {of}"),
            Unit::PercentOfACore,
            0.5,
            idle.collect(),
        )
        .judged_by(Judged::Worst),
    ])
}

fn start_cluster(runtime: &Runtime, idle: Option<Duration>) -> Result<Sample> {
    let awaited = AGENTS.to_string();
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--slots",
        "0",
        "--agents",
        &awaited,
    ];
    let run = Run::start(JOB, &options)?;
    let manager = run.manager();
    let manager_pid = run.manager_pid();
    let address = manager["listen"][0].as_str().context("it listens")?;
    let address = ManagerAddress::Tcp(address.parse()?);
    let directory = run.directory()?;
    let token = Token::read_file(&directory.token_file())?;
    let mut agents: Vec<Played> = (0..AGENTS)
        .map(|number| play(runtime.handle(), &address, &token, number, NODES))
        .collect();
    let moments = runtime.block_on(async {
        let mut moments = Vec::new();
        for agent in &mut agents {
            moments.push(agent.all_started().await?);
        }
        asking::until(&directory, |answer| {
            all(answer, "nodes", |node| node["phase"] == "ready")
        })
        .await?;
        anyhow::Ok(moments)
    })?;
    let last = |of: fn(&(Instant, Instant)) -> Instant| moments.iter().map(of).max();
    let granted = last(|(granted, _)| *granted).context("there are agents")?;
    let told = last(|(_, told)| *told).context("there are agents")?;
    let memory_mb = memory_peak_mb(manager_pid)?;
    let idle_percent = idle
        .map(|window| idle_cpu(manager_pid, window))
        .transpose()?;
    run.stop();
    for agent in agents {
        runtime.block_on(agent.end())?;
    }
    Ok(Sample {
        told_ms: milliseconds(told.saturating_duration_since(granted)),
        memory_mb,
        idle_percent,
    })
}

fn idle_cpu(pid: u32, window: Duration) -> Result<f64> {
    std::thread::sleep(REST);
    let percents = idle_percent(&[pid], window)?;
    percents.first().copied().context("one process, one figure")
}
