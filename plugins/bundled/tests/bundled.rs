//! What is embedded is what the host expects: components that ask for nothing but `log`, with manifests.

use forebay_bundled::{all, find};

/// Besides `log`, only interfaces of records, which need nothing at run time.
const IMPORTS: [&str; 2] = ["forebay:plugin/types@0.1.0", "forebay:plugin/log@0.1.0"];

#[test]
fn the_components_import_nothing_but_log() {
    for plugin in all() {
        let imports = forebay_plugin_build::imports(plugin.name, plugin.component).unwrap();
        let strangers: Vec<_> = imports
            .iter()
            .filter(|import| !IMPORTS.contains(&import.as_str()))
            .collect();
        assert!(
            strangers.is_empty(),
            "`{}` imports {strangers:?}",
            plugin.name
        );
    }
}

#[test]
fn each_exports_its_parts() {
    let exports = |name: &str| {
        let plugin = find(name).unwrap();
        forebay_plugin_build::exports(plugin.name, plugin.component).unwrap()
    };
    let (info, machine, runner) = ("plugin-info", "state-machine", "node-runner");
    let names = |parts: &[&str]| {
        parts
            .iter()
            .map(|part| format!("forebay:plugin/{part}@0.1.0"))
            .collect::<Vec<_>>()
    };
    assert_eq!(exports("standard-machine"), names(&[runner, info, machine]));
    for name in ["tensorflow", "pytorch", "mxnet"] {
        assert_eq!(exports(name), names(&[runner, info]));
    }
}

#[test]
fn each_is_found_by_the_id_of_its_manifest() {
    for plugin in all() {
        assert!(
            plugin
                .manifest
                .starts_with(&format!("id = \"{}\"\n", plugin.name)),
            "{}",
            plugin.manifest
        );
        assert_eq!(find(plugin.name).map(|found| found.name), Some(plugin.name));
    }
    assert_eq!(
        find("command").map(|plugin| plugin.name),
        Some("standard-machine")
    );
    assert!(find("jax").is_none());
}
