//! Which crate may depend on which. Dependencies of tests are free; everything else points downward only.

use anyhow::{Context, Result};
use serde_json::Value;

/// The crates of this repository that a crate may use, in its code or in its build script. `ARCHITECTURE.md` draws the same picture.
const OWN: [(&str, &[&str]); 18] = [
    ("forebay-bundled", &["forebay-plugin-build"]),
    ("forebay-channel", &[]),
    (
        "forebay-cli",
        &[
            "forebay-bundled",
            "forebay-cluster",
            "forebay-connectors",
            "forebay-dataflow",
            "forebay-job",
            "forebay-plugin",
            "forebay-protocol",
            "forebay-runtime",
            "forebay-sql",
        ],
    ),
    (
        "forebay-cluster",
        &["forebay-job", "forebay-plugin", "forebay-protocol"],
    ),
    ("forebay-connectors", &["forebay-dataflow"]),
    ("forebay-dataflow", &[]),
    ("forebay-job", &[]),
    ("forebay-mxnet", &["forebay-plugin-sdk"]),
    ("forebay-plugin", &[]),
    ("forebay-plugin-build", &[]),
    ("forebay-plugin-sdk", &[]),
    ("forebay-protocol", &[]),
    ("forebay-python", &["forebay-channel", "forebay-protocol"]),
    ("forebay-pytorch", &["forebay-plugin-sdk"]),
    (
        "forebay-runtime",
        &[
            "forebay-channel",
            "forebay-connectors",
            "forebay-dataflow",
            "forebay-job",
            "forebay-plugin",
            "forebay-sql",
        ],
    ),
    ("forebay-sql", &["forebay-dataflow"]),
    ("forebay-standard-machine", &["forebay-plugin-sdk"]),
    ("forebay-tensorflow", &["forebay-plugin-sdk"]),
];

/// Folders whose crates may use any crate: nothing depends on them.
const FREE: [&str; 2] = ["tests/", "examples/"];

/// Well-known crates that only the crates named may use, and why.
const FOREIGN: [(&str, &[&str], &str); 7] = [
    (
        "datafusion",
        &["forebay-sql"],
        "one crate knows SQL; a dataflow has operators",
    ),
    (
        "wasmtime",
        &["forebay-plugin"],
        "only the plugin host knows WebAssembly",
    ),
    (
        "wit-component",
        &["forebay-plugin-build"],
        "components are made in one place",
    ),
    (
        "wit-bindgen",
        &["forebay-plugin-sdk"],
        "a plugin is written against the SDK",
    ),
    ("tonic", &["forebay-cluster"], "gRPC is the cluster's link"),
    (
        "tokio",
        &[
            "forebay-channel",
            "forebay-cli",
            "forebay-cluster",
            "forebay-connectors",
            "forebay-runtime",
            "forebay-sql",
        ],
        "everything else is synchronous",
    ),
    ("pyo3", &["forebay-python"], "one crate speaks to Python"),
];

struct Package<'a> {
    name: &'a str,
    folder: String,
    /// Without those of tests.
    uses: Vec<&'a str>,
}

/// Checks what `cargo metadata --no-deps` says of the workspace.
pub(super) fn check(metadata: &str) -> Result<Vec<String>> {
    let metadata: Value =
        serde_json::from_str(metadata).context("cannot read what `cargo metadata` says")?;
    let root = metadata["workspace_root"]
        .as_str()
        .context("cargo names no workspace root")?;
    let packages: Vec<Package> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| read(package, root))
        .collect();
    let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
    let mut findings = Vec::new();
    for package in &packages {
        findings.extend(check_name(package));
        if package.name == "xtask" {
            findings.extend(
                package
                    .uses
                    .iter()
                    .filter(|name| names.contains(name))
                    .map(|name| forbidden("xtask", name)),
            );
        } else if !FREE.iter().any(|folder| package.folder.starts_with(folder)) {
            findings.extend(check_own(package, &names));
            findings.extend(check_foreign(package));
        }
    }
    Ok(findings)
}

fn read<'a>(package: &'a Value, root: &str) -> Option<Package<'a>> {
    let folder = package["manifest_path"]
        .as_str()?
        .strip_prefix(root)?
        .strip_suffix("/Cargo.toml")?;
    let dependencies = package["dependencies"].as_array()?.iter();
    let uses = dependencies
        .filter(|dependency| dependency["kind"] != "dev")
        .filter_map(|dependency| dependency["name"].as_str());
    Some(Package {
        name: package["name"].as_str()?,
        folder: folder.trim_start_matches('/').to_owned(),
        uses: uses.collect(),
    })
}

