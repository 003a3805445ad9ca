//! `forebay`, as the measurements start it, and what its events tell.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use forebay_cluster::run_directory::RunDirectory;
use forebay_test_support::{Output, Running, Signal, node_in_phase};
use serde_json::Value;

/// No run takes longer.
const WATCHDOG: Duration = Duration::from_mins(5);
/// A node that does nothing until it is ended.
pub(crate) const SLEEPER: [&str; 3] = ["sh", "-c", "exec sleep 4711"];
/// A role of such nodes.
pub(crate) fn sleepers(nodes: u32) -> String {
    format!("name = \"sleepers\"\n[roles.worker]\nnodes = {nodes}\ncommand = {SLEEPER:?}\n")
}

/// `forebay` beside this program.
pub(crate) fn forebay(arguments: &[&str]) -> Result<Command> {
    let itself = std::env::current_exe().context("this program has a path")?;
    let mut forebay = Command::new(itself.with_file_name("forebay"));
    forebay.args(arguments);
    Ok(forebay)
}

/// Milliseconds since 1970: the clock of events, which have whole milliseconds and so may be up to two too early.
pub(crate) fn now_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64() * 1e3
}

/// When an event happened.
pub(crate) fn time_ms(event: &Value) -> f64 {
    event["time_ms"].as_f64().unwrap_or(f64::NAN)
}

/// A `forebay run --format json`.
pub(crate) struct Run {
    pub(crate) running: Running,
    /// Just before it was started.
    pub(crate) begun_ms: f64,
    pub(crate) begun: Instant,
}

impl Run {
    /// Of this job, in the working folder.
    pub(crate) fn start(job: &str, options: &[&str]) -> Result<Self> {
        fs::write("job.toml", job)?;
        let mut command = forebay(&["run", "--format", "json", "job.toml"])?;
        command.args(options);
        let (begun_ms, begun) = (now_ms(), Instant::now());
        Ok(Self {
            running: Running::directly(command, WATCHDOG),
            begun_ms,
            begun,
        })
    }

    /// The event of this attempt of a node being ready.
    pub(crate) fn ready(&self, node: &str, attempt: u64) -> Value {
        let is_ready = node_in_phase(node, "ready");
        self.running
            .wait_event(&format!("{node} is ready"), |event| {
                is_ready(event) && event["attempt"] == attempt
            })
    }

    /// Waits until the first attempts of these workers are ready; when the last one was, and their pids.
    pub(crate) fn all_ready(&self, nodes: u32) -> (f64, Vec<u32>) {
        let events: Vec<Value> = (0..nodes)
            .map(|index| self.ready(&format!("worker:{index}"), 1))
            .collect();
        let last_ms = events.iter().map(time_ms).fold(0.0, f64::max);
        (last_ms, events.iter().map(pid_in).collect())
    }

    /// The event that says who is in charge in the first term.
    pub(crate) fn manager(&self) -> Value {
        self.running
            .wait_event("an application manager", |event| event["kind"] == "am")
    }

    pub(crate) fn manager_pid(&self) -> u32 {
        pid_in(&self.manager())
    }

    pub(crate) fn directory(&self) -> Result<RunDirectory> {
        let event = self
            .running
            .wait_event("the job", |event| event["kind"] == "job");
        let path: PathBuf = event["run_dir"].as_str().unwrap_or_default().into();
        Ok(RunDirectory::open(&path)?)
    }

    /// Stops it in order.
    pub(crate) fn stop(self) -> Output {
        self.running.signal(Signal::INT);
        let output = self.running.finish();
        output.assert_code(130);
        output
    }
}

/// The process of a node or of an application manager.
pub(crate) fn pid_in(event: &Value) -> u32 {
    let pid = event["pid"].as_u64();
    pid.and_then(|pid| u32::try_from(pid).ok())
        .unwrap_or_else(|| panic!("no pid in {event}"))
}
