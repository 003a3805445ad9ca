//! A whole job, from the start of `forebay run` to its exit, whose script sleeps for two seconds.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::Effort;
use crate::engine::Run;
use crate::row::{Row, Unit, milliseconds};

const SCRIPT: &str = "import time\ntime.sleep(2)\n";
const JOB: &str = "name = \"trivial\"\n[roles.worker]\nnodes = 2\nscript = \"sleeps.py\"\n";

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    fs::write("sleeps.py", SCRIPT)?;
    run_job()?;
    let repetitions = effort.times(10, 2);
    let samples: Result<Vec<f64>> = (0..repetitions).map(|_| run_job()).collect();
    let alone: Result<Vec<f64>> = (0..repetitions).map(|_| run_alone()).collect();
    let what = "a whole trivial job of 2 nodes whose script sleeps 2 s";
    let row = Row::new(what, Unit::Milliseconds, 2_600.0, samples?);
    Ok(vec![row.beside("the script by hand, once", alone?)])
}

fn run_job() -> Result<f64> {
    let run = Run::start(JOB, &[])?;
    let begun = run.begun;
    let output = run.running.finish();
    let took = milliseconds(begun.elapsed());
    output.assert_code(0);
    Ok(took)
}

fn run_alone() -> Result<f64> {
    let begun = Instant::now();
    let status = Command::new("python3").arg("sleeps.py").status()?;
    ensure!(status.success(), "the script failed: {status}");
    Ok(milliseconds(begun.elapsed()))
}
