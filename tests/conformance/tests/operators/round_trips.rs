//! Whatever goes through an operator that hands its rows on comes out as it was.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow_array::types::Float32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, Float64Array,
    Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use forebay_plugin::{Limits, OperatorComponent};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::support::{batch, faults, open};

static ECHO: LazyLock<OperatorComponent> = LazyLock::new(|| faults(Limits::default()));

/// What comes out.
fn echo(rows: &RecordBatch) -> Vec<RecordBatch> {
    open(&ECHO, "", rows).unwrap().process(rows).unwrap()
}

/// A type that comes in, and that which comes out.
fn pairs() -> Vec<(DataType, DataType)> {
    let micros =
        |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let dictionary = |keys, values| DataType::Dictionary(Box::new(keys), Box::new(values));
    let mut pairs = vec![
        (DataType::Boolean, DataType::Boolean),
        (DataType::Int8, DataType::Int32),
        (DataType::Int16, DataType::Int32),
        (DataType::Int32, DataType::Int32),
        (DataType::UInt8, DataType::Int32),
        (DataType::UInt16, DataType::Int32),
        (DataType::UInt32, DataType::Int64),
        (DataType::Int64, DataType::Int64),
        (DataType::Float16, DataType::Float32),
        (DataType::Float32, DataType::Float32),
        (DataType::Float64, DataType::Float64),
        (DataType::Utf8, DataType::Utf8),
        (DataType::LargeUtf8, DataType::Utf8),
        (DataType::Utf8View, DataType::Utf8),
        (dictionary(DataType::Int32, DataType::Utf8), DataType::Utf8),
        (
            dictionary(DataType::UInt16, DataType::LargeUtf8),
            DataType::Utf8,
        ),
        (DataType::Binary, DataType::Binary),
        (DataType::LargeBinary, DataType::Binary),
        (DataType::BinaryView, DataType::Binary),
        (DataType::FixedSizeBinary(3), DataType::Binary),
    ];
    for unit in [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ] {
        for zone in [None, Some("UTC"), Some("America/New_York")] {
            pairs.push((
                DataType::Timestamp(unit, zone.map(Into::into)),
                micros(zone),
            ));
        }
    }
    pairs
}

/// So many cells, with nulls if there may be some.
fn cells<S>(nullable: bool, rows: usize, cell: S) -> BoxedStrategy<Vec<Option<S::Value>>>
where
    S: Strategy + 'static,
{
    if nullable {
        vec(option::weighted(0.7, cell), rows).boxed()
    } else {
        vec(cell.prop_map(Some), rows).boxed()
    }
}

/// A column of so many rows of this type, with nulls if it may have them.
fn column(data_type: &DataType, rows: usize, nullable: bool) -> BoxedStrategy<ArrayRef> {
    let target = data_type.clone();
    let of = |range: Range<i64>| {
        cells(nullable, rows, range).prop_map(|cells| Arc::new(Int64Array::from(cells)) as ArrayRef)
    };
    let base: BoxedStrategy<ArrayRef> = match data_type {
        DataType::Boolean => cells(nullable, rows, any::<bool>())
            .prop_map(|cells| Arc::new(BooleanArray::from(cells)) as ArrayRef)
            .boxed(),
        DataType::Int8 => of(-128..128).boxed(),
        DataType::Int16 => of(-32_768..32_768).boxed(),
        DataType::Int32 => of(i32::MIN.into()..i64::from(i32::MAX) + 1).boxed(),
        DataType::UInt8 => of(0..256).boxed(),
        DataType::UInt16 => of(0..65_536).boxed(),
        DataType::UInt32 => of(0..i64::from(u32::MAX) + 1).boxed(),
        DataType::Int64 => of(i64::MIN..i64::MAX).boxed(),
        DataType::Timestamp(..) => of(-1_000_000_000..1_000_000_000).boxed(),
        DataType::Float16 | DataType::Float32 => cells(nullable, rows, prop::num::f32::ANY)
            .prop_map(|cells| Arc::new(Float32Array::from(cells)) as ArrayRef)
            .boxed(),
        DataType::Float64 => cells(nullable, rows, prop::num::f64::ANY)
            .prop_map(|cells| Arc::new(Float64Array::from(cells)) as ArrayRef)
            .boxed(),
        DataType::FixedSizeBinary(_) => cells(nullable, rows, any::<[u8; 3]>())
            .prop_map(|cells| {
                let cells = cells
                    .iter()
                    .map(|cell| cell.as_ref().map(|bytes| &bytes[..]));
                Arc::new(cells.collect::<BinaryArray>()) as ArrayRef
            })
            .boxed(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            cells(nullable, rows, vec(any::<u8>(), 0..20))
                .prop_map(|cells| {
                    let cells = cells.iter().map(|cell| cell.as_deref());
                    Arc::new(cells.collect::<BinaryArray>()) as ArrayRef
                })
                .boxed()
        }
        _ => cells(nullable, rows, ".{0,16}")
            .prop_map(|cells| Arc::new(StringArray::from(cells)) as ArrayRef)
            .boxed(),
    };
    base.prop_map(move |array| cast(&array, &target).unwrap())
        .boxed()
}

