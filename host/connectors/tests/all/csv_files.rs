//! CSV as people write it.

use std::io::{Cursor, Write};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
use fastrand::Rng;
use forebay_connectors::{CsvOptions, FileSourceOptions, Format, SourceConnector};
use forebay_dataflow::Exchange;
use tempfile::tempdir;
use tokio::io::AsyncWriteExt;

use crate::support::{
    Kept, cause, graph, lines, prepare, read_file, read_options, run, runtime, types, whole,
};

#[track_caller]
fn check(content: &str, expected: &[&str]) {
    let folder = tempdir().unwrap();
    let rows = read_file(folder.path(), "rows.csv", content).unwrap();
    assert_eq!(lines(&rows), expected);
}

#[track_caller]
fn check_options(content: &str, csv: CsvOptions, expected: &[&str]) {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), content).unwrap();
    let options = FileSourceOptions {
        format: Some(Format::Csv(csv)),
        ..FileSourceOptions::new("rows.csv")
    };
    assert_eq!(
        lines(&read_options(folder.path(), options).unwrap()),
        expected
    );
}

#[test]
fn quotes_keep_delimiters_and_doubled_quotes() {
    check(
        "a,b\n\"1,5\",\"say \"\"so\"\"\"\n",
        &["\"1,5\",\"say \"\"so\"\"\""],
    );
}

#[test]
fn blank_lines_and_all_line_ends_are_skipped() {
    check("\n\na,b\r\n1,2\r3,4\n\n\n5,6", &["1,2", "3,4", "5,6"]);
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_name() {
    let folder = tempdir().unwrap();
    let rows = read_file(folder.path(), "rows.csv", "\u{feff}a,b\n1,2\n").unwrap();
    assert_eq!(types(&rows.schema()), ["a Int64", "b Int64"]);
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_value() {
    let csv = CsvOptions {
        header: false,
        ..CsvOptions::default()
    };
    check_options("\u{feff}1,2\n3,4\n", csv, &["1,2", "3,4"]);
}

#[test]
fn an_escape_makes_a_quote_part_of_the_value() {
    let csv = CsvOptions {
        escape: Some(b'\\'),
        ..CsvOptions::default()
    };
    check_options("a\n\"x\\\"y\"\n", csv, &["\"x\"\"y\""]);
}

#[test]
fn another_delimiter_and_quote() {
    let csv = CsvOptions {
        delimiter: b';',
        quote: Some(b'\''),
        ..CsvOptions::default()
    };
    check_options("a;b\n'x;y';1,5\n", csv, &["x;y,\"1,5\""]);
}

#[test]
fn without_quotes_they_are_values() {
    let csv = CsvOptions {
        quote: None,
        ..CsvOptions::default()
    };
    check_options("a\n\"x\n", csv, &["\"\"\"x\""]);
}

#[test]
fn null_values_are_null_in_every_column_and_empty_ones_only_where_no_text_is() {
    let csv = CsvOptions {
        null_values: vec!["NA".into(), "?".into()],
        ..CsvOptions::default()
    };
    let rows = "a,b\n1,x\nNA,NA\n,\n?,?\n";
    check_options(rows, csv, &["1,x", "-,-", "-,", "-,-"]);
}

#[test]
fn without_a_header_columns_are_numbered() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), "1,x\n2,y\n").unwrap();
    let csv = CsvOptions {
        header: false,
        ..CsvOptions::default()
    };
    let options = FileSourceOptions {
        format: Some(Format::Csv(csv)),
        ..FileSourceOptions::new("rows.csv")
    };
    let rows = read_options(folder.path(), options).unwrap();
    assert_eq!(types(&rows.schema()), ["column_1 Int64", "column_2 Utf8"]);
    assert_eq!(lines(&rows), ["1,x", "2,y"]);
}

#[test]
fn a_header_alone_is_no_rows() {
    check("a,b\n", &[]);
}

