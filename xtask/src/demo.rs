//! `cargo xtask demo`: from a clone to a model that was trained on a stream and has scored what it has not seen, and what to try next.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::component;
use crate::progress::Progress;
use crate::setup::{self, Environment};
use crate::workspace::{Workspace, attached, output};

const EXAMPLE: &str = "examples/flights-tensorflow";
/// Where the data of the example are.
const FEATURES: &str = "examples/flights-features";

/// Sets up what is missing, runs the example on this terminal and tells what came out.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let environments = [Environment::Tensorflow, Environment::Dataflow];
    let mut progress = Progress::new(setup::steps(&environments) + component::STEPS + 4);
    setup::make(workspace, &mut progress, &environments)?;
    progress.step("engine", |step| {
        // With `--workspace` the features are those of `cargo xtask test`: nothing is compiled twice.
        let mut build = workspace.cargo(["build", "--workspace", "--bins"]);
        step.run(
            "building `forebay` with its plugins",
            &mut build,
            &workspace.log("engine"),
        )
    })?;
    component::make_of_flights(workspace, &mut progress)?;
    progress.step("data", |step| {
        let mut data = python(workspace, &format!("{FEATURES}/data.py"));
        step.run("a year of flights", &mut data, &workspace.log("data"))
    })?;
    let trained = progress.step("training", |step| {
        step.says("forebay run the first of two jobs: months 1 to 10");
        run_job(workspace, "job.toml")
    })?;
    take_model(workspace, &trained)?;
    progress.step("scoring", |step| {
        step.says("forebay run the second: months 11 and 12, which nobody has trained on");
        run_job(workspace, "score.toml")
    })?;
    tell(workspace, &trained)
}

fn python(workspace: &Workspace, script: &str) -> Command {
    let python = Environment::Dataflow.program(workspace, "python");
    let mut python = workspace.command(python);
    python.arg(script);
    python
}

/// Runs a job of the example on this terminal; its run directory.
fn run_job(workspace: &Workspace, file: &str) -> Result<PathBuf> {
    let before = runs(workspace);
    let mut forebay = workspace.command(workspace.binary());
    attached(forebay.args(["run", &format!("{EXAMPLE}/{file}")]))?;
    let made = runs(workspace);
    let made = made.difference(&before).last();
    made.cloned().context("the run left no folder")
}

/// The folders of all runs so far.
fn runs(workspace: &Workspace) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(workspace.made.join("runs"))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

/// Brings the model of a run to where the job that scores looks for it.
fn take_model(workspace: &Workspace, run: &Path) -> Result<()> {
    let place = workspace.root.join(EXAMPLE).join("out");
    let mut copy = workspace.command("cp");
    copy.arg("-r").arg(run.join("output/model")).arg(place);
    output(&mut copy).map(drop)
}

fn tell(workspace: &Workspace, run: &Path) -> Result<()> {
    let training = run.join("output/training");
    let tensorboard = Environment::Tensorflow.program(workspace, "tensorboard");
    let mut quality = python(workspace, &format!("{FEATURES}/quality.py"));
    let quality = output(quality.arg(EXAMPLE))?;
    println!(
        "\nnext to always saying the same, on two months that nobody has trained on:\n{quality}"
    );
    println!("model           {}", run.join("output/model").display());
    println!("logs            {}", run.join("logs").display());
    println!(
        "TensorBoard     {} --logdir {}",
        tensorboard.display(),
        training.display()
    );
    println!("\nTry next:");
    println!("  # how the job is put together");
    println!("  {} plan {EXAMPLE}/job.toml", workspace.binary().display());
    println!("  # the same stream trains PyTorch and MXNet");
    println!("  less examples/flights-pytorch/README.md examples/flights-mxnet/README.md");
    println!("  # any command, no framework");
    println!(
        "  {} run examples/roles-abc/job.toml",
        workspace.binary().display()
    );
    println!("  # every check");
    println!("  cargo xtask test");
    Ok(())
}