fn vectors(size: i32, rows: usize, nullable: bool) -> BoxedStrategy<ArrayRef> {
    let numbers = usize::try_from(size).unwrap() * rows;
    let nulls = vec(
        any::<bool>().prop_map(move |valid| valid || !nullable),
        rows,
    );
    (vec(prop::num::f32::ANY, numbers), nulls)
        .prop_map(move |(numbers, nulls)| {
            let item = Arc::new(Field::new("item", DataType::Float32, false));
            let numbers = Arc::new(Float32Array::from(numbers));
            Arc::new(FixedSizeListArray::new(
                item,
                size,
                numbers,
                Some(nulls.into()),
            )) as ArrayRef
        })
        .boxed()
}

/// A column, and the type in which it comes out.
fn any_column(rows: usize) -> BoxedStrategy<(ArrayRef, DataType)> {
    let pairs = pairs();
    let scalar = (0..pairs.len(), any::<bool>()).prop_flat_map(move |(at, nullable)| {
        let (given, answered) = pairs[at].clone();
        column(&given, rows, nullable).prop_map(move |array| (array, answered.clone()))
    });
    let vector = (1..5, any::<bool>()).prop_flat_map(move |(size, nullable)| {
        vectors(size, rows, nullable).prop_map(|array| {
            let data_type = array.data_type().clone();
            (array, data_type)
        })
    });
    prop_oneof![6 => scalar, 1 => vector].boxed()
}

/// Columns, their types afterwards, and a part of the rows.
fn any_rows() -> impl Strategy<Value = (Vec<(ArrayRef, DataType)>, usize, usize)> {
    (0_usize..60).prop_flat_map(|rows| {
        (vec(any_column(rows), 1..6), 0..=rows).prop_flat_map(move |(columns, offset)| {
            (Just(columns), Just(offset), 0..=rows - offset)
        })
    })
}

proptest! {
    #[test]
    fn any_column_of_any_slice_comes_back((columns, offset, length) in any_rows()) {
        let field = |(at, (array, _)): (usize, &(ArrayRef, DataType))| {
            Field::new(format!("c{at}"), array.data_type().clone(), array.null_count() > 0)
        };
        let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
        let arrays = columns.iter().map(|(array, _)| Arc::clone(array)).collect();
        let rows = RecordBatch::try_new(schema, arrays).unwrap().slice(offset, length);
        let answer = echo(&rows);
        if length == 0 {
            prop_assert_eq!(answer.len(), 0);
        } else {
            prop_assert_eq!(answer.len(), 1);
            prop_assert_eq!(answer[0].num_rows(), length);
            for (at, (_, data_type)) in columns.iter().enumerate() {
                let expected = cast(rows.column(at), data_type).unwrap();
                prop_assert_eq!(answer[0].column(at), &expected, "column {}", at);
            }
        }
    }
}

