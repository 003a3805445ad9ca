//! What is refused when it is loaded: components made of nothing but an interface, whose functions all trap.

use forebay_plugin::{Manifest, PluginHost};
use forebay_test_conformance::{FAULTS, RING, chain};

use crate::component::component;

/// What becomes of these bytes.
fn load(bytes: &[u8]) -> String {
    load_as(bytes, FAULTS.manifest)
}

fn load_as(bytes: &[u8], manifest: &str) -> String {
    let host = PluginHost::new(None).unwrap();
    let manifest = Manifest::parse(manifest).unwrap();
    let Err(error) = host.load(bytes, &manifest) else {
        return "loaded".to_owned();
    };
    let hint = error
        .hint()
        .map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    format!("{}{hint}", chain(&error))
}

const INFO: &str = "interface plugin-info { record description { id: string, version: string, state-format: string } describe: func() -> description; }";

#[test]
fn what_is_no_component() {
    insta::assert_snapshot!(load(b""), @"it is not WebAssembly");
    insta::assert_snapshot!(load(b"(component)"), @"it is not WebAssembly");
    insta::assert_snapshot!(load(b"\0asm\x01\0\0\0"), @r"
    it is a core WebAssembly module, not a component
    hint: make it a component, for example with `wasm-tools component new`
    ");
}

#[test]
fn a_cut_file() {
    for end in [
        8,
        9,
        1_000,
        FAULTS.component.len() / 2,
        FAULTS.component.len() - 1,
    ] {
        let text = load(&FAULTS.component[..end]);
        let expected = if end == 8 {
            "it is no engine plugin"
        } else {
            "it is not a whole WebAssembly component"
        };
        assert!(text.starts_with(expected), "{end}: {text}");
    }
}

#[test]
fn one_that_wants_wasi() {
    let subject = component(
        "package a:b; world subject { import wasi:clocks/wall-clock@0.2.0; import wasi:random/random@0.2.0; export x: func(); }
         package wasi:clocks@0.2.0 { interface wall-clock { now: func() -> u64; } }
         package wasi:random@0.2.0 { interface random { get: func() -> u64; } }",
    );
    insta::assert_snapshot!(load(&subject), @r"
    it wants WASI, which plugins do not get: it imports `wasi:clocks/wall-clock@0.2.0`, `wasi:random/random@0.2.0`
    hint: build it for `wasm32-unknown-unknown`, without files, clocks and random numbers
    ");
}

#[test]
fn one_that_wants_something_else() {
    let subject = component(&format!(
        "package forebay:plugin@0.1.0; interface weather {{ rain: func() -> bool; }} interface node-runner {{ plan: func(); }} {INFO}
         world subject {{ import weather; export plugin-info; export node-runner; }}"
    ));
    insta::assert_snapshot!(load(&subject), @"it imports `forebay:plugin/weather@0.1.0`, which this host does not have");
}

#[test]
fn one_that_is_no_plugin() {
    insta::assert_snapshot!(load(&component("package a:b; world subject { export x: func(); }")), @"it is no engine plugin: it exports `x`");
    insta::assert_snapshot!(load(&component("package a:b; world subject { }")), @"it is no engine plugin: it exports nothing");
}

#[test]
fn one_without_or_with_another_version() {
    let of = |package: &str| {
        component(&format!(
            "package {package}; {INFO} world subject {{ export plugin-info; }}"
        ))
    };
    insta::assert_snapshot!(load(&of("forebay:plugin")), @r"
    its export `forebay:plugin/plugin-info` has no version
    hint: build it against the interface of this host
    ");
    insta::assert_snapshot!(load(&of("forebay:plugin@0.9.0")), @r"
    it speaks version 0.9.0 of the plugin interface; this host speaks 0.1.0
    hint: build it against the interface of this host
    ");
    insta::assert_snapshot!(load(&of("forebay:plugin@0.1.1")), @r"
    it speaks version 0.1.1 of the plugin interface; this host speaks 0.1.0
    hint: build it against the interface of this host
    ");
}

#[test]
fn one_with_a_part_missing() {
    let of = |exports: &str| {
        component(&format!(
            "package forebay:plugin@0.1.0; {INFO} interface node-runner {{ plan: func(); }} world subject {{ {exports} }}"
        ))
    };
    insta::assert_snapshot!(load(&of("export node-runner;")), @"it does not export `forebay:plugin/plugin-info@0.1.0`");
    insta::assert_snapshot!(load(&of("export plugin-info;")), @"it does not export `forebay:plugin/node-runner@0.1.0`");
}

/// It says that it speaks 0.1.0, but one record has a field more: linking alone would not notice.
#[test]
fn one_that_lies_about_its_version() {
    let subject = component(
        "package forebay:plugin@0.1.0;
         interface plugin-info { record description { id: string, version: string, state-format: string, author: string } describe: func() -> description; }
         interface node-runner { prepare: func(); plan: func(); interpret-exit: func(); }
         world subject { export plugin-info; export node-runner; }",
    );
    insta::assert_snapshot!(load_as(&subject, RING.manifest), @r"
    it does not speak the version of the plugin interface that it names: failed to convert function to given type: type mismatch with results: expected record of 3 fields, found 4 fields
    hint: build it against the interface of this host
    ");
}

/// The right functions, but the very first traps.
#[test]
fn one_that_cannot_say_what_it_is() {
    let files = ["types", "log", "node-runner", "state-machine", "worlds"];
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../../wit/plugin";
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}.wit")).unwrap();
    let texts = files
        .map(read)
        .join("\n")
        .replace("package forebay:plugin@0.1.0;", "");
    let text = format!("package forebay:plugin@0.1.0;\n{texts}")
        .replace("world node-runner-plugin", "world subject");
    insta::assert_snapshot!(load_as(&component(&text), RING.manifest), @"it does not say what it is: `describe` of plugin `ring` failed: it stopped in the middle: wasm trap: wasm `unreachable` instruction executed");
}

#[test]
fn one_that_is_not_what_its_manifest_says() {
    let with = |from: &str, to: &str| load_as(FAULTS.component, &FAULTS.manifest.replace(from, to));
    insta::assert_snapshot!(with("id = \"faults\"", "id = \"virtues\""), @r"
    its id is `faults`, but its `plugin.toml` says `virtues`
    hint: component and `plugin.toml` have to be of one build
    ");
    insta::assert_snapshot!(with("0.1.0", "0.2.0"), @r"
    its version is `0.1.0`, but its `plugin.toml` says `0.2.0`
    hint: component and `plugin.toml` have to be of one build
    ");
    insta::assert_snapshot!(with("faults-1", "faults-2"), @r"
    its state-format is `faults-1`, but its `plugin.toml` says `faults-2`
    hint: component and `plugin.toml` have to be of one build
    ");
    insta::assert_snapshot!(with("state-format", "# state-format"), @"its `plugin.toml` has no `state-format`, but the plugin has a state machine");
    let with_state = format!("state-format = 'ring-1'\n{}", RING.manifest);
    insta::assert_snapshot!(load_as(RING.component, &with_state), @"its `plugin.toml` has a `state-format`, but the plugin has no state machine");
}
