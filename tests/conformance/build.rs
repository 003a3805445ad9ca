//! Builds every guest under `tests/guests` as a component, and the operator of the example `flights-features`. A guest that no
//! test uses fails the build: the tests of plugin `NAME` are in `tests/all/guests/NAME.rs`, those of an operator (it has no
//! `plugin.toml`) in `tests/operators/NAME.rs`, with `_` for `-`.

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
        "wit",
        "examples/flights-features/operator",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    let mut guests = guests(&workspace.join("tests/guests"))?;
    guests.push(Guest {
        name: "features".to_owned(),
        package: "flights-features-operator".to_owned(),
        manifest: None,
    });
    for guest in &guests {
        guest.check_tests(&here)?;
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("guests.rs"), constants(workspace, &out, &guests)?)?;
    Ok(())
}

struct Guest {
    name: String,
    package: String,
    /// Engine plugins have one.
    manifest: Option<PathBuf>,
}

impl Guest {
    fn check_tests(&self, here: &Path) -> Result<(), String> {
        let folder = match self.manifest {
            Some(_) => "tests/all/guests",
            None => "tests/operators",
        };
        let file = format!("{}.rs", self.name.replace('-', "_"));
        let tests = here.join(folder).join(file);
        println!("cargo::rerun-if-changed={}", tests.display());
        if tests.is_file() {
            return Ok(());
        }
        let (name, tests) = (&self.name, tests.display());
        Err(format!(
            "no test uses the guest `{name}`: expected `{tests}`"
        ))
    }
}

fn guests(folder: &Path) -> Result<Vec<Guest>, Box<dyn Error>> {
    let mut guests = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let manifest = entry.path().join("plugin.toml");
            guests.push(Guest {
                package: format!("forebay-guest-{name}"),
                name,
                manifest: manifest.is_file().then_some(manifest),
            });
        }
    }
    guests.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(guests)
}

fn constants(workspace: &Path, out: &Path, guests: &[Guest]) -> Result<String, Box<dyn Error>> {
    let packages: Vec<_> = guests.iter().map(|guest| guest.package.as_str()).collect();
    let built = build_guests(workspace, &out.join("guests"), &packages)?;
    let mut text = String::new();
    for (guest, built) in guests.iter().zip(built) {
        let constant = guest.name.to_uppercase().replace('-', "_");
        let component = built.path.to_string_lossy().into_owned();
        writeln!(text, "/// The guest `{}`.", guest.name)?;
        match &guest.manifest {
            Some(manifest) => writeln!(
                text,
                "pub const {constant}: Guest = Guest {{ component: include_bytes!({component:?}), manifest: include_str!({:?}) }};",
                manifest.to_string_lossy()
            ),
            None => writeln!(
                text,
                "pub const {constant}: &[u8] = include_bytes!({component:?});"
            ),
        }?;
    }
    Ok(text)
}
