//! What a component imports and exports by name: enough to say what it is before anything is linked.

use wasmtime::Engine;
use wasmtime::component::Component;

use super::chain;
use super::load::LoadError;

/// An interface that components can speak.
pub(super) struct Interface {
    /// What speaks it, for people.
    pub(super) of: &'static str,
    /// What it is called.
    pub(super) word: &'static str,
    /// What the names of its parts begin with.
    pub(super) package: &'static str,
    /// The one version that this host speaks.
    pub(super) version: &'static str,
    /// All that may be imported.
    pub(super) imports: &'static [&'static str],
}

impl Interface {
    /// The names are right, the functions are not.
    pub(super) fn is_other(&self, error: &wasmtime::Error) -> LoadError {
        LoadError::OtherInterface {
            interface: self.word,
            why: chain(error),
        }
    }
}

/// What a component imports and exports, by name.
pub(super) struct Names {
    imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

impl Names {
    pub(super) fn of(engine: &Engine, component: &Component) -> Self {
        let of = component.component_type();
        Self {
            imports: of
                .imports(engine)
                .map(|(name, _)| name.to_owned())
                .collect(),
            exports: of
                .exports(engine)
                .map(|(name, _)| name.to_owned())
                .collect(),
        }
    }

    pub(super) fn exports(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export == name)
    }

    /// Whether it speaks this interface, and imports nothing else. WASI comes first: what wants it is most often no plugin
    /// at all.
    pub(super) fn check(&self, interface: &Interface) -> Result<(), LoadError> {
        let wasi = self.imports_that(|name| name.starts_with("wasi:"));
        if !wasi.is_empty() {
            return Err(LoadError::WantsWasi(wasi));
        }
        self.check_version(interface)?;
        let unknown = self.imports_that(|name| !interface.imports.contains(&name));
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(LoadError::UnknownImports(unknown))
        }
    }

    /// The version stands in the names of the exports.
    fn check_version(&self, interface: &Interface) -> Result<(), LoadError> {
        let mut ours = self
            .exports
            .iter()
            .filter(|name| name.starts_with(interface.package))
            .peekable();
        if ours.peek().is_none() {
            return Err(LoadError::NotThis {
                wanted: interface.of,
                exports: self.exports.clone(),
            });
        }
        ours.try_for_each(|name| match name.split_once('@') {
            None => Err(LoadError::NoVersion(name.clone())),
            Some((_, found)) if found == interface.version => Ok(()),
            Some((_, found)) => Err(LoadError::UnknownVersion {
                interface: interface.word,
                found: found.to_owned(),
                known: interface.version,
            }),
        })
    }

    fn imports_that(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let imports = self.imports.iter().filter(|name| wanted(name));
        imports.cloned().collect()
    }
}
