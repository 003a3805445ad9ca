//! The job file and the builder, from outside.

mod builder;
mod dataflow_mistakes;
mod dataflow_properties;
mod documentation;
mod feeding_mistakes;
mod files;
mod inside_strings;
mod mistakes;
mod properties;
mod round_trip;
mod schema;
mod validation;

use forebay_job::{Diagnostic, Document, Job};

/// The problems of a job file named `job.toml`, a line each.
fn problems(text: &str) -> String {
    lines(
        &Document::parse(text, "job.toml", "/jobs")
            .check()
            .diagnostics,
    )
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().fold(String::new(), |text, problem| {
        text + &problem.to_string()
            + "
"
    })
}

/// The job of a text that has no errors.
#[track_caller]
fn valid(text: &str) -> Job {
    match Document::parse(text, "job.toml", "/jobs")
        .check()
        .into_job()
    {
        Ok((job, _)) => job,
        Err(diagnostics) => panic!("{text}\n{}", lines(&diagnostics)),
    }
}
