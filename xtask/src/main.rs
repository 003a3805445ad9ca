//! `cargo xtask`: what is done to this repository rather than by it: set-up, the bundled plugins, other components, the demo, all tests,
//! measurements, tidy.
//!
//! It is not a part of Forebay and links none of its crates, so that it builds in seconds on a bare machine.
//! Start from [`progress::Progress`] (what the person who waits sees), [`setup`] (what is made, and when it is made again)
//! and [`checks`] (the list of everything that `cargo xtask test` runs).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the terminal: its output is what it is for"
)]

mod bare;
mod bench;
mod checks;
mod component;
mod demo;
mod machine;
mod miri;
mod plugins;
mod progress;
mod setup;
mod stamp;
mod test;
mod tidy;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::setup::Environment;
use crate::workspace::Workspace;

/// Everything around the code of Forebay: `cargo xtask demo` shows it at work, `cargo xtask test` runs every check.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Set up what is missing, train TensorFlow on a year of flights as a stream, and score what nobody has trained on
    Demo,
    /// Set up the machine, the tools, the wheel and the Python environments; do nothing where they are up to date
    ///
    /// Example: cargo xtask setup --only pytorch
    Setup {
        /// Make this environment alone (may be given more than once; default: those of tests and examples)
        #[arg(long, value_name = "NAME")]
        only: Vec<Environment>,
        /// Build the wheel and install it into the environment of this interpreter; make no other environment
        #[arg(long, value_name = "PYTHON", conflicts_with = "only")]
        into: Option<PathBuf>,
    },
    /// Build the bundled plugins and list their components
    ///
    /// Example: cargo xtask plugins --out /tmp/plugins
    Plugins {
        /// Copy the components and their manifests into this folder
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make a WebAssembly component of an operator or a plugin that is a crate of this workspace
    ///
    /// Example: cargo xtask component examples/flights-features/operator --out features.wasm
    Component {
        /// The folder of the crate
        folder: PathBuf,
        /// The file of the component (default: PACKAGE.wasm in `components` of the target folder)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Run every check: format, lints, unit, conformance and end-to-end tests with real frameworks, docs, licences, tidy
    ///
    /// Example: cargo xtask test --only clippy
    Test {
        /// Run this check alone (may be given more than once; default: all)
        #[arg(long, value_name = "CHECK", value_parser = checks::names())]
        only: Vec<String>,
    },
    /// Measure how fast Forebay is, show the figures beside their targets, write docs/performance.md (needs root)
    ///
    /// Example: cargo xtask bench --quick --only submit
    Bench {
        /// Fewer repetitions, to see that it works; the page stays as it is
        #[arg(long)]
        quick: bool,
        /// Measure this alone (may be given more than once; default: all); the page stays as it is
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Run the tests of the channel's rings under miri, with a nightly toolchain that rustup installs
    Miri,
    /// Check the rules of this repository that no compiler knows
    Tidy,
    /// Run demo and test, twice each, in a fresh clone on a bare Debian 12 (a chroot; needs root and debootstrap)
    ///
    /// Example: cargo xtask bare --only demo
    Bare {
        /// Run this command alone (default: both)
        #[arg(long, value_name = "COMMAND", value_parser = bare::COMMANDS)]
        only: Option<String>,
        /// The folder of the chroot; it must not exist yet, and is kept afterwards
        #[arg(long, value_name = "DIR", default_value = "/var/tmp/forebay-bare")]
        at: PathBuf,
        /// The Debian mirror (default: the one that debootstrap takes)
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
}

fn main() -> ExitCode {
    run(Arguments::parse().verb).unwrap_or_else(|error| {
        eprintln!("error: {}", progress::explained(&error));
        ExitCode::FAILURE
    })
}

fn run(verb: Verb) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match verb {
        Verb::Demo => demo::run(&workspace)?,
        Verb::Setup {
            into: Some(python), ..
        } => setup::into(&workspace, &python)?,
        Verb::Setup { only, .. } => setup::run(&workspace, &only)?,
        Verb::Plugins { out } => plugins::run(&workspace, out.as_deref())?,
        Verb::Component { folder, out } => component::run(&workspace, &folder, out.as_deref())?,
        Verb::Test { only } => return test::run(&workspace, &only),
        Verb::Bench { quick, only } => bench::run(&workspace, quick, &only)?,
        Verb::Miri => miri::run(&workspace)?,
        Verb::Tidy => return tidy::run(&workspace),
        Verb::Bare { only, at, mirror } => {
            bare::run(&workspace, only.as_deref(), &at, mirror.as_deref())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
