//! Whether an interface still fits a released form of it.

use std::path::Path;

use wit_parser::{PackageId, Resolve, UnresolvedPackageGroup};

use crate::Error;

/// Fails if a plugin that was built for the interface in folder `released` would not load in a host with that in
/// `current`. Every world of the released one is compared; versions are not looked at.
pub fn semver_check(released: &Path, current: &Path) -> Result<(), Error> {
    let (resolve, old, _) = both(released, current)?;
    let worlds: Vec<String> = resolve.packages[old].worlds.keys().cloned().collect();
    worlds
        .iter()
        .try_for_each(|world| check_world(released, current, world))
}

/// Reads both anew: the comparison consumes what it compares.
fn check_world(released: &Path, current: &Path, world: &str) -> Result<(), Error> {
    let (resolve, old, new) = both(released, current)?;
    let incompatible = |why: String| Error::Incompatible {
        world: world.to_owned(),
        why,
    };
    let old = resolve.packages[old].worlds[world];
    let Some(new) = resolve.packages[new].worlds.get(world).copied() else {
        return Err(incompatible("it is gone".to_owned()));
    };
    wit_component::semver_check(resolve, old, new)
        .map_err(|error| incompatible(format!("{error:#}")))
}

/// Both packages side by side, which two of one name and version could not be.
fn both(released: &Path, current: &Path) -> Result<(Resolve, PackageId, PackageId), Error> {
    let mut resolve = Resolve::default();
    let mut old = parse(released)?;
    old.main.name.version = None;
    let old = push(&mut resolve, released, old)?;
    let new = push(&mut resolve, current, parse(current)?)?;
    Ok((resolve, old, new))
}

fn parse(path: &Path) -> Result<UnresolvedPackageGroup, Error> {
    UnresolvedPackageGroup::parse_dir(path).map_err(|error| Error::Interface {
        path: path.to_owned(),
        why: format!("{error:#}"),
    })
}

fn push(
    resolve: &mut Resolve,
    path: &Path,
    group: UnresolvedPackageGroup,
) -> Result<PackageId, Error> {
    resolve.push_group(group).map_err(|error| Error::Interface {
        path: path.to_owned(),
        why: error.to_string(),
    })
}
