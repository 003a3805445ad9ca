//! `forebay run`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use forebay_cluster::agent::processes_of;
use forebay_cluster::events::Outcome;
use forebay_cluster::journal::{Journal, JournalError, LocalJournal};
use forebay_cluster::manager::FaultPoint;
use forebay_cluster::run_directory::{RUNS, RunDirectory};
use forebay_cluster::submission::Submission;
use forebay_job::{Diagnostic, Job, Target};
use forebay_runtime::Plan;

use crate::checking::{self, Checked};
use crate::engine::{
    self, Continued, EngineLock, Settings, Signals, Work, Wreck, refuse_plain_text,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::grants::GrantsArgument;
use crate::machine::Machine;
use crate::output::{Format, FormatArgument, print_json};
use crate::runs::{self, State};
use crate::view::NodeLines;
use crate::{dataflow, problems, view};

/// An application manager that has not noticed the death of its engine after this does not move any more.
const MANAGER_ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Nodes whose engine was killed are ended within this.
const GONE_WITHIN: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Runs a job to its end
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay run examples/roles-abc/job.toml\n  cargo run -p roles-abc | forebay run -\n  forebay run --continue digits-20260101-120000\n\nCtrl-C stops the job in order, a second one kills its nodes and ends its dataflow."
)]
pub(crate) struct Run {
    /// The job file; `-`: standard input
    #[arg(required_unless_present = "continued")]
    file: Option<PathBuf>,
    /// Goes on with a run whose engine is gone: its folder or name
    #[arg(
        long = "continue",
        id = "continued",
        value_name = "RUN",
        conflicts_with_all = ["file", "runs", "agents", "grants"]
    )]
    continued: Option<PathBuf>,
    /// Do not show what nodes write; it is in their logs
    #[arg(long)]
    quiet: bool,
    /// Folder in which the run makes its own
    #[arg(long, value_name = "DIR", default_value = RUNS)]
    runs: PathBuf,
    /// Lets agents of other machines join here
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Allows `--listen` beyond loopback, where the job token travels in plain text
    #[arg(long)]
    insecure: bool,
    /// How many agents are awaited before a lack of room is an error, the one inside the engine among them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    agents: u32,
    #[command(flatten)]
    grants: GrantsArgument,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    format: FormatArgument,
    /// Where the first application manager kills itself, for tests
    #[arg(long, hide = true, value_name = "before|after:ACTION")]
    fault_point: Option<FaultPoint>,
}

impl Run {
    /// With `--format json` the last line is a summary, whatever happens.
    pub(crate) async fn execute(self) -> Result<Exit, Failure> {
        let format = self.format.format;
        let result = self.run().await;
        if let (Err(failure), Format::Json) = (&result, format) {
            // A reader that is gone does not make it worse.
            let run_dir = failure.run_dir.as_deref().unwrap_or(Path::new(""));
            let _ = print_json(&engine::end_without_run(run_dir, wreck(failure)));
        }
        result
    }

    async fn run(self) -> Result<Exit, Failure> {
        let mut signals = Signals::listen().map_err(|error| {
            Failure::engine("cannot listen for signals").caused_by(Some(&error))
        })?;
        self.refuse_contradictions()?;
        let grants = self.grants.text()?;
        let work = tokio::select! {
            work = self.work(grants.clone()) => work?,
            reason = signals.stop() => return Err(Failure::stopped(format!("stopped before the job began: {reason}"))),
        };
        let node_lines = if self.quiet {
            NodeLines::Hidden
        } else {
            NodeLines::Shown
        };
        let settings = Settings {
            runs: self.runs,
            listen: self.listen,
            agents: self.agents,
            machine: self.machine,
            grants,
            view: view::of(self.format.format, node_lines),
            fault_point: self.fault_point,
        };
        engine::run(work, settings, signals)
            .await
            .map(|summary| Exit::of(&summary))
    }

    fn refuse_contradictions(&self) -> Result<(), Failure> {
        if let Some(listen) = self.listen {
            return refuse_plain_text(listen, self.insecure.into());
        }
        if self.agents > 1 {
            return Err(nobody("`--agents` awaits more than one agent"));
        }
        Ok(())
    }

    /// Nodes need a machine that takes them; a dataflow runs in the engine.
    fn refuse_no_room(&self, job: &Job) -> Result<(), Failure> {
        if self.listen.is_some() || self.machine.slots != Some(0) || job.roles.is_empty() {
            return Ok(());
        }
        Err(nobody("`--slots 0` keeps nodes off this machine"))
    }

    async fn work(&self, grants: String) -> Result<Work, Failure> {
        match (&self.continued, &self.file) {
            (Some(run), _) => {
                let continued = continued(run).await?;
                self.refuse_no_room(&continued.job)?;
                Ok(Work::Continued(Box::new(continued)))
            }
            (None, Some(file)) => {
                let checked = self.checked(file.clone(), grants).await?;
                self.refuse_no_room(&checked.job)?;
                Ok(Work::New(Box::new(checked)))
            }
            (None, None) => Err(Failure::input("there is no job to run")),
        }
    }