/// Under `host/` a folder is called like its crate.
fn check_name(package: &Package) -> Option<String> {
    let folder = package.folder.strip_prefix("host/")?;
    let expected = format!("forebay-{folder}");
    (package.name != expected).then(|| {
        format!(
            "{}/Cargo.toml: the crate `{}` should be called `{expected}`",
            package.folder, package.name
        )
    })
}

fn check_own(package: &Package, names: &[&str]) -> Vec<String> {
    let Some((_, allowed)) = OWN.iter().find(|(name, _)| *name == package.name) else {
        return vec![format!(
            "{}/Cargo.toml: the crate `{}` has no row in xtask/src/tidy/arrows.rs",
            package.folder, package.name
        )];
    };
    let own = package.uses.iter().filter(|name| names.contains(name));
    own.filter(|name| !allowed.contains(name))
        .map(|name| forbidden(&package.folder, name))
        .collect()
}

fn check_foreign(package: &Package) -> Vec<String> {
    let rules = FOREIGN
        .iter()
        .filter(|(name, users, _)| package.uses.contains(name) && !users.contains(&package.name));
    rules
        .map(|(name, _, why)| format!("{} ({why})", forbidden(&package.folder, name)))
        .collect()
}

fn forbidden(folder: &str, name: &str) -> String {
    format!("{folder}/Cargo.toml: must not depend on `{name}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(name: &str, folder: &str, kind: &Value, uses: &[&str]) -> String {
        let dependencies: Vec<Value> = uses
            .iter()
            .map(|name| serde_json::json!({"name": name, "kind": kind}))
            .collect();
        let package = |name: &str, folder: &str, dependencies: Vec<Value>| serde_json::json!({"name": name, "manifest_path": format!("/r/{folder}/Cargo.toml"), "dependencies": dependencies});
        let packages = [
            package(name, folder, dependencies),
            package("forebay-job", "host/job", vec![]),
        ];
        serde_json::json!({"workspace_root": "/r", "packages": packages}).to_string()
    }

    #[track_caller]
    fn check_one(name: &str, folder: &str, uses: &[&str], expected: &[&str]) {
        let findings =
            check(&workspace(name, folder, &Value::Null, uses)).expect("the metadata is whole");
        assert_eq!(findings, expected);
    }

    #[test]
    fn an_arrow_that_points_upward_is_found() {
        check_one(
            "forebay-cluster",
            "host/cluster",
            &["forebay-job", "tokio"],
            &[],
        );
        check_one(
            "forebay-plugin",
            "host/plugin",
            &["forebay-job"],
            &["host/plugin/Cargo.toml: must not depend on `forebay-job`"],
        );
        check_one(
            "xtask",
            "xtask",
            &["forebay-job"],
            &["xtask/Cargo.toml: must not depend on `forebay-job`"],
        );
    }

    #[test]
    fn a_crate_that_one_place_alone_may_use_is_found_elsewhere() {
        let finding =
            "host/protocol/Cargo.toml: must not depend on `tokio` (everything else is synchronous)";
        check_one("forebay-protocol", "host/protocol", &["tokio"], &[finding]);
    }

    #[test]
    fn a_new_crate_wants_a_row_and_a_folder_of_its_name() {
        let row =
            "host/new/Cargo.toml: the crate `forebay-new` has no row in xtask/src/tidy/arrows.rs";
        check_one("forebay-new", "host/new", &[], &[row]);
        check_one(
            "forebay-cli",
            "host/command",
            &[],
            &[
                "host/command/Cargo.toml: the crate `forebay-cli` should be called `forebay-command`",
            ],
        );
    }

    #[test]
    fn tests_are_free() {
        check_one(
            "forebay-end-to-end",
            "tests/end-to-end",
            &["forebay-job", "wasmtime"],
            &[],
        );
        let metadata = workspace(
            "forebay-plugin",
            "host/plugin",
            &Value::from("dev"),
            &["forebay-job"],
        );
        assert_eq!(
            check(&metadata).expect("the metadata is whole"),
            Vec::<String>::new()
        );
    }
}
