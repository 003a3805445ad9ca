//! What becomes of the dataflow of a job: what is refused, and what runs.

mod documentation;
mod hostile;
mod problems;
mod roles;
mod running;

use std::fs;
use std::path::Path;

use forebay_job::{Document, Job};
use forebay_runtime::{Planned, Setting, plan};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("there is room");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("it is writable");
    }
    folder
}

fn document(text: &str, folder: &Path) -> Document {
    Document::parse(text, "job.toml", folder)
}

/// The job of a file without mistakes of its own.
fn job(document: &Document) -> Job {
    let (job, _) = document
        .check()
        .into_job()
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    job
}

fn planned(job: &Job, runtime: &Runtime) -> Planned {
    runtime.block_on(plan(job, Setting::new(runtime.handle().clone())))
}

fn runtime() -> Runtime {
    Runtime::new().expect("there are threads")
}
