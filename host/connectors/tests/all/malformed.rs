//! Rows that cannot be read: named, or left out and counted.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use async_compression::tokio::write::GzipEncoder;
use forebay_connectors::{FileSinkOptions, FileSourceOptions, Malformed};
use forebay_dataflow::Exchange;
use tempfile::tempdir;
use tokio::io::AsyncWriteExt;

use crate::support::{
    Kept, cause, graph, lines, prepare, prepare_sink, run, runtime, whole, write,
};
use forebay_connectors::SourceConnector;

fn options(name: &str, malformed: Malformed) -> FileSourceOptions {
    let fields = vec![
        Field::new("n", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ];
    FileSourceOptions {
        schema: Some(Arc::new(Schema::new(fields))),
        malformed,
        record_bytes_max: 1000,
        ..FileSourceOptions::new(name)
    }
}

/// The rows that are left, what is counted, what is told, or the error.
type Outcome = Result<(Vec<String>, u64, Vec<String>), String>;

fn read(name: &str, content: &[u8], malformed: Malformed, batch_rows: usize) -> Outcome {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join(name), content).unwrap();
    let mut options = options(name, malformed);
    options.batch_rows = batch_rows;
    let source = prepare(folder.path(), options).unwrap();
    let kept = Kept::default();
    let graph = graph(source.clone(), kept.clone(), 1, Exchange::Forward);
    let progress = run(&graph).map_err(|error| cause(&error))?;
    let rows = whole(&source.schema(), &kept.batches());
    let told = source.malformed_rows();
    let told = told.iter().map(ToString::to_string).collect();
    Ok((lines(&rows), progress[0].malformed, told))
}

const SKIP: Malformed = Malformed::Skip { limit: 100 };

/// Good rows around bad ones, in batches of all sizes; `bad` are the messages.
#[track_caller]
fn check(name: &str, content: impl AsRef<[u8]>, good: &[&str], bad: &[&str]) {
    let content = content.as_ref();
    let error = read(name, content, Malformed::Fail, 8192).unwrap_err();
    assert_eq!(error, bad[0]);
    for batch_rows in [1, 2, 3, 8192] {
        let (rows, count, told) = read(name, content, SKIP, batch_rows).unwrap();
        assert_eq!(rows, good, "batches of {batch_rows}");
        assert_eq!(told, bad, "batches of {batch_rows}");
        assert_eq!(count, bad.len() as u64);
    }
    let limit = bad.len() as u64 - 1;
    let error = read(name, content, Malformed::Skip { limit }, 8192).unwrap_err();
    let last = bad.last().unwrap();
    let expected = format!("more than {limit} malformed rows; the next one is {last}");
    assert_eq!(error, expected);
}

#[test]
fn a_value_of_another_type() {
    check(
        "rows.csv",
        "n,text\n1,a\nabc,b\n3,c\n",
        &["1,a", "3,c"],
        &["rows.csv, line 3, column `n`: `abc` is no int64"],
    );
}

#[test]
fn bad_rows_of_many_batches_are_told_in_their_order() {
    let text = "x".repeat(400);
    let is_bad = |row: &usize| row.is_multiple_of(700);
    let row = |row: usize| match row {
        _ if !is_bad(&row) => format!("{row},{text}"),
        _ if row.is_multiple_of(1400) => format!("bad,{text}"),
        _ => format!("{row},{text},{text}"),
    };
    let rows: Vec<String> = (1..=6000).map(row).collect();
    let content = format!("n,text\n{}\n", rows.join("\n"));
    let told = |row: usize| {
        let what = match row % 1400 {
            0 => ", column `n`: `bad` is no int64",
            _ => ": it has 3 fields instead of 2",
        };
        format!("rows.csv, line {}{what}", row + 1)
    };
    let bad: Vec<String> = (1..=6000).filter(is_bad).map(told).collect();
    let good = (1..=6000).filter(|row| !is_bad(row)).map(row);
    let good: Vec<String> = good.collect();
    for batch_rows in [500, 1024] {
        let error = read("rows.csv", content.as_bytes(), Malformed::Fail, batch_rows).unwrap_err();
        assert_eq!(error, bad[0]);
        let (rows, count, told) = read("rows.csv", content.as_bytes(), SKIP, batch_rows).unwrap();
        assert!(rows == good, "batches of {batch_rows}: other rows");
        assert_eq!(told, bad);
        assert_eq!(count, bad.len() as u64);
    }
}

