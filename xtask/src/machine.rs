//! What a machine must have before anything else: named in one message when it is missing, installed where that is allowed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::workspace::{Workspace, output};

/// Guests and plugins are compiled for it.
const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Where Debian has the clock that tests set.
const FAKE_TIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Prints the interpreter's path and version; fails where it is too old or cannot make environments.
const PROBE: &str = "import sys, venv, ensurepip
assert sys.version_info >= (3, 11)
print(sys.executable, '.'.join(map(str, sys.version_info[:2])), sep='\\n')";

/// An interpreter that can make environments.
pub(crate) struct Python {
    pub(crate) path: PathBuf,
    /// Major and minor version: `3.11`.
    pub(crate) version: String,
}

/// Which interpreters will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PythonNeed {
    /// 3.11 or later.
    Any,
    /// 3.11: the last for which MXNet's wheel and its numpy exist.
    Exactly311,
}

struct Prerequisite {
    what: &'static str,
    packages: &'static [&'static str],
    missing: bool,
}

/// Finds what is missing on this machine and, as root with `CI=true`, installs it.
///
/// # Errors
/// One error that names everything that is missing, with the command that installs it.
pub(crate) fn check(workspace: &Workspace, step: &Step, need: PythonNeed) -> Result<Python> {
    let missing = missing(need);
    if !missing.is_empty() && may_install() {
        install(workspace, step, &missing)?;
    }
    report(&self::missing(need))?;
    find_python(need).context("a Python that was there is gone")
}

fn missing(need: PythonNeed) -> Vec<Prerequisite> {
    let python = match need {
        PythonNeed::Any => "Python 3.11 or later with venv",
        PythonNeed::Exactly311 => "Python 3.11 (exactly, for MXNet) with venv",
    };
    let all = [
        Prerequisite {
            what: "git",
            packages: &["git"],
            missing: !runs("git", "--version"),
        },
        Prerequisite {
            what: "gcc",
            packages: &["gcc"],
            missing: !runs("gcc", "--version"),
        },
        Prerequisite {
            what: "make",
            packages: &["make"],
            missing: !runs("make", "--version"),
        },
        Prerequisite {
            what: "the C library's headers",
            packages: &["libc6-dev"],
            missing: !has_libc_headers(),
        },
        Prerequisite {
            what: python,
            packages: &["python3", "python3-venv"],
            missing: find_python(need).is_none(),
        },
        Prerequisite {
            what: "ip (network namespaces)",
            packages: &["iproute2"],
            missing: !runs("ip", "-V"),
        },
        Prerequisite {
            what: "libfaketime (a clock that tests set)",
            packages: &["libfaketime"],
            missing: !Path::new(FAKE_TIME).is_file(),
        },
    ];
    all.into_iter()
        .filter(|prerequisite| prerequisite.missing)
        .collect()
}

fn report(missing: &[Prerequisite]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing
        .iter()
        .map(|prerequisite| prerequisite.what)
        .collect();
    bail!(
        "this machine lacks {}\nhint: `apt-get install {}` as root; another interpreter is named by `FOREBAY_PYTHON=PATH`",
        names.join(", "),
        packages(missing).join(" ")
    )
}

fn packages(missing: &[Prerequisite]) -> Vec<&'static str> {
    missing
        .iter()
        .flat_map(|prerequisite| prerequisite.packages)
        .copied()
        .collect()
}

fn may_install() -> bool {
    let root = output(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() == "0");
    root && env::var("CI").is_ok_and(|ci| ci == "true") && runs("apt-get", "--version")
}

fn install(workspace: &Workspace, step: &Step, missing: &[Prerequisite]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let packages = packages(missing);
    step.run(
        "reading the package lists",
        &mut apt(&["update"]),
        &workspace.log("apt-update"),
    )?;
    let what = format!("installing {}", packages.join(" "));
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    step.run(&what, &mut apt(&arguments), &workspace.log("apt-install"))
}

fn runs(program: &str, argument: &str) -> bool {
    output(Command::new(program).arg(argument)).is_ok()
}

/// gcc answers with a full path where it knows the file.
fn has_libc_headers() -> bool {
    output(Command::new("gcc").arg("-print-file-name=crt1.o"))
        .is_ok_and(|path| Path::new(path.trim()).is_absolute())
        || !runs("gcc", "--version")
}

fn find_python(need: PythonNeed) -> Option<Python> {
    let named = env::var("FOREBAY_PYTHON").ok();
    let candidates = match &named {
        Some(path) => vec![path.as_str()],
        None => vec!["python3.11", "python3"],
    };
    candidates
        .into_iter()
        .filter_map(probe)
        .find(|python| need == PythonNeed::Any || python.version == "3.11")
}

fn probe(program: &str) -> Option<Python> {
    let answer = output(Command::new(program).args(["-c", PROBE])).ok()?;
    let (path, version) = answer.trim_end().split_once('\n')?;
    Some(Python {
        path: path.into(),
        version: version.to_owned(),
    })
}

/// Adds the WebAssembly target to the toolchain where it is missing.
///
/// # Errors
/// Where rustup is not there or cannot reach its server.
pub(crate) fn add_wasm_target(workspace: &Workspace, step: &Step) -> Result<()> {
    let libraries = output(workspace.command("rustc").args([
        "--print",
        "target-libdir",
        "--target",
        WASM_TARGET,
    ]))?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    let mut rustup = workspace.command("rustup");
    let what = format!("adding {WASM_TARGET}");
    step.run(&what, rustup.args(["target", "add", WASM_TARGET]), &workspace.log("rustup-target")).with_context(|| {
        format!("cannot add the target `{WASM_TARGET}`, for which plugins are compiled\nhint: `rustup target add {WASM_TARGET}` must work here; it needs rustup and the network")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_missing_is_in_one_message_with_one_command() {
        let missing = [
            Prerequisite {
                what: "git",
                packages: &["git"],
                missing: true,
            },
            Prerequisite {
                what: "Python",
                packages: &["python3", "python3-venv"],
                missing: true,
            },
        ];
        let text = report(&missing).expect_err("two are missing").to_string();
        assert!(
            text.starts_with("this machine lacks git, Python\n"),
            "{text}"
        );
        assert!(
            text.contains("`apt-get install git python3 python3-venv`"),
            "{text}"
        );
    }
}
