//! What the tests have in common: how they run a job, and jobs that do nothing but what a test tells them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use forebay_test_support::{Invocation, Machine, Output, Running, node_in_phase};

/// `forebay run --format json job.toml`.
pub(crate) fn run_json(machine: &Machine) -> Invocation {
    machine.forebay(["run", "--format", "json", "job.toml"])
}

/// Runs `job` to its end, events on the standard output.
#[track_caller]
pub(crate) fn run(machine: &Machine, job: &str) -> Output {
    machine.write("job.toml", job);
    run_json(machine).run()
}

/// Starts `job`, events on the standard output.
#[track_caller]
pub(crate) fn start(machine: &Machine, job: &str) -> Running {
    machine.write("job.toml", job);
    run_json(machine).start()
}

/// Waits until the node is ready; gives the pid of its process.
#[track_caller]
pub(crate) fn ready(run: &Running, node: &str) -> u32 {
    pid_in(&run.wait_event(&format!("{node} ready"), node_in_phase(node, "ready")))
}

#[track_caller]
fn pid_in(event: &serde_json::Value) -> u32 {
    let pid = event["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok());
    pid.unwrap_or_else(|| panic!("no pid in {event}"))
}

/// Process of the application manager.
#[track_caller]
pub(crate) fn manager_pid(run: &Running) -> u32 {
    pid_in(&run.wait_event("an application manager", |event| event["kind"] == "am"))
}

/// The run directory of a run that has begun.
#[track_caller]
pub(crate) fn run_dir(run: &Running) -> PathBuf {
    let event = run.wait_event("the job", |event| event["kind"] == "job");
    event["run_dir"]
        .as_str()
        .expect("a run has a directory")
        .into()
}

/// Where nodes were placed, by name.
#[track_caller]
pub(crate) fn machines(output: &Output) -> Vec<String> {
    let events = output.events();
    let placed = events.iter().filter(|event| event["phase"] == "placed");
    let names: BTreeSet<_> = placed.filter_map(|event| event["agent"].as_str()).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// A job with one role `worker` whose nodes run this shell script. No single quotes in a row of three.
pub(crate) fn shell_job(nodes: u32, script: &str) -> String {
    format!(
        "name = \"shell\"\n[roles.worker]\nnodes = {nodes}\ncommand = [\"sh\", \"-c\", '''{script}''']\n"
    )
}

/// A shell script that ends when the file `go` is there: `$GO` is its path.
pub(crate) const UNTIL_GO: &str = "while [ ! -e \"$GO\" ]; do sleep 0.02; done";

/// As [`shell_job`]; its nodes know the path of the file `go` in the machine's working folder as `$GO`.
pub(crate) fn job_with_go(machine: &Machine, nodes: u32, script: &str) -> String {
    let go = machine.work().join("go");
    format!(
        "{}environment = {{ GO = \"{}\" }}\n",
        shell_job(nodes, script),
        go.display()
    )
}

/// Frameworks take both cores for many seconds: one test at a time.
pub(crate) fn heavy() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
