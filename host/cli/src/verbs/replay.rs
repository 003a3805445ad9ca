//! `forebay replay`

use std::path::PathBuf;

use clap::Args;
use forebay_cluster::replay::{self, Difference, Replay as Outcome};
use forebay_plugin::PluginHost;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, FormatArgument, print_json, tell, written};
use crate::text::{count, neutral};
use crate::{folders, runs};

/// Longest value of a difference that people are shown, in characters.
const SHOWN_CHARACTERS_MAX: usize = 600;

/// Makes the decisions of a recorded run again
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay replay --verify\n  forebay replay --verify digits-20260101-120000"
)]
pub(crate) struct Replay {
    /// Folder or name of the run [default: the newest below `.forebay/runs`]
    run: Option<PathBuf>,
    /// Compares each decision with the recorded one, and names the first that differs
    #[arg(long, required = true)]
    verify: bool,
    #[command(flatten)]
    format: FormatArgument,
}

/// The answer of `--format json`.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "replay")]
struct Answer<'a> {
    run: String,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

impl Replay {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        let run = runs::find(self.run.as_deref())?;
        let host = PluginHost::new(folders::compiled_plugins())
            .map_err(|error| Failure::from_engine(&error))?;
        let outcome = replay::verify(&run, &host).map_err(|error| Failure::from_input(&error))?;
        let name = run.name();
        let shown = match self.format.format {
            Format::Json => print_json(&Answer {
                run: name,
                outcome: &outcome,
            }),
            Format::Text => tell(&text(&name, &outcome)),
        };
        let same = outcome.difference.is_none();
        written(shown).map(|done| if same { done } else { Exit::JobFailed })
    }
}

fn text(run: &str, outcome: &Outcome) -> String {
    let decisions = count(
        usize::try_from(outcome.decisions).unwrap_or(usize::MAX),
        "decision",
    );
    match &outcome.difference {
        None => format!("{decisions} of `{run}` made again, all as recorded"),
        Some(difference) => different(run, difference),
    }
}

fn different(run: &str, difference: &Difference) -> String {
    let Difference {
        entry,
        event_number,
        field,
        recorded,
        now,
    } = difference;
    let show = |value: &serde_json::Value| {
        let text = value.to_string();
        let end = text.floor_char_boundary(SHOWN_CHARACTERS_MAX);
        let more = if end < text.len() { "…" } else { "" };
        format!("{}{more}", neutral(&text[..end]))
    };
    format!(
        "entry {entry} of `{run}` (event {event_number}) is decided otherwise: its {field}\n  recorded: {}\n  now: {}",
        show(recorded),
        show(now)
    )
}
