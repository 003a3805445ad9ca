//! Where the things are that the tests need and do not make.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The root of the repository that the test belongs to. Asked for at run time: what was compiled into a shared target
/// folder may be another clone's.
pub fn repository() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let mut folders = Path::new(&package).ancestors();
    let root = folders.find(|folder| folder.join("Cargo.lock").is_file());
    root.expect("the repository is there").to_owned()
}

/// The `forebay` binary under test: a copy of `FOREBAY_BIN`, else of the one in the target folder of this test. A copy,
/// because the test of `cargo install` has cargo replace that one while others start it.
#[track_caller]
pub fn forebay_binary() -> PathBuf {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| copy_of(&built("forebay"))).clone()
}

/// A binary that was built beside `forebay`.
#[track_caller]
pub fn built(name: &str) -> PathBuf {
    let forebay =
        env::var_os("FOREBAY_BIN").map_or_else(|| target_folder().join("forebay"), PathBuf::from);
    let binary = forebay.with_file_name(name);
    assert!(
        binary.is_file(),
        "no `{}`: build it with `cargo build --workspace`",
        binary.display()
    );
    binary
}

/// Under the same name in `under-test` of the target folder. Renamed into place: the copy before it may still run.
fn copy_of(binary: &Path) -> PathBuf {
    let folder = target_folder().with_file_name("under-test");
    let copy = folder.join("forebay");
    let beside = folder.join(format!("forebay-{}", std::process::id()));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy(binary, &beside))
        .and_then(|_| fs::rename(&beside, &copy))
        .expect("the target folder is writable");
    copy
}

/// The folder of the profile: a test lies in `target/debug/deps`.
fn target_folder() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    test.ancestors()
        .nth(2)
        .expect("a test lies in a target folder")
        .to_owned()
}

/// The Python environments of this repository: `FOREBAY_ENVIRONMENTS`, else `.forebay/environments`.
pub fn environments() -> PathBuf {
    env::var_os("FOREBAY_ENVIRONMENTS")
        .map_or_else(|| repository().join(".forebay/environments"), PathBuf::from)
}

/// The Python environment of this name, with our wheel in it: a test that needs one fails without.
#[track_caller]
pub fn environment(name: &str) -> PathBuf {
    let folder = environments().join(name);
    let mend = format!("make it with `cargo xtask setup --only {name}`");
    assert!(
        folder.join("bin/python").exists(),
        "no Python environment `{}`: {mend}",
        folder.display()
    );
    assert!(
        has_wheel(&folder),
        "no package `forebay` in the Python environment `{}`: {mend}",
        folder.display()
    );
    folder
}

fn has_wheel(environment: &Path) -> bool {
    let versions = fs::read_dir(environment.join("lib"))
        .into_iter()
        .flatten()
        .flatten();
    versions
        .map(|version| version.path().join("site-packages/forebay"))
        .any(|package| package.is_dir())
}
