//! `cargo xtask miri`: the rings of the channel under miri, which finds what Rust does not define: access out of bounds or to memory that is gone,
//! data races, references that must not be there at a time. It is slow, and no part of `cargo xtask test`.

use anyhow::{Result, ensure};

use crate::workspace::Workspace;

/// Miri is in no stable toolchain, and not in every nightly one.
const TOOLCHAIN: &str = "nightly-2026-05-20";
/// Properties are tried so often; each case takes seconds.
const PROPERTY_CASES: &str = "2";
/// The environment says how often, and proptest asks for the working folder.
const FLAGS: &str = "-Zmiri-disable-isolation";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut install = workspace.command("rustup");
    install.args(["toolchain", "install", TOOLCHAIN, "--profile", "minimal"]);
    install.args(["--component", "miri", "--component", "rust-src"]);
    ensure!(
        install.status()?.success(),
        "rustup cannot install {TOOLCHAIN} with miri"
    );
    let mut test = workspace.command("rustup");
    test.args(["run", TOOLCHAIN, "cargo", "miri", "test"])
        // All but what asks the system, which miri does not have: shared memory, sockets, the reactor.
        .args(["--package", "forebay-channel", "--no-default-features"])
        .args(["--features", "arrow"])
        .args(["--lib", "--", "ring::", "record::"])
        .env("MIRIFLAGS", FLAGS)
        .env("PROPTEST_CASES", PROPERTY_CASES)
        // Those of the cargo that runs this.
        .env_remove("CARGO")
        .env_remove("RUSTC");
    ensure!(test.status()?.success(), "miri has found something");
    Ok(())
}
