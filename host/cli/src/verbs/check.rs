//! `forebay check`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::grants::GrantsArgument;
use crate::output::{Format, FormatArgument, print_json, tell, written};
use crate::text::neutral;
use crate::{checking, problems};

/// Says everything that is wrong with a job file, and runs nothing
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  forebay check examples/roles-abc/job.toml")]
pub(crate) struct Check {
    /// The job file; `-`: standard input
    file: PathBuf,
    #[command(flatten)]
    grants: GrantsArgument,
    #[command(flatten)]
    format: FormatArgument,
}

/// The last line of `--format json`.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "checked")]
struct CheckedLine<'a> {
    file: &'a str,
    errors: usize,
    warnings: usize,
}

impl Check {
    pub(crate) async fn execute(self) -> Result<Exit, Failure> {
        let grants = self.grants.text()?;
        let (document, checked) = checking::check_file(self.file, grants).await?;
        let found = checked.map_or_else(|found| found, |checked| checked.warnings);
        let exit = checking::exit_of(&found);
        let format = self.format.format;
        let errors = found.iter().filter(|problem| problem.is_error()).count();
        let shown = problems::show(&found, &document, format).and_then(|()| match format {
            Format::Json => print_json(&CheckedLine {
                file: document.file(),
                errors,
                warnings: found.len() - errors,
            }),
            Format::Text => tell(&format!(
                "{} in {}",
                problems::tally(&found),
                neutral(document.file())
            )),
        });
        written(shown).map(|_| exit)
    }
}
