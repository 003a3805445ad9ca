//! Which files a path means, and what is said when there are none.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use forebay_connectors::{FileSinkOptions, FileSource, FileSourceOptions, SourceConnector};
use object_store::memory::InMemory;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::{TempDir, tempdir};

use crate::support::{access, lines, prepare, read, runtime, text, whole};

fn folder() -> TempDir {
    let folder = tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("deep")).unwrap();
    let files = [
        "2.csv",
        "1.csv",
        "10.csv",
        ".hidden.csv",
        "_part.csv",
        "deep/4.csv",
    ];
    for file in files {
        std::fs::write(data.join(file), format!("name\n{file}\n")).unwrap();
    }
    folder
}

#[track_caller]
fn check(path: &str, expected: &[&str]) {
    let folder = folder();
    let path = path.replace("BASE", &folder.path().display().to_string());
    let source = prepare(folder.path(), FileSourceOptions::new(path)).unwrap();
    let rows = whole(&source.schema(), &read(source, 1).unwrap());
    assert_eq!(lines(&rows), expected);
}

#[test]
fn files_patterns_and_folders() {
    check("data/1.csv", &["1.csv"]);
    check("data/*.csv", &["1.csv", "10.csv", "2.csv", "_part.csv"]);
    check("data/[12].csv", &["1.csv", "2.csv"]);
    check("data/**/?.csv", &["1.csv", "2.csv", "deep/4.csv"]);
    check("data/", &["1.csv", "10.csv", "2.csv"]);
    check("BASE/data/1.csv", &["1.csv"]);
    check("file://BASE/data/2.csv", &["2.csv"]);
    check("file://BASE/data/", &["1.csv", "10.csv", "2.csv"]);
}

#[test]
fn a_name_with_signs_of_a_pattern_is_that_file() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("a[1].csv"), "n\n1\n").unwrap();
    std::fs::write(folder.path().join("a b%20#ü.csv"), "n\n2\n").unwrap();
    for name in ["a[1].csv", "a b%20#ü.csv"] {
        let source = prepare(folder.path(), FileSourceOptions::new(name)).unwrap();
        assert_eq!(read(source, 1).unwrap().len(), 1);
    }
}

#[track_caller]
fn check_refused(path: &str, expected: &str) {
    let folder = folder();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let error = prepare(folder.path(), FileSourceOptions::new(path))
        .err()
        .unwrap();
    assert_eq!(text(&error), expected);
}

#[test]
fn what_is_not_there() {
    check_refused("none.csv", "there is no file `none.csv`");
    check_refused("data/*.jsonl", "no file matches `data/*.jsonl`");
    check_refused("none/", "there is no file `none/`");
    check_refused(
        "empty/",
        "there is no file in the folder `empty/` (names that begin with `.` or `_` do not count)",
    );
    check_refused(
        "data",
        "`data` is a directory; end it with `/` to read all files in it",
    );
    check_refused("", "a path is empty");
    check_refused(
        "data/1.csv/2.csv",
        "cannot read `data/1.csv/2.csv`: Not a directory (os error 20)",
    );
    check_refused(
        "data/***/x.csv",
        "`data/***/x.csv` is no pattern for files: wildcards are either regular `*` or recursive `**`",
    );
}

#[test]
fn what_nobody_can_read() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.xlsx"), "").unwrap();
    let error = prepare(folder.path(), FileSourceOptions::new("rows.xlsx")).err();
    let expected = "the format of `rows.xlsx` is not known by its name; name the format (csv, jsonl, parquet, arrow), or use such an extension";
    assert_eq!(text(&error.unwrap()), expected);
    std::fs::write(folder.path().join("rows.parquet.gz"), "").unwrap();
    let error = prepare(folder.path(), FileSourceOptions::new("rows.parquet.gz")).err();
    let expected = "`rows.parquet.gz`: only text is compressed as a whole, and Parquet compresses inside; leave `.gz` or `.zst` out";
    assert_eq!(text(&error.unwrap()), expected);
    std::fs::write(folder.path().join("rows.parquet"), "no such thing").unwrap();
    let error = prepare(folder.path(), FileSourceOptions::new("rows.parquet")).err();
    let text = text(&error.unwrap());
    assert!(
        text.starts_with("`rows.parquet` is damaged, or no Parquet file: "),
        "{text}"
    );
}

#[test]
fn stores_that_are_not_there() {
    check_refused(
        "nosuch://bucket/rows.csv",
        "`nosuch://bucket/rows.csv` cannot be used: Generic URL error: Unable to recognise URL \"nosuch://bucket/rows.csv\"",
    );
    if cfg!(not(feature = "aws")) {
        check_refused(
            "s3://bucket/rows.csv",
            "`s3://bucket/rows.csv`: this build cannot reach `s3://`; build it with the feature `aws`",
        );
    }
}

