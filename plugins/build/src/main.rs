//! `forebay-component WORKSPACE TARGET PACKAGE FILE`: builds a guest package of a workspace in a target folder of its own, makes
//! a component of it, and puts that into a file. People start it by `cargo xtask component`.
//!
//! It is *not* another way to make a component: it calls [`build_guests`].
#![expect(
    clippy::print_stderr,
    reason = "a tool for the terminal: what failed is told there"
)]

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use forebay_plugin_build::build_guests;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [workspace, target, package, file] = &arguments[..] else {
        eprintln!("usage: forebay-component WORKSPACE TARGET PACKAGE FILE");
        return ExitCode::FAILURE;
    };
    let made = make(
        Path::new(workspace),
        Path::new(target),
        package,
        Path::new(file),
    );
    made.err().map_or(ExitCode::SUCCESS, |message| {
        eprintln!("error: {message}");
        ExitCode::FAILURE
    })
}

fn make(workspace: &Path, target: &Path, package: &str, file: &Path) -> Result<(), String> {
    let guests = build_guests(workspace, target, &[package]).map_err(|error| explained(&error))?;
    let put = |from| fs::copy(from, file);
    guests
        .iter()
        .try_for_each(|guest| put(&guest.path).map(drop))
        .map_err(|error| format!("cannot write `{}`: {error}", file.display()))
}

/// The error with its cause, and what to do about it.
fn explained(error: &forebay_plugin_build::Error) -> String {
    let cause = error
        .source()
        .map_or_else(String::new, |cause| format!(": {cause}"));
    let hint = error
        .hint()
        .map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    format!("{error}{cause}{hint}")
}
