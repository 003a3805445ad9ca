//! Finds plugins by the names that a job or a command line gives.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use forebay_cluster::submission::PluginSource;
use forebay_job::STANDARD_RUNNER;

/// Folders that are searched before the bundled plugins, separated as in `PATH`.
pub(crate) const FOLDERS_VARIABLE: &str = "FOREBAY_PLUGINS";
/// Largest component that is read. The host's own limit is lower: it has the better message.
const COMPONENT_BYTES_MAX: u64 = 256 << 20;
/// Largest `plugin.toml`.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Where plugins are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    /// Paths are relative to this folder.
    base: PathBuf,
    folders: Vec<PathBuf>,
}

/// A plugin that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its component and manifest.
    pub(crate) source: PluginSource,
    /// Where it comes from, for people.
    pub(crate) origin: String,
}

/// A plugin cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    /// No place has it.
    #[error("there is no plugin `{name}`")]
    Missing {
        /// As it was asked for.
        name: String,
        /// Every place, in order.
        tried: Vec<String>,
    },
    /// A component without a manifest.
    #[error("the plugin `{component}` has no manifest")]
    NoManifest {
        /// Its path.
        component: PathBuf,
        /// Every place, in order.
        tried: Vec<PathBuf>,
    },
    /// A file of it cannot be read.
    #[error("cannot read `{path}` of a plugin")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl PluginError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { tried, .. } => Some(format!("looked for {}", tried.join(", "))),
            Self::NoManifest { tried, .. } => {
                let tried = tried
                    .iter()
                    .map(|path| format!("`{}`", path.display()))
                    .collect::<Vec<_>>();
                Some(format!(
                    "put its `plugin.toml` beside it: looked for {}",
                    tried.join(", ")
                ))
            }
            Self::Read { .. } => None,
        }
    }
}

impl Finder {
    /// Paths relative to `base`, folders as `FOREBAY_PLUGINS` says.
    pub(crate) fn new(base: &Path) -> Self {
        let folders = std::env::var_os(FOLDERS_VARIABLE).unwrap_or_default();
        let folders =
            std::env::split_paths(&folders).filter(|folder| !folder.as_os_str().is_empty());
        Self {
            base: base.into(),
            folders: folders.collect(),
        }
    }

    /// The plugin of this name: a path, a file in one of the folders, or a bundled one.
    pub(crate) fn find(&self, name: &str) -> Result<Found, PluginError> {
        if name.contains('/') || has_wasm_extension(name) {
            return self.at_path(name);
        }
        let in_folders = self
            .folders
            .iter()
            .find_map(|folder| in_folder(folder, name));
        match in_folders {
            Some((component, manifest)) => read(name, &component, &manifest),
            None => bundled(name).ok_or_else(|| self.missing(name)),
        }
    }

    fn at_path(&self, name: &str) -> Result<Found, PluginError> {
        let component = self.base.join(name.trim_start_matches("./"));
        if !component.exists() {
            let tried = vec![format!("`{}`", component.display())];
            return Err(PluginError::Missing {
                name: name.into(),
                tried,
            });
        }
        let tried = vec![
            component.with_extension("toml"),
            component.with_file_name("plugin.toml"),
        ];
        match tried.iter().find(|path| path.is_file()) {
            Some(manifest) => read(name, &component, manifest),
            None => Err(PluginError::NoManifest { component, tried }),
        }
    }

    fn missing(&self, name: &str) -> PluginError {
        let places = self
            .folders
            .iter()
            .flat_map(|folder| candidates(folder, name));
        let mut tried: Vec<_> = places
            .map(|(component, _)| format!("`{}`", component.display()))
            .collect();
        let mut last = format!("the bundled plugins ({})", bundled_names().join(", "));
        if self.folders.is_empty() {
            let _ = write!(last, "; `{FOLDERS_VARIABLE}` names no folder");
        }
        tried.push(last);
        PluginError::Missing {
            name: name.into(),
            tried,
        }
    }
}

fn has_wasm_extension(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "wasm")
}

/// Component and manifest, in each form that a folder may hold them.
fn candidates(folder: &Path, name: &str) -> [(PathBuf, PathBuf); 2] {
    let file = format!("{name}.wasm");
    let own_folder = folder.join(name);
    [
        (folder.join(&file), folder.join(format!("{name}.toml"))),
        (own_folder.join(&file), own_folder.join("plugin.toml")),
    ]
}

fn in_folder(folder: &Path, name: &str) -> Option<(PathBuf, PathBuf)> {
    candidates(folder, name)
        .into_iter()
        .find(|(component, manifest)| component.is_file() && manifest.is_file())
}

