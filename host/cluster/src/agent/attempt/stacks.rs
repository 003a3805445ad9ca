//! What all threads of a node's interpreter are doing: the package has it written to the node's log on a signal.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};

use crate::agent::logs::LogProgress;

/// How long the signal and the log may take.
const WRITTEN_WITHIN: Duration = Duration::from_millis(500);
/// Of the mask of caught signals: number 12 on Linux.
const CATCHES_USR2: u64 = 1 << (12 - 1);
/// Longest text, in bytes; the beginning of a longer one.
const STACKS_BYTES_MAX: usize = 16 << 10;

/// Where stacks appear.
#[derive(Debug)]
pub(super) struct Stacks {
    pub(super) log: PathBuf,
    pub(super) progress: Arc<LogProgress>,
}

/// Whether there is a process of this number.
pub(super) fn lives(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| Process::new(pid).is_ok())
}

/// The process that has said hello, if it is one of this node's and would write its stacks on the signal: any other program
/// would die of it. It named its number itself.
pub(super) fn speaker(pid: u32, group: Option<Pid>) -> Option<Pid> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let process = Process::new(pid.as_raw_pid()).ok()?;
    let is_in_group = group == Pid::from_raw(process.stat().ok()?.pgrp);
    let catches = process.status().ok()?.sigcgt & CATCHES_USR2 != 0;
    (is_in_group && catches).then_some(pid)
}

impl Stacks {
    /// Asks for them and waits until they are there. Empty where there is no interpreter, or its log is full.
    pub(super) async fn of(&self, speaker: Option<Pid>) -> String {
        let Some(speaker) = speaker else {
            return String::new();
        };
        let from = self.progress.written();
        if kill_process(speaker, Signal::USR2).is_err() {
            return String::new();
        }
        tokio::time::sleep(WRITTEN_WITHIN).await;
        self.written_since(from)
    }

    fn written_since(&self, from: u64) -> String {
        let length = self.progress.written().saturating_sub(from);
        let length = usize::try_from(length).unwrap_or(STACKS_BYTES_MAX);
        let mut text = vec![0; length.min(STACKS_BYTES_MAX)];
        let read = File::open(&self.log).and_then(|log| log.read_exact_at(&mut text, from));
        match read {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(_) => String::new(),
        }
    }
}
