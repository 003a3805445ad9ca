//! What a process costs, as the kernel counts it.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use forebay_test_support::private_bytes;
use nix::time::ClockId;
use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn open(pid: u32) -> Result<Process> {
    Process::new(pid.cast_signed()).with_context(|| format!("no process {pid}"))
}

/// Runs it to its end, which must be a good one; what it prints.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Likewise, of one that prints JSON.
pub(crate) fn printed(command: &mut Command) -> Result<Value> {
    let text = run(command)?;
    serde_json::from_str(&text).with_context(|| format!("{command:?} printed `{text}`"))
}

/// The most memory that it had resident so far, in megabytes.
pub(crate) fn memory_peak_mb(pid: u32) -> Result<f64> {
    let peak_kib = open(pid)?.status()?.vmhwm.context("it has no memory")?;
    #[expect(clippy::cast_precision_loss, reason = "no process has so much memory")]
    let bytes = (peak_kib * 1024) as f64;
    Ok(bytes / 1e6)
}

/// Its share of the pages that it uses, less those of files, in megabytes.
pub(crate) fn private_mb(pid: u32) -> Result<f64> {
    let bytes = private_bytes(pid).with_context(|| format!("no process {pid}"))?;
    #[expect(clippy::cast_precision_loss, reason = "no process has so much memory")]
    let bytes = bytes as f64;
    Ok(bytes / 1e6)
}

/// What the children of this process have computed that have ended and were waited for, and theirs.
pub(crate) fn children_cpu_seconds() -> Result<f64> {
    let stat = open(std::process::id())?.stat()?;
    #[expect(clippy::cast_precision_loss, reason = "ticks of some minutes")]
    let seconds = (stat.cutime + stat.cstime) as f64 / procfs::ticks_per_second() as f64;
    Ok(seconds)
}

/// How much of one core each of these processes takes while nobody wants anything of them, in percent.
pub(crate) fn idle_percent(pids: &[u32], during: Duration) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let before = cpu_seconds(pids)?;
    thread::sleep(during);
    let took = begun.elapsed().as_secs_f64();
    let after = cpu_seconds(pids)?;
    let percent = |(before, after): (f64, f64)| (after - before) / took * 100.0;
    Ok(before.into_iter().zip(after).map(percent).collect())
}

fn cpu_seconds(pids: &[u32]) -> Result<Vec<f64>> {
    pids.iter().map(|pid| cpu_seconds_of(*pid)).collect()
}

/// Of all threads that it has or had, in user and kernel mode. To the nanosecond: an idle process takes less than a tick in seconds.
pub(crate) fn cpu_seconds_of(pid: u32) -> Result<f64> {
    let gone = || format!("no process {pid}");
    let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(pid.cast_signed()));
    let time = clock.and_then(ClockId::now).with_context(gone)?;
    Ok(Duration::from(time).as_secs_f64())
}

/// SIGKILL, to it alone.
pub(crate) fn kill(pid: u32) -> Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).context("a pid is not 0")?;
    kill_process(pid, Signal::KILL).context("it is there no more")
}
