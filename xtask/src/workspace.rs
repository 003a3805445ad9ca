//! Where things are: the repository, what set-up makes in it, the target folder, the cache.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The places that the verbs share.
pub(crate) struct Workspace {
    /// The repository.
    pub(crate) root: PathBuf,
    /// `.forebay`: tools, environments, wheel, logs and runs; never in git.
    pub(crate) made: PathBuf,
    /// This program.
    pub(crate) program: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// What outlives a clone: `$XDG_CACHE_HOME/forebay`.
    pub(crate) cache: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR").context("start me by `cargo xtask`")?;
        // Asked for, not compiled in: clones that share a target folder share this program.
        let root = Path::new(&package)
            .parent()
            .context("xtask lies in the repository")?;
        let program = env::current_exe().context("cannot find this program")?;
        // Cargo starts it from TARGET/PROFILE/xtask.
        let target = program
            .parent()
            .and_then(Path::parent)
            .context("xtask lies in a target folder")?;
        Ok(Self {
            root: root.to_owned(),
            made: root.join(".forebay"),
            target: target.to_owned(),
            cache: cache_folder()?.join("forebay"),
            program,
        })
    }

    /// A command that runs in the repository.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// Cargo, the one that runs this xtask.
    pub(crate) fn cargo<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments);
        command
    }

    /// The log file of one piece of work.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.made.join("logs").join(format!("{name}.log"))
    }

    /// The `forebay` binary of the dev profile; `cargo build` makes it.
    pub(crate) fn binary(&self) -> PathBuf {
        self.target.join("debug").join("forebay")
    }

    /// The folder of the Python environments.
    pub(crate) fn environments(&self) -> PathBuf {
        self.made.join("environments")
    }

    /// Every file that is in git or could be: paths relative to the repository.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut git = self.command("git");
        let listing = output(git.args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let mut files: Vec<PathBuf> = listing
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(PathBuf::from)
            .collect();
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }
}

fn cache_folder() -> Result<PathBuf> {
    let named = env::var_os("XDG_CACHE_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    named
        .or_else(home)
        .context("neither `XDG_CACHE_HOME` nor `HOME` is set")
}

/// Runs a command and returns its standard output.
///
/// # Errors
/// Where it cannot be started, fails, or writes what is not UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!(
            "`{shown}` failed ({})\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` wrote what is not UTF-8"))
}

/// Runs a command on this terminal.
///
/// # Errors
/// Where it cannot be started or fails.
pub(crate) fn attached(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
