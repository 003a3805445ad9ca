//! The samples of the flights example, bounded, beside other engines: from CSV through two joins to Parquet. And what a stream costs
//! while it has nothing to do.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use forebay_test_support::{environment, repository};

use crate::Effort;
use crate::engine::{Run, forebay};
use crate::process::{children_cpu_seconds, private_mb, run};
use crate::row::{Judged, Row, Unit, median};

/// Each with its own tunings, as its documentation names them; the best one counts.
const PEERS: [(&str, [&str; 3]); 3] = [
    ("pandas", ["default", "pyarrow-reader", "pyarrow"]),
    ("duckdb", ["default", "one-thread", "any-order"]),
    ("polars", ["default", "one-thread", "streaming"]),
];

/// A stream that brings a row a second, with a window behind it.
const IDLE: &str = r#"
name = "idle"
[sources.clicks]
event_time = "at"
[sources.clicks.generate]
rate = 1
columns.page = { kind = "choice", of = ["home", "help"] }
columns.at = { kind = "event-time" }
[transforms.counts]
sql = "SELECT date_trunc('minute', at) AS minute, page, count(*) AS n FROM clicks GROUP BY 1, 2"
[sinks.out]
input = "counts"
path = "counts.jsonl"
"#;

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows = beside_peers(effort)?;
    rows.extend(idle(effort)?);
    Ok(rows)
}

fn beside_peers(effort: Effort) -> Result<Vec<Row>> {
    fs::create_dir("out")?;
    let python = environment("dataflow").join("bin/python");
    write_data("data")?;
    fs::copy(
        repository().join("tests/bench/flights.toml"),
        "flights.toml",
    )?;
    let flights = rows_of(Path::new("data/flights.csv"))?;
    let times = effort.times(5, 1);
    let samples = |command: &dyn Fn() -> Result<Command>| -> Result<Vec<f64>> {
        (0..times)
            .map(|_| Ok(flights / 1e6 / cpu_seconds(&mut command()?)?))
            .collect()
    };
    let ours = samples(&|| forebay(&["run", "flights.toml"]))?;
    let mut best = Vec::new();
    for (engine, ways) in PEERS {
        let script = repository().join("tests/bench/scripts/flights.py");
        let of_way = |way: &&str| {
            samples(&|| {
                let mut peer = Command::new(&python);
                peer.arg(&script).args([engine, way, "data", "out"]);
                Ok(peer)
            })
        };
        let all = ways.iter().map(of_way).collect::<Result<Vec<_>>>()?;
        let fastest = all
            .into_iter()
            .max_by(|one, other| median(one).total_cmp(&median(other)));
        best.push((engine, fastest.context("there are three ways")?));
    }
    let slower = best[1..]
        .iter()
        .min_by(|(_, one), (_, other)| median(one).total_cmp(&median(other)));
    let (slower, slower_samples) = slower.context("there are two")?;
    let (_, pandas) = &best[0];
    let row = |of: &str, factor: f64, peer: &str, peer_samples: &Vec<f64>| {
        let what = format!("flights, bounded: CSV, two joins, Parquet; {of}");
        Row::at_least(what, Unit::MillionRows, factor * median(peer_samples), ours.clone())
            .beside(peer, peer_samples.clone())
            .noted("flights in each second that all processes compute; of each engine the best of three of its own tunings, each process begun anew")
    };
    Ok(vec![
        row("twice pandas", 2.0, "pandas", pandas),
        row(
            "0.8 of the slower of DuckDB and Polars",
            0.8,
            slower,
            slower_samples,
        ),
    ])
}

/// Writes the CSV files of a year of flights into a folder.
pub(super) fn write_data(folder: &str) -> Result<()> {
    let mut data = Command::new(environment("dataflow").join("bin/python"));
    data.arg(repository().join("examples/flights-features/data.py"));
    run(data.args(["--into", folder])).map(drop)
}

fn rows_of(path: &Path) -> Result<f64> {
    let lines = fs::read_to_string(path)?.lines().count();
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand rows")]
    let rows = (lines - 1) as f64;
    Ok(rows)
}

/// What it computes until it ends, with all processes that it starts.
fn cpu_seconds(command: &mut Command) -> Result<f64> {
    let before = children_cpu_seconds()?;
    run(command)?;
    Ok(children_cpu_seconds()? - before)
}

fn idle(effort: Effort) -> Result<Vec<Row>> {
    let run = Run::start(IDLE, &[])?;
    run.running
        .wait_event("progress", |event| event["kind"] == "progress");
    let pids = [run.running.pid(), run.manager_pid()];
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..effort.times(5, 2) {
        // A measurement waits, a test does not.
        thread::sleep(Duration::from_secs(2));
        for (samples, pid) in samples.iter_mut().zip(pids) {
            samples.push(private_mb(pid)?);
        }
    }
    run.stop();
    let [engine, manager] = samples;
    let row = |who: &str, at_most, samples| {
        let what = format!("private memory of {who}, a stream with a row a second");
        Row::new(what, Unit::Megabytes, at_most, samples)
            .judged_by(Judged::Worst)
            .noted("its share of all pages (Pss), less those of files")
    };
    Ok(vec![
        row("the engine", 60.0, engine),
        row("the application manager", 30.0, manager),
    ])
}
