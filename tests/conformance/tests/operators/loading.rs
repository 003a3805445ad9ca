//! What is refused when it is loaded.

use forebay_plugin::{Limits, OperatorHost};
use forebay_test_conformance::{FAULTS, FEATURES, OPERATOR_FAULTS, chain};

use crate::component::component;

fn load_under(limits: Limits, bytes: &[u8]) -> String {
    let host = OperatorHost::with_limits(None, limits).unwrap();
    let Err(error) = host.load(bytes) else {
        return "loaded".to_owned();
    };
    let hint = error
        .hint()
        .map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    format!("{}{hint}", chain(&error))
}

fn load(bytes: &[u8]) -> String {
    load_under(Limits::default(), bytes)
}

#[test]
fn operators_load() {
    assert_eq!(load(OPERATOR_FAULTS), "loaded");
    assert_eq!(load(FEATURES), "loaded");
    let host = OperatorHost::new(None).unwrap();
    let one = host.load(FEATURES).unwrap();
    assert_eq!(one.interface_version(), "0.1.0");
    assert_eq!(one.digest().len(), 64);
}

#[test]
fn what_is_no_operator() {
    insta::assert_snapshot!(load(b"text"), @"it is not WebAssembly");
    insta::assert_snapshot!(load(FAULTS.component), @"it is no operator: it exports `forebay:plugin/plugin-info@0.1.0`, `forebay:plugin/node-runner@0.1.0`, `forebay:plugin/state-machine@0.1.0`");
    let cut = load(&OPERATOR_FAULTS[..OPERATOR_FAULTS.len() / 2]);
    assert!(
        cut.starts_with("it is not a whole WebAssembly component"),
        "{cut}"
    );
    let half = component(
        "package forebay:operator@0.1.0; interface info { x: func(); } world subject { export info; }",
    );
    insta::assert_snapshot!(load(&half), @"it does not export `forebay:operator/operator@0.1.0`");
}

#[test]
fn what_wants_more_than_a_log() {
    let of = |import: &str| {
        component(&format!(
            "package forebay:operator@0.1.0; interface operator {{ end: func(); }} interface clock {{ now: func() -> u64; }}
             world subject {{ import {import}; export operator; }}
             package wasi:clocks@0.2.0 {{ interface wall-clock {{ now: func() -> u64; }} }}"
        ))
    };
    insta::assert_snapshot!(load(&of("clock")), @"it imports `forebay:operator/clock@0.1.0`, which this host does not have");
    insta::assert_snapshot!(load(&of("wasi:clocks/wall-clock@0.2.0")), @r"
    it wants WASI, which plugins do not get: it imports `wasi:clocks/wall-clock@0.2.0`
    hint: build it for `wasm32-unknown-unknown`, without files, clocks and random numbers
    ");
}

#[test]
fn another_version_or_other_functions() {
    let of = |version: &str| {
        component(&format!(
            "package forebay:operator@{version}; interface operator {{ end: func(); }} world subject {{ export operator; }}"
        ))
    };
    insta::assert_snapshot!(load(&of("0.2.0")), @r"
    it speaks version 0.2.0 of the operator interface; this host speaks 0.1.0
    hint: build it against the interface of this host
    ");
    let other = load(&of("0.1.0"));
    assert!(
        other
            .starts_with("it does not speak the version of the operator interface that it names: "),
        "{other}"
    );
}

#[test]
fn what_needs_too_much_to_stand_there() {
    let limits = Limits {
        memory_bytes: 64 << 10,
        ..Limits::default()
    };
    let said = load_under(limits, OPERATOR_FAULTS);
    assert!(
        said.starts_with("it cannot be instantiated: it exceeds the limit `memory-bytes` of 65536"),
        "{said}"
    );
}
