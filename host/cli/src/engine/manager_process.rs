//! The process of the application manager, as the engine sees it.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use forebay_cluster::journal::LocalJournal;
use forebay_cluster::manager::FaultPoint;
use forebay_cluster::run_directory::RunDirectory;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::disk;
use super::listeners::Listeners;
use crate::failure::Failure;

/// Most lines of the manager's log that its death is explained with.
const ERROR_LINES_MAX: usize = 5;
/// End of the manager's log that is looked at.
const LOG_TAIL_BYTES: usize = 16 << 10;

/// `forebay am`, running. Killed when dropped.
pub(super) struct ManagerProcess {
    child: Child,
    /// Ready when the process has ended.
    process: AsyncFd<OwnedFd>,
    run: RunDirectory,
    term: u64,
}

impl ManagerProcess {
    /// Starts it. Must be called on a thread that lives as long as the engine: the system ties the parent-death signal
    /// to it.
    pub(super) fn spawn(
        run: &RunDirectory,
        term: u64,
        listeners: &Listeners,
        fault_point: Option<FaultPoint>,
    ) -> Result<Self, Failure> {
        let failed = |error: &io::Error| {
            Failure::engine("cannot start the application manager").caused_by(Some(error))
        };
        let child = command(run, term, listeners)
            .and_then(|mut command| command.args(fault_argument(fault_point)).spawn())
            .map_err(|error| failed(&error))?;
        let process = watch(&child).map_err(|error| failed(&error))?;
        Ok(Self {
            child,
            process,
            run: run.clone(),
            term,
        })
    }

    /// Its process number.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(super) async fn exited(&mut self) -> io::Result<ExitStatus> {
        // The guard is of no use: the process ends once.
        drop(self.process.readable().await?);
        self.child.wait()
    }

    /// Ends it; waits for nothing.
    pub(super) fn press_kill(&self) {
        // It fails only where it has ended already.
        let _ = pidfd_send_signal(self.process.get_ref(), Signal::KILL);
    }

    /// Ends it at once and waits until it is gone, unless the system does not let go of it.
    pub(super) fn kill(&mut self) {
        self.press_kill();
        if ends_soon(self.process.get_ref()) {
            // It fails only where somebody has waited already.
            let _ = self.child.wait();
        }
    }

    /// Why it is gone, in one sentence.
    pub(super) fn cause_of_death(&self, ended: &io::Result<ExitStatus>) -> String {
        let how = match ended {
            Ok(status) => ending(*status),
            Err(error) => format!("cannot be waited for: {error}"),
        };
        let log = std::fs::read(self.run.manager_log(self.term)).unwrap_or_default();
        let tail =
            String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned();
        // On a full disk it had no place for its last words.
        let said = last_error(&tail).or_else(|| disk::complaint(&self.run));
        let said = said.map_or(String::new(), |error| format!(": {error}"));
        format!("the application manager (pid {}) {how}{said}", self.pid())
    }
}

impl Drop for ManagerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The sockets are its standard input and output: descriptors that a child gets without any ceremony.
fn command(run: &RunDirectory, term: u64, listeners: &Listeners) -> io::Result<Command> {
    let tcp = listeners
        .tcp
        .as_ref()
        .map(TcpListener::try_clone)
        .transpose()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([
            "am",
            "--term",
            &term.to_string(),
            "--engine",
            &std::process::id().to_string(),
            "--run",
        ])
        .arg(run.root())
        .stdin(OwnedFd::from(listeners.unix.try_clone()?))
        .stdout(tcp.map_or_else(Stdio::null, |listener| OwnedFd::from(listener).into()))
        .stderr(File::create(run.manager_log(term))?)
        // Ctrl-C in a terminal is for the engine, which asks the manager.
        .process_group(0);
    Ok(command)
}

/// Kills the application manager of the newest term, if its process is one of this machine.
pub(crate) fn end_last_manager(run: &RunDirectory) {
    let pid = LocalJournal::last_author(&run.journal()).ok().flatten();
    let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) else {
        return;
    };
    // Opened before the look at what it is: a number may be given to another process.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    if is_manager_of(run, pid) && pidfd_send_signal(&process, Signal::KILL).is_ok() {
        ends_soon(&process);
    }
}

fn is_manager_of(run: &RunDirectory, pid: Pid) -> bool {
    let words = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_pid())).unwrap_or_default();
    let mut words = words.split(|byte| *byte == 0).skip(1);
    words.next() == Some(b"am") && words.any(|word| word == run.root().as_os_str().as_bytes())
}

fn ends_soon(process: &OwnedFd) -> bool {
    let within = Timespec {
        tv_sec: 5,
        tv_nsec: 0,
    };
    let mut ends = [PollFd::new(process, PollFlags::IN)];
    poll(&mut ends, Some(&within)).is_ok_and(|ended| ended > 0)
}

fn fault_argument(point: Option<FaultPoint>) -> Option<String> {
    point.map(|point| format!("--fault-point={point}"))
}

#[expect(
    deprecated,
    reason = "its successor asks for a promise; an owned descriptor keeps it, for nobody closes it behind tokio's back"
)]
fn watch(child: &Child) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = Pid::from_child(child);
    AsyncFd::with_interest(pidfd_open(pid, PidfdFlags::empty())?, Interest::READABLE)
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "is gone".into(),
    }
}

/// What it said last before it gave up.
fn last_error(log: &str) -> Option<String> {
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let begin = lines
        .iter()
        .rposition(|line| line.starts_with("error: ") || line.contains(" panicked at "))?;
    let said = lines[begin..]
        .iter()
        .take(ERROR_LINES_MAX)
        .map(|line| line.trim());
    Some(
        said.collect::<Vec<_>>()
            .join("; ")
            .trim_start_matches("error: ")
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_explains_a_death() {
        let log =
            "INFO start\nerror: first\nINFO on\nerror: cannot load `x`\n  cause: it is damaged\n\n";
        assert_eq!(
            last_error(log).as_deref(),
            Some("cannot load `x`; cause: it is damaged")
        );
        assert_eq!(last_error("INFO start\n"), None);
        assert!(
            last_error("thread 'main' (1) panicked at src/a.rs:1:2:\nindex out of bounds\n")
                .is_some()
        );
    }
}
