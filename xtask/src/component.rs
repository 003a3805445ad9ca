//! `cargo xtask component`: makes a component of an operator, or of a plugin, that is a crate of this workspace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::machine;
use crate::progress::Progress;
use crate::workspace::{Workspace, output};

/// The program that makes components; this one links none of our crates.
const MAKER: &str = "forebay-component";
const EXAMPLE: &str = "examples/flights-features/operator";

/// Builds the crate in `folder` and puts its component into `out`, or below the target folder.
pub(crate) fn run(workspace: &Workspace, folder: &Path, out: Option<&Path>) -> Result<()> {
    let package = package_in(workspace, folder)?;
    let made = workspace.target.join("components");
    let file = out.map_or_else(
        || made.join(format!("{package}.wasm")),
        std::path::Path::to_owned,
    );
    let file = std::path::absolute(file)?;
    let parent = file.parent().context("a component is put into a file")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make `{}`", parent.display()))?;
    make(workspace, &mut Progress::new(STEPS), &package, &file)?;
    println!(
        "{:>8} bytes  {}",
        fs::metadata(&file)?.len(),
        file.display()
    );
    Ok(())
}

/// Makes the operator of the flights, where the jobs of the examples look for it.
pub(crate) fn make_of_flights(workspace: &Workspace, progress: &mut Progress) -> Result<()> {
    let file = workspace
        .root
        .join("examples/flights-features/features.wasm");
    make(workspace, progress, "flights-features-operator", &file)
}

/// Steps of [`make`].
pub(crate) const STEPS: usize = 3;

/// Makes a component of this package.
pub(crate) fn make(
    workspace: &Workspace,
    progress: &mut Progress,
    package: &str,
    file: &Path,
) -> Result<()> {
    progress.step("WebAssembly target", |step| {
        machine::add_wasm_target(workspace, step)
    })?;
    progress.step("tool", |step| {
        // With `--workspace` the features are those of the demo and the tests: nothing is compiled twice.
        let mut build = workspace.cargo(["build", "--workspace", "--bin", MAKER]);
        let what = "building what makes components";
        step.run(what, &mut build, &workspace.log("component-tool"))
    })?;
    progress.step("component", |step| {
        let mut maker = workspace.command(workspace.binary().with_file_name(MAKER));
        maker
            .arg(&workspace.root)
            .arg(workspace.target.join("guests"))
            .args([Path::new(package), file]);
        let what = format!("building {package} and making it a component");
        step.run(&what, &mut maker, &workspace.log("component"))
    })
}

/// The name of the crate in a folder.
fn package_in(workspace: &Workspace, folder: &Path) -> Result<String> {
    let metadata =
        output(&mut workspace.cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).context("cannot read what `cargo metadata` says")?;
    let wanted = fs::canonicalize(folder)
        .with_context(|| format!("there is no folder `{}`", folder.display()))?;
    package_of(&metadata, &wanted)
}

fn package_of(metadata: &Value, folder: &Path) -> Result<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages
        .into_iter()
        .find(|package| folder_of(package).is_some_and(|of| of == folder))
        .with_context(|| {
            let shown = folder.display();
            format!("`{shown}` has no crate of this workspace\nhint: name the folder of one, such as `{EXAMPLE}`")
        })?;
    let name = package["name"].as_str().context("a crate has a name")?;
    ensure!(
        is_dynamic_library(package),
        "the crate `{name}` makes no library that could become a component\nhint: `[lib]` with `crate-type = [\"cdylib\"]` in its Cargo.toml"
    );
    Ok(name.to_owned())
}

fn folder_of(package: &Value) -> Option<PathBuf> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let folder = manifest.parent()?;
    Some(fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()))
}

fn is_dynamic_library(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    let mut types = targets
        .filter_map(|target| target["crate_types"].as_array())
        .flatten();
    types.any(|of| of == "cdylib")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(folder: &str, expected: Result<&str, &str>) {
        let package = |name: &str, folder: &str, types: &[&str]| json!({"name": name, "manifest_path": format!("{folder}/Cargo.toml"), "targets": [{"crate_types": types}]});
        let metadata = json!({"packages": [
            package("operator", "/r/operator", &["cdylib", "rlib"]),
            package("library", "/r/library", &["lib"]),
        ]});
        match (package_of(&metadata, Path::new(folder)), expected) {
            (Ok(name), Ok(expected)) => assert_eq!(name, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, _) => panic!("`{folder}`: {found:?}"),
        }
    }

    #[test]
    fn the_crate_of_a_folder_is_found_or_refused_by_name() {
        check("/r/operator", Ok("operator"));
        check("/r/library", Err("`library` makes no library"));
        check("/r", Err("`/r` has no crate of this workspace\nhint: "));
    }
}
