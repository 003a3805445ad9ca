//! Ends what is left of a node whose `node-exec` was killed: the agent is a child subreaper too, so the node and its
//! children have come to it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use procfs::ProcResult;
use procfs::process::{FDInfo, FDTarget, Process};
use rustix::process::{Pid, Signal, kill_process};

use super::environment::Variables;
use crate::exec::{children, reap};

/// Killed processes end within moments; one that hangs in the kernel is given up after this.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Variables that tell whose process it is.
const MARKS: [&str; 4] = [
    "FOREBAY_OUTPUT",
    "FOREBAY_ROLE",
    "FOREBAY_INDEX",
    "FOREBAY_ATTEMPT",
];

/// What is known of a node's processes.
#[derive(Debug)]
pub(super) struct Marks {
    /// The node's process, if it is known to have started.
    pub(super) group: Option<Pid>,
    /// Its environment.
    pub(super) variables: Variables,
    /// Inode of the pipe that it writes to.
    pub(super) output: u64,
}

impl Marks {
    fn fit(&self, group: Pid, pid: Pid) -> bool {
        self.group == Some(group) || self.fit_environment(pid) || self.fit_output(pid)
    }

    fn fit_output(&self, pid: Pid) -> bool {
        let files = Process::new(pid.as_raw_pid()).and_then(|process| process.fd());
        files.is_ok_and(|files| {
            let target = |file: ProcResult<FDInfo>| file.ok().map(|file| file.target);
            let output = FDTarget::Pipe(self.output);
            files.filter_map(target).any(|target| target == output)
        })
    }

    fn fit_environment(&self, pid: Pid) -> bool {
        let Ok(theirs) = Process::new(pid.as_raw_pid()).and_then(|process| process.environ())
        else {
            return false;
        };
        MARKS.iter().all(|name| {
            let name = std::ffi::OsStr::new(name);
            theirs
                .get(name)
                .is_some_and(|value| Some(value) == self.variables.get(name))
        })
    }
}

/// Processes of nodes whose output folder this is, wherever they came from: a node may go on for seconds after its engine.
pub fn of_output(output: &Path) -> Vec<i32> {
    let is_of_run = |process: &Process| {
        let variables = process.environ().unwrap_or_default();
        let theirs = variables.get(OsStr::new(MARKS[0]));
        theirs.is_some_and(|theirs| Path::new(theirs) == output)
    };
    let all = procfs::process::all_processes().into_iter().flatten();
    let processes = all.filter_map(Result::ok).filter(is_of_run);
    processes.map(|process| process.pid).collect()
}

/// SIGKILL until none is left. Only children of this process are touched: their numbers cannot be another's.
pub(super) async fn end(marks: &Marks) {
    let mut killed = BTreeSet::new();
    let ended = tokio::time::timeout(GONE_WITHIN, async {
        while kill(marks, &mut killed) > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    if ended.await.is_err() {
        tracing::warn!(group = ?marks.group, "processes of a node do not end");
    }
}

/// Kills the living, reaps the dead, and returns how many there were. A dead process has no environment any more:
/// `killed` remembers it.
fn kill(marks: &Marks, killed: &mut BTreeSet<i32>) -> usize {
    let mut count = 0;
    for child in children() {
        let known = killed.contains(&child.pid.as_raw_pid());
        if !known && !marks.fit(child.group, child.pid) {
            continue;
        }
        count += 1;
        if child.ended {
            reap(child.pid);
        } else {
            killed.insert(child.pid.as_raw_pid());
            let _gone = kill_process(child.pid, Signal::KILL);
        }
    }
    count
}
