//! The folder of one run: everything that the run leaves. Its name is never used again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use rustix::fs::OFlags;

use crate::connect::ManagerAddress;
use crate::token::{Token, TokenError};

/// Where runs live, below the folder that `run` was called in.
pub const RUNS: &str = ".forebay/runs";
/// How many runs of one name may start within a second.
const NAME_TRIES: u32 = 1000;
/// Longest path that a unix socket address holds.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Paths inside one run's folder. Cheap to clone; holds nothing open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    root: PathBuf,
}

/// Why a run directory could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// The file system refused.
    #[error("cannot make the run directory below `{path}`")]
    Create {
        /// Folder of the runs.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not a run.
    #[error("`{0}` is not a run directory: it has no `job.json`")]
    NotARun(PathBuf),
    /// The token could not be written.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl RunDirectory {
    /// A new one, `NAME-TIME` below `runs`, with its folders and a new token.
    pub fn create(runs: &Path, job: &str) -> Result<Self, RunDirectoryError> {
        let failed = |source| RunDirectoryError::Create {
            path: runs.into(),
            source,
        };
        fs::create_dir_all(runs).map_err(failed)?;
        ignore_in_git(runs).map_err(failed)?;
        let runs = runs.canonicalize().map_err(failed)?;
        let run = Self {
            root: create_unique(&runs, job).map_err(failed)?,
        };
        for folder in [
            run.logs(),
            run.journal(),
            run.plugins(),
            run.staged(),
            run.output(),
            run.reports(),
            run.nodes(),
        ] {
            fs::create_dir(&folder).map_err(failed)?;
        }
        Token::generate().create_file(&run.token_file())?;
        Ok(run)
    }

    /// An existing one.
    pub fn open(root: &Path) -> Result<Self, RunDirectoryError> {
        let root = root
            .canonicalize()
            .map_err(|_| RunDirectoryError::NotARun(root.into()))?;
        let run = Self { root };
        if run.job_file().is_file() {
            Ok(run)
        } else {
            Err(RunDirectoryError::NotARun(run.root))
        }
    }

    /// Absolute path of the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Name of the folder: the run's identity.
    pub fn name(&self) -> String {
        self.root
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
    /// The resolved job.
    pub fn job_file(&self) -> PathBuf {
        self.root.join("job.json")
    }
    /// What was submitted with the job: plugins, staged files, grants.
    pub fn submission_file(&self) -> PathBuf {
        self.root.join("submission.json")
    }
    /// The job token, readable by its owner alone.
    pub fn token_file(&self) -> PathBuf {
        self.root.join("token")
    }
    /// Where the application manager listens.
    pub fn socket(&self) -> PathBuf {
        self.root.join("am.sock")
    }
    /// The address of the socket.
    pub fn address(&self) -> ManagerAddress {
        ManagerAddress::Unix(self.socket())
    }
    /// Everything that happened, one JSON object a line.
    pub fn events_file(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }
    /// The last event, once the job has ended.
    pub fn summary_file(&self) -> PathBuf {
        self.root.join("summary.json")
    }
    /// Decisions of the state machine, and terms.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }
    /// Components by content hash, `SHA256.wasm`.
    pub fn plugins(&self) -> PathBuf {
        self.root.join("plugins")
    }
    /// Scripts and files of the job by content hash.
    pub fn staged(&self) -> PathBuf {
        self.root.join("staged")
    }
    /// Logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
    /// Log of one attempt of a node, `ROLE-INDEX.ATTEMPT.log`.
    pub fn node_log(&self, role: &str, index: u32, attempt: u32) -> PathBuf {
        self.logs().join(format!("{role}-{index}.{attempt}.log"))
    }
    /// Log of the application manager of one term.
    pub fn manager_log(&self, term: u64) -> PathBuf {
        self.logs().join(format!("am.{term}.log"))
    }
    /// Reports of the nodes, `ROLE-INDEX.jsonl`.
    pub fn reports(&self) -> PathBuf {
        self.root.join("reports")
    }
    /// What the nodes make: models, summaries.
    pub fn output(&self) -> PathBuf {
        self.root.join("output")
    }
    /// Working folders of the nodes that run beside the engine.
    pub fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }
    /// What sorts of the dataflow cannot hold in memory, while they need it.
    pub fn spill(&self) -> PathBuf {
        self.root.join("spill")
    }
    /// Own folder of the agent inside the engine.
    pub fn agent(&self) -> PathBuf {
        self.root.join("agent")
    }
}

fn create_unique(runs: &Path, job: &str) -> io::Result<PathBuf> {
    let time = Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    for try_number in 1..=NAME_TRIES {
        let suffix = if try_number == 1 {
            String::new()
        } else {
            format!("-{try_number}")
        };
        let path = runs.join(format!("{job}-{time}{suffix}"));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(path),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "too many runs of this name within a second",
    ))
}

fn ignore_in_git(runs: &Path) -> io::Result<()> {
    let path = runs.join(".gitignore");
    if path.exists() {
        Ok(())
    } else {
        fs::write(path, "*\n")
    }
}

/// A path to a unix socket that fits its address, with whatever must stay open for it.
pub struct ShortPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl ShortPath {
    /// Valid as long as `self` lives.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// `path` itself, or the same file through `/proc/self/fd` where it is too long for a socket address.
pub fn with_short_path(path: &Path) -> io::Result<ShortPath> {
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok(ShortPath {
            path: path.into(),
            _folder: None,
        });
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the path of a file",
        ));
    };
    let flags = (OFlags::PATH | OFlags::DIRECTORY).bits().cast_signed();
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok(ShortPath {
        path,
        _folder: Some(folder),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn two_runs_of_one_job_never_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunDirectory::create(folder.path(), "job").unwrap();
        let second = RunDirectory::create(folder.path(), "job").unwrap();
        assert_ne!(first.root(), second.root());
        assert!(first.token_file().is_file());
    }

    #[test]
    fn a_long_path_still_makes_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("long/".repeat(40));
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join("am.sock");
        let listener = UnixListener::bind(with_short_path(&path).unwrap().path()).unwrap();
        let _client = UnixStream::connect(with_short_path(&path).unwrap().path()).unwrap();
        assert!(path.exists());
        drop(listener);
    }
}
