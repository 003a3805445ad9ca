//! `cargo xtask demo`: from a clone to a trained model, and what to try next.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::progress::Progress;
use crate::setup::{self, Environment};
use crate::workspace::{Workspace, attached};

const EXAMPLE: &str = "examples/digits-tensorflow";

/// Sets up what is missing, runs the example on this terminal and tells what came out.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let environments = [Environment::Tensorflow];
    let mut progress = Progress::new(setup::steps(&environments) + 2);
    setup::make(workspace, &mut progress, &environments)?;
    progress.step("engine", |step| {
        // With `--workspace` the features are those of `cargo xtask test`: nothing is compiled twice.
        let mut build = workspace.cargo(["build", "--workspace", "--bin", "forebay"]);
        step.run(
            "building `forebay` with its plugins",
            &mut build,
            &workspace.log("engine"),
        )
    })?;
    let before = runs(workspace);
    progress.step("training", |step| {
        step.says(&format!("forebay run {EXAMPLE}/job.toml"));
        attached(&mut job(workspace))
    })?;
    let made: Vec<PathBuf> = runs(workspace).difference(&before).cloned().collect();
    let run = made.last().context("the run left no folder")?;
    tell(workspace, run)
}

fn job(workspace: &Workspace) -> Command {
    let mut forebay = workspace.command(workspace.binary());
    forebay.args(["run", &format!("{EXAMPLE}/job.toml")]);
    forebay
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

fn tell(workspace: &Workspace, run: &Path) -> Result<()> {
    let output = run.join("output");
    let tensorboard = Environment::Tensorflow.program(workspace, "tensorboard");
    let (tensorboard, training) = (tensorboard.display(), output.join("training"));
    println!("\ntest accuracy   {}", accuracy(run)?);
    println!("model           {}", output.join("model").display());
    println!("logs            {}", run.join("logs").display());
    println!(
        "TensorBoard     {tensorboard} --logdir {}",
        training.display()
    );
    println!("\nTry next:");
    println!("  # another number of workers: `nodes` in {EXAMPLE}/job.toml");
    println!("  cargo xtask demo");
    println!("  # any command, no framework");
    println!(
        "  {} run examples/roles-abc/job.toml",
        workspace.binary().display()
    );
    println!("  # all three frameworks, every check");
    println!("  cargo xtask test");
    Ok(())
}

/// The test accuracy that a node reported last, from the run's summary.
fn accuracy(run: &Path) -> Result<String> {
    let path = run.join("summary.json");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let summary: Value =
        serde_json::from_str(&text).with_context(|| format!("`{}` is not JSON", path.display()))?;
    let nodes = summary["nodes"].as_array().into_iter().flatten();
    let mut reported = nodes.filter_map(|node| node["last_report"]["test_accuracy"].as_f64());
    let accuracy = reported
        .next()
        .context("no node reported `test_accuracy`")?;
    Ok(format!("{:.1} %", accuracy * 100.0))
}
