//! The stream of `examples/flights-tensorflow` into a worker that only counts, beside the same join and feed with pandas and PyTorch.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use forebay_test_support::{environment, repository};
use serde_json::Value;

use super::flights::write_data;
use crate::Effort;
use crate::engine::Run;
use crate::process::printed;
use crate::row::{Row, Unit, median};

const EXAMPLE: &str = "examples/flights-tensorflow";
/// Made by `cargo xtask bench`.
const OPERATOR: &str = "examples/flights-features/features.wasm";
/// Tunings of the peer; the best one counts.
const WAYS: [&str; 3] = ["default", "batches", "pyarrow-batches"];
/// How much faster than the peer.
const TIMES: f64 = 3.0;

const COUNTING: &str = "
import forebay
node = forebay.node()
rows = sum(len(batch) for batch in node.feed)
(node.output / 'rows').write_text(str(rows))
";

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let job = prepare()?;
    let times = effort.times(5, 1);
    let script = repository().join("tests/bench/scripts/training.py");
    let mut all = Vec::new();
    for way in WAYS {
        let peer = || -> Result<Value> {
            let mut peer = Command::new(environment("bench").join("bin/python"));
            peer.arg(&script).args([way, "flights-features/data"]);
            printed(peer.arg(repository().join(EXAMPLE).join("job.toml")))
        };
        let printed = (0..times).map(|_| peer()).collect::<Result<Vec<_>>>()?;
        let samples = printed.iter().map(|one| one["rate"].as_f64());
        let rows = printed[0]["rows"].as_u64().context("rows")?;
        let samples: Option<Vec<f64>> = samples.collect();
        all.push((rows, samples.context("a rate")?));
    }
    let best = all
        .into_iter()
        .max_by(|one, other| median(&one.1).total_cmp(&median(&other.1)));
    let (rows, peer) = best.context("there are three ways")?;
    let ours = (0..times)
        .map(|_| million_rows_a_second(&job, rows))
        .collect::<Result<Vec<_>>>()?;
    Ok(vec![
        Row::at_least(
            "the stream of flights-tensorflow into a worker that only counts",
            Unit::MillionRows,
            TIMES * median(&peer),
            ours,
        )
        .beside("pandas and a PyTorch DataLoader", peer)
        .noted("samples by the clock, both from the first byte that is read to the last sample that is counted; of Forebay the time that its dataflow runs, in which the worker's Python starts too, of the peer without starting Python and importing; the best of three of its own tunings"),
    ])
}

/// The job of the example with all of its sources and transforms, and a worker of our own; its files are in the working folder.
fn prepare() -> Result<String> {
    write_data("flights-features/data")?;
    let here = |name: &str| repository().join(EXAMPLE).join(name);
    fs::copy(
        repository().join(OPERATOR),
        "flights-features/features.wasm",
    )
    .with_context(|| format!("no `{OPERATOR}`: `cargo xtask bench` makes it"))?;
    fs::copy(here("samples.sql"), "samples.sql")?;
    fs::write("count.py", COUNTING)?;
    let job = fs::read_to_string(here("job.toml"))?.replace("../", "");
    let (stream, _) = job
        .split_once("[roles.worker]")
        .context("it has a worker")?;
    let stream = stream.replace("framework = \"tensorflow\"\n", "");
    let python = environment("dataflow").join("bin/python");
    let worker = format!(
        "[roles.worker]\nscript = \"count.py\"\npython = \"{}\"\ninput = \"features\"\ndealing = {{ credit = 256 }}\n",
        python.display()
    );
    Ok(stream + &worker)
}

/// While the dataflow runs: until its worker has counted all.
fn million_rows_a_second(job: &str, rows: u64) -> Result<f64> {
    let output = Run::start(job, &[])?.running.finish();
    output.assert_code(0);
    let summary = output.summary();
    let counted = fs::read_to_string(summary.run_dir().join("output/rows"))?;
    ensure!(
        counted == rows.to_string(),
        "the worker has counted {counted} rows, and the peer {rows}"
    );
    let running_ms = summary.value()["dataflow"]["running_ms"].as_f64();
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let rows = rows as f64;
    Ok(rows / running_ms.context("a time")? / 1e3)
}
