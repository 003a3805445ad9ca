//! `forebay plan`

mod drawing;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::drawing::Drawing;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::grants::GrantsArgument;
use crate::output::{Format, print, print_json, written};
use crate::{checking, problems};

/// Draws what a job would run: operators with their tasks and exchanges, and the nodes of its roles
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay plan examples/flights-features/job.toml\n  forebay plan job.toml --format dot | dot -Tsvg > job.svg"
)]
pub(crate) struct Plan {
    /// The job file; `-`: standard input
    file: PathBuf,
    #[command(flatten)]
    grants: GrantsArgument,
    /// How it is drawn
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

/// How a plan is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Trees of text: each sink, and below it what feeds it.
    #[default]
    Text,
    /// For Graphviz.
    Dot,
    /// One object.
    Json,
}

impl Plan {
    pub(crate) async fn execute(self) -> Result<Exit, Failure> {
        let grants = self.grants.text()?;
        let (document, drawn) = checking::draw_file(self.file, grants).await?;
        let found = match &drawn {
            Ok(drawn) => &drawn.warnings,
            Err(found) => found,
        };
        // They are for people, whatever the drawing is for.
        let shown = problems::show(found, &document, Format::Text);
        let Ok(drawn) = &drawn else {
            return written(shown).map(|_| checking::exit_of(found));
        };
        let graph = drawn.dataflow.as_ref().map(|plan| plan.graph(0));
        let graph = graph
            .transpose()
            .map_err(|error| Failure::from_input(error.as_ref()))?;
        let drawing = Drawing::new(&drawn.job, graph.as_ref());
        written(match self.format {
            Form::Text => print(&drawing.text()),
            Form::Dot => print(&drawing.dot()),
            Form::Json => print_json(&drawing),
        })
    }
}