#[test]
fn tabs_by_extension() {
    let folder = tempdir().unwrap();
    let rows = read_file(folder.path(), "rows.tsv", "a\tb\n1\tx,y\n").unwrap();
    assert_eq!(lines(&rows), ["1,\"x,y\""]);
}

/// A value as somebody may have written it: short and long, with quotes or without.
fn value(delimiter: char, rng: &mut Rng) -> String {
    let most = *rng.choice(&[3, 9, 80]).expect("one of three");
    let length = rng.usize(..most);
    let quoted = rng.u8(..8) == 0;
    let mut from = |chars: &[char]| -> String {
        std::iter::repeat_with(|| *rng.choice(chars).expect("one of them"))
            .take(length)
            .collect()
    };
    if quoted {
        let text = from(&['a', 'ö', delimiter, '"', '\n', '\r', ' ']);
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        // A quote that does not begin a value is a part of it.
        let text = from(&['a', 'b', 'ö', ' ', '-', '+', '.', '|', 'c']);
        text + *rng.choice(&["x", "x", "x", "x\"y"]).expect("one of them")
    }
}

#[test]
fn any_values_are_what_another_reader_reads() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let columns = rng.usize(1..30);
        let names: Vec<String> = (0..columns).map(|number| format!("c{number}")).collect();
        let delimiter = *rng.choice(&[',', ';', '\t']).expect("one of three");
        let between = delimiter.to_string();
        let mut content = names.join(&between) + "\n";
        for _ in 0..rng.usize(..900) {
            let values: Vec<String> = (0..columns).map(|_| value(delimiter, &mut rng)).collect();
            content += &values.join(&between);
            content += rng
                .choice(&["\n", "\n", "\r\n", "\r", "\n\n"])
                .expect("one");
        }
        let fields = names
            .iter()
            .map(|name| Field::new(name, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let csv = CsvOptions {
            delimiter: delimiter as u8,
            ..CsvOptions::default()
        };
        let theirs = arrow_csv::ReaderBuilder::new(schema.clone())
            .with_header(true)
            .with_delimiter(csv.delimiter);
        let theirs = theirs.build(Cursor::new(&content)).expect("a reader");
        let theirs: Vec<_> = theirs.map(|batch| batch.expect("rows")).collect();
        let folder = tempdir().unwrap();
        std::fs::write(folder.path().join("rows.csv"), &content).unwrap();
        let options = FileSourceOptions {
            format: Some(Format::Csv(csv)),
            schema: Some(schema.clone()),
            batch_rows: rng.usize(1..700),
            ..FileSourceOptions::new("rows.csv")
        };
        let ours = read_options(folder.path(), options).unwrap();
        assert_eq!(lines(&ours), lines(&whole(&schema, &theirs)), "seed {seed}");
    }
}

#[test]
fn lines_may_end_as_they_did_on_old_machines() {
    let rows: Vec<String> = (0..100_000)
        .map(|row| format!("{row},text of row {row}"))
        .collect();
    let content = format!("n,text\r{}\r", rows.join("\r"));
    let folder = tempdir().unwrap();
    let read = read_file(folder.path(), "rows.csv", &content).unwrap();
    assert_eq!(lines(&read).join("\n"), rows.join("\n"));
}

#[test]
fn many_columns_take_no_more_memory_than_they_need() {
    let columns = 50_000;
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let row: Vec<String> = (0..columns).map(|column| column.to_string()).collect();
    let content = format!("{}\n{1}\n{1}\n", names.join(","), row.join(","));
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), content).unwrap();
    let options = FileSourceOptions {
        batch_rows: usize::MAX,
        ..FileSourceOptions::new("rows.csv")
    };
    let read = read_options(folder.path(), options).unwrap();
    assert_eq!(lines(&read), [row.join(","), row.join(",")]);
}

