//! `forebay events`

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use forebay_cluster::journal::{DecisionRecord, Entry, LocalJournal};
use forebay_plugin::{Action, Event};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, FormatArgument, print, print_json, written};
use crate::runs;
use crate::text::neutral;
use crate::view::decisions;

/// Shows what a run's application managers have decided, and why: the journal
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay events\n  forebay events --format json digits-20260101-120000 | jq .actions"
)]
pub(crate) struct Events {
    /// Folder or name of the run [default: the newest below `.forebay/runs`]
    run: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArgument,
}

/// One line of `--format json`.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "decision")]
struct Line<'a> {
    entry: u64,
    term: u64,
    time_ms: u64,
    event_number: u64,
    plugin: &'a str,
    events: &'a [Event],
    phase: &'a str,
    note: Option<&'a str>,
    actions: &'a [Action],
}

impl Events {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        let run = runs::find(self.run.as_deref())?;
        let failed = |error| Failure::from_input(&error);
        let mut exit = Exit::Done;
        for entry in LocalJournal::entries(&run.journal()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(decision) = &entry.decision else {
                continue;
            };
            let shown = match self.format.format {
                Format::Json => print_json(&line(&entry, decision)),
                Format::Text => print(&text(&entry, decision)),
            };
            if shown.is_err() {
                // A reader that has seen enough ends it quietly.
                return written(shown);
            }
            exit = written(shown)?;
        }
        Ok(exit)
    }
}

fn line<'a>(entry: &Entry, decision: &'a DecisionRecord) -> Line<'a> {
    Line {
        entry: entry.number,
        term: entry.term,
        time_ms: entry.time_ms,
        event_number: decision.now.event_number,
        plugin: &decision.plugin,
        events: &decision.events,
        phase: &decision.phase,
        note: decision.note.as_deref(),
        actions: &decision.actions,
    }
}

/// A line on what happened, then one for each thing that was decided.
fn text(entry: &Entry, decision: &DecisionRecord) -> String {
    let time = decisions::time(entry.time_ms);
    let events: Vec<String> = decision.events.iter().map(decisions::event).collect();
    let note = decision.note.as_deref();
    let note = note.map_or(String::new(), |note| format!(": {note}"));
    let mut text = format!(
        "{time} #{} term {} [{}{}] {}\n",
        entry.number,
        entry.term,
        neutral(&decision.phase),
        neutral(&note),
        neutral(&events.join("; "))
    );
    for action in &decision.actions {
        let _ = writeln!(text, "    {}", neutral(&decisions::action(action)));
    }
    text
}
