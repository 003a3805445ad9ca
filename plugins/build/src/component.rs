//! From core modules to components.

use std::fs;
use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Resolve, WorldId, WorldKey};

use crate::{Error, Guest, TARGET};

pub(crate) fn make(target: &Path, package: &str) -> Result<Guest, Error> {
    let library = format!("{}.wasm", package.replace('-', "_"));
    let built = target.join(TARGET).join("guest").join(library);
    let module = fs::read(&built).map_err(|source| Error::File {
        path: built,
        source,
    })?;
    let component = to_component(package, &module)?;
    let path = target.join("components").join(format!("{package}.wasm"));
    write(&path, &component)?;
    Ok(Guest {
        package: package.to_owned(),
        path,
    })
}

/// Makes a component of a core module that carries its interface (`wit-bindgen` puts it there). `name` is for messages.
pub fn to_component(name: &str, module: &[u8]) -> Result<Vec<u8>, Error> {
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| Error::Component {
        name: name.to_owned(),
        why: format!("{error:#}"),
    })
}

/// Names of the interfaces that a component imports, those that hold nothing but records included; sorted.
pub fn imports(name: &str, component: &[u8]) -> Result<Vec<String>, Error> {
    let (resolve, world) = decode(name, component)?;
    Ok(names(&resolve, resolve.worlds[world].imports.keys()))
}

/// Names of the interfaces that a component exports; sorted.
pub fn exports(name: &str, component: &[u8]) -> Result<Vec<String>, Error> {
    let (resolve, world) = decode(name, component)?;
    Ok(names(&resolve, resolve.worlds[world].exports.keys()))
}

fn names<'a>(resolve: &Resolve, keys: impl Iterator<Item = &'a WorldKey>) -> Vec<String> {
    let mut names: Vec<_> = keys.map(|key| resolve.name_world_key(key)).collect();
    names.sort();
    names
}

fn decode(name: &str, component: &[u8]) -> Result<(Resolve, WorldId), Error> {
    let failed = |why: String| Error::Component {
        name: name.to_owned(),
        why,
    };
    match wit_component::decode(component) {
        Ok(DecodedWasm::Component(resolve, world)) => Ok((resolve, world)),
        Ok(DecodedWasm::WitPackage(..)) => {
            Err(failed("it is an interface and not a component".to_owned()))
        }
        Err(error) => Err(failed(format!("{error:#}"))),
    }
}

/// An unchanged file keeps its time, so that what embeds it is not built again.
fn write(path: &PathBuf, content: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let failed = |source| Error::File {
        path: path.clone(),
        source,
    };
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .map_err(failed)?;
    fs::write(path, content).map_err(failed)
}
