//! Files that are written: where, when they can be seen, and what is in their way.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use forebay_connectors::{Blackhole, Error, FileSinkOptions, Format, SourceConnector};
use tempfile::tempdir;

use crate::support::{
    Batches, cause, graph, lines, prepare, prepare_sink, read, run, text, whole, write,
};

const WATCHDOG: Duration = Duration::from_secs(20);

fn schema() -> SchemaRef {
    Schema::new(vec![Field::new("n", DataType::Int64, false)]).into()
}

fn batches(count: i64) -> Vec<RecordBatch> {
    let batch = |number: i64| {
        let numbers = Int64Array::from_iter_values([number, number]);
        RecordBatch::try_new(schema(), vec![Arc::new(numbers)]).unwrap()
    };
    (0..count).map(batch).collect()
}

/// A thread of the runtime gives up what it was just writing, a moment after the failure is known.
fn assert_becomes_empty(folder: &Path, what: &str) {
    let begun = Instant::now();
    while !names(folder).is_empty() {
        assert!(begun.elapsed() < WATCHDOG, "{what}");
        std::thread::yield_now();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn several_tasks_write_a_folder() {
    let folder = tempdir().unwrap();
    for (path, format) in [
        ("out.parquet", None),
        ("out", Some(Format::JsonLines)),
        ("out2.csv/", None),
    ] {
        let options = FileSinkOptions {
            format,
            ..FileSinkOptions::new(path)
        };
        let sink = prepare_sink(folder.path(), options, &schema(), 2).unwrap();
        write(&schema(), batches(5), sink, 2).unwrap();
        let written = names(&folder.path().join(path));
        assert_eq!(written.len(), 2);
        assert!(written[1].starts_with("part-00001."), "{written:?}");
        let path = format!("{}/", path.trim_end_matches('/'));
        let source = prepare(
            folder.path(),
            forebay_connectors::FileSourceOptions::new(path),
        )
        .unwrap();
        let mut rows = lines(&whole(&source.schema(), &read(source, 1).unwrap()));
        rows.sort();
        assert_eq!(rows, ["0", "0", "1", "1", "2", "2", "3", "3", "4", "4"]);
    }
}

#[track_caller]
fn check_refused(path: &str, tasks: usize, expected: &str) {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("there.csv"), "").unwrap();
    std::fs::create_dir(folder.path().join("full")).unwrap();
    std::fs::write(folder.path().join("full/part-00000.csv"), "").unwrap();
    let options = FileSinkOptions {
        format: path.starts_with("full").then_some(Format::JsonLines),
        ..FileSinkOptions::new(path)
    };
    let error = prepare_sink(folder.path(), options, &schema(), tasks)
        .err()
        .unwrap();
    let error = text(&error).replace(&folder.path().display().to_string(), "BASE");
    assert_eq!(error, expected);
}

#[test]
fn what_is_in_the_way() {
    check_refused(
        "there.csv",
        1,
        "`there.csv` exists; choose another path, remove it, or set `overwrite`",
    );
    check_refused(
        "there.csv",
        2,
        "`there.csv` is a file, but must be a folder: it gets one file for each task",
    );
    check_refused(
        "full",
        2,
        "the folder `full` is not empty; choose another one, or empty it",
    );
    check_refused(
        "there.csv/out.csv",
        1,
        "`BASE/there.csv` is no folder, so `there.csv/out.csv` cannot be in it; choose another path",
    );
    check_refused(
        "there.csv/none/out.csv/",
        2,
        "`BASE/there.csv` is no folder, so `there.csv/none/out.csv/` cannot be in it; choose another path",
    );
    check_refused(
        "out",
        1,
        "the format of `out` is not known by its name; name the format (csv, jsonl, parquet, arrow), or use such an extension",
    );
    check_refused(
        "out.csv.gz",
        1,
        "`out.csv.gz`: a sink does not compress text as a whole; leave `.gz` or `.zst` out, or write Parquet",
    );
}

#[test]
fn a_type_that_a_format_does_not_have() {
    let folder = tempdir().unwrap();
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    let dictionary = crate::random::dictionary();
    let cases = [
        ("out.csv", DataType::List(item), "List(Int64), which CSV"),
        ("out.csv", DataType::Binary, "binary, which CSV"),
        (
            "out.arrow",
            dictionary,
            "Dictionary(Int32, Utf8), which Arrow",
        ),
    ];
    for (path, kind, expected) in cases {
        let fields = vec![
            Field::new("fine", DataType::Int64, true),
            Field::new("c", kind, true),
        ];
        let schema = Arc::new(Schema::new(fields));
        let error = prepare_sink(folder.path(), FileSinkOptions::new(path), &schema, 1).err();
        let expected =
            format!("column `c` is {expected} cannot hold; convert it, or choose another format");
        assert_eq!(text(&error.unwrap()), expected);
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn overwriting_replaces_the_file_at_the_end() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("out.csv");
    std::fs::write(&path, "before").unwrap();
    let options = FileSinkOptions {
        overwrite: true,
        ..FileSinkOptions::new("out.csv")
    };
    let sink = prepare_sink(folder.path(), options, &schema(), 1).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
    write(&schema(), batches(2), sink, 1).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "n\n0\n0\n1\n1\n");
    assert_eq!(names(folder.path()), ["out.csv"]);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let folder = tempdir().unwrap();
    let sink = prepare_sink(folder.path(), FileSinkOptions::new("out.csv"), &schema(), 1).unwrap();
    std::fs::write(folder.path().join("out.csv"), "of others").unwrap();
    let error = write(&schema(), batches(2), sink, 1).unwrap_err();
    let expected = "`out.csv` exists; choose another path, remove it, or set `overwrite`";
    assert_eq!(cause(&error), expected);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("out.csv")).unwrap(),
        "of others"
    );
}

