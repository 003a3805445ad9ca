//! Random rows of all types.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, ListBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, BooleanArray, NullArray, RecordBatch, StructArray};
use arrow_buffer::i256;
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use fastrand::Rng;

/// What breaks naive writers of text.
const TEXTS: [&str; 12] = [
    "plain",
    "comma, separated",
    "\"quoted\"",
    "line\nend",
    "carriage\r\nreturn",
    "tab\there",
    " spaces ",
    "zürich 東京 🚀",
    "'single'",
    "back\\slash",
    "NULL",
    "-",
];

/// Types that text without structure can hold.
pub(crate) fn flat_types() -> Vec<DataType> {
    use DataType::{
        Boolean, Date32, Date64, Decimal128, Decimal256, Float32, Float64, Int8, Int16, Int32,
        Int64, LargeUtf8, Time32, Time64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    let units = [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ];
    let zones = [None, Some("UTC".into()), Some("+02:00".into())];
    let times = units.iter().flat_map(|unit| {
        let zones = zones.iter();
        zones.map(|zone| Timestamp(*unit, zone.clone()))
    });
    let flat = [
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float32,
        Float64,
        Date32,
        Date64,
        Time32(TimeUnit::Second),
        Time32(TimeUnit::Millisecond),
        Time64(TimeUnit::Microsecond),
        Time64(TimeUnit::Nanosecond),
        Decimal128(20, 4),
        Decimal256(40, 6),
        Utf8,
        LargeUtf8,
        Utf8View,
    ];
    flat.into_iter().chain(times).collect()
}

/// Types with structure, and bytes.
pub(crate) fn deep_types() -> Vec<DataType> {
    let item = Field::new_list_field(DataType::Int64, true);
    let fields = vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Utf8, true),
    ];
    vec![
        DataType::Binary,
        DataType::List(Arc::new(item)),
        DataType::Struct(fields.into()),
    ]
}

pub(crate) fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Some of these types, in random order.
pub(crate) fn schema(types: &[DataType], rng: &mut Rng) -> SchemaRef {
    let columns = rng.usize(1..=6);
    let fields = (0..columns).map(|column| {
        let kind = types[rng.usize(..types.len())].clone();
        Field::new(format!("c{column}"), kind, true)
    });
    Schema::new(fields.collect::<Vec<_>>()).into()
}

/// Batches, some of them empty.
pub(crate) fn batches(schema: &SchemaRef, nan: bool, rng: &mut Rng) -> Vec<RecordBatch> {
    let count = rng.usize(..5);
    let mut batch = || {
        let rows = if rng.bool() { rng.usize(..40) } else { 0 };
        let fields = schema.fields().iter();
        let columns = fields.map(|field| array(field.data_type(), rows, nan, rng));
        RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
    };
    (0..count).map(|_| batch()).collect()
}

fn primitive<T: ArrowPrimitiveType>(
    kind: &DataType,
    rows: usize,
    rng: &mut Rng,
    value: impl Fn(&mut Rng) -> T::Native,
) -> ArrayRef {
    let mut builder = PrimitiveBuilder::<T>::new().with_data_type(kind.clone());
    for _ in 0..rows {
        builder.append_option((rng.u8(..5) > 0).then(|| value(rng)));
    }
    Arc::new(builder.finish())
}

fn float(nan: bool, rng: &mut Rng) -> f64 {
    match rng.u8(..8) {
        0 if nan => f64::NAN,
        1 if nan => f64::INFINITY,
        2 if nan => f64::NEG_INFINITY,
        3 => 0.0,
        4 => -1.5e-300,
        5 => 1.0e300,
        _ => rng.f64() * 1000.0 - 500.0,
    }
}

fn text(rng: &mut Rng) -> &'static str {
    TEXTS[rng.usize(..TEXTS.len())]
}

/// Seconds between 1700 and 2200.
fn seconds(rng: &mut Rng) -> i64 {
    rng.i64(-8_500_000_000..7_200_000_000)
}

