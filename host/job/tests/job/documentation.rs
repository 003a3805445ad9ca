//! The reference names everything that the code knows.

use std::path::Path;

use crate::valid;

/// A file of the documentation.
pub(crate) fn documentation(name: &str) -> String {
    let path = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests"))
        .join("../../docs")
        .join(name);
    std::fs::read_to_string(path).expect("it is there")
}

fn reference() -> String {
    documentation("job-file.md")
}

/// The job files of the reference.
pub(crate) fn examples() -> Vec<String> {
    let reference = reference();
    let rests = reference.split("```toml\n").skip(1);
    let blocks: Vec<_> = rests.filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    blocks.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_key_stands_in_the_reference() {
    let reference = reference();
    let missing: Vec<_> = forebay_job::keys()
        .filter(|key| !reference.contains(&format!("`{key}`")))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_code_stands_in_the_reference() {
    let reference = reference();
    let missing = |code: &&str| !reference.contains(&format!("`{code}`"));
    let missing: Vec<_> = forebay_job::code::ALL
        .iter()
        .copied()
        .filter(missing)
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn examples_of_the_reference_are_valid() {
    for example in examples() {
        valid(&example);
    }
}
