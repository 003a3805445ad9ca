//! What every format must do: hold what it says it holds, through a sink and a source, and as Arrow's own readers and writers see it.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use fastrand::Rng;
use forebay_connectors::{FileSinkOptions, FileSourceOptions, Format, SourceConnector};
use forebay_dataflow::Exchange;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::random;
use crate::support::{graph_to, prepare, prepare_sink, read, read_options, run, whole, write};

/// A format as the suite sees it.
struct Kind {
    file: &'static str,
    types: fn() -> Vec<DataType>,
    nan: bool,
    theirs: fn(&Path, &SchemaRef) -> Result<Vec<RecordBatch>, ArrowError>,
}

fn flat() -> Vec<DataType> {
    random::flat_types()
}

fn deep() -> Vec<DataType> {
    [random::flat_types(), random::deep_types()].concat()
}

fn all() -> Vec<DataType> {
    [deep(), vec![random::dictionary()]].concat()
}

/// What JSON has words for.
fn json_types() -> Vec<DataType> {
    let is_held = |kind: &DataType| !matches!(kind, DataType::Decimal256(..));
    deep().into_iter().filter(is_held).collect()
}

const CSV: Kind = Kind {
    file: "rows.csv",
    types: flat,
    nan: true,
    theirs: |path, schema| {
        // It does not know large texts.
        let known = schema.fields().iter().map(|field| match field.data_type() {
            DataType::LargeUtf8 => field.as_ref().clone().with_data_type(DataType::Utf8),
            _ => field.as_ref().clone(),
        });
        let known = Schema::new(known.collect::<Vec<_>>()).into();
        let builder = arrow_csv::ReaderBuilder::new(known).with_header(true);
        let batches = builder.build(File::open(path)?)?;
        let cast = |batch: Result<RecordBatch, ArrowError>| {
            let batch = batch?;
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| cast(column, field.data_type()));
            RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
        };
        batches.map(cast).collect()
    },
};

const JSON: Kind = Kind {
    file: "rows.jsonl",
    types: json_types,
    nan: false,
    theirs: |path, schema| {
        let builder = arrow_json::ReaderBuilder::new(schema.clone());
        builder.build(BufReader::new(File::open(path)?))?.collect()
    },
};

const PARQUET: Kind = Kind {
    file: "rows.parquet",
    types: all,
    nan: true,
    theirs: |path, _| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?);
        reader.unwrap().build().unwrap().collect()
    },
};

const ARROW: Kind = Kind {
    file: "rows.arrow",
    types: deep,
    nan: true,
    theirs: |path, _| FileReader::try_new(File::open(path)?, None)?.collect(),
};

const ARROW_STREAM: Kind = Kind {
    file: "rows.arrows",
    types: all,
    nan: true,
    theirs: |path, _| StreamReader::try_new(Cursor::new(std::fs::read(path)?), None)?.collect(),
};

fn options(kind: &Kind, schema: &SchemaRef) -> FileSourceOptions {
    FileSourceOptions {
        schema: Some(schema.clone()),
        ..FileSourceOptions::new(kind.file)
    }
}

/// A folder with a file of random rows, and these.
fn written(kind: &Kind, rng: &mut Rng) -> (TempDir, SchemaRef, Vec<RecordBatch>) {
    let schema = random::schema(&(kind.types)(), rng);
    let batches = random::batches(&schema, kind.nan, rng);
    let folder = tempfile::tempdir().unwrap();
    let sink = prepare_sink(folder.path(), FileSinkOptions::new(kind.file), &schema, 1).unwrap();
    write(&schema, batches.clone(), sink, 1).unwrap();
    (folder, schema, batches)
}

fn check_round_trip(kind: &Kind, seed: u64, batch_rows: usize) {
    let mut rng = Rng::with_seed(seed);
    let (folder, schema, batches) = written(kind, &mut rng);
    let expected = whole(&schema, &batches);

    let theirs = (kind.theirs)(&folder.path().join(kind.file), &schema).unwrap();
    assert_eq!(whole(&schema, &theirs), expected, "as Arrow reads it");

    let mut options = options(kind, &schema);
    options.batch_rows = batch_rows;
    let source = prepare(folder.path(), options.clone()).unwrap();
    let ours = read(source, 1).unwrap();
    assert!(ours.iter().all(|batch| batch.num_rows() <= batch_rows));
    assert_eq!(whole(&schema, &ours), expected, "as we read it");

    let some: Vec<usize> = (0..schema.fields().len())
        .rev()
        .filter(|_| rng.bool())
        .collect();
    let names = some
        .iter()
        .map(|column| schema.field(*column).name().clone());
    options.columns = Some(names.collect());
    let projected = read_options(folder.path(), options).unwrap();
    assert_eq!(
        projected,
        expected.project(&some).unwrap(),
        "columns {some:?}"
    );
}

const SINK_TASKS: usize = 3;

