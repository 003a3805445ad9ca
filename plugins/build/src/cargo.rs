//! The cargo call, free of what the outer cargo leaves in the environment.

use std::env;
use std::path::Path;
use std::process::{Command, Output};

use crate::{Error, TARGET};

/// Settings of the user's own cargo that a nested one needs too; every other `CARGO_*` is left out.
const KEPT: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "CARGO_MAKEFLAGS",
    "CARGO_CACHE_",
];
/// Set by cargo for build scripts, or by clippy for its own run.
const DROPPED: [&str; 9] = [
    "RUSTC",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTC_LINKER",
    "TARGET",
    "HOST",
    "PROFILE",
    "OUT_DIR",
    "CLIPPY_ARGS",
];
/// Empty, not absent: that switches off what a configuration file says, too.
const EMPTIED: [&str; 4] = [
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
];

pub(crate) fn build(workspace: &Path, target: &Path, packages: &[&str]) -> Result<(), Error> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    check_target(&rustc, workspace)?;
    let program = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut cargo = clean(Command::new(&program));
    cargo
        .args(["build", "--profile", "guest", "--target", TARGET])
        .current_dir(workspace);
    cargo.arg("--target-dir").arg(target);
    for package in packages {
        cargo.args(["--package", package]);
    }
    let output = run(&mut cargo, &program)?;
    if output.status.success() {
        return Ok(());
    }
    let packages: Vec<_> = packages
        .iter()
        .map(|package| format!("`{package}`"))
        .collect();
    let output = String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned();
    Err(Error::Cargo {
        packages: packages.join(", "),
        output,
    })
}

/// Cargo's own message on a missing target is a page about the missing crate `core`.
fn check_target(rustc: &str, workspace: &Path) -> Result<(), Error> {
    let mut command = Command::new(rustc);
    command
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(workspace);
    let output = run(&mut command, rustc)?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&folder).is_dir() {
        Ok(())
    } else {
        Err(Error::NoTarget)
    }
}

fn clean(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let kept = KEPT.iter().any(|kept| name.starts_with(kept));
        if name.starts_with("CARGO") && !kept || DROPPED.contains(&name.as_ref()) {
            command.env_remove(name.as_ref());
        }
    }
    command.envs(EMPTIED.map(|name| (name, "")));
    command
}

fn run(command: &mut Command, program: &str) -> Result<Output, Error> {
    command.output().map_err(|source| Error::Run {
        program: program.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    /// Cargo runs this test with the variables that it gives to build scripts, too.
    #[test]
    fn what_the_outer_cargo_says_of_its_own_run_is_left_out() {
        assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
        let command = clean(Command::new("cargo"));
        let settings: Vec<_> = command.get_envs().collect();
        assert!(settings.contains(&(OsStr::new("CARGO_MANIFEST_DIR"), None)));
        assert!(settings.contains(&(OsStr::new("RUSTC_WRAPPER"), Some(OsStr::new("")))));
        assert!(
            !settings
                .iter()
                .any(|(name, _)| *name == "CARGO_HOME" || *name == "PATH")
        );
    }

    /// `true` stands for a compiler that knows no such target.
    #[test]
    fn a_missing_target_is_named_with_the_command_that_installs_it() {
        let error = check_target("true", Path::new(".")).unwrap_err();
        assert!(matches!(error, Error::NoTarget));
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("rustup target add wasm32-unknown-unknown"))
        );
    }
}
