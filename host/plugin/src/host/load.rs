use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine, Store};

use super::names::{Interface, Names};
use super::store::{self, CallState};
use super::{PluginHost, chain, v0_1_0};
use crate::error::{Call, CallError, Fault};
use crate::limits::LimitExceeded;
use crate::manifest::Manifest;
use crate::traits::{NodeRunner, StateMachine};
use crate::types::Description;

/// The interface of engine plugins.
const PLUGINS: Interface = Interface {
    of: "engine plugin",
    word: "plugin",
    package: "forebay:plugin/",
    version: v0_1_0::VERSION,
    imports: &v0_1_0::IMPORTS,
};
/// What every binary of WebAssembly begins with, and what a core module and a component go on with.
const MAGIC: &[u8] = b"\0asm";
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];
/// Largest component, in bytes: those made of interpreted languages have some 20 MB.
const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// A component is no plugin that this host can use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are something else.
    #[error("it is not WebAssembly")]
    NotWasm,
    /// The bytes are a module, not a component.
    #[error("it is a core WebAssembly module, not a component")]
    CoreModule,
    /// The bytes are too many.
    #[error("it has {0} bytes, more than {COMPONENT_BYTES_MAX}")]
    TooLarge(usize),
    /// The bytes are cut or damaged.
    #[error("it is not a whole WebAssembly component: {0}")]
    Broken(String),
    /// It wants the operating system.
    #[error("it wants WASI, which plugins do not get: it imports {}", list(.0))]
    WantsWasi(Vec<String>),
    /// It wants something that no host has.
    #[error("it imports {}, which this host does not have", list(.0))]
    UnknownImports(Vec<String>),
    /// It exports nothing of the interface.
    #[error("it is no {wanted}: it exports {}", list(exports))]
    NotThis {
        /// What it should be: an engine plugin or an operator.
        wanted: &'static str,
        /// What it exports.
        exports: Vec<String>,
    },
    /// It does not say which version of the interface it speaks.
    #[error("its export `{0}` has no version")]
    NoVersion(String),
    /// It speaks another version of the interface.
    #[error("it speaks version {found} of the {interface} interface; this host speaks {known}")]
    UnknownVersion {
        /// Which interface: `plugin` or `operator`.
        interface: &'static str,
        /// The version of its exports.
        found: String,
        /// The version of the host.
        known: &'static str,
    },
    /// A part of the interface is absent.
    #[error("it does not export `{0}`")]
    MissingPart(&'static str),
    /// Its functions are not those of the version that it names.
    #[error("it does not speak the version of the {interface} interface that it names: {why}")]
    OtherInterface {
        /// Which interface: `plugin` or `operator`.
        interface: &'static str,
        /// The first difference.
        why: String,
    },
    /// It needs more than the limits give just to stand there.
    #[error("it cannot be instantiated")]
    Limit(#[source] LimitExceeded),
    /// The one call that every plugin has to answer failed.
    #[error("it does not say what it is")]
    Describe(#[source] CallError),
    /// It is not what its manifest says.
    #[error("its {field} is `{said}`, but its `plugin.toml` says `{manifest}`")]
    OtherThanManifest {
        /// `id`, `version` or `state-format`.
        field: &'static str,
        /// What the component says.
        said: String,
        /// What the manifest says.
        manifest: String,
    },
    /// A state machine without a state format, or the other way round.
    #[error("its `plugin.toml` {0}")]
    StateFormat(&'static str),
}

impl LoadError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::CoreModule => {
                Some("make it a component, for example with `wasm-tools component new`")
            }
            Self::WantsWasi(_) => Some(
                "build it for `wasm32-unknown-unknown`, without files, clocks and random numbers",
            ),
            Self::Broken(_) => Some("build or copy it again"),
            Self::UnknownVersion { .. } | Self::OtherInterface { .. } | Self::NoVersion(_) => {
                Some("build it against the interface of this host")
            }
            Self::OtherThanManifest { .. } => {
                Some("component and `plugin.toml` have to be of one build")
            }
            _ => None,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A plugin that has been tried once and is what its manifest says.
#[derive(Clone)]
pub struct Loaded {
    plugin: Arc<Plugin>,
    digest: String,
    exports: Vec<String>,
}

impl Loaded {
    /// What the plugin is.
    pub fn description(&self) -> &Description {
        &self.plugin.description
    }

    /// SHA-256 of the component, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Names of what the component exports, such as `forebay:plugin/node-runner@0.1.0`.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// Version of the plugin interface that it speaks.
    pub const fn interface_version(&self) -> &'static str {
        v0_1_0::VERSION
    }

    /// Its state machine, if it has one.
    pub fn state_machine(&self) -> Option<Box<dyn StateMachine>> {
        v0_1_0::Machine::of(&self.plugin).map(|machine| Box::new(machine) as _)
    }

    /// Its node runner, if it has one.
    pub fn node_runner(&self) -> Option<Box<dyn NodeRunner>> {
        v0_1_0::Runner::of(&self.plugin).map(|runner| Box::new(runner) as _)
    }
}

/// A compiled plugin, ready to be called.
pub(super) struct Plugin {
    host: PluginHost,
    id: Arc<str>,
    pub(super) bound: Arc<v0_1_0::Bound>,
    pub(super) description: Description,
}

impl Plugin {
    /// Makes one call with a fresh instance on the plugin thread.
    pub(super) fn call<T: Send + 'static>(
        &self,
        call: Call,
        work: impl FnOnce(&mut Store<CallState>, &v0_1_0::Bound) -> wasmtime::Result<T> + Send + 'static,
    ) -> Result<T, CallError> {
        let (engine, limits) = (self.host.engine.clone(), Arc::clone(&self.host.limits));
        let (id, bound) = (Arc::clone(&self.id), Arc::clone(&self.bound));
        let answer = self.host.worker.run(move || {
            let mut store = store::new_store(&engine, &limits, &id, call)
                .map_err(|error| Fault::Host(chain(&error)))?;
            let answer = work(&mut store, &bound);
            store.data().log.close();
            answer.map_err(|error| store::stop(&error, store.data()).into())
        });
        let answer =
            answer.unwrap_or_else(|| Err(Fault::Host("the plugin thread has ended".to_owned())));
        answer.map_err(|fault| CallError::new(&*self.id, call, fault))
    }
}

pub(super) fn load(
    host: &PluginHost,
    bytes: &[u8],
    manifest: &Manifest,
) -> Result<Loaded, LoadError> {
    let component = compile(&host.engine, bytes)?;
    let names = Names::of(&host.engine, &component);
    names.check(&PLUGINS)?;
    let parts = parts(&names)?;
    check_state_format(parts, manifest)?;
    let bound = v0_1_0::Bound::new(&host.engine, &component, parts)
        .map_err(|error| PLUGINS.is_other(&error))?;
    let description = manifest.description();
    let id = description.id.as_str().into();
    let plugin = Plugin {
        host: host.clone(),
        id,
        bound: Arc::new(bound),
        description,
    };
    check_description(&describe(&plugin)?, &plugin.description)?;
    Ok(Loaded {
        plugin: Arc::new(plugin),
        digest: digest(bytes),
        exports: names.exports,
    })
}

/// SHA-256, in hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Machine code of a component, or what is wrong with its bytes.
pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, LoadError> {
    check_bytes(bytes)?;
    Component::from_binary(engine, bytes).map_err(|error| LoadError::Broken(chain(&error)))
}

fn check_bytes(bytes: &[u8]) -> Result<(), LoadError> {
    let version = bytes.strip_prefix(MAGIC).ok_or(LoadError::NotWasm)?;
    if version.starts_with(CORE_MODULE) {
        return Err(LoadError::CoreModule);
    }
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge(bytes.len()));
    }
    Ok(())
}

