//! `forebay run`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use forebay_cluster::events::Outcome;
use forebay_cluster::run_directory::RUNS;

use crate::checking::{self, Checked};
use crate::engine::{self, Settings, Signals, Wreck, refuse_plain_text};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::grants::GrantsArgument;
use crate::machine::Machine;
use crate::output::{Format, FormatArgument, print_json};
use crate::view::NodeLines;
use crate::{problems, view};

/// Runs a job to its end
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay run examples/roles-abc/job.toml\n  cargo run -p roles-abc | forebay run -\n\nCtrl-C stops the job in order, a second one kills its nodes."
)]
pub(crate) struct Run {
    /// The job file; `-`: standard input
    file: PathBuf,
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
        let checked = tokio::select! {
            checked = self.checked(grants.clone()) => checked?,
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
        };
        engine::run(&checked, settings, signals)
            .await
            .map(|summary| Exit::of(&summary))
    }

    fn refuse_contradictions(&self) -> Result<(), Failure> {
        if let Some(listen) = self.listen {
            return refuse_plain_text(listen, self.insecure.into());
        }
        let nobody = |what| {
            Failure::input(format!("{what}, but no other agent can join"))
                .with_hint("say where agents join with `--listen ADDRESS:PORT`")
        };
        match (self.agents, self.machine.slots) {
            (2.., _) => Err(nobody("`--agents` awaits more than one agent")),
            (_, Some(0)) => Err(nobody("`--slots 0` keeps nodes off this machine")),
            _ => Ok(()),
        }
    }

    /// Shows every problem; an error refuses the job.
    async fn checked(&self, grants: String) -> Result<Checked, Failure> {
        let file = self.file.clone();
        // Reading may wait for standard input, and compiling takes its time.
        let checking = tokio::task::spawn_blocking(move || {
            let document = checking::read(&file)?;
            checking::check(&document, &grants).map(|checked| (document, checked))
        });
        let (document, checked) = checking
            .await
            .map_err(|error| Failure::engine("checking the job broke").caused_by(Some(&error)))??;
        let found = match &checked {
            Ok(checked) => &checked.warnings,
            Err(found) => found,
        };
        // Somebody who does not read is noticed when the job runs.
        let _ = problems::show(found, &document, self.format.format);
        checked.map_err(|found| {
            let text = format!(
                "`{}` was not run: {}",
                document.file(),
                problems::tally(&found)
            );
            Failure::input(text).with_exit(checking::exit_of(&found))
        })
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
