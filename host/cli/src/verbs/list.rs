//! `forebay list`

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use forebay_cluster::run_directory::{RUNS, RunDirectory};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, FormatArgument, print, print_json, written};
use crate::runs::{self, State};
use crate::text::{duration, table};

/// Lists the runs of a folder, newest first
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay list\n  forebay list --format json ~/jobs/.forebay/runs"
)]
pub(crate) struct List {
    /// Folder of the runs
    #[arg(value_name = "DIR", default_value = RUNS)]
    runs: PathBuf,
    #[command(flatten)]
    format: FormatArgument,
}

/// One run as `--format json` shows it.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename = "run")]
struct RunLine<'a> {
    run: String,
    run_dir: &'a Path,
    state: State,
    time_ms: u128,
    duration_ms: Option<u64>,
    reason: Option<String>,
}

impl List {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        let runs =
            runs::all_in(&self.runs).map_err(|error| runs::unreadable(&self.runs, &error))?;
        written(match self.format.format {
            Format::Json => runs.iter().try_for_each(|run| print_json(&line(run))),
            Format::Text => print(&text(&self.runs, &runs)),
        })
    }
}

fn line(run: &RunDirectory) -> RunLine<'_> {
    let (state, summary) = runs::state_of(run);
    let began = runs::began(run)
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    RunLine {
        run: run.name(),
        run_dir: run.root(),
        state,
        time_ms: began.as_millis(),
        duration_ms: summary.as_ref().map(|summary| summary.duration_ms),
        reason: summary.map(|summary| summary.reason),
    }
}

fn text(folder: &Path, runs: &[RunDirectory]) -> String {
    if runs.is_empty() {
        return format!("no runs in {}\n", folder.display());
    }
    let head = ["RUN", "STATE", "REASON"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(runs.iter().map(row)).collect();
    table(&rows)
}

/// The name of a run has the time in which it began.
fn row(run: &RunDirectory) -> Vec<String> {
    let (state, summary) = runs::state_of(run);
    let (time, reason) = match (state, summary) {
        (_, Some(summary)) => (after(summary.duration_ms), summary.reason),
        (State::Running, None) => (
            format!(
                " for {}",
                duration(runs::began(run).elapsed().unwrap_or_default())
            ),
            String::new(),
        ),
        (_, None) => (String::new(), "its engine was killed".into()),
    };
    vec![run.name(), format!("{}{time}", state.word()), reason]
}

fn after(duration_ms: u64) -> String {
    format!(" after {}", duration(Duration::from_millis(duration_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_runs_says_so() {
        assert_eq!(text(Path::new(RUNS), &[]), "no runs in .forebay/runs\n");
    }

    #[test]
    fn a_run_is_one_line_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path(), "job").unwrap();
        let json = serde_json::to_value(line(&run)).unwrap();
        assert_eq!(
            (&json["kind"], &json["state"]),
            (&"run".into(), &"dead".into())
        );
    }
}