/// Places in folders that are not there, for so many tasks.
const IN_NEW_FOLDERS: [(&str, usize); 3] =
    [("new/deep/out.csv", 1), ("new/out.csv", 1), ("new.csv/", 2)];

#[test]
fn missing_folders_are_made_when_writing_begins() {
    for (path, tasks) in IN_NEW_FOLDERS {
        let folder = tempdir().unwrap();
        let options = FileSinkOptions::new(path);
        let sink = prepare_sink(folder.path(), options, &schema(), tasks).unwrap();
        assert!(names(folder.path()).is_empty(), "looking leaves no trace");
        write(&schema(), batches(4), sink, tasks).unwrap();
        let files = if tasks == 1 {
            path.to_owned()
        } else {
            path.to_owned() + "part-00001.csv"
        };
        assert!(folder.path().join(files).is_file(), "{path}");
    }
}

#[test]
fn a_dataflow_that_fails_leaves_nothing() {
    for (path, tasks) in [&[("out.csv", 1)], &IN_NEW_FOLDERS[..]].concat() {
        let folder = tempdir().unwrap();
        let options = FileSinkOptions::new(path);
        let sink = prepare_sink(folder.path(), options, &schema(), tasks).unwrap();
        let mut rows = batches(4);
        let other = Schema::new(vec![Field::new("other", DataType::Int64, false)]);
        rows.push(RecordBatch::new_empty(Arc::new(other)));
        assert!(write(&schema(), rows, sink, tasks).is_err());
        assert_becomes_empty(folder.path(), path);
    }
}

#[test]
fn a_folder_that_nobody_can_write() {
    let options = || FileSinkOptions::new("out.csv");
    let error = prepare_sink(Path::new("/proc"), options(), &schema(), 1)
        .err()
        .unwrap();
    assert!(
        matches!(error, Error::Write { .. } | Error::NotPermitted { .. }),
        "{error:?}"
    );
    assert!(text(&error).contains("`out.csv`"), "{error}");
}

#[test]
fn a_blackhole_takes_all_rows() {
    let source = Batches(schema(), batches(100));
    let progress = run(&graph(
        source,
        Blackhole,
        1,
        forebay_dataflow::Exchange::Forward,
    ))
    .unwrap();
    assert_eq!(progress[1].rows_in, 200);
}
