//! The stream of `examples/flights-tensorflow` into a worker that only counts, beside the same join and feed with pandas and PyTorch.

use std::fs;
use std::process::Command;
use std::time::Instant;

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

/// Millions of samples a second: of the whole command, and of the work in it.
#[derive(Default)]
struct Rates {
    samples: u64,
    command: Vec<f64>,
    work: Vec<f64>,
}

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let job = prepare()?;
    let times = effort.times(5, 1);
    let peers = WAYS.iter().map(|way| peer(way, times));
    let peers = peers.collect::<Result<Vec<_>>>()?;
    let ours = ours(&job, times, peers[0].samples)?;
    let row = |what: &str, of: fn(&Rates) -> &Vec<f64>, note: &'static str| -> Result<Row> {
        let all = peers.iter().map(of);
        let best = all.max_by(|one, other| median(one).total_cmp(&median(other)));
        let best = best.context("there are three ways")?.clone();
        let at_least = TIMES * median(&best);
        Ok(
            Row::at_least(what, Unit::MillionRows, at_least, of(&ours).clone())
                .beside("pandas and a PyTorch DataLoader", best)
                .noted(note),
        )
    };
    Ok(vec![
        row(
            "the stream of flights-tensorflow into a worker that only counts, end to end",
            |rates| &rates.command,
            "samples by the clock, of both from the start of the command to its end; the peer imports pandas and PyTorch meanwhile, and is the best of three of its own tunings",
        )?,
        row(
            "the same, of Forebay while its dataflow runs, of the peer behind its imports",
            |rates| &rates.work,
            "from the first byte that is read to the last sample that is counted; the worker's Python starts within, that of the peer before",
        )?,
    ])
}

fn rate(samples: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let samples = samples as f64;
    samples / seconds / 1e6
}

/// The peer with one of its tunings.
fn peer(way: &str, times: usize) -> Result<Rates> {
    let script = repository().join("tests/bench/scripts/training.py");
    let mut rates = Rates::default();
    for _ in 0..times {
        let mut peer = Command::new(environment("bench").join("bin/python"));
        peer.arg(&script).args([way, "flights-features/data"]);
        peer.arg(repository().join(EXAMPLE).join("job.toml"));
        let begun = Instant::now();
        let printed: Value = printed(&mut peer)?;
        let seconds = begun.elapsed().as_secs_f64();
        rates.samples = printed["rows"].as_u64().context("rows")?;
        rates.command.push(rate(rates.samples, seconds));
        rates.work.push(printed["rate"].as_f64().context("a rate")?);
    }
    Ok(rates)
}

fn ours(job: &str, times: usize, samples: u64) -> Result<Rates> {
    let mut rates = Rates {
        samples,
        ..Rates::default()
    };
    for _ in 0..times {
        let run = Run::start(job, &[])?;
        let begun = run.begun;
        let output = run.running.finish();
        let seconds = begun.elapsed().as_secs_f64();
        output.assert_code(0);
        let summary = output.summary();
        let counted = fs::read_to_string(summary.run_dir().join("output/rows"))?;
        ensure!(
            counted == samples.to_string(),
            "the worker has counted {counted} samples, and the peer {samples}"
        );
        let running_ms = summary.value()["dataflow"]["running_ms"].as_f64();
        rates.command.push(rate(samples, seconds));
        let work_seconds = running_ms.context("a time")? / 1e3;
        rates.work.push(rate(samples, work_seconds));
    }
    Ok(rates)
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
