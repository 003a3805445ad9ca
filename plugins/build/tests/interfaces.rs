//! The check that keeps released interfaces alive, on a pair that fits and one that does not, and on the real ones.

use std::fs;
use std::path::PathBuf;

use forebay_plugin_build::{Error, semver_check};

fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .expect("cargo runs the tests")
        .into()
}

fn fixture(name: &str) -> PathBuf {
    package().join("tests/interfaces").join(name)
}

#[test]
fn a_new_import_fits() {
    semver_check(&fixture("released"), &fixture("compatible")).unwrap();
}

#[test]
fn a_new_field_does_not_fit() {
    let error = semver_check(&fixture("released"), &fixture("incompatible")).unwrap_err();
    assert!(
        matches!(&error, Error::Incompatible { world, .. } if world == "mill"),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[test]
fn a_folder_without_an_interface_is_named() {
    let error = semver_check(&fixture("nowhere"), &fixture("released")).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

/// `wit/released/VERSION` holds one folder for each package, as `wit` does.
#[test]
fn the_interfaces_fit_all_their_released_forms() {
    let wit = package().join("../../wit");
    for version in fs::read_dir(wit.join("released")).unwrap() {
        for package in fs::read_dir(version.unwrap().path()).unwrap() {
            let released = package.unwrap().path();
            let current = wit.join(released.file_name().unwrap());
            semver_check(&released, &current).unwrap();
        }
    }
}
