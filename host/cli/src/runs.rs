//! The runs below a folder: which there are, which is meant, and how each stands.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use forebay_cluster::events::{Outcome, Summary};
use forebay_cluster::run_directory::{RUNS, RunDirectory, with_short_path};
use serde::Serialize;

use crate::failure::Failure;
use crate::text::shell_word;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Its application manager answers.
    Running,
    /// It did its work.
    Succeeded,
    /// It could not.
    Failed,
    /// Somebody asked for its end.
    Stopped,
    /// It has no end, and nobody is there any more: its engine was killed.
    Dead,
}

impl State {
    /// The word of `--format json`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Dead => "dead",
        }
    }
}

impl From<Outcome> for State {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::Stopped => Self::Stopped,
        }
    }
}

/// How `run` stands, with its summary once it has one.
pub(crate) fn state_of(run: &RunDirectory) -> (State, Option<Summary>) {
    match summary_of(run) {
        Some(summary) => (summary.outcome.into(), Some(summary)),
        None if answers(run) => (State::Running, None),
        // It may have ended between the two looks.
        None => match summary_of(run) {
            Some(summary) => (summary.outcome.into(), Some(summary)),
            None => (State::Dead, None),
        },
    }
}

/// The end of a run, if it has ended.
pub(crate) fn summary_of(run: &RunDirectory) -> Option<Summary> {
    serde_json::from_slice(&fs::read(run.summary_file()).ok()?).ok()
}

/// Whether anybody listens on the socket of the run.
pub(crate) fn answers(run: &RunDirectory) -> bool {
    with_short_path(&run.socket())
        .and_then(|short| UnixStream::connect(short.path()))
        .is_ok()
}

/// When the run began: its token is the first file that it gets.
pub(crate) fn began(run: &RunDirectory) -> SystemTime {
    fs::metadata(run.token_file())
        .and_then(|file| file.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// All runs below `folder`, newest first. A folder that is not there has none.
pub(crate) fn all_in(folder: &Path) -> io::Result<Vec<RunDirectory>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let open = |entry: io::Result<fs::DirEntry>| RunDirectory::open(&entry.ok()?.path()).ok();
    let mut runs: Vec<_> = entries
        .filter_map(open)
        .map(|run| (began(&run), run))
        .collect();
    runs.sort_by(|(left_time, left), (right_time, right)| {
        (right_time, right.root()).cmp(&(left_time, left.root()))
    });
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

/// The run that is meant: a path, or a name below `.forebay/runs`; nothing: the newest one there.
pub(crate) fn find(run: Option<&Path>) -> Result<RunDirectory, Failure> {
    find_below(Path::new(RUNS), run)
}

/// What names this run on a command line in the working folder: its name where that is enough, else its path.
pub(crate) fn argument(run_dir: &Path) -> String {
    let below = std::env::current_dir().map(|folder| folder.join(RUNS));
    let is_here = below.is_ok_and(|below| run_dir.parent() == Some(&below));
    let name = run_dir.file_name().filter(|_| is_here);
    let argument = name.map_or(run_dir.as_os_str(), |name| name);
    shell_word(&argument.to_string_lossy()).into_owned()
}

fn find_below(runs: &Path, run: Option<&Path>) -> Result<RunDirectory, Failure> {
    let Some(named) = run else {
        let all = all_in(runs).map_err(|error| unreadable(runs, &error))?;
        let none = || {
            Failure::input(format!("there is no run below `{}`", runs.display())).with_hint(
                "go to the folder in which `forebay run` was called, or name the run's folder",
            )
        };
        return all.into_iter().next().ok_or_else(none);
    };
    let candidates: [PathBuf; 2] = [named.into(), runs.join(named)];
    let mut opened = candidates.iter().map(|path| RunDirectory::open(path));
    opened.find_map(Result::ok).ok_or_else(|| {
        Failure::input(format!("there is no run `{}`", named.display())).with_hint(format!(
            "looked for `{}` and `{}`; `forebay list` shows the runs",
            candidates[0].display(),
            candidates[1].display()
        ))
    })
}

/// A folder of runs cannot be looked into.
pub(crate) fn unreadable(folder: &Path, error: &io::Error) -> Failure {
    Failure::input(format!("cannot read the folder `{}`", folder.display())).caused_by(Some(error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn run(runs: &Path, name: &str) -> RunDirectory {
        let run = RunDirectory::create(runs, name).unwrap();
        fs::write(run.job_file(), "{}").unwrap();
        run
    }

    #[test]
    fn a_run_is_found_by_path_by_name_or_as_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (run(folder.path(), "a"), run(folder.path(), "b"));
        let find = |name: Option<&Path>| find_below(folder.path(), name).unwrap();
        assert_eq!(find(Some(first.root())), first);
        assert_eq!(find(Some(Path::new(&first.name()))), first);
        assert_eq!(find(None), second);
        let missing = find_below(folder.path(), Some(Path::new("c"))).unwrap_err();
        assert_eq!(missing.message, "there is no run `c`");
    }

    #[test]
    fn without_runs_the_message_says_where_was_looked() {
        let missing = find_below(Path::new("nowhere"), None).unwrap_err();
        insta::assert_snapshot!(missing, @r"
        error: there is no run below `nowhere`
          hint: go to the folder in which `forebay run` was called, or name the run's folder
        ");
    }

    #[test]
    fn a_run_is_running_while_somebody_listens_and_dead_without_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let run = run(folder.path(), "a");
        assert_eq!(state_of(&run).0, State::Dead);
        let listener = UnixListener::bind(with_short_path(&run.socket()).unwrap().path()).unwrap();
        assert_eq!(state_of(&run).0, State::Running);
        drop(listener);
        assert_eq!(state_of(&run).0, State::Dead);
    }
}