fn read(name: &str, component: &Path, manifest: &Path) -> Result<Found, PluginError> {
    let text = read_file(manifest, MANIFEST_BYTES_MAX)?;
    let manifest = String::from_utf8(text).map_err(|error| PluginError::Read {
        path: manifest.into(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })?;
    let component_bytes = read_file(component, COMPONENT_BYTES_MAX)?;
    Ok(Found {
        source: PluginSource {
            name: name.into(),
            component: component_bytes,
            manifest,
        },
        origin: component.display().to_string(),
    })
}

fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, PluginError> {
    let failed = |source| PluginError::Read {
        path: path.into(),
        source,
    };
    if fs::metadata(path).map_err(failed)?.len() > bytes_max {
        return Err(failed(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {bytes_max} bytes"),
        )));
    }
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max).read_to_end(&mut content))
        .map_err(failed)?;
    Ok(content)
}

fn bundled(name: &str) -> Option<Found> {
    let plugin = forebay_bundled::find(name)?;
    let source = PluginSource {
        name: name.into(),
        component: plugin.component.to_vec(),
        manifest: plugin.manifest.into(),
    };
    Some(Found {
        source,
        origin: "bundled".into(),
    })
}

fn bundled_names() -> Vec<&'static str> {
    std::iter::once(STANDARD_RUNNER)
        .chain(forebay_bundled::all().iter().map(|plugin| plugin.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use forebay_cluster::submission::STANDARD_MACHINE;

    use super::*;

    fn finder(base: &Path, folders: &[&str]) -> Finder {
        Finder {
            base: base.into(),
            folders: folders.iter().map(|folder| base.join(folder)).collect(),
        }
    }

    fn put(base: &Path, files: &[&str]) {
        for file in files {
            let path = base.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
    }

    fn origin(finder: &Finder, name: &str) -> String {
        finder.find(name).unwrap().origin
    }

    #[test]
    fn the_standard_machine_and_its_runner_are_bundled() {
        let finder = finder(Path::new("/"), &[]);
        let (machine, runner) = (
            finder.find(STANDARD_MACHINE).unwrap(),
            finder.find(STANDARD_RUNNER).unwrap(),
        );
        assert_eq!(machine.source.component, runner.source.component);
        assert_eq!(
            (machine.origin.as_str(), runner.source.name.as_str()),
            ("bundled", "command")
        );
    }

    #[test]
    fn a_path_is_relative_to_the_job_file_with_its_manifest_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        put(
            folder.path(),
            &[
                "mill.wasm",
                "mill.toml",
                "deep/wheel.wasm",
                "deep/plugin.toml",
            ],
        );
        let finder = finder(folder.path(), &[]);
        assert_eq!(
            finder.find("./mill.wasm").unwrap().source.manifest,
            "mill.toml"
        );
        assert_eq!(
            finder.find("mill.wasm").unwrap().source.component,
            b"mill.wasm"
        );
        assert_eq!(
            finder.find("deep/wheel.wasm").unwrap().source.manifest,
            "deep/plugin.toml"
        );
    }

    #[test]
    fn folders_come_before_bundled_plugins_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        put(
            folder.path(),
            &[
                "one/mill/mill.wasm",
                "one/mill/plugin.toml",
                "two/mill.wasm",
                "two/mill.toml",
            ],
        );
        put(
            folder.path(),
            &["two/command.wasm", "two/command.toml", "one/command.wasm"],
        );
        let finder = finder(folder.path(), &["one", "two"]);
        assert!(origin(&finder, "mill").ends_with("one/mill/mill.wasm"));
        assert!(
            origin(&finder, "command").ends_with("two/command.wasm"),
            "one without a manifest is passed over"
        );
    }

    #[test]
    fn a_missing_plugin_names_every_place() {
        let finder = finder(Path::new("/base"), &["one"]);
        let error = finder.find("mill").unwrap_err();
        let hint = error.hint().unwrap();
        let (places, bundled) = hint.split_once(" (").unwrap();
        assert!(bundled.contains("standard-machine"), "{bundled}");
        insta::assert_snapshot!(format!("{error}\n{places}"), @r"
        there is no plugin `mill`
        looked for `/base/one/mill.wasm`, `/base/one/mill/mill.wasm`, the bundled plugins
        ");
        let error = finder.find("./mill.wasm").unwrap_err();
        insta::assert_snapshot!(format!("{error}\n{}", error.hint().unwrap()), @r"
        there is no plugin `./mill.wasm`
        looked for `/base/mill.wasm`
        ");
    }

    #[test]
    fn a_component_without_a_manifest_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &["mill.wasm"]);
        let error = finder(folder.path(), &[]).find("./mill.wasm").unwrap_err();
        let text = format!("{error}\n{}", error.hint().unwrap())
            .replace(&folder.path().display().to_string(), "BASE");
        insta::assert_snapshot!(text, @r"
        the plugin `BASE/mill.wasm` has no manifest
        put its `plugin.toml` beside it: looked for `BASE/mill.toml`, `BASE/plugin.toml`
        ");
    }
}
