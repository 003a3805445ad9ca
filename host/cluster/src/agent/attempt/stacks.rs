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
/// Longest text, in bytes; the beginning of a longer one.
const STACKS_BYTES_MAX: usize = 16 << 10;

/// Where stacks appear.
#[derive(Debug)]
pub(super) struct Stacks {
    pub(super) log: PathBuf,
    pub(super) progress: Arc<LogProgress>,
}

/// The process that has said hello, if it is one of this node's that still lives. It named its number itself.
pub(super) fn speaker(pid: u32, group: Option<Pid>) -> Option<Pid> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let stat = Process::new(pid.as_raw_pid()).and_then(|process| process.stat());
    let is_in_group = stat.is_ok_and(|stat| group == Pid::from_raw(stat.pgrp));
    (group.is_some() && is_in_group).then_some(pid)
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
