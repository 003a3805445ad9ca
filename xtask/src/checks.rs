//! The checks of this repository, in the order of CI: the one place that lists them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use crate::progress::Step;
use crate::setup::Environment;
use crate::test::Counting;
use crate::workspace::{Workspace, output};

/// The version of cargo-deny; it is kept in the cache, outside the clone.
const CARGO_DENY: &str = "0.20.2";

/// What must stand before a check can run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Sources,
    /// Everything that set-up makes.
    Environments,
    CargoDeny,
}

/// One check: a command that succeeds or does not.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) counting: Counting,
    command: fn(&Workspace) -> Command,
}

impl Check {
    pub(crate) fn command(&self, workspace: &Workspace) -> Command {
        (self.command)(workspace)
    }
}

/// All checks: cheap ones first.
pub(crate) const ALL: [Check; 9] = [
    Check {
        name: "fmt",
        needs: Needs::Sources,
        counting: Counting::Whole,
        command: |workspace| workspace.cargo(["fmt", "--all", "--check"]),
    },
    Check {
        name: "tidy",
        needs: Needs::Sources,
        counting: Counting::Whole,
        command: tidy,
    },
    Check {
        name: "clippy",
        needs: Needs::Environments,
        counting: Counting::Whole,
        command: |workspace| {
            workspace.cargo([
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "--deny",
                "warnings",
            ])
        },
    },
    Check {
        name: "build",
        needs: Needs::Environments,
        counting: Counting::Whole,
        command: |workspace| workspace.cargo(["build", "--workspace"]),
    },
    Check {
        name: "test",
        needs: Needs::Environments,
        counting: Counting::Cargo,
        command: cargo_test,
    },
    Check {
        name: "loom",
        needs: Needs::Sources,
        counting: Counting::Cargo,
        command: loom,
    },
    Check {
        name: "python",
        needs: Needs::Environments,
        counting: Counting::Unittest,
        command: python_tests,
    },
    Check {
        name: "doc",
        needs: Needs::Environments,
        counting: Counting::Whole,
        command: doc,
    },
    Check {
        name: "deny",
        needs: Needs::CargoDeny,
        counting: Counting::Whole,
        command: deny,
    },
];

/// The names of all checks, for the command line.
pub(crate) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(ALL.map(|check| check.name))
}

fn tidy(workspace: &Workspace) -> Command {
    let mut tidy = workspace.command(&workspace.program);
    tidy.arg("tidy");
    tidy
}

/// Unit, conformance, end-to-end and documentation tests; the end-to-end tests want the binary and the environments.
fn cargo_test(workspace: &Workspace) -> Command {
    let mut test = workspace.cargo(["test", "--workspace", "--no-fail-fast"]);
    test.env("FOREBAY_BIN", workspace.binary())
        .env("FOREBAY_ENVIRONMENTS", workspace.environments());
    test
}

/// The rings of the channel, under a model checker that tries all orders of their threads.
fn loom(workspace: &Workspace) -> Command {
    workspace.cargo([
        "test",
        "--package",
        "forebay-channel",
        "--no-default-features",
        "--features",
        "loom",
        "--lib",
        "every_order",
    ])
}

/// With numpy beside it, for the test of its numbers; the end-to-end tests use the wheel alone. The tests of the feed start the other
/// environments themselves, and build a host for them.
fn python_tests(workspace: &Workspace) -> Command {
    let mut unittest = workspace.command(Environment::Pytorch.program(workspace, "python"));
    unittest.env("FOREBAY_ENVIRONMENTS", workspace.environments());
    unittest.args([
        "-m",
        "unittest",
        "discover",
        "--verbose",
        "--start-directory",
        "host/python/tests",
    ]);
    unittest
}

fn doc(workspace: &Workspace) -> Command {
    let mut doc = workspace.cargo(["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "--deny warnings");
    doc
}

/// The database of advisories lives on a host of its own; licences, bans and sources need no network.
fn deny(workspace: &Workspace) -> Command {
    let mut deny = workspace.command(deny_program(workspace));
    deny.args(["check", "bans", "licenses", "sources"]);
    deny
}

fn deny_program(workspace: &Workspace) -> PathBuf {
    workspace.cache.join("tools/bin/cargo-deny")
}

/// Installs cargo-deny where this version of it is not there.
pub(crate) fn install_cargo_deny(workspace: &Workspace, step: &Step) -> Result<()> {
    let found = output(workspace.command(deny_program(workspace)).arg("--version"));
    if found.is_ok_and(|version| version.trim().ends_with(CARGO_DENY)) {
        return Ok(());
    }
    let version = format!("cargo-deny@{CARGO_DENY}");
    let mut install = workspace.cargo([
        "install", "--locked", "--debug", "--force", &version, "--root",
    ]);
    // Its own target folder, which cargo removes: nothing else uses what is built there.
    install
        .arg(workspace.cache.join("tools"))
        .env_remove("CARGO_TARGET_DIR");
    step.run(
        &format!("building {version}"),
        &mut install,
        &workspace.log("cargo-deny"),
    )
}
