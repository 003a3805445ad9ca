//! Builds the bundled plugins as components and writes the table that the library embeds.
//!
//! `FOREBAY_BUNDLED=DIR` takes `NAME.wasm` and `NAME.toml` from a folder (an absolute path) and builds nothing: for
//! machines without the WebAssembly target.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use forebay_plugin_build::build_guests;

/// Name of the plugin, which is that of its folder.
const PLUGINS: [&str; 4] = ["standard-machine", "tensorflow", "pytorch", "mxnet"];
const OVERRIDE: &str = "FOREBAY_BUNDLED";

fn main() -> ExitCode {
    let Err(error) = run() else {
        return ExitCode::SUCCESS;
    };
    println!(
        "cargo::error={}",
        error.to_string().replace('\n', "\ncargo::error=")
    );
    ExitCode::FAILURE
}

fn run() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Asked for at run time: what was compiled into a shared target folder may be another clone's.
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let plugins = here.parent().ok_or("`bundled` has no folder above it")?;
    let table = match env::var_os(OVERRIDE) {
        Some(folder) => prebuilt(Path::new(&folder)),
        None => built(plugins, &out),
    }?;
    fs::write(out.join("bundled.rs"), text(&table)?)?;
    Ok(())
}

struct Entry {
    name: &'static str,
    component: PathBuf,
    manifest: PathBuf,
}

fn prebuilt(folder: &Path) -> Result<Vec<Entry>, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let file = |name: &str, ending: &str| {
        let path = folder.join(format!("{name}.{ending}"));
        let found = fs::canonicalize(&path);
        found.map_err(|error| format!("`{OVERRIDE}`: cannot use `{}`: {error}", path.display()))
    };
    let entry = |name| {
        Ok(Entry {
            name,
            component: file(name, "wasm")?,
            manifest: file(name, "toml")?,
        })
    };
    PLUGINS.into_iter().map(entry).collect()
}

fn built(plugins: &Path, out: &Path) -> Result<Vec<Entry>, Box<dyn Error>> {
    let workspace = plugins.parent().ok_or("`plugins` has no folder above it")?;
    for path in ["plugins/sdk", "wit", "Cargo.toml", "Cargo.lock"] {
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

fn text(table: &[Entry]) -> Result<String, Box<dyn Error>> {
    let mut text = String::from("&[\n");
    for Entry {
        name,
        component,
        manifest,
    } in table
    {
        let (component, manifest) = (utf8(component)?, utf8(manifest)?);
        writeln!(
            text,
            "    BundledPlugin {{ name: {name:?}, component: include_bytes!({component:?}), manifest: include_str!({manifest:?}) }},"
        )?;
    }
    text.push_str("]\n");
    Ok(text)
}

fn utf8(path: &Path) -> Result<&str, String> {
    path.to_str()
        .ok_or_else(|| format!("the path `{}` is not UTF-8", path.display()))
}
