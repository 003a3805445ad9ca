//! Folders that are missing, made when writing begins.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::local::folder_of;

/// The folders that were made for all sinks of a dataflow. Clones share them.
///
/// While any of the sinks writes, no folder goes: another sink may have its file in it, which has no name yet. With the last of
/// them those go that are still empty, because the dataflow has failed or was stopped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folders(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    holders: usize,
    /// Each behind the one that it is in.
    made: Vec<PathBuf>,
}

/// Somebody who writes into one of the folders.
#[derive(Debug)]
pub(crate) struct Hold(Folders);

impl Folders {
    /// Makes a folder and those above it, where they are missing.
    pub(crate) fn hold(&self, folder: &Path) -> io::Result<Hold> {
        let hold = Hold::new(self);
        let mut state = self.state();
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let missing: Vec<&Path> = folder.ancestors().take_while(missing).collect();
        for folder in missing.into_iter().rev() {
            state.make(folder)?;
        }
        drop(state);
        Ok(hold)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        match std::fs::create_dir(folder) {
            Ok(()) => {
                self.made.push(folder.to_owned());
                File::open(folder_of(folder))?.sync_all()
            }
            // Somebody else was quicker.
            Err(_) if folder.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Hold {
    fn new(folders: &Folders) -> Self {
        folders.state().holders += 1;
        Self(folders.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.holders -= 1;
        if state.holders == 0 {
            for folder in state.made.drain(..).rev() {
                // One that has something in it cannot be removed, and stays.
                let _ = std::fs::remove_dir(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_holder_takes_what_is_empty_with_it() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        std::fs::create_dir(at("before")).unwrap();
        let folders = Folders::default();
        let one = folders.hold(&at("a/one")).unwrap();
        let two = folders.hold(&at("a/two")).unwrap();
        let before = folders.hold(&at("before")).unwrap();
        drop((one, before));
        assert!(at("a/one").is_dir(), "others still write");
        std::fs::write(at("a/two/rows.csv"), "").unwrap();
        drop(two);
        assert!(!at("a/one").exists());
        assert!(at("a/two/rows.csv").exists());
        assert!(at("before").is_dir(), "nobody made it");
    }

    #[test]
    fn nothing_stays_of_a_folder_that_cannot_be_made() {
        let base = tempfile::tempdir().unwrap();
        std::fs::write(base.path().join("file"), "").unwrap();
        let folders = Folders::default();
        assert!(folders.hold(&base.path().join("file/a")).is_err());
        assert!(folders.hold(&base.path().join("a/\0")).is_err());
        assert!(!base.path().join("a").exists());
    }
}
