//! Files that cannot grow any more.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use forebay_connectors::FileSinkOptions;
use tempfile::tempdir;

use crate::support::{cause, prepare_sink, write};

/// Tells the process that its files are limited, and where they are.
const FOLDER: &str = "FOREBAY_TEST_IS_LIMITED_IN";

/// What the limited process does; nothing in the process of the tests.
#[test]
fn limited() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let schema: SchemaRef = Schema::new(vec![Field::new("n", DataType::Int64, false)]).into();
    let numbers = Int64Array::from_iter_values(1_000_000..3_000_000);
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers)]).unwrap();
    let folder = Path::new(&folder);
    let sink = prepare_sink(folder, FileSinkOptions::new("out.csv"), &schema, 1).unwrap();
    let error = write(&schema, vec![batch; 2], sink, 1).unwrap_err();
    std::fs::write(folder.join("said"), cause(&error)).unwrap();
}

/// The limit of a process stands for a disk: 20 MB, where 32 MB are written in two pieces.
#[test]
fn nothing_is_left_and_the_message_says_how_far_it_was() {
    let folder = tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    let limited = "trap '' XFSZ; ulimit -f 40000; exec \"$0\" --exact full::limited";
    let status = Command::new("sh")
        .args(["-c", limited])
        .arg(test)
        .env(FOLDER, folder.path())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
    let expected = "no file may be larger here: 20480000 bytes of `out.csv` were written, and are gone again; free some space, or choose another path";
    assert_eq!(said, expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
