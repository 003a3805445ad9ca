//! What is still there when a test has ended.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::machine::Machine;

/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";
/// First part of the names by which an agent leases ports.
const PORT_LEASE: &str = "@forebay/port/";

/// What a machine still has.
pub(crate) struct Leftovers {
    /// Zombies are gone: they have no namespace any more.
    processes: Vec<u32>,
    sockets: Vec<String>,
    files: Vec<PathBuf>,
}

/// Looks now.
pub(crate) fn of(machine: &Machine) -> Leftovers {
    let net = PathBuf::from(format!("/proc/{}/net", machine.keeper_pid()));
    let mut sockets = listeners(&net.join("tcp"));
    sockets.extend(listeners(&net.join("tcp6")));
    sockets.extend(leases(&net.join("unix")));
    Leftovers {
        processes: processes(machine.keeper_pid()),
        sockets,
        files: files(&machine.tmp()),
    }
}

impl Leftovers {
    /// One line for each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let processes = self
            .processes
            .iter()
            .map(|pid| format!("process {pid}: {}", command_line(*pid)));
        let sockets = self.sockets.iter().cloned();
        let files = self
            .files
            .iter()
            .map(|path| format!("file in TMPDIR: {}", path.display()));
        processes.chain(sockets).chain(files).collect()
    }

    /// SIGKILL to each, if it still is in the namespace.
    pub(crate) fn end_processes(&self) {
        for pid in &self.processes {
            let process = Pid::from_raw(pid.cast_signed());
            if let Some(process) = process.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            {
                let _ = pidfd_send_signal(&process, Signal::KILL);
            }
        }
    }
}

/// Every live process in the namespace of the keeper, the keeper apart. A child cannot leave it, whatever it does with
/// its session, its group, its environment or its parents.
fn processes(keeper: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let Some(wanted) = namespace(keeper) else {
        return Vec::new();
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != keeper && namespace(*pid).as_ref() == Some(&wanted))
        .collect()
}

fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn listeners(table: &Path) -> Vec<String> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let rows = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = rows.filter(|row| row.get(3) == Some(&LISTENING));
    listening
        .filter_map(|row| port_of(row.get(1)?))
        .map(|port| format!("a socket listens on port {port}"))
        .collect()
}

/// Port of `0100007F:1F90`.
fn port_of(local_address: &str) -> Option<u16> {
    u16::from_str_radix(local_address.rsplit(':').next()?, 16).ok()
}

fn leases(table: &Path) -> Vec<String> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().last());
    names
        .filter(|name| name.starts_with(PORT_LEASE))
        .map(|name| format!("leased port {name}"))
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}