#[test]
fn too_many_and_too_few_fields() {
    check(
        "rows.csv",
        "n,text\n1,a\n2\n3,c,d\n4,d,e,f,g,h\n5,e\n",
        &["1,a", "5,e"],
        &[
            "rows.csv, line 3: it has 1 fields instead of 2",
            "rows.csv, line 4: it has 3 fields instead of 2",
            "rows.csv, line 5: it has 6 fields instead of 2",
        ],
    );
}

#[test]
fn lines_count_behind_quoted_line_ends_and_blank_lines() {
    check(
        "rows.csv",
        "n,text\n1,\"a\nb\nc\"\n\n\r\nx,\"d\ne\"\n3,f\ny,g\n",
        &["1,\"a", "b", "c\"", "3,f"],
        &[
            "rows.csv, line 7, column `n`: `x` is no int64",
            "rows.csv, line 10, column `n`: `y` is no int64",
        ],
    );
}

#[test]
fn bytes_that_are_no_text() {
    check(
        "rows.csv",
        b"n,text\n1,a\n2,\xff\xfe\n3,c\n",
        &["1,a", "3,c"],
        &["rows.csv, line 3: it is not UTF-8"],
    );
}

#[test]
fn halves_of_a_character_are_none_together() {
    check(
        "rows.csv",
        b"n,text\n1,a\n2,\xc3\n\xb6,b\n3,\xc3,\xb6\n4,\"\xc3\"\n\"\xb6\",c\n5,d\n",
        &["1,a", "5,d"],
        &[
            "rows.csv, line 3: it is not UTF-8",
            "rows.csv, line 4: it is not UTF-8",
            "rows.csv, line 5: it has 3 fields instead of 2",
            "rows.csv, line 6: it is not UTF-8",
            "rows.csv, line 7: it is not UTF-8",
        ],
    );
}

#[test]
fn too_long_a_record() {
    let long = "x".repeat(5000);
    check(
        "rows.csv",
        format!("n,text\n1,a\n2,\"{long}\"\n3,{long},{long}\n4,d\n"),
        &["1,a", "4,d"],
        &[
            "rows.csv, line 3: it is longer than 1000 bytes (is a quote not closed?)",
            "rows.csv, line 4: it is longer than 1000 bytes (is a quote not closed?)",
        ],
    );
}

#[test]
fn too_long_for_several_chunks() {
    let long = "x".repeat(5 << 20);
    check(
        "rows.csv",
        format!("n,text\n1,a\n2,{long}\n3,c\n"),
        &["1,a", "3,c"],
        &["rows.csv, line 3: it is longer than 1000 bytes (is a quote not closed?)"],
    );
    check(
        "rows.jsonl",
        format!("{{\"n\": 1}}\n{{\"text\": \"{long}\"}}\n{{\"n\": 3}}\n"),
        &["1,-", "3,-"],
        &["rows.jsonl, line 2: it is longer than 1000 bytes"],
    );
}

#[test]
fn far_too_many_fields() {
    let commas = ",".repeat(3 << 20);
    check(
        "rows.csv",
        format!("n,text\n1,a\n{commas}\n3,c\n"),
        &["1,a", "3,c"],
        &["rows.csv, line 3: it has 3145729 fields instead of 2"],
    );
}

#[test]
fn a_quote_that_is_never_closed() {
    let rest = "2,b\n".repeat(500);
    check(
        "rows.csv",
        format!("n,text\n1,a\n2,\"b\n{rest}"),
        &["1,a"],
        &["rows.csv, line 3: it is longer than 1000 bytes (is a quote not closed?)"],
    );
}

#[test]
fn a_long_value_is_cut_in_the_message() {
    let long = "9".repeat(60);
    let shown = "9".repeat(40);
    check(
        "rows.csv",
        format!("n,text\n{long},a\n"),
        &[],
        &[&format!(
            "rows.csv, line 2, column `n`: `{shown}...` is no int64"
        )],
    );
}

#[test]
fn a_null_where_none_is_allowed() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), "n\n1\n\"\"\n3\n").unwrap();
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let options = FileSourceOptions {
        schema: Some(Arc::new(schema)),
        malformed: SKIP,
        ..FileSourceOptions::new("rows.csv")
    };
    let source = prepare(folder.path(), options).unwrap();
    let batches = crate::support::read(source.clone(), 1).unwrap();
    assert_eq!(lines(&whole(&source.schema(), &batches)), ["1", "3"]);
    let told = source.malformed_rows()[0].to_string();
    let expected = "rows.csv, line 3, column `n`: it is null, which the schema does not allow";
    assert_eq!(told, expected);
}

