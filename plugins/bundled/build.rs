//! Builds the bundled plugins as components and writes the table that the library embeds.
//!
//! `FOREBAY_BUNDLED=DIR` takes `NAME.wasm` and `NAME.toml` from a folder and builds nothing: for machines without the
//! WebAssembly target.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use forebay_plugin_build::build_guests;

/// Name of the plugin, which is that of its folder.
const PLUGINS: [&str; 4] = ["standard-machine", "tensorflow", "pytorch", "mxnet"];
const OVERRIDE: &str = "FOREBAY_BUNDLED";

fn main() -> Result<(), String> {
    run().map_err(|error| error.to_string())
}

fn run() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("`bundled` has no folder above it")?;
    let table = match env::var_os(OVERRIDE) {
        Some(folder) => prebuilt(&fs::canonicalize(folder)?),
        None => built(plugins, &out)?,
    };
    fs::write(out.join("bundled.rs"), text(&table)?)?;
    Ok(())
}

struct Entry {
    name: &'static str,
    component: PathBuf,
    manifest: PathBuf,
}

fn prebuilt(folder: &Path) -> Vec<Entry> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let file = |name: &str, ending: &str| folder.join(format!("{name}.{ending}"));
    PLUGINS
        .map(|name| Entry {
            name,
            component: file(name, "wasm"),
            manifest: file(name, "toml"),
        })
        .into()
}

fn built(plugins: &Path, out: &Path) -> Result<Vec<Entry>, Box<dyn Error>> {
    let workspace = plugins.parent().ok_or("`plugins` has no folder above it")?;
    for path in ["plugins/sdk", "wit/plugin", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    for name in PLUGINS {
        println!("cargo::rerun-if-changed={}", plugins.join(name).display());
    }
    let packages = PLUGINS.map(|name| format!("forebay-{name}"));
    let guests = build_guests(
        workspace,
        &out.join("guests"),
        &packages.each_ref().map(String::as_str),
    )
    .map_err(|error| with_hint(&error))?;
    let entry = |(name, component): (&'static str, PathBuf)| Entry {
        name,
        component,
        manifest: plugins.join(name).join("plugin.toml"),
    };
    Ok(PLUGINS
        .into_iter()
        .zip(guests.into_iter().map(|guest| guest.path))
        .map(entry)
        .collect())
}

fn with_hint(error: &forebay_plugin_build::Error) -> String {
    let hint = error
        .hint()
        .map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    let cause = error
        .source()
        .map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{error}{cause}{hint}\nhint: or set `{OVERRIDE}` to a folder with the built plugins")
}

fn text(table: &[Entry]) -> Result<String, std::fmt::Error> {
    let mut text = String::from("&[\n");
    for Entry {
        name,
        component,
        manifest,
    } in table
    {
        writeln!(
            text,
            "    BundledPlugin {{ name: {name:?}, component: include_bytes!({component:?}), manifest: include_str!({manifest:?}) }},"
        )?;
    }
    text.push_str("]\n");
    Ok(text)
}
