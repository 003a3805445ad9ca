//! What types columns get that nobody has declared.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use forebay_connectors::{CsvOptions, FileSourceOptions, Format};
use tempfile::tempdir;

use crate::support::{lines, prepare, read_file, read_options, text, types};

#[track_caller]
fn check(values: &[&str], expected: &str) {
    let folder = tempdir().unwrap();
    let content = format!("c,end\n{}", values.join(",.\n") + ",.\n");
    std::fs::write(folder.path().join("rows.csv"), content).unwrap();
    let csv = CsvOptions {
        null_values: vec!["NA".into()],
        ..CsvOptions::default()
    };
    let options = FileSourceOptions {
        format: Some(Format::Csv(csv)),
        ..FileSourceOptions::new("rows.csv")
    };
    let source = prepare(folder.path(), options.clone()).unwrap();
    assert_eq!(
        source.file_schema().field(0).data_type().to_string(),
        expected
    );
    let rows = read_options(folder.path(), options).unwrap();
    assert_eq!(rows.num_rows(), values.len());
}

#[test]
fn numbers() {
    check(&["1", "-5", "+7", "NA", ""], "Int64");
    check(&["1", "2.5"], "Float64");
    check(&["1e5", "NaN", "-inf"], "Float64");
    check(&["99999999999999999999"], "Utf8");
    check(&["1", "x"], "Utf8");
}

#[test]
fn booleans() {
    check(&["true", "False", "TRUE"], "Boolean");
    check(&["true", "1"], "Utf8");
}

#[test]
fn dates_and_times() {
    check(&["2013-01-01", "1969-12-31"], "Date32");
    check(&["2013-13-01"], "Utf8");
    check(&["2013-01-01 05:00:00"], "Timestamp(µs)");
    check(
        &["2013-01-01 05:00:00.123456", "2013-01-01"],
        "Timestamp(µs)",
    );
    check(&["2013-01-01T10:00:00Z"], "Timestamp(µs, \"UTC\")");
    check(&["2013-01-01T10:00:00.5+01:00"], "Timestamp(µs, \"UTC\")");
    check(&["2013-01-01T10:00:00Z", "2013-01-01T10:00:00"], "Utf8");
    check(&["20130101"], "Int64");
    check(&["12:30:00"], "Utf8");
}

#[test]
fn nothing_but_nulls_is_text() {
    check(&["NA", "NA"], "Utf8");
}

#[test]
fn zones_are_converted() {
    let folder = tempdir().unwrap();
    let content = "t\n2013-01-01T10:00:00Z\n2013-01-01T10:00:00+01:00\n";
    let rows = read_file(folder.path(), "rows.csv", content).unwrap();
    assert_eq!(
        lines(&rows),
        ["2013-01-01T10:00:00Z", "2013-01-01T09:00:00Z"]
    );
}

#[test]
fn all_sampled_files_count() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("1.csv"), "a\n1\n").unwrap();
    std::fs::write(folder.path().join("2.csv"), "a\n1.5\n").unwrap();
    let rows = read_options(folder.path(), FileSourceOptions::new("*.csv")).unwrap();
    assert_eq!(types(&rows.schema()), ["a Float64"]);
    assert_eq!(lines(&rows), ["1.0", "1.5"]);
}

#[track_caller]
fn check_refused(name: &str, content: &str, expected: &str) {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join(name), content).unwrap();
    let error = prepare(folder.path(), FileSourceOptions::new(name))
        .err()
        .unwrap();
    assert_eq!(text(&error), expected);
}

#[test]
fn headers_that_name_nothing() {
    check_refused(
        "rows.csv",
        "a,,c\n",
        "`rows.csv`: column 2 of the header has no name; name it, or set `header = false`",
    );
    check_refused(
        "rows.csv",
        "a,b,a\n",
        "`rows.csv`: column 3 of the header is named `a` like column 1; rename one",
    );
}

#[test]
fn empty_files() {
    let problem =
        "is empty, so nothing says which columns it has; declare a schema, or leave it out";
    for name in ["rows.csv", "rows.jsonl", "rows.parquet", "rows.arrow"] {
        check_refused(name, "", &format!("`{name}` {problem}"));
    }
}