fn array(kind: &DataType, rows: usize, nan: bool, rng: &mut Rng) -> ArrayRef {
    match kind {
        DataType::Null => Arc::new(NullArray::new(rows)),
        DataType::Boolean => {
            let values = (0..rows).map(|_| (rng.u8(..5) > 0).then(|| rng.bool()));
            Arc::new(values.collect::<BooleanArray>())
        }
        DataType::Int8 => primitive::<Int8Type>(kind, rows, rng, |rng| rng.i8(..)),
        DataType::Int16 => primitive::<Int16Type>(kind, rows, rng, |rng| rng.i16(..)),
        DataType::Int32 => primitive::<Int32Type>(kind, rows, rng, |rng| rng.i32(..)),
        DataType::Int64 => primitive::<Int64Type>(kind, rows, rng, |rng| rng.i64(..)),
        DataType::UInt8 => primitive::<UInt8Type>(kind, rows, rng, |rng| rng.u8(..)),
        DataType::UInt16 => primitive::<UInt16Type>(kind, rows, rng, |rng| rng.u16(..)),
        DataType::UInt32 => primitive::<UInt32Type>(kind, rows, rng, |rng| rng.u32(..)),
        DataType::UInt64 => primitive::<UInt64Type>(kind, rows, rng, |rng| rng.u64(..)),
        DataType::Float64 => primitive::<Float64Type>(kind, rows, rng, |rng| float(nan, rng)),
        DataType::Float32 => primitive::<Float32Type>(kind, rows, rng, |rng| {
            if nan && rng.u8(..8) == 0 {
                f32::NAN
            } else {
                rng.f32() * 1e6
            }
        }),
        DataType::Decimal128(..) => {
            primitive::<Decimal128Type>(kind, rows, rng, |rng| i128::from(rng.i64(..)))
        }
        DataType::Decimal256(..) => {
            primitive::<Decimal256Type>(kind, rows, rng, |rng| i256::from(rng.i64(..)))
        }
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            for _ in 0..rows {
                builder.append_option((rng.u8(..5) > 0).then(|| rng.u64(..).to_le_bytes()));
            }
            Arc::new(builder.finish())
        }
        DataType::List(_) => {
            let mut builder = ListBuilder::new(PrimitiveBuilder::<Int64Type>::new());
            for _ in 0..rows {
                for _ in 0..rng.usize(..4) {
                    builder
                        .values()
                        .append_option(rng.bool().then(|| rng.i64(..)));
                }
                builder.append(rng.u8(..5) > 0);
            }
            Arc::new(builder.finish())
        }
        DataType::Struct(fields) => structs(fields, rows, nan, rng),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            let mut builder = StringBuilder::new();
            for _ in 0..rows {
                builder.append_option((rng.u8(..5) > 0).then(|| text(rng)));
            }
            cast(&builder.finish(), kind).unwrap()
        }
        temporal => times(temporal, rows, rng),
    }
}

fn structs(fields: &Fields, rows: usize, nan: bool, rng: &mut Rng) -> ArrayRef {
    let columns = fields
        .iter()
        .map(|field| array(field.data_type(), rows, nan, rng))
        .collect();
    Arc::new(StructArray::new(fields.clone(), columns, None))
}

fn times(kind: &DataType, rows: usize, rng: &mut Rng) -> ArrayRef {
    match kind {
        DataType::Date32 => {
            primitive::<Date32Type>(kind, rows, rng, |rng| rng.i32(-90_000..80_000))
        }
        DataType::Date64 => {
            primitive::<Date64Type>(kind, rows, rng, |rng| rng.i64(-90_000..80_000) * 86_400_000)
        }
        DataType::Time32(TimeUnit::Second) => {
            primitive::<Time32SecondType>(kind, rows, rng, |rng| rng.i32(0..86_400))
        }
        DataType::Time32(_) => {
            primitive::<Time32MillisecondType>(kind, rows, rng, |rng| rng.i32(0..86_400_000))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(kind, rows, rng, |rng| rng.i64(0..86_400_000_000))
        }
        DataType::Time64(_) => {
            primitive::<Time64NanosecondType>(kind, rows, rng, |rng| rng.i64(0..86_400_000_000_000))
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            primitive::<TimestampSecondType>(kind, rows, rng, seconds)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive::<TimestampMillisecondType>(kind, rows, rng, |rng| {
                seconds(rng) * 1000 + rng.i64(0..1000)
            })
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(kind, rows, rng, |rng| {
                seconds(rng) * 1_000_000 + rng.i64(0..1_000_000)
            })
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            primitive::<TimestampNanosecondType>(kind, rows, rng, |rng| {
                seconds(rng) * 1_000_000_000 + rng.i64(0..1_000_000_000)
            })
        }
        other => unreachable!("no values of {other}"),
    }
}
