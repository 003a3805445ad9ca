//! `cargo xtask plugins`: builds the bundled plugins, as `cargo build` does, and shows what came out.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::machine;
use crate::progress::Progress;
use crate::workspace::{Workspace, output};

/// Builds the components and lists them; with `out`, copies them and their manifests there.
pub(crate) fn run(workspace: &Workspace, out: Option<&Path>) -> Result<()> {
    let mut progress = Progress::new(2);
    progress.step("WebAssembly target", |step| {
        machine::add_wasm_target(workspace, step)
    })?;
    let folder = progress.step("plugins", |step| {
        let mut build = workspace.cargo(["build", "--package", "forebay-bundled"]);
        step.run(
            "building them and making them components",
            &mut build,
            &workspace.log("plugins"),
        )?;
        built(workspace)
    })?;
    let files = plugin_files(&folder)?;
    for file in files.iter().filter(|file| is(file, "wasm")) {
        println!("{:>8} bytes  {}", fs::metadata(file)?.len(), file.display());
    }
    out.map_or(Ok(()), |out| copy(&folder, &files, out))
}

/// The folder that the build script of `forebay-bundled` writes to; cargo names it when asked for messages.
fn built(workspace: &Workspace) -> Result<PathBuf> {
    let arguments = [
        "build",
        "--quiet",
        "--package",
        "forebay-bundled",
        "--message-format",
        "json",
    ];
    let messages = output(&mut workspace.cargo(arguments))?;
    let of_bundled = |message: &Value| {
        message["package_id"]
            .as_str()
            .is_some_and(|id| id.contains("plugins/bundled"))
    };
    let mut folders = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["reason"] == "build-script-executed" && of_bundled(&message))
            .then(|| message["out_dir"].as_str().map(PathBuf::from))?
    });
    folders
        .next()
        .context("cargo names no output folder of `forebay-bundled`")
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension() == Some(OsStr::new(extension))
}

/// Components and manifests, which lie beside each other.
fn plugin_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| is(file, "wasm") || is(file, "toml"));
    files.sort();
    ensure!(!files.is_empty(), "no component in `{}`", folder.display());
    Ok(files)
}

fn copy(folder: &Path, files: &[PathBuf], out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make `{}`", out.display()))?;
    for file in files {
        let to = out.join(file.strip_prefix(folder)?);
        fs::copy(file, &to).with_context(|| format!("cannot write `{}`", to.display()))?;
    }
    println!("copied to `{}`", out.display());
    Ok(())
}
