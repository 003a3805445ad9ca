//! Builds guest crates for WebAssembly and makes components of them; checks that an interface still fits a released one.
//!
//! It is meant for build scripts, tests and `cargo xtask component`. It is *not* needed by a plugin's author who runs cargo and `wasm-tools` by
//! hand, and it runs no component.
//!
//! Start from [`build_guests`], and [`semver_check`] for the interfaces.

mod cargo;
mod component;
mod interface;

use std::path::{Path, PathBuf};

pub use component::{exports, imports, to_component};
pub use interface::semver_check;

/// Rust's name of the target that guests are built for: no WASI.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The toolchain has no WebAssembly target.
    #[error("the Rust target `{TARGET}` is not installed, and engine plugins are built for it")]
    NoTarget,
    /// A program could not be run.
    #[error("cannot run `{program}`")]
    Run {
        /// Its name.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Cargo failed; its own messages say why.
    #[error("building {packages} for `{TARGET}` failed:\n{output}")]
    Cargo {
        /// The packages, in backticks.
        packages: String,
        /// What cargo wrote.
        output: String,
    },
    /// A file could not be read or written.
    #[error("cannot use the file `{path}`")]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A core module could not be made a component.
    #[error("`{name}` cannot be made a component: {why}")]
    Component {
        /// The guest.
        name: String,
        /// Why, with its causes.
        why: String,
    },
    /// An interface could not be read.
    #[error("the interface in `{path}` cannot be read: {why}")]
    Interface {
        /// Its folder.
        path: PathBuf,
        /// Why, with its causes.
        why: String,
    },
    /// A plugin built for the released interface would not load any more.
    #[error("world `{world}` no longer fits its released form: {why}")]
    Incompatible {
        /// The world.
        world: String,
        /// Why, with its causes.
        why: String,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoTarget => Some("install it: `rustup target add wasm32-unknown-unknown`"),
            Self::Incompatible { .. } => Some(
                "a new field, case or function needs a new minor version of the interface; growth goes through \
                 properties, `custom` cases and new interfaces",
            ),
            _ => None,
        }
    }
}

/// A guest that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Name of its package.
    pub package: String,
    /// The component, below the target folder.
    pub path: PathBuf,
}

/// Builds packages of the workspace at `workspace` in one cargo call, profile `guest`, and makes a component of each.
///
/// `target` is a target folder of its own, so the call never waits for the cargo that runs the build script; what a build
/// script inherits from that cargo (wrappers, flags, folders) does not reach the guests. A cold call costs about a minute,
/// one without changes less than a second.
pub fn build_guests(
    workspace: &Path,
    target: &Path,
    packages: &[&str],
) -> Result<Vec<Guest>, Error> {
    cargo::build(workspace, target, packages)?;
    packages
        .iter()
        .map(|package| component::make(target, package))
        .collect()
}
