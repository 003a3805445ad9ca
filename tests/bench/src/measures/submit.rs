//! From the start of `forebay run` until the process of every node runs.

use std::process::{Child, Command};
use std::time::Instant;

use anyhow::Result;

use crate::Effort;
use crate::engine::{Run, SLEEPER, sleepers};
use crate::row::{Row, Unit, milliseconds};

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let row = |nodes, at_most_ms| -> Result<Row> {
        // The first one fills the caches.
        submit(nodes)?;
        let repetitions = effort.times(30, 3);
        let samples: Result<Vec<f64>> = (0..repetitions).map(|_| submit(nodes)).collect();
        let alone: Result<Vec<f64>> = (0..repetitions).map(|_| start_alone(nodes)).collect();
        let what = format!("warm submit to the processes of all nodes started: {nodes} nodes");
        Ok(Row::new(what, Unit::Milliseconds, at_most_ms, samples?)
            .beside("the same processes started by hand", alone?))
    };
    Ok(vec![row(2, 300.0)?, row(16, 600.0)?])
}

fn submit(nodes: u32) -> Result<f64> {
    let run = Run::start(&sleepers(nodes), &[])?;
    let began_ms = run.begun_ms;
    let (ready_ms, _) = run.all_ready(nodes);
    run.stop();
    Ok(ready_ms - began_ms)
}

fn start_alone(nodes: u32) -> Result<f64> {
    let begun = Instant::now();
    let start = |_| Command::new(SLEEPER[0]).args(&SLEEPER[1..]).spawn();
    let mut started: Vec<Child> = (0..nodes).map(start).collect::<Result<_, _>>()?;
    let took = milliseconds(begun.elapsed());
    for child in &mut started {
        child.kill()?;
        child.wait()?;
    }
    Ok(took)
}
