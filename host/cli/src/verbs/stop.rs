//! `forebay stop`

use std::path::PathBuf;

use clap::Args;
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::wire::job::StopRequest;
use serde::Serialize;

use crate::control::{self, ANSWER_WITHIN};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, FormatArgument, print_json, tell, written};
use crate::runs;

/// Asks a running job to end, and comes back when that is noted
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  forebay stop\n  forebay stop --now digits-20260101-120000")]
pub(crate) struct Stop {
    /// Folder or name of the run [default: the newest below `.forebay/runs`]
    run: Option<PathBuf>,
    /// Kill every node and end the dataflow at once, and do not ask the state machine
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    format: FormatArgument,
}

/// The answer of `--format json`.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "stopping")]
struct Stopping {
    run: String,
    now: bool,
    event_number: u64,
}

impl Stop {
    pub(crate) async fn execute(self) -> Result<Exit, Failure> {
        let run = control::running(self.run.as_deref())?;
        let event_number = ask(&run, self.now).await?;
        written(match self.format.format {
            Format::Json => print_json(&Stopping {
                run: run.name(),
                now: self.now,
                event_number,
            }),
            Format::Text => tell(&format!(
                "asked `{}` to stop; `forebay status {}` shows how far it is",
                run.name(),
                runs::argument(run.root())
            )),
        })
    }
}

async fn ask(run: &RunDirectory, now: bool) -> Result<u64, Failure> {
    let mut manager = control::connect(run).await?;
    let request = StopRequest {
        request: control::request_id("stop"),
        now,
        reason: "`forebay stop` was called".into(),
        ..StopRequest::default()
    };
    Ok(control::within(run, ANSWER_WITHIN, manager.stop(request))
        .await?
        .into_inner()
        .event_number)
}
