//! `forebay resume`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::submission::stage_component;
use forebay_cluster::wire::job::ResumeRequest;
use serde::Serialize;
use serde_json::Value;

use crate::control;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, FormatArgument, print_json, tell, written};
use crate::plugins::Finder;
use crate::verbs::status;

/// A large plugin takes minutes to compile.
const LOADED_WITHIN: Duration = Duration::from_mins(5);

/// Goes on with a job whose plugin failed
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay resume --plugin ./mended.wasm\n  forebay resume digits-20260101-120000 --plugin ./mended.wasm"
)]
pub(crate) struct Resume {
    /// Folder or name of the run [default: the newest below `.forebay/runs`]
    run: Option<PathBuf>,
    /// Takes the place of the job's plugin of the same id: a component with its `plugin.toml` beside it, or the name of a
    /// plugin [default: the one that failed is tried again]
    #[arg(long, value_name = "FILE|NAME")]
    plugin: Option<String>,
    #[command(flatten)]
    format: FormatArgument,
}

/// The answer of `--format json`.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "resuming")]
struct Resuming {
    run: String,
    event_number: u64,
}

impl Resume {
    pub(crate) async fn execute(self) -> Result<Exit, Failure> {
        let run = control::running(self.run.as_deref())?;
        let (plugin_sha256, manifest) = match &self.plugin {
            Some(plugin) => add_to(&run, plugin)?,
            None => Default::default(),
        };
        let request = ResumeRequest {
            request: control::request_id("resume"),
            plugin_sha256,
            manifest,
        };
        let mut manager = control::connect(&run).await?;
        let accepted = control::within(&run, LOADED_WITHIN, manager.resume(request))
            .await?
            .into_inner();
        if let Some(again) = failed_again(&run).await {
            return Err(again);
        }
        written(match self.format.format {
            Format::Json => print_json(&Resuming {
                run: run.name(),
                event_number: accepted.event_number,
            }),
            Format::Text => tell(&format!("`{}` goes on", run.name())),
        })
    }
}

/// Puts the plugin among those of the run, where its application manager finds it.
fn add_to(run: &RunDirectory, plugin: &str) -> Result<(String, String), Failure> {
    let found = Finder::new(Path::new("."))
        .find(plugin)
        .map_err(|error| Failure::from_input(&error).hinted(error.hint()))?;
    let sha256 = stage_component(run, &found.source.component)
        .map_err(|error| Failure::from_input(&error))?;
    Ok((sha256, found.source.manifest))
}

/// Whoever cannot be asked any more has ended.
async fn failed_again(run: &RunDirectory) -> Option<Failure> {
    let described = status::ask(run).await.ok()?;
    let quarantine = described.get("quarantine")?.as_object()?;
    let text = |key: &str| quarantine.get(key).and_then(Value::as_str);
    let reason = text("reason")?;
    let failure = Failure::engine(format!(
        "the plugin of `{}` failed again: {reason}",
        run.name()
    ));
    Some(failure.hinted(text("hint")))
}
