//! `cargo xtask bench`: builds what is measured, has `forebay-bench` measure it, shows the figures beside their targets, and
//! writes them to `docs/performance.md`. The measurements themselves are in `tests/bench`.

mod figures;
mod page;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use self::figures::Figure;
use self::page::Machine;
use crate::component;
use crate::progress::Progress;
use crate::setup::{self, Environment};
use crate::workspace::{Workspace, shown};

/// The page, relative to the repository.
const PAGE: &str = "docs/performance.md";
/// What a page of figures is made with.
const COMMAND: &str = "cargo xtask bench";

/// Measures everything, or what is named. Only a whole run with all of its repetitions makes the page.
pub(crate) fn run(workspace: &Workspace, quick: bool, only: &[String]) -> Result<()> {
    let machine = Machine::read(workspace)?;
    prepare(workspace)?;
    let mut bench = workspace.command(workspace.binary().with_file_name("forebay-bench"));
    bench.env("FOREBAY_ENVIRONMENTS", workspace.environments());
    bench.args(quick.then_some("--quick"));
    for name in only {
        bench.args(["--only", name]);
    }
    let figures = measure(bench)?;
    print!("\n{}", page::table(&figures));
    if quick || !only.is_empty() {
        println!("\n`{PAGE}` stays as it is: only `{COMMAND}` with all of it writes the page");
        return Ok(());
    }
    fs::write(
        workspace.root.join(PAGE),
        page::page(&machine, COMMAND, &figures),
    )
    .with_context(|| format!("cannot write `{PAGE}`"))?;
    println!("\nwritten to `{PAGE}`");
    Ok(())
}

/// What is measured, and what it is measured beside.
fn prepare(workspace: &Workspace) -> Result<()> {
    let environments = [
        Environment::Tensorflow,
        Environment::Dataflow,
        Environment::Bench,
    ];
    let mut progress = Progress::new(setup::steps(&environments) + component::STEPS + 1);
    setup::make(workspace, &mut progress, &environments)?;
    progress.step("build", |step| {
        // With `--workspace` the features are those of `cargo xtask test`: nothing is compiled twice.
        let mut build = workspace.cargo(["build", "--workspace", "--bins"]);
        let log = workspace.log("bench-build");
        step.run("building `forebay` and `forebay-bench`", &mut build, &log)
    })?;
    component::make_of_flights(workspace, &mut progress)
}

/// Reads the rows as they come; what is being measured stands on standard error.
fn measure(mut bench: Command) -> Result<Vec<Figure>> {
    let mut child = bench
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(&bench)))?;
    let rows = child.stdout.take().context("its output is piped")?;
    let mut figures = Vec::new();
    for row in BufReader::new(rows).lines() {
        let figure = Figure::parse(&row?)?;
        println!("  {}", figure.sentence());
        figures.push(figure);
    }
    let status = child.wait()?;
    ensure!(status.success(), "`{}` failed ({status})", shown(&bench));
    Ok(figures)
}