/// Rows whose event time is null, 2 and 4 of 5, in a file of this name; where that is told.
#[track_caller]
fn check_event_times(name: &str, places: [&str; 2]) {
    let folder = tempdir().unwrap();
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let fields = vec![
        Field::new("n", DataType::Int64, true),
        Field::new("at", time, true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let times = [Some(1), None, Some(3), None, Some(5)];
    let columns: [ArrayRef; 2] = [
        Arc::new(Int64Array::from_iter_values(1..=5)),
        Arc::new(TimestampMicrosecondArray::from_iter(times)),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns.to_vec()).unwrap();
    let sink = prepare_sink(folder.path(), FileSinkOptions::new(name), &schema, 1).unwrap();
    write(&schema, vec![batch], sink, 1).unwrap();
    let expected =
        places.map(|place| format!("{name}, {place}, column `at`: the event time is null"));
    for batch_rows in [1, 2, 8192] {
        let source = |malformed| {
            let options = FileSourceOptions {
                schema: Some(schema.clone()),
                // In another order than in the file.
                columns: Some(vec!["at".into(), "n".into()]),
                malformed,
                batch_rows,
                ..FileSourceOptions::new(name)
            };
            prepare(folder.path(), options).unwrap()
        };
        let failed = source(Malformed::Fail).with_event_time("at");
        let error = crate::support::read(failed, 1).unwrap_err();
        assert_eq!(cause(&error), expected[0], "batches of {batch_rows}");
        let skipping = source(SKIP).with_event_time("at");
        let left = crate::support::read(skipping.clone(), 1).unwrap();
        let left = lines(&whole(&skipping.schema(), &left));
        let numbers: Vec<_> = left
            .iter()
            .filter_map(|row| row.rsplit(',').next())
            .collect();
        assert_eq!(numbers, ["1", "3", "5"], "batches of {batch_rows}");
        let told = skipping.malformed_rows();
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected, "batches of {batch_rows}");
        let table = crate::support::read(source(Malformed::Fail), 1).unwrap();
        assert_eq!(whole(&skipping.schema(), &table).num_rows(), 5);
    }
}

#[test]
fn a_row_of_a_stream_without_event_time() {
    check_event_times("rows.csv", ["line 3", "line 5"]);
    check_event_times("rows.jsonl", ["line 2", "line 4"]);
    for name in ["rows.parquet", "rows.arrow", "rows.arrows"] {
        check_event_times(name, ["row 2", "row 4"]);
    }
}

#[test]
fn in_compressed_files() {
    let content = runtime().block_on(async {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(b"n,text\n1,a\nabc,b\n").await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    });
    check(
        "rows.csv.gz",
        content,
        &["1,a"],
        &["rows.csv.gz, line 3, column `n`: `abc` is no int64"],
    );
}

#[test]
fn lines_of_json() {
    let long = "x".repeat(5000);
    check(
        "rows.jsonl",
        [
            b"{\"n\": 1, \"text\": \"a\"}\n\n{\"n\": \"abc\"}\n{\"n\": 2\n{\"n\": 3} {\"n\": 4}\n7\n".as_slice(),
            format!("{{\"text\": \"{long}\"}}\n").as_bytes(),
            b"{\"text\": \"\xff\"}\n{\"n\": 5, \"text\": \"b\"}",
        ]
        .concat(),
        &["1,a", "5,b"],
        &[
            "rows.jsonl, line 3, column `n`: failed to parse \"abc\" as Int64",
            "rows.jsonl, line 4: the object does not end on its line",
            "rows.jsonl, line 5: it is not one object",
            "rows.jsonl, line 6: expected { got 7",
            "rows.jsonl, line 7: it is longer than 1000 bytes",
            "rows.jsonl, line 8: Encountered non-UTF-8 data",
        ],
    );
}

#[test]
fn only_the_first_ten_are_told() {
    let content = format!("n,text\n{}", "x,y\n".repeat(50));
    let (rows, count, told) = read("rows.csv", content.as_bytes(), SKIP, 7).unwrap();
    assert_eq!((rows.len(), count, told.len()), (0, 50, 10));
}

#[test]
fn columns_that_are_not_wanted_are_not_looked_at() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), "n,text\nabc,a\n").unwrap();
    let options = FileSourceOptions {
        columns: Some(vec!["text".into()]),
        ..options("rows.csv", Malformed::Fail)
    };
    let rows = crate::support::read_options(folder.path(), options).unwrap();
    assert_eq!(lines(&rows), ["a"]);
}
