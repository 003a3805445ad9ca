//! `forebay check` of a real job file, from start to exit.

use std::time::Instant;

use anyhow::{Result, ensure};
use forebay_test_support::repository;

use crate::Effort;
use crate::engine::forebay;
use crate::row::{Row, Unit, milliseconds};

/// Three roles and two plugins.
const JOB: &str = "examples/digits-tensorflow/job.toml";

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    check()?;
    let samples: Result<Vec<f64>> = (0..effort.times(50, 5)).map(|_| check()).collect();
    let what = format!("`forebay check {JOB}`");
    Ok(vec![Row::new(what, Unit::Milliseconds, 50.0, samples?)])
}

fn check() -> Result<f64> {
    let job = repository().join(JOB);
    let mut command = forebay(&["check"])?;
    command.arg(&job);
    let begun = Instant::now();
    let output = command.output()?;
    let took = milliseconds(begun.elapsed());
    ensure!(
        output.status.success(),
        "`{}` has problems:\n{}",
        job.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(took)
}