#[test]
fn objects_of_a_store() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let files = ["data/1.csv", "data/2.csv", "data/deep/3.csv", "other.csv"];
    for file in files {
        let content = format!("name\n{file}\n");
        let path = StorePath::from(file);
        let put = store.put(&path, content.into());
        runtime().block_on(put).unwrap();
    }
    let access = access(Path::new("/nowhere")).with_store("memory://bucket", store);
    let read_all = |path: &str| {
        let options = FileSourceOptions::new(path);
        let source = runtime().block_on(FileSource::prepare(options, &access))?;
        Ok::<_, forebay_connectors::Error>(lines(&whole(
            &source.schema(),
            &read(source, 1).unwrap(),
        )))
    };
    assert_eq!(
        read_all("memory://bucket/other.csv").unwrap(),
        ["other.csv"]
    );
    let two = ["data/1.csv", "data/2.csv"];
    assert_eq!(read_all("memory://bucket/data/").unwrap(), two);
    assert_eq!(read_all("memory://bucket/data/*.csv").unwrap(), two);
    let error = read_all("memory://bucket/none.csv").unwrap_err();
    assert_eq!(text(&error), "there is no file `memory://bucket/none.csv`");

    let schema = crate::random::schema(&[DataType::Int64], &mut fastrand::Rng::with_seed(1));
    let batches = crate::random::batches(&schema, false, &mut fastrand::Rng::with_seed(3));
    let prepare_sink = |path: &str, tasks| {
        let options = FileSinkOptions::new(path);
        runtime().block_on(forebay_connectors::FileSink::prepare(
            options,
            &access,
            schema.clone(),
            tasks,
        ))
    };
    let sink = prepare_sink("memory://bucket/out.parquet", 1).unwrap();
    crate::support::write(&schema, batches.clone(), sink, 1).unwrap();
    let rows = FileSourceOptions::new("memory://bucket/out.parquet");
    let source = runtime()
        .block_on(FileSource::prepare(rows, &access))
        .unwrap();
    assert_eq!(
        whole(&schema, &read(source, 1).unwrap()),
        whole(&schema, &batches)
    );
    let error = prepare_sink("memory://bucket/out.parquet", 1)
        .err()
        .unwrap();
    let expected =
        "`memory://bucket/out.parquet` exists; choose another path, remove it, or set `overwrite`";
    assert_eq!(text(&error), expected);
    let sink = prepare_sink("memory://bucket/fails.parquet", 1).unwrap();
    let other = Schema::new(vec![Field::new("other", DataType::Int64, true)]);
    let fails = [batches, vec![RecordBatch::new_empty(other.into())]].concat();
    assert!(crate::support::write(&schema, fails, sink, 1).is_err());
    let error = read_all("memory://bucket/fails.parquet").unwrap_err();
    assert_eq!(
        text(&error),
        "there is no file `memory://bucket/fails.parquet`"
    );
    let error = prepare_sink("memory://bucket/data/", 2).err();
    assert!(error.is_some(), "no format is known");
}

#[test]
fn another_schema_midway() {
    let folder = tempdir().unwrap();
    let write = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).unwrap();
    };
    for file in 10..30 {
        write(&format!("{file}.csv"), "n\n1\n");
    }
    write("25.csv", "m\n1\n");
    let source = prepare(folder.path(), FileSourceOptions::new("*.csv")).unwrap();
    let error = read(source, 1).unwrap_err();
    let expected = "`25.csv` has no column `n`, which the source has";
    assert_eq!(crate::support::cause(&error), expected);
    write("11.csv", "m\n1\n");
    let error = prepare(folder.path(), FileSourceOptions::new("*.csv")).err();
    let expected = "`11.csv` has no column `n`, which the source has";
    assert_eq!(text(&error.unwrap()), expected);
}

#[test]
fn another_type_midway() {
    let folder = tempdir().unwrap();
    for extension in ["parquet", "arrow"] {
        for (file, kind) in [(1, DataType::Int64), (2, DataType::Utf8)] {
            let fields = vec![Field::new("n", kind, true)];
            let schema: SchemaRef = Schema::new(fields).into();
            let path = format!("{file}.{extension}");
            let sink =
                crate::support::prepare_sink(folder.path(), FileSinkOptions::new(path), &schema, 1);
            crate::support::write(&schema, Vec::new(), sink.unwrap(), 1).unwrap();
        }
        let pattern = format!("*.{extension}");
        let error = prepare(folder.path(), FileSourceOptions::new(pattern)).err();
        let expected =
            format!("column `n` of `2.{extension}` is string, but the schema says int64");
        assert_eq!(text(&error.unwrap()), expected);
    }
}
