//! `cargo xtask plugins`: builds the bundled plugins, as `cargo build` does, and shows what came out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::machine;
use crate::progress::Progress;
use crate::workspace::{Workspace, output};

/// With `--workspace` the features are those of the demo and the tests: nothing is compiled twice.
const BUILD: [&str; 4] = ["build", "--workspace", "--bin", "forebay"];
/// Where the build script of `forebay-bundled` leaves the components, below its output folder.
const COMPONENTS: &str = "guests/components";
/// What the packages of plugins are called, before the plugin's name.
const PREFIX: &str = "forebay-";

/// Builds the components and lists them; with `out`, copies them and their manifests there, as `FOREBAY_PLUGINS` and
/// `FOREBAY_BUNDLED` take them.
pub(crate) fn run(workspace: &Workspace, out: Option<&Path>) -> Result<()> {
    let mut progress = Progress::new(2);
    progress.step("WebAssembly target", |step| {
        machine::add_wasm_target(workspace, step)
    })?;
    let folder = progress.step("plugins", |step| {
        let mut build = workspace.cargo(BUILD);
        step.run(
            "building them and making them components",
            &mut build,
            &workspace.log("plugins"),
        )?;
        components(workspace)
    })?;
    let plugins = plugins_in(&folder)?;
    for plugin in &plugins {
        println!(
            "{:>8} bytes  {}",
            fs::metadata(&plugin.component)?.len(),
            plugin.component.display()
        );
    }
    out.map_or(Ok(()), |out| copy(workspace, &plugins, out))
}

struct Plugin {
    name: String,
    component: PathBuf,
}

/// The folder of the components; cargo names the output folders of build scripts when asked for messages.
fn components(workspace: &Workspace) -> Result<PathBuf> {
    let mut build = workspace.cargo(BUILD);
    let messages = output(build.args(["--quiet", "--message-format", "json"]))?;
    let mut folders = messages.lines().filter_map(output_folder);
    let folder = folders
        .next()
        .context("cargo names no output folder of `forebay-bundled`")?;
    Ok(folder.join(COMPONENTS))
}

fn output_folder(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let of_bundled = message["package_id"].as_str()?.contains("plugins/bundled");
    let folder = message["out_dir"].as_str()?;
    (of_bundled && message["reason"] == "build-script-executed").then(|| folder.into())
}

fn plugins_in(folder: &Path) -> Result<Vec<Plugin>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    let components = entries.flatten().map(|entry| entry.path());
    let mut plugins: Vec<Plugin> = components.filter_map(plugin).collect();
    plugins.sort_by(|one, other| one.name.cmp(&other.name));
    ensure!(
        !plugins.is_empty(),
        "no component in `{}`",
        folder.display()
    );
    Ok(plugins)
}

fn plugin(component: PathBuf) -> Option<Plugin> {
    let name = component
        .file_name()?
        .to_str()?
        .strip_prefix(PREFIX)?
        .strip_suffix(".wasm")?;
    let name = name.to_owned();
    Some(Plugin { name, component })
}

fn copy(workspace: &Workspace, plugins: &[Plugin], out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make `{}`", out.display()))?;
    for Plugin { name, component } in plugins {
        let manifest = workspace
            .root
            .join("plugins")
            .join(name)
            .join("plugin.toml");
        for (from, ending) in [(component, "wasm"), (&manifest, "toml")] {
            let to = out.join(format!("{name}.{ending}"));
            fs::copy(from, &to).with_context(|| {
                format!("cannot copy `{}` to `{}`", from.display(), to.display())
            })?;
        }
    }
    println!("copied to `{}`", out.display());
    Ok(())
}
