//! Files that belong to others. Root may read and write everything, so another user looks at them.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use forebay_connectors::{FileSinkOptions, FileSourceOptions};
use tempfile::tempdir;

use crate::support::{prepare, prepare_sink, text};

/// Tells the process that it is another user, and where to look.
const FOLDER: &str = "FOREBAY_TEST_LOOKS_INTO";

const NOBODY: u32 = 65_534;

/// What the other user does; nothing in the process of the tests.
#[test]
fn stranger() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let schema: SchemaRef = Schema::new(vec![Field::new("n", DataType::Int64, false)]).into();
    let read = |path: &str| match prepare(folder, FileSourceOptions::new(path)) {
        Ok(_) => "no error".to_owned(),
        Err(error) => text(&error),
    };
    let sink = prepare_sink(folder, FileSinkOptions::new("locked/out.csv"), &schema, 1);
    let said = [
        read("secret.csv"),
        read("closed/"),
        read("closed/rows.csv"),
        sink.err()
            .map_or("no error".to_owned(), |error| text(&error)),
    ];
    std::fs::write(folder.join("said/all"), said.join("\n")).unwrap();
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn are_refused_before_a_run() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["closed", "locked", "said"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    std::fs::write(at("secret.csv"), "n\n1\n").unwrap();
    std::fs::write(at("closed/rows.csv"), "n\n1\n").unwrap();
    // The folder that tests are built in may be closed to others, too.
    std::fs::copy(std::env::current_exe().unwrap(), at("test")).unwrap();
    let modes = [
        ("", 0o755),
        ("test", 0o755),
        ("secret.csv", 0),
        ("closed", 0),
        ("locked", 0o555),
        ("said", 0o777),
    ];
    for (name, mode) in modes {
        set(&at(name), mode);
    }
    let mut command = Command::new(at("test"));
    command
        .args(["--exact", "permissions::stranger"])
        .current_dir(folder.path())
        .env(FOLDER, folder.path())
        .stdout(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let status = command.status().unwrap();
    assert!(status.success());
    set(&at("closed"), 0o755);
    let said = std::fs::read_to_string(at("said/all")).unwrap();
    let hint = "permission denied; change its permissions, or run as another user";
    let expected = [
        format!("`secret.csv` cannot be read: {hint}"),
        format!("`closed/` cannot be read: {hint}"),
        format!("`closed/rows.csv` cannot be read: {hint}"),
        format!("`locked/out.csv` cannot be written: {hint}"),
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}
