//! What an application manager and an agent cost while their nodes need nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use forebay_test_support::Running;

use crate::Effort;
use crate::engine::{Run, forebay, sleepers};
use crate::process::idle_percent;
use crate::row::{Judged, Row, Unit};

const NODES: u32 = 16;
/// The processes have come to rest by then. A measurement waits, a test does not.
const REST: Duration = Duration::from_secs(3);

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let options = ["--listen", "127.0.0.1:0", "--slots", "0", "--agents", "1"];
    let run = Run::start(&sleepers(NODES), &options)?;
    let manager = run.manager();
    let address = manager["listen"][0]
        .as_str()
        .context("it listens")?
        .to_owned();
    let mut command = forebay(&["agent", "--am", &address, "--token-file"])?;
    command.arg(run.directory()?.token_file());
    let agent = Running::directly(command, Duration::from_mins(5));
    run.all_ready(NODES);
    std::thread::sleep(REST);
    let window = Duration::from_secs(effort.times(10, 2));
    let pids = [run.manager_pid(), agent.pid()];
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..effort.times(6, 2) {
        let percents = idle_percent(&pids, window)?;
        samples
            .iter_mut()
            .zip(percents)
            .for_each(|(samples, percent)| samples.push(percent));
    }
    run.stop();
    agent.finish().assert_code(0);
    let [manager, agent] = samples;
    let row = |who: &str, samples| {
        let what = format!("idle CPU of {who}, {NODES} nodes that sleep");
        Row::new(what, Unit::PercentOfACore, 0.5, samples).judged_by(Judged::Worst)
    };
    Ok(vec![
        row("the application manager", manager),
        row("an agent", agent),
    ])
}