/// From a file through an exchange into files of several tasks: as Arrow reads those, no row is missing, twice, or another one.
fn check_copy(kind: &Kind, seed: u64, batch_rows: usize) {
    let mut rng = Rng::with_seed(seed);
    let (folder, schema, batches) = written(kind, &mut rng);

    let mut from = options(kind, &schema);
    from.batch_rows = batch_rows;
    let source = prepare(folder.path(), from).unwrap();
    std::fs::create_dir(folder.path().join("copy")).unwrap();
    let mut into = FileSinkOptions::new("copy");
    into.format = Some(Format::of_name(kind.file).unwrap().0);
    let sink = prepare_sink(folder.path(), into, &schema, SINK_TASKS).unwrap();
    let exchange = exchange(&schema, &mut rng);
    run(&graph_to(source, 1, sink, SINK_TASKS, exchange.clone())).unwrap();

    let copies = if exchange == Exchange::Broadcast {
        SINK_TASKS
    } else {
        1
    };
    let expected = std::iter::repeat_n(&batches, copies).flatten();
    let parts = (0..SINK_TASKS).map(|task| {
        let (_, ending) = kind.file.split_once('.').unwrap();
        folder.path().join(format!("copy/part-{task:05}.{ending}"))
    });
    let theirs: Vec<RecordBatch> = parts
        .flat_map(|part| (kind.theirs)(&part, &schema).unwrap())
        .collect();
    assert_eq!(sorted(&theirs), sorted(expected), "{exchange}");
}

fn exchange(schema: &SchemaRef, rng: &mut Rng) -> Exchange {
    let mut fields = schema.fields().iter();
    let key = fields.find(|field| {
        use DataType::{Boolean, Date32, Int8, Int64, Timestamp, UInt16, Utf8, Utf8View};
        matches!(
            field.data_type(),
            Boolean | Date32 | Int8 | Int64 | UInt16 | Utf8 | Utf8View | Timestamp(..)
        )
    });
    match (rng.u8(0..3), key) {
        (0, Some(key)) => Exchange::Hash(vec![key.name().clone()]),
        (1, _) => Exchange::Broadcast,
        _ => Exchange::RoundRobin,
    }
}

/// Each row as a text, in an order of their own.
fn sorted<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Vec<String> {
    // The same texts may have other numbers in another file.
    let plain = |column: &ArrayRef| match column.data_type() {
        DataType::Dictionary(_, texts) => cast(column, texts).unwrap(),
        _ => column.clone(),
    };
    let rows = batches.into_iter().flat_map(|batch| {
        let columns: Vec<_> = batch.columns().iter().map(plain).collect();
        let row = move |row| {
            let values = columns.iter().map(|column| column.slice(row, 1));
            format!("{:?}", values.collect::<Vec<_>>())
        };
        (0..batch.num_rows()).map(row)
    });
    let mut rows: Vec<String> = rows.collect();
    rows.sort_unstable();
    rows
}

/// A table without rows has its columns all the same.
fn check_no_rows(kind: &Kind) {
    let schema = random::schema(&(kind.types)(), &mut Rng::with_seed(1));
    let folder = tempfile::tempdir().unwrap();
    let sink = prepare_sink(folder.path(), FileSinkOptions::new(kind.file), &schema, 1).unwrap();
    write(&schema, Vec::new(), sink, 1).unwrap();
    let source = prepare(folder.path(), options(kind, &schema)).unwrap();
    assert_eq!(source.schema(), schema);
    assert!(read(source, 1).unwrap().is_empty());
}

/// A file that ends too early is an error, or (text) has fewer rows, but never others.
fn check_cut_off(kind: &Kind) {
    let mut rng = Rng::with_seed(7);
    let schema = random::schema(&[DataType::Int64, DataType::Utf8], &mut rng);
    let rows = std::iter::repeat_with(|| random::batches(&schema, false, &mut rng));
    let batches: Vec<_> = rows
        .flatten()
        .filter(|batch| batch.num_rows() > 0)
        .take(3)
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let sink = prepare_sink(folder.path(), FileSinkOptions::new(kind.file), &schema, 1).unwrap();
    write(&schema, batches.clone(), sink, 1).unwrap();
    let path = folder.path().join(kind.file);
    let bytes = std::fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        match read_options(folder.path(), options(kind, &schema)) {
            Err(error) => assert!(error.contains(kind.file), "{error}"),
            Ok(rows) => assert!(rows.num_rows() < whole(&schema, &batches).num_rows()),
        }
    }
}

macro_rules! conform {
    ($name:ident, $kind:expr) => {
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
                #[test]
                fn what_is_written_is_read(seed: u64, batch_rows in 1_usize..100) {
                    check_round_trip(&$kind, seed, batch_rows);
                }

                #[test]
                fn what_is_read_goes_through_exchanges_into_files(seed: u64, batch_rows in 1_usize..100) {
                    check_copy(&$kind, seed, batch_rows);
                }
            }

            #[test]
            fn no_rows_have_columns() {
                check_no_rows(&$kind);
            }

            #[test]
            fn a_file_that_is_cut_off_has_no_other_rows() {
                check_cut_off(&$kind);
            }
        }
    };
}

conform!(csv, CSV);
conform!(json_lines, JSON);
conform!(parquet_files, PARQUET);
conform!(arrow_files, ARROW);
conform!(arrow_streams, ARROW_STREAM);
