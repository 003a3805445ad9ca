//! The plugins that the host carries.

use forebay_plugin::JobSpec;
use forebay_test_conformance::Guest;

use crate::support::{check_conformance, job};

#[track_caller]
fn check(name: &str, job: JobSpec) {
    let plugin = forebay_bundled::find(name).unwrap();
    check_conformance(
        Guest {
            component: plugin.component,
            manifest: plugin.manifest,
        },
        job,
    );
}

#[test]
fn standard_machine() {
    check("standard-machine", job(&[("grinder", 3), ("sifter", 1)]));
}

#[test]
fn tensorflow() {
    check(
        "tensorflow",
        job(&[("worker", 2), ("ps", 1), ("tensorboard", 1)]),
    );
}

#[test]
fn pytorch() {
    check("pytorch", job(&[("worker", 2)]));
}

#[test]
fn mxnet() {
    check("mxnet", job(&[("worker", 2), ("server", 1)]));
}

#[test]
fn every_bundled_plugin_is_checked_here() {
    let mut names: Vec<_> = forebay_bundled::all()
        .iter()
        .map(|plugin| plugin.name)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["mxnet", "pytorch", "standard-machine", "tensorflow"]
    );
}
