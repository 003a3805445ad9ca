//! A local file that is not to be seen until it is complete.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::folders::Hold;
use crate::error::{Error, Verb};

const MODE: u32 = 0o666;

/// Where the bytes are meanwhile.
enum Place {
    /// Nowhere: the file has no name, and is gone with the process.
    Unnamed,
    /// A hidden file, where the file system has no files without names.
    Hidden(PathBuf),
}

/// A file that is being written. Dropped, it is gone.
pub(crate) struct LocalFile {
    file: File,
    place: Place,
    target: PathBuf,
    overwrite: bool,
    written: u64,
    is_complete: bool,
    /// Goes after the file, which may be the last one in its folder.
    folder: Option<Hold>,
}

impl LocalFile {
    /// Begins a file that will be at `target`.
    pub(crate) fn create(target: &Path, overwrite: bool) -> io::Result<Self> {
        Self::unnamed(target, overwrite).or_else(|error| match error.raw_os_error() {
            // Not all file systems know it, and they say so in three ways.
            Some(code) if is_unsupported(code) => Self::hidden(target, overwrite),
            _ => Err(error),
        })
    }

    fn unnamed(target: &Path, overwrite: bool) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(folder_of(target), flags, Mode::from_raw_mode(MODE))?;
        Ok(Self::new(file.into(), Place::Unnamed, target, overwrite))
    }

    /// Where there are no files without names. What a killed process left is replaced.
    pub(crate) fn hidden(target: &Path, overwrite: bool) -> io::Result<Self> {
        let path = hidden_path(target);
        let file = File::create(&path)?;
        Ok(Self::new(file, Place::Hidden(path), target, overwrite))
    }

    fn new(file: File, place: Place, target: &Path, overwrite: bool) -> Self {
        Self {
            file,
            place,
            target: target.to_owned(),
            overwrite,
            written: 0,
            is_complete: false,
            folder: None,
        }
    }

    /// In a folder that may have been made for it.
    pub(crate) fn inside(mut self, folder: Hold) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Writes all of it. What was written before an error is counted, too.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(error),
            };
            self.written += count as u64;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Gives the file its name, when all of it is on the disk.
    pub(crate) fn complete(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        match &self.place {
            Place::Unnamed if self.overwrite => {
                let hidden = hidden_path(&self.target);
                remove_if_there(&hidden)?;
                self.link(&hidden)?;
                std::fs::rename(&hidden, &self.target)?;
            }
            Place::Unnamed => self.link(&self.target)?,
            Place::Hidden(path) if self.overwrite => std::fs::rename(path, &self.target)?,
            Place::Hidden(path) => {
                std::fs::hard_link(path, &self.target).or_else(|error| match error.kind() {
                    // Such file systems may have no links, either.
                    io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied => {
                        std::fs::rename(path, &self.target)
                    }
                    _ => Err(error),
                })?;
                remove_if_there(path)?;
            }
        }
        self.is_complete = true;
        File::open(folder_of(&self.target))?.sync_all()
    }

    fn link(&self, name: &Path) -> io::Result<()> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, own, CWD, name, AtFlags::SYMLINK_FOLLOW)?;
        Ok(())
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        if let (Place::Hidden(path), false) = (&self.place, self.is_complete) {
            // Nobody is left to be told.
            let _ = std::fs::remove_file(path);
        }
        drop(self.folder.take());
    }
}

fn is_unsupported(code: i32) -> bool {
    use rustix::io::Errno;
    [Errno::OPNOTSUPP, Errno::ISDIR, Errno::INVAL]
        .iter()
        .any(|error| error.raw_os_error() == code)
}

/// The folder that a path is in; `/` and `.` are in themselves.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn hidden_path(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".forebay-part");
    target.with_file_name(name)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a file in threads of the runtime, one piece while the next one is made.
pub(crate) struct LocalTarget {
    name: String,
    runtime: Handle,
    state: State,
}

enum State {
    Idle(LocalFile),
    Writing(JoinHandle<(LocalFile, io::Result<()>)>),
    Failed,
}

impl LocalTarget {
    pub(crate) fn new(name: String, file: LocalFile, runtime: Handle) -> Self {
        Self {
            name,
            runtime,
            state: State::Idle(file),
        }
    }

    /// Hands a piece over, once the one before is written.
    pub(crate) async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let mut file = self.settle().await?;
        self.state = State::Writing(self.runtime.spawn_blocking(move || {
            let written = file.write(&bytes);
            (file, written)
        }));
        Ok(())
    }

    /// Waits until all of it is on the disk; what can fail for its rows has failed by then.
    pub(crate) async fn sync(&mut self) -> Result<(), Error> {
        let file = self.settle().await?;
        let synced = self.runtime.spawn_blocking(move || {
            let synced = file.file.sync_all();
            (file, synced)
        });
        let (file, synced) = synced.await.map_err(|gone| self.is_gone(gone.into()))?;
        synced.map_err(|error| self.failed(error, file.written))?;
        self.state = State::Idle(file);
        Ok(())
    }

    pub(crate) async fn finish(&mut self) -> Result<(), Error> {
        let file = self.settle().await?;
        let written = file.written;
        let completed = self.runtime.spawn_blocking(|| file.complete()).await;
        let completed = completed.map_err(|gone| self.is_gone(gone.into()))?;
        completed.map_err(|error| self.failed(error, written))
    }

    /// Waits for the piece that is being written.
    async fn settle(&mut self) -> Result<LocalFile, Error> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(file) => Ok(file),
            State::Writing(writing) => {
                let (file, written) = writing.await.map_err(|gone| self.is_gone(gone.into()))?;
                match written {
                    Ok(()) => Ok(file),
                    Err(error) => Err(self.failed(error, file.written)),
                }
            }
            State::Failed => Err(self.is_gone("it has failed before".into())),
        }
    }

    fn is_gone(&self, source: forebay_dataflow::Cause) -> Error {
        Error::Write {
            path: self.name.clone(),
            source,
        }
    }

    fn failed(&self, error: io::Error, written: u64) -> Error {
        let limit = match error.kind() {
            io::ErrorKind::StorageFull => "the disk is full",
            io::ErrorKind::QuotaExceeded => "the quota of the disk is used up",
            io::ErrorKind::FileTooLarge => "no file may be larger here",
            _ => return Error::io(&self.name, Verb::Write, error),
        };
        Error::DiskFull {
            limit,
            path: self.name.clone(),
            written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_hidden_file_replaces_a_stale_one_and_gets_its_name_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out.csv");
        for (overwrite, content) in [(false, b"new"), (true, b"two")] {
            std::fs::write(
                folder.path().join(".out.csv.forebay-part"),
                "of one that died",
            )
            .unwrap();
            let mut file = LocalFile::hidden(&target, overwrite).unwrap();
            file.write(content).unwrap();
            assert!(names(folder.path()).contains(&".out.csv.forebay-part".to_owned()));
            file.complete().unwrap();
            assert_eq!(names(folder.path()), ["out.csv"]);
            assert_eq!(std::fs::read(&target).unwrap(), content);
        }
        let file = LocalFile::hidden(&target, false).unwrap();
        assert_eq!(
            file.complete().unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(std::fs::read(&target).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn a_hidden_file_that_is_given_up_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        drop(LocalFile::hidden(&folder.path().join("out.csv"), false).unwrap());
        assert!(names(folder.path()).is_empty());
    }
}
