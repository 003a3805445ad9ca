//! Writing to standard output and standard error. A reader that is gone is no error: the command ends quietly.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line on standard output, as docs/events.md describes it.
    Json,
}

/// `--format`, the same for every verb that answers something.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct FormatArgument {
    /// How to answer: for people, or as JSON objects, one a line, on standard output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Writes data for the user's next program, or for the user.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes one JSON object as a line.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(&(serde_json::to_string(value)? + "\n"))
}

/// Writes a line that is for people alone. Fails where nobody reads any more.
pub(crate) fn tell(text: &str) -> io::Result<()> {
    // One write: lines of several processes do not mix.
    io::stderr()
        .lock()
        .write_all(format!("{text}\n").as_bytes())
}

/// What a command that only writes exits with: a reader that has seen enough is no failure.
pub(crate) fn written(result: io::Result<()>) -> Result<Exit, Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::input("cannot write the answer").caused_by(Some(&error)))
        }
        _ => Ok(Exit::Done),
    }
}
