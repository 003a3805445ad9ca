//! `forebay plugin`

use std::path::Path;

use clap::{Args, Subcommand};
use forebay_plugin::{Loaded, Manifest, PluginHost, Requests};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::folders;
use crate::output::{Format, FormatArgument, print, print_json, written};
use crate::plugins::{Finder, Found};
use crate::text::{bytes, table};

/// Looks at engine plugins
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  forebay plugin inspect command")]
pub(crate) struct Plugin {
    #[command(subcommand)]
    verb: PluginVerb,
}

#[derive(Debug, Subcommand)]
enum PluginVerb {
    Inspect(Inspect),
}

/// Loads a plugin as a run would, and says what it is and what it may ask for
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay plugin inspect standard-machine\n  forebay plugin inspect ./target/mill.wasm"
)]
struct Inspect {
    /// Name of a plugin, or path of a component with its `plugin.toml` beside it
    plugin: String,
    #[command(flatten)]
    format: FormatArgument,
}

/// The answer of `--format json`.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename = "plugin")]
struct PluginLine {
    id: String,
    version: String,
    interface: &'static str,
    state_machine: bool,
    node_runner: bool,
    state_format: String,
    exports: Vec<String>,
    requests: RequestsLine,
    sha256: String,
    bytes: usize,
    origin: String,
}

#[derive(Debug, Serialize)]
struct RequestsLine {
    programs: Vec<String>,
    environment: Vec<String>,
    ports: u32,
    nodes: u32,
}

impl Plugin {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        let PluginVerb::Inspect(inspect) = self.verb;
        let line = inspect.line()?;
        written(match inspect.format.format {
            Format::Json => print_json(&line),
            Format::Text => print(&text(&line)),
        })
    }
}

impl Inspect {
    fn line(&self) -> Result<PluginLine, Failure> {
        let found = Finder::new(Path::new("."))
            .find(&self.plugin)
            .map_err(|error| {
                error
                    .hint()
                    .into_iter()
                    .fold(Failure::from_input(&error), Failure::with_hint)
            })?;
        let host = PluginHost::new(folders::compiled_plugins())
            .map_err(|error| Failure::from_engine(&error))?;
        let manifest =
            Manifest::parse(&found.source.manifest).map_err(|error| self.unusable(&error))?;
        let loaded = host
            .load(&found.source.component, &manifest)
            .map_err(|error| {
                error
                    .hint()
                    .into_iter()
                    .fold(self.unusable(&error), Failure::with_hint)
            })?;
        Ok(describe(&found, &manifest, &loaded))
    }

    fn unusable(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        Failure::input(format!("the plugin `{}` cannot be used", self.plugin))
            .caused_by(Some(error))
    }
}

fn describe(found: &Found, manifest: &Manifest, loaded: &Loaded) -> PluginLine {
    let description = loaded.description();
    PluginLine {
        id: description.id.clone(),
        version: description.version.clone(),
        interface: loaded.interface_version(),
        state_machine: loaded.state_machine().is_some(),
        node_runner: loaded.node_runner().is_some(),
        state_format: description.state_format.clone(),
        exports: loaded.exports().to_vec(),
        requests: RequestsLine::from(&manifest.requests),
        sha256: loaded.digest().to_owned(),
        bytes: found.source.component.len(),
        origin: found.origin.clone(),
    }
}

impl From<&Requests> for RequestsLine {
    fn from(requests: &Requests) -> Self {
        Self {
            programs: requests.programs.clone(),
            environment: requests
                .environment
                .iter()
                .map(ToString::to_string)
                .collect(),
            ports: requests.ports,
            nodes: requests.nodes,
        }
    }
}

fn text(line: &PluginLine) -> String {
    let parts = [
        (line.state_machine, "state machine"),
        (line.node_runner, "node runner"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(has, _)| *has)
        .map(|(_, part)| *part)
        .collect();
    let requests = &line.requests;
    let list = |items: &[String]| {
        if items.is_empty() {
            "none".to_owned()
        } else {
            items.join(", ")
        }
    };
    let rows = [
        ("plugin", format!("{} {}", line.id, line.version)),
        ("parts", parts.join(", ")),
        ("interface", line.interface.to_owned()),
        (
            "state format",
            if line.state_format.is_empty() {
                "none".into()
            } else {
                line.state_format.clone()
            },
        ),
        ("may ask for programs", list(&requests.programs)),
        ("may ask for variables", list(&requests.environment)),
        ("may ask for ports", format!("{} a node", requests.ports)),
        ("may add nodes", requests.nodes.to_string()),
        ("from", line.origin.clone()),
        (
            "component",
            format!("{}, SHA-256 {}", bytes(line.bytes as u64), line.sha256),
        ),
    ];
    table(&rows.map(|(name, text)| vec![name.to_owned(), text]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(plugin: &str) -> Result<PluginLine, Failure> {
        Inspect {
            plugin: plugin.into(),
            format: FormatArgument::default(),
        }
        .line()
    }

    #[test]
    fn the_standard_machine_says_what_it_is() {
        let line = inspect("standard-machine").unwrap();
        assert!(line.state_machine && line.node_runner);
        assert_eq!(line.id, "standard-machine");
        assert!(text(&line).contains("state machine, node runner"));
    }

    #[test]
    fn something_else_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mill.wasm");
        std::fs::write(&path, b"\0asm\x01\0\0\0").unwrap();
        std::fs::write(
            folder.path().join("plugin.toml"),
            "id = 'mill'\nversion = '1.0.0'",
        )
        .unwrap();
        let failure = inspect(path.to_str().unwrap()).unwrap_err().to_string();
        insta::assert_snapshot!(failure.replace(folder.path().to_str().unwrap(), "FOLDER"), @r"
        error: the plugin `FOLDER/mill.wasm` cannot be used
          cause: it is a core WebAssembly module, not a component
          hint: make it a component, for example with `wasm-tools component new`
        ");
    }
}