    /// Shows every problem; an error refuses the job.
    async fn checked(&self, file: PathBuf, grants: String) -> Result<Checked, Failure> {
        let (document, checked) = checking::check_file(file, grants).await?;
        let found = match &checked {
            Ok(checked) => &checked.warnings,
            Err(found) => found,
        };
        // Somebody who does not read is noticed when the job runs.
        let _ = problems::show(found, &document, self.format.format);
        let checked = checked.map_err(|found| {
            let text = format!(
                "`{}` was not run: {}",
                document.file(),
                problems::tally(&found)
            );
            Failure::input(text).with_exit(checking::exit_of(&found))
        })?;
        self.refuse_mixed_output(&checked.job)?;
        Ok(checked)
    }

    /// Standard output is for rows or for events.
    fn refuse_mixed_output(&self, job: &Job) -> Result<(), Failure> {
        let mut sinks = job.dataflow.sinks.iter();
        let to_stdout = sinks.find(|sink| matches!(sink.target, Target::Stdout(_)));
        match (to_stdout, self.format.format) {
            (Some(sink), Format::Json) => Err(Failure::input(format!(
                "the sink `{}` writes to standard output, where `--format json` writes events",
                sink.name
            ))
            .with_hint("leave `--format json` out, and read `events.jsonl` of the run; or write into a file")),
            _ => Ok(()),
        }
    }
}

/// Why more than this machine would be needed.
fn nobody(what: &str) -> Failure {
    Failure::input(format!("{what}, but no other agent can join"))
        .with_hint("say where agents join with `--listen ADDRESS:PORT`")
}

/// A run that has no end, and nobody who works on it.
async fn continued(run: &Path) -> Result<Continued, Failure> {
    let run = runs::find(Some(run))?;
    let (state, _) = runs::state_of(&run);
    let lock = match state {
        State::Running | State::Dead => EngineLock::take(&run)?,
        _ => None,
    };
    let Some(lock) = lock else {
        return Err(Failure::input(format!(
            "the run `{}` cannot be continued: it is {}",
            run.name(),
            state.word()
        ))
        .with_hint("only a run whose engine was killed can; a new `forebay run` begins anew"));
    };
    until_manager_is_gone(&run).await;
    until_gone(&run).await?;
    let (job, submission) = Submission::load(&run).map_err(|error| Failure::from_input(&error))?;
    LocalJournal::open(&run.journal())
        .and_then(|journal| journal.last())
        .map_err(|error| unreadable(&error))?;
    let dataflow = planned_again(&run, &job, &submission).await?;
    Ok(Continued {
        run,
        job,
        dataflow,
        lock,
    })
}

/// The dataflow as it was submitted; its files have to be what they were.
async fn planned_again(
    run: &RunDirectory,
    job: &Job,
    submission: &Submission,
) -> Result<Option<Plan>, Failure> {
    let components = submission
        .components(run)
        .map_err(|error| Failure::from_input(&error))?;
    let planned = dataflow::plan_again(job, components).await;
    planned.map_err(|problems| {
        // Their own hints are about a job file that can be changed.
        let told = |problem: &Diagnostic| {
            let told = Diagnostic {
                hint: None,
                ..problem.clone()
            };
            told.to_string()
        };
        let all: Vec<_> = problems.iter().map(told).collect();
        Failure::input(format!(
            "the run `{}` cannot be continued: {}",
            run.name(),
            all.join("; ")
        ))
        .with_hint("bring its files back as they were, or begin anew with `forebay run`")
    })
}

/// The application manager of an engine that was killed just now takes a moment to end. One that is stopped has not heard of
/// that death, and keeps the sockets.
async fn until_manager_is_gone(run: &RunDirectory) {
    let deadline = Instant::now() + MANAGER_ENDS_WITHIN;
    while runs::state_of(run).0 == State::Running {
        if Instant::now() >= deadline {
            return engine::end_last_manager(run);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// No application manager could take up the work.
fn unreadable(error: &JournalError) -> Failure {
    let failure = Failure::from_input(error);
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Nodes of the engine before may still be saving: two attempts in one folder would spoil each other.
async fn until_gone(run: &RunDirectory) -> Result<(), Failure> {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let pids = processes_of(&run.output());
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(
                Failure::input(format!("processes of the run still live: {pids:?}"))
                    .with_hint("end them first"),
            );
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn wreck(failure: &Failure) -> Wreck {
    let outcome = if failure.exit == Exit::Stopped {
        Outcome::Stopped
    } else {
        Outcome::Failed
    };
    Wreck {
        outcome,
        ..Wreck::of(failure)
    }
}
