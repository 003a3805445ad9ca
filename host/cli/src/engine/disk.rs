//! The disk of a run that is full: whoever fails for it has no place to say so.

use forebay_cluster::causes::remedy;
use forebay_cluster::run_directory::RunDirectory;
use rustix::fs::statvfs;
use rustix::io::Errno;

fn is_full(run: &RunDirectory) -> bool {
    statvfs(run.root()).is_ok_and(|disk| disk.f_bavail == 0)
}

/// What is wrong, where the disk is full.
pub(super) fn complaint(run: &RunDirectory) -> Option<String> {
    is_full(run).then(|| format!("the disk of `{}` is full", run.root().display()))
}

/// What to do, where the disk is full.
pub(super) fn advice(run: &RunDirectory) -> Option<&'static str> {
    is_full(run)
        .then(|| std::io::Error::from(Errno::NOSPC))
        .and_then(|error| remedy(&error))
}
