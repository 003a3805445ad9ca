//! Standard output, and what stands for it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use arrow_array::{Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use forebay_connectors::{CsvOptions, Error, Format, WriterSink};

use crate::support::{cause, runtime, text, write};

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Fails(io::ErrorKind);

impl Write for Fails {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn batch() -> RecordBatch {
    let columns: [(_, arrow_array::ArrayRef); 3] = [
        ("n", Arc::new(Int64Array::from(vec![Some(1), None]))),
        ("x", Arc::new(Float64Array::from(vec![f64::NAN, 0.5]))),
        ("text", Arc::new(StringArray::from(vec!["a,b", "c\nd"]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn sink(format: &Format, writer: impl Write + Send + 'static) -> Result<WriterSink, Error> {
    let handle = runtime().handle().clone();
    WriterSink::new(format, &batch().schema(), Box::new(writer), handle)
}

#[track_caller]
fn check(format: &Format, batches: Vec<RecordBatch>, expected: &str) {
    let output = Output::default();
    let schema: SchemaRef = batch().schema();
    let sink = sink(format, output.clone()).unwrap();
    write(&schema, batches, sink, 1).unwrap();
    let written = output.0.lock().unwrap().clone();
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

#[test]
fn csv_has_one_header_and_quotes() {
    let csv = Format::Csv(CsvOptions::default());
    let rows = "1,NaN,\"a,b\"\n,0.5,\"c\nd\"\n";
    check(
        &csv,
        vec![batch(), batch()],
        &format!("n,x,text\n{rows}{rows}"),
    );
    check(&csv, Vec::new(), "n,x,text\n");
    let csv = Format::Csv(CsvOptions {
        delimiter: b';',
        null_values: vec!["NA".into()],
        header: false,
        ..CsvOptions::default()
    });
    check(&csv, vec![batch()], "1;NaN;a,b\nNA;0.5;\"c\nd\"\n");
}

#[test]
fn json_has_one_object_a_line() {
    let rows = "{\"n\":1,\"x\":null,\"text\":\"a,b\"}\n{\"x\":0.5,\"text\":\"c\\nd\"}\n";
    check(&Format::JsonLines, vec![batch()], rows);
    check(&Format::JsonLines, Vec::new(), "");
}

#[test]
fn nobody_who_reads_is_no_failure() {
    let sink = sink(&Format::JsonLines, Fails(io::ErrorKind::BrokenPipe)).unwrap();
    let error = write(&batch().schema(), vec![batch()], sink, 1).unwrap_err();
    let forebay_dataflow::Error::Operator { source, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(source.downcast_ref(), Some(Error::OutputClosed)));
}

#[test]
fn other_failures_are_told() {
    let sink = sink(&Format::JsonLines, Fails(io::ErrorKind::StorageFull)).unwrap();
    let error = write(&batch().schema(), vec![batch()], sink, 1).unwrap_err();
    assert_eq!(cause(&error), "cannot write `the output`: no storage space");
}

#[test]
fn only_text_goes_to_people() {
    let error = sink(&Format::Parquet, Output::default()).err().unwrap();
    let expected = "Parquet is not for people; write CSV or JSON lines, or into a file";
    assert_eq!(text(&error), expected);
}