/// The one trial: types are only checked when functions of an instance are looked up.
fn describe(plugin: &Plugin) -> Result<Description, LoadError> {
    let trial = plugin.call(Call::Describe, move |store, bound| {
        if let Err(error) = bound.try_out(store) {
            return Ok(Err(trial_error(&PLUGINS, &error, store.data())));
        }
        bound.describe(store).map(Ok)
    });
    trial.map_err(LoadError::Describe)?
}

/// Why no instance could be made.
pub(super) fn trial_error(
    interface: &Interface,
    error: &wasmtime::Error,
    state: &CallState,
) -> LoadError {
    match store::exceeded(error, state) {
        Some(exceeded) => LoadError::Limit(exceeded),
        None => interface.is_other(error),
    }
}

fn check_description(said: &Description, manifest: &Description) -> Result<(), LoadError> {
    let fields = [
        ("id", &said.id, &manifest.id),
        ("version", &said.version, &manifest.version),
        ("state-format", &said.state_format, &manifest.state_format),
    ];
    match fields
        .into_iter()
        .find(|(_, said, manifest)| said != manifest)
    {
        None => Ok(()),
        Some((field, said, manifest)) => Err(LoadError::OtherThanManifest {
            field,
            said: said.clone(),
            manifest: manifest.clone(),
        }),
    }
}

fn check_state_format(parts: Parts, manifest: &Manifest) -> Result<(), LoadError> {
    match (parts.machine, manifest.state_format.is_empty()) {
        (true, true) => Err(LoadError::StateFormat(
            "has no `state-format`, but the plugin has a state machine",
        )),
        (false, false) => Err(LoadError::StateFormat(
            "has a `state-format`, but the plugin has no state machine",
        )),
        _ => Ok(()),
    }
}

/// Which optional parts a plugin exports.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub(super) machine: bool,
    pub(super) runner: bool,
}

fn parts(names: &Names) -> Result<Parts, LoadError> {
    if !names.exports(v0_1_0::PLUGIN_INFO) {
        return Err(LoadError::MissingPart(v0_1_0::PLUGIN_INFO));
    }
    let parts = Parts {
        machine: names.exports(v0_1_0::STATE_MACHINE),
        runner: names.exports(v0_1_0::NODE_RUNNER),
    };
    if !parts.machine && !parts.runner {
        return Err(LoadError::MissingPart(v0_1_0::NODE_RUNNER));
    }
    Ok(parts)
}
