//! One engine works on a run, not two: it holds a lock on a file of the run, which the system takes back when it dies.

use std::fs::File;
use std::io;

use forebay_cluster::run_directory::RunDirectory;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::failure::Failure;

const FILE: &str = "engine.lock";

/// Held by the engine of a run for its whole life.
pub(crate) struct EngineLock(#[expect(dead_code, reason = "open, it is the lock")] File);

impl EngineLock {
    /// Absent where another engine has it.
    pub(crate) fn take(run: &RunDirectory) -> Result<Option<Self>, Failure> {
        let failed = |error: &io::Error| {
            Failure::engine(format!("cannot lock the run `{}`", run.name())).caused_by(Some(error))
        };
        let mut options = File::options();
        let file = options.create(true).append(true);
        let file = file.open(run.root().join(FILE)).map_err(|e| failed(&e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Some network file systems know no locks.
            Ok(()) | Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(failed(&error.into())),
        }
    }
}
