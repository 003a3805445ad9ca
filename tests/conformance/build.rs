//! Builds every guest under `tests/guests` as a component. A guest that no test uses fails the build: the tests of guest
//! `NAME` are in `tests/all/guests/NAME.rs`, with `_` for `-`.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use forebay_plugin_build::build_guests;

fn main() -> Result<(), Box<dyn Error>> {
    // Asked for at run time: what was compiled into a shared target folder may be another clone's.
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = here
        .ancestors()
        .nth(2)
        .ok_or("the folder is not two below the workspace")?;
    for path in [
        "tests/guests",
        "plugins/sdk",
        "wit/plugin",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    let names = names(&workspace.join("tests/guests"))?;
    for name in &names {
        let tests = here
            .join("tests/all/guests")
            .join(format!("{}.rs", name.replace('-', "_")));
        println!("cargo::rerun-if-changed={}", tests.display());
        if !tests.is_file() {
            return Err(format!(
                "no test uses the guest `{name}`: expected `{}`",
                tests.display()
            )
            .into());
        }
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("guests.rs"), constants(workspace, &out, &names)?)?;
    Ok(())
}

fn names(guests: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(guests)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn constants(workspace: &Path, out: &Path, names: &[String]) -> Result<String, Box<dyn Error>> {
    let packages: Vec<_> = names
        .iter()
        .map(|name| format!("forebay-guest-{name}"))
        .collect();
    let packages: Vec<_> = packages.iter().map(String::as_str).collect();
    let mut text = String::new();
    for (name, guest) in names
        .iter()
        .zip(build_guests(workspace, &out.join("guests"), &packages)?)
    {
        let manifest = workspace
            .join("tests/guests")
            .join(name)
            .join("plugin.toml");
        let constant = name.to_uppercase().replace('-', "_");
        writeln!(text, "/// The guest `{name}`.")?;
        writeln!(
            text,
            "pub const {constant}: Guest = Guest {{ component: include_bytes!({:?}), manifest: include_str!({:?}) }};",
            guest.path.to_string_lossy(),
            manifest.to_string_lossy()
        )?;
    }
    Ok(text)
}
