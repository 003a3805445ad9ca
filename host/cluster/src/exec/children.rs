//! The children of this process, orphans that came to it included. Nobody else can reap them, so their numbers cannot be
//! given to other processes while they are looked at.

use procfs::process::all_processes;
use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, waitid};

/// One child of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChildProcess {
    pub(crate) pid: Pid,
    /// Its process group.
    pub(crate) group: Pid,
    /// It waits to be reaped.
    pub(crate) ended: bool,
}

/// Those that live; the others are reaped, `keep` apart.
pub(super) fn living_children(keep: Pid) -> Vec<ChildProcess> {
    let others = children().filter(|child| child.pid != keep);
    let (ended, living): (Vec<_>, Vec<_>) = others.partition(|child| child.ended);
    for child in ended {
        reap(child.pid);
    }
    living
}

/// Takes what is left of a child that has ended.
pub(crate) fn reap(child: Pid) {
    let _reaped = waitid(
        WaitId::Pid(child),
        WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
    );
}

/// All of them. Reads the whole process table: some milliseconds with hundreds of processes.
pub(crate) fn children() -> impl Iterator<Item = ChildProcess> {
    let parent = getpid().as_raw_pid();
    let processes = all_processes().into_iter().flatten();
    let stats = processes.filter_map(|process| process.ok()?.stat().ok());
    stats
        .filter(move |stat| stat.ppid == parent)
        .filter_map(|stat| {
            let ended = matches!(stat.state, 'Z' | 'X');
            Some(ChildProcess {
                pid: Pid::from_raw(stat.pid)?,
                group: Pid::from_raw(stat.pgrp)?,
                ended,
            })
        })
}