#[test]
fn what_is_good_comes_before_the_error_behind_it() {
    let rows: Vec<String> = (0..200_000)
        .map(|row| format!("{row},text of row {row}"))
        .collect();
    let mut bytes = runtime().block_on(async {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(b"n,text\n").await.unwrap();
        encoder.write_all(rows.join("\n").as_bytes()).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    });
    bytes.truncate(bytes.len() - 100);
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv.gz"), bytes).unwrap();
    let source = prepare(folder.path(), FileSourceOptions::new("rows.csv.gz")).unwrap();
    let kept = Kept::default();
    let graph = graph(source.clone(), kept.clone(), 1, Exchange::Forward);
    let error = cause(&run(&graph).unwrap_err());
    assert!(error.contains("rows.csv.gz"), "{error}");
    let read = lines(&whole(&source.schema(), &kept.batches()));
    assert!(read.len() > 100_000, "{} rows", read.len());
    assert!(read == rows[..read.len()], "other rows");
}

/// Larger than a chunk, so that records and quotes are cut everywhere.
fn large() -> (String, Vec<String>) {
    let row = |number: usize| format!("{number},\"line one\nöf row {number}\"");
    let rows: Vec<String> = (0..120_000).map(row).collect();
    (format!("n,text\n{}\n", rows.join("\n")), rows)
}

#[test]
fn records_that_chunks_cut_are_whole() {
    let (content, rows) = large();
    let folder = tempdir().unwrap();
    let read = read_file(folder.path(), "rows.csv", &content).unwrap();
    assert_eq!(lines(&read).join("\n"), rows.join("\n"));
}

#[test]
fn compressed_files_are_read_with_all_their_members() {
    let (content, rows) = large();
    let folder = tempdir().unwrap();
    let (first, second) = content.split_at(content.len() / 2);
    let gzip = runtime().block_on(async {
        let mut bytes = Vec::new();
        for part in [first, second] {
            let mut encoder = GzipEncoder::new(&mut bytes);
            encoder.write_all(part.as_bytes()).await.unwrap();
            encoder.shutdown().await.unwrap();
        }
        bytes
    });
    let read = read_file(folder.path(), "rows.csv.gz", &gzip).unwrap();
    assert_eq!(lines(&read).join("\n"), rows.join("\n"));
    let cut = read_file(folder.path(), "cut.csv.gz", &gzip[..gzip.len() - 40]).unwrap_err();
    assert!(
        cut.starts_with("`cut.csv.gz` is damaged, or no gzip file"),
        "{cut}"
    );

    let zstd = runtime().block_on(async {
        let mut encoder = ZstdEncoder::new(Vec::new());
        encoder.write_all(content.as_bytes()).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    });
    let read = read_file(folder.path(), "rows.csv.zst", zstd).unwrap();
    assert_eq!(lines(&read).join("\n"), rows.join("\n"));
}

#[test]
fn what_is_not_compressed_is_named() {
    let folder = tempdir().unwrap();
    let error = read_file(folder.path(), "rows.csv.gz", "a,b\n1,2\n").unwrap_err();
    assert!(
        error.starts_with("`rows.csv.gz` is damaged, or no gzip file"),
        "{error}"
    );
}

#[test]
fn columns_are_found_by_name_in_every_file() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("1.csv"), "a,b\n1,x\n").unwrap();
    std::fs::write(folder.path().join("2.csv"), "b,a\ny,2\n").unwrap();
    let rows = read_options(folder.path(), FileSourceOptions::new("*.csv")).unwrap();
    assert_eq!(lines(&rows), ["1,x", "2,y"]);
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, large().0).unwrap();
    let source =
        crate::support::prepare(folder.path(), FileSourceOptions::new("rows.csv")).unwrap();
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"n,text\n").unwrap();
    let error = crate::support::read(source, 1).unwrap_err();
    let text = crate::support::cause(&error);
    assert!(text.contains("rows.csv"), "{text}");
}
