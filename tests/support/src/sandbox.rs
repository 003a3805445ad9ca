//! The world of one test, and the guard at its end.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::leftovers::{self, Leftovers};
use crate::machine::Machine;
use crate::wait::holds_within;

/// How long the kernel may take to finish what has ended. Whoever is ended by a signal has no part in it.
const SETTLE: Duration = Duration::from_secs(3);
/// How much of each log a failed test shows.
const LOG_BYTES_SHOWN: usize = 4000;

/// The world of one test: one machine (the sandbox stands for it), or two that are joined by a cable.
///
/// When it is dropped it wants nothing left: no live process in its namespaces, nobody who listens there, no leased port,
/// an empty `TMPDIR`. What is left fails the test, and is ended all the same. In a test that has failed already it shows
/// the logs of its runs instead.
pub struct Sandbox {
    machines: Vec<Machine>,
    folder: TempDir,
}

impl Sandbox {
    /// Addresses of the two machines of [`Sandbox::pair`].
    pub const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];

    /// One machine with a loopback device.
    pub fn new() -> Self {
        Self::with_machines(&["machine-0"])
    }

    /// Two machines that reach each other under [`Sandbox::ADDRESSES`].
    pub fn pair() -> Self {
        let sandbox = Self::with_machines(&["machine-0", "machine-1"]);
        let [first, second] = Self::ADDRESSES;
        sandbox.machines[0].join(first, &sandbox.machines[1], second);
        sandbox
    }

    fn with_machines(names: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("forebay-test-")
            .tempdir()
            .expect("TMPDIR is writable");
        // A test may run a program as another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))
            .expect("the folder is ours");
        let machines = names
            .iter()
            .map(|name| Machine::start(folder.path().join(name)))
            .collect();
        Self { machines, folder }
    }

    /// The second machine of [`Sandbox::pair`].
    #[track_caller]
    pub fn second(&self) -> &Machine {
        self.machines
            .get(1)
            .expect("the sandbox was made as a pair")
    }

    /// Everything of the sandbox is below this folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One line for each thing that is left now; empty is what a test wants in the end.
    pub fn leftovers(&self) -> Vec<String> {
        self.machines
            .iter()
            .flat_map(|machine| leftovers::of(machine).lines())
            .collect()
    }

    fn settle(&self) -> Vec<Leftovers> {
        holds_within(SETTLE, || self.leftovers().is_empty());
        self.machines.iter().map(leftovers::of).collect()
    }

    fn logs(&self) -> Vec<PathBuf> {
        let runs = self.machines.iter().flat_map(Machine::runs);
        let mut logs: Vec<_> = runs
            .filter_map(|run| fs::read_dir(run.join("logs")).ok())
            .flatten()
            .flatten()
            .collect();
        logs.sort_by_key(fs::DirEntry::file_name);
        logs.iter().map(fs::DirEntry::path).collect()
    }

    #[expect(
        clippy::print_stderr,
        reason = "the test has failed: this is for the person who wants to know why"
    )]
    fn show_logs(&self) {
        for path in self.logs() {
            let content = fs::read(&path).unwrap_or_default();
            let tail = &content[content.len().saturating_sub(LOG_BYTES_SHOWN)..];
            eprintln!(
                "----- {} -----\n{}",
                path.display(),
                String::from_utf8_lossy(tail)
            );
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Sandbox {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machines[0]
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let left = self.settle();
        let lines: Vec<_> = left.iter().flat_map(Leftovers::lines).collect();
        left.iter().for_each(Leftovers::end_processes);
        if thread::panicking() {
            self.show_logs();
        } else if !lines.is_empty() {
            self.show_logs();
            panic!("the test left something behind:\n  {}", lines.join("\n  "));
        }
    }
}