/// Every type at once, whatever the property test draws.
#[test]
fn every_type_comes_back() {
    for (given, answered) in pairs() {
        let whole: ArrayRef = match &given {
            DataType::Boolean => Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            DataType::FixedSizeBinary(_) => Arc::new(BinaryArray::from(vec![
                Some(&b"abc"[..]),
                None,
                Some(b"xyz"),
            ])),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                Arc::new(BinaryArray::from(vec![Some(&b"\xff"[..]), None, Some(b"")]))
            }
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Dictionary(..) => {
                Arc::new(StringArray::from(vec![Some("JFK"), None, Some("")]))
            }
            DataType::Timestamp(..) => Arc::new(TimestampMicrosecondArray::from(vec![
                Some(3_000_000),
                None,
                Some(-1_000_000),
            ])),
            _ => Arc::new(Int64Array::from(vec![Some(1), None, Some(0)])),
        };
        let rows = batch(vec![("x", cast(&whole, &given).unwrap())]);
        let answer = echo(&rows);
        let expected = cast(rows.column(0), &answered).unwrap();
        assert_eq!(answer[0].column(0), &expected, "{given}");
        assert_eq!(answer[0].schema().field(0).data_type(), &answered);
    }
}

/// Numbers in rows that are null may be null themselves: builders leave them so.
#[test]
fn vectors_whose_rows_are_null_come_back() {
    let vectors = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        [
            Some([Some(1.0), Some(2.0)]),
            None,
            Some([Some(3.0), Some(4.0)]),
        ],
        2,
    );
    let rows = batch(vec![("x", Arc::new(vectors))]);
    for (offset, length) in [(0, 3), (1, 2), (2, 1)] {
        let rows = rows.slice(offset, length);
        let answer = &echo(&rows)[0];
        let item = Field::new("item", DataType::Float32, false);
        let data_type = DataType::FixedSizeList(Arc::new(item), 2);
        assert_eq!(answer.column(0).data_type(), &data_type);
        let nulls = |array: &ArrayRef| {
            (0..length)
                .map(|row| array.is_null(row))
                .collect::<Vec<_>>()
        };
        assert_eq!(nulls(answer.column(0)), nulls(rows.column(0)));
        let first = answer.column(0).slice(length - 1, 1);
        let sum: f32 = cast(&first, &DataType::new_list(DataType::Float32, false))
            .unwrap()
            .to_data()
            .child_data()[0]
            .buffer::<f32>(0)
            .iter()
            .sum();
        assert!(sum >= 7.0, "{sum}");
    }
}

#[test]
fn rows_without_columns_and_columns_without_rows() {
    let none = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        Vec::new(),
        &RecordBatchOptions::new().with_row_count(Some(3)),
    );
    let config = r#"{"count": true}"#;
    let rows = none.unwrap();
    let answer = open(&ECHO, config, &rows).unwrap().process(&rows).unwrap();
    let seen = Arc::new(Int64Array::from(vec![1, 2, 3]));
    assert_eq!(answer[0].columns(), [seen as ArrayRef]);
}

/// What the default limits are made for.
#[test]
fn batches_of_8192_rows_and_40_columns_fit() {
    let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values((0..8192).map(f64::from)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..8192).map(|row| format!("carrier {row}")),
    ));
    let column = |at: usize| {
        let array = if at.is_multiple_of(2) {
            &numbers
        } else {
            &texts
        };
        (format!("c{at}"), Arc::clone(array))
    };
    let rows = RecordBatch::try_from_iter((0..40).map(column)).unwrap();
    let mut operator = open(&ECHO, "", &rows).unwrap();
    for _ in 0..100 {
        let answer = operator.process(&rows).unwrap();
        assert_eq!(answer, std::slice::from_ref(&rows));
    }
}
