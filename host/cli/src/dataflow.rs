//! The dataflow of a job, planned, and its problems with their places.

use std::collections::BTreeMap;
use std::path::Path;

use forebay_job::{Diagnostic, Document, Job, Location, Mistaken};
use forebay_runtime::{Plan, Problem, Setting, Spot};
use tokio::runtime::Handle;

use crate::folders;

/// What is to become of the output of an earlier run that is where a sink writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlierOutput {
    /// It is a problem, unless the sink may overwrite it.
    Refused,
    /// Nothing: the job does not run.
    Left,
}

/// Plans the dataflow of a job, if it has one, and looks at every file that it names, but for what is mistaken. Must
/// be called where a runtime is, on a thread that may block.
pub(crate) fn plan(
    document: &Document,
    job: &Job,
    mistaken: Mistaken,
    earlier: EarlierOutput,
) -> (Option<Plan>, Vec<Diagnostic>) {
    if job.dataflow.is_empty() {
        return (None, Vec::new());
    }
    let runtime = Handle::current();
    let setting = Setting {
        compiled: folders::compiled_plugins(),
        mistaken,
        replaces_output: earlier == EarlierOutput::Left,
        ..Setting::new(runtime.clone())
    };
    let planned = runtime.block_on(forebay_runtime::plan(job, setting));
    let problems = planned.problems.into_iter();
    let located = problems.map(|problem| located(document, problem)).collect();
    (planned.plan, located)
}

/// Plans the dataflow of a run that goes on. What it has written already is replaced.
pub(crate) async fn plan_again(
    job: &Job,
    components: BTreeMap<String, Vec<u8>>,
) -> Result<Option<Plan>, Vec<Diagnostic>> {
    if job.dataflow.is_empty() {
        return Ok(None);
    }
    let setting = Setting {
        compiled: folders::compiled_plugins(),
        components,
        replaces_output: true,
        ..Setting::new(Handle::current())
    };
    let planned = forebay_runtime::plan(job, setting).await;
    let problems = planned.problems.into_iter();
    let errors = problems.map(|problem| problem.diagnostic);
    let errors: Vec<_> = errors.filter(Diagnostic::is_error).collect();
    planned.plan.map(Some).ok_or(errors)
}

/// What an error of this type has to say of a failure, if one is to blame: that of a connector, say.
pub(crate) fn cause_of<E: std::error::Error + 'static>(
    error: &forebay_dataflow::Error,
) -> Option<&E> {
    let mut cause = std::error::Error::source(error);
    while let Some(of) = cause {
        if let Some(found) = of.downcast_ref() {
            return Some(found);
        }
        cause = of.source();
    }
    None
}

fn located(document: &Document, problem: Problem) -> Diagnostic {
    let Problem { diagnostic, spot } = problem;
    let Some(Spot { file, place }) = spot else {
        return document.locate(diagnostic);
    };
    let Some(file) = file else {
        return document.locate_within(diagnostic, place.line, place.column);
    };
    let beside = Path::new(document.file()).parent().unwrap_or(Path::new(""));
    let shown = beside.join(&file).to_string_lossy().into_owned();
    match std::fs::read_to_string(document.base().join(&file)) {
        Ok(text) => Diagnostic {
            location: Some(Location::in_file(shown, &text, place.line, place.column)),
            ..diagnostic
        },
        Err(_) => document.locate(diagnostic),
    }
}