/// A sink of several tasks writes such ones: a task that gets no row knows no column.
#[test]
fn an_empty_file_of_json_lines_among_others_has_their_columns() {
    let folder = tempdir().unwrap();
    for (name, content) in [("0.jsonl", ""), ("1.jsonl", "{\"a\":1}\n"), ("2.jsonl", "")] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let rows = read_options(folder.path(), FileSourceOptions::new("*.jsonl")).unwrap();
    assert_eq!(types(&rows.schema()), ["a Int64"]);
    assert_eq!(rows.num_rows(), 1);
}

fn declared(fields: Vec<Field>) -> FileSourceOptions {
    FileSourceOptions {
        schema: Some(Arc::new(Schema::new(fields))),
        ..FileSourceOptions::new("rows.csv")
    }
}

#[test]
fn an_empty_file_has_the_declared_columns() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), "").unwrap();
    let options = declared(vec![Field::new("a", DataType::Int64, true)]);
    assert_eq!(read_options(folder.path(), options).unwrap().num_rows(), 0);
}

#[track_caller]
fn check_declared(content: &str, fields: Vec<Field>, expected: &str) {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), content).unwrap();
    let error = prepare(folder.path(), declared(fields)).err().unwrap();
    assert_eq!(text(&error), expected);
}

#[test]
fn a_declared_schema_must_be_that_of_the_file() {
    let a = || Field::new("a", DataType::Int64, true);
    check_declared(
        "b\n1\n",
        vec![a()],
        "`rows.csv` has no column `a`, which the source has",
    );
    check_declared(
        "a,b\n1,2\n",
        vec![a()],
        "`rows.csv` has a column `b`, which the source does not have",
    );
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    check_declared(
        "a\n1\n",
        vec![Field::new("a", list, true)],
        "column `a` is List(Int64), which CSV cannot hold; convert it, or choose another format",
    );
}

#[test]
fn wanted_columns_must_be_there() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), "a,b\n1,2\n").unwrap();
    let options = FileSourceOptions {
        columns: Some(vec!["c".into()]),
        ..FileSourceOptions::new("rows.csv")
    };
    let error = prepare(folder.path(), options).err().unwrap();
    assert_eq!(text(&error), "there is no column `c`; there are: a, b");
}

#[test]
fn json_of_several_types_is_text() {
    let folder = tempdir().unwrap();
    let rows = read_file(folder.path(), "rows.jsonl", "{\"a\": 1}\n{\"a\": \"x\"}\n").unwrap();
    assert_eq!(types(&rows.schema()), ["a Utf8"]);
    assert_eq!(lines(&rows), ["1", "x"]);
}

#[test]
fn json_that_is_none() {
    let folder = tempdir().unwrap();
    let error = read_file(folder.path(), "rows.jsonl", "a,b\n1,2\n").unwrap_err();
    assert!(
        error.starts_with("`rows.jsonl` is damaged, or no JSON lines file: "),
        "{error}"
    );
    let error = read_file(folder.path(), "rows.jsonl", "{\"a\": 1}\n1,2\n").unwrap_err();
    assert!(error.starts_with("rows.jsonl, line 2: "), "{error}");
}

#[test]
fn json_lines_have_types_and_times() {
    let folder = tempdir().unwrap();
    let content = r#"{"when": "2013-01-01T10:00:00Z", "n": 1, "x": 1.5, "name": "a", "tags": ["u"], "none": null}
{"when": "2013-01-01T11:00:00Z", "n": 2, "x": 2, "name": "2013", "tags": [], "none": null}
"#;
    let rows = read_file(folder.path(), "rows.jsonl", content).unwrap();
    let expected = [
        "when Timestamp(µs, \"UTC\")",
        "n Int64",
        "x Float64",
        "name Utf8",
        "tags List(Utf8)",
        "none Utf8",
    ];
    assert_eq!(types(&rows.schema()), expected);
    assert_eq!(rows.num_rows(), 2);
}
