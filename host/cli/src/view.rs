//! What a person or a program sees of a running job. A view gets every event of the run in order, and the engine's own
//! remarks between them; it writes, and decides nothing.

mod board;
pub(crate) mod decisions;
mod ending;
mod feeds;
mod json;
mod live;
mod operators;
mod plain;
mod words;

use std::io::{self, IsTerminal};

use forebay_cluster::events::{JobEvent, Line};

use crate::output::Format;
use crate::text::Palette;

pub(crate) use ending::screen;
pub(crate) use operators::lines as operator_lines;
pub(crate) use words::last_report;

/// Something to show.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// An event of the run.
    Event(Box<Received>),
    /// The engine itself has something to say to a person.
    Remark(String),
}

/// An event as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The line of `events.jsonl`.
    pub(crate) json: String,
    /// The same, read.
    pub(crate) line: Line,
}

impl Received {
    /// Reads a line of `events.jsonl`.
    pub(crate) fn parse(json: String) -> serde_json::Result<Self> {
        Ok(Self {
            line: serde_json::from_str(&json)?,
            json,
        })
    }

    /// A line of our own making.
    pub(crate) fn new(line: Line) -> serde_json::Result<Self> {
        Ok(Self {
            json: serde_json::to_string(&line)?,
            line,
        })
    }

    /// What happened.
    pub(crate) fn event(&self) -> &JobEvent {
        &self.line.event
    }
}

/// Shows a run. An error means that nobody can read any more.
pub(crate) trait View: Send {
    /// Shows what came, in order.
    fn show(&mut self, batch: &[Shown]) -> io::Result<()>;
}

/// Which lines of the nodes a person sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NodeLines {
    /// All.
    #[default]
    Shown,
    /// None (`--quiet`): they are in the logs.
    Hidden,
}

/// The view that fits the format and the terminal.
pub(crate) fn of(format: Format, node_lines: NodeLines) -> Box<dyn View> {
    let palette = Palette::of_stderr();
    match format {
        Format::Json => Box::new(json::JsonView),
        Format::Text if is_live() => Box::new(live::LiveView::new(palette, node_lines)),
        Format::Text => Box::new(plain::PlainView::new(palette, node_lines)),
    }
}

fn is_live() -> bool {
    io::stderr().is_terminal()
        && std::env::var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}
