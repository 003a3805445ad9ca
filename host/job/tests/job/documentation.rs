//! The reference names everything that the code knows.

use std::path::Path;

use crate::{round_trip::EVERYTHING, valid};

fn reference() -> String {
    let path = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests"))
        .join("../../docs/job-file.md");
    std::fs::read_to_string(path).expect("docs/job-file.md is there")
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
fn the_sample_of_the_tests_uses_every_key() {
    let leaf = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let missing: Vec<_> = forebay_job::keys()
        .filter(|key| !EVERYTHING.contains(&leaf(key)))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn examples_of_the_reference_are_valid() {
    let reference = reference();
    let blocks: Vec<_> = reference
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        valid(block);
    }
}
