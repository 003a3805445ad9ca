//! Any columns, there and back.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int8Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, DictionaryArray, FixedSizeListArray, Float32Array, Float64Array,
    Int64Array, LargeBinaryArray, LargeStringArray, ListArray, NullArray, RecordBatch,
    RecordBatchOptions, StringArray, StringViewArray, StructArray, make_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer};
use arrow_data::ArrayDataBuilder;
use arrow_schema::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit};
use fastrand::Rng;

use super::*;
use crate::hostile::cases;
use crate::{ALIGNMENT, Channel, Header, Kind, NodeEnd, Retention, Setting};

const SIMPLE: [DataType; 34] = [
    DataType::Null,
    DataType::Boolean,
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
    DataType::Float16,
    DataType::Float32,
    DataType::Float64,
    DataType::Decimal32(9, 2),
    DataType::Decimal64(18, 2),
    DataType::Decimal128(38, 10),
    DataType::Decimal256(76, 10),
    DataType::Date32,
    DataType::Date64,
    DataType::Time32(TimeUnit::Second),
    DataType::Time64(TimeUnit::Nanosecond),
    DataType::Timestamp(TimeUnit::Microsecond, None),
    DataType::Timestamp(TimeUnit::Nanosecond, None),
    DataType::Duration(TimeUnit::Millisecond),
    DataType::Interval(IntervalUnit::YearMonth),
    DataType::Interval(IntervalUnit::DayTime),
    DataType::Interval(IntervalUnit::MonthDayNano),
    DataType::Utf8,
    DataType::LargeUtf8,
    DataType::Binary,
    DataType::LargeBinary,
    DataType::FixedSizeBinary(3),
    DataType::FixedSizeBinary(0),
    DataType::Utf8,
];

fn any_type(random: &mut Rng, depth: usize) -> DataType {
    let inner = |random: &mut Rng| Arc::new(any_field(random, "item", depth - 1));
    match random.u8(..12) {
        0 if depth > 0 => DataType::List(inner(random)),
        1 if depth > 0 => DataType::LargeList(inner(random)),
        2 if depth > 0 => DataType::FixedSizeList(inner(random), random.i32(0..4)),
        3 if depth > 0 => {
            let fields = 0..random.usize(1..4);
            let fields = fields.map(|at| any_field(random, &format!("s{at}"), depth - 1));
            DataType::Struct(fields.collect())
        }
        4 => DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        _ => random.choice(SIMPLE).unwrap(),
    }
}

fn any_field(random: &mut Rng, name: &str, depth: usize) -> Field {
    let kind = any_type(random, depth);
    let is_nullable = kind == DataType::Null || random.bool();
    Field::new(name, kind, is_nullable)
}

fn any_nulls(random: &mut Rng, field: &Field, rows: usize) -> Option<NullBuffer> {
    let has_nulls = field.is_nullable() && *field.data_type() != DataType::Null && random.bool();
    has_nulls.then(|| (0..rows).map(|_| random.bool()).collect())
}

fn any_bytes(random: &mut Rng, bytes: usize) -> Buffer {
    let mut buffer = MutableBuffer::from_len_zeroed(bytes);
    random.fill(buffer.as_slice_mut());
    buffer.into()
}

fn any_text(random: &mut Rng) -> String {
    let pieces = ["", "a", "ä", "\"", "\n", "€uro", "\u{10ffff}", "\0"];
    (0..random.usize(..4))
        .map(|_| random.choice(pieces).unwrap())
        .collect()
}

/// Lengths of lists, as offsets; with how many values they have.
fn any_lengths(random: &mut Rng, rows: usize) -> Vec<usize> {
    (0..rows).map(|_| random.usize(..4)).collect()
}

fn any_texts(
    random: &mut Rng,
    kind: &DataType,
    rows: usize,
    nulls: Option<&NullBuffer>,
) -> ArrayRef {
    let texts = (0..rows).map(|row| {
        let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
        (!is_null).then(|| any_text(random))
    });
    let texts: Vec<Option<String>> = texts.collect();
    let bytes = texts.iter().map(Option::as_ref);
    match kind {
        DataType::Binary => Arc::new(bytes.collect::<BinaryArray>()),
        DataType::LargeBinary => Arc::new(bytes.collect::<LargeBinaryArray>()),
        DataType::Utf8 => Arc::new(StringArray::from(texts)),
        _ => Arc::new(LargeStringArray::from(texts)),
    }
}

fn any_array(random: &mut Rng, field: &Field, rows: usize) -> ArrayRef {
    let nulls = any_nulls(random, field, rows);
    let kind = field.data_type();
    match kind {
        DataType::Null => Arc::new(NullArray::new(rows)),
        DataType::Struct(fields) => {
            let arrays = fields.iter().map(|inner| any_array(random, inner, rows));
            Arc::new(StructArray::new(fields.clone(), arrays.collect(), nulls))
        }
        DataType::List(inner) => {
            let lengths = any_lengths(random, rows);
            let values = any_array(random, inner, lengths.iter().sum());
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(ListArray::new(inner.clone(), offsets, values, nulls))
        }
        DataType::LargeList(inner) => {
            let lengths = any_lengths(random, rows);
            let values = any_array(random, inner, lengths.iter().sum());
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(arrow_array::LargeListArray::new(
                inner.clone(),
                offsets,
                values,
                nulls,
            ))
        }
        DataType::FixedSizeList(inner, length) => {
            let values = any_array(random, inner, rows * usize::try_from(*length).unwrap());
            let list = FixedSizeListArray::try_new_with_length(
                inner.clone(),
                *length,
                values,
                nulls,
                rows,
            );
            Arc::new(list.unwrap())
        }
        DataType::Dictionary(..) => {
            let keys = (0..rows).map(|row| {
                let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                (!is_null).then(|| random.i8(0..3))
            });
            let keys = keys.collect::<arrow_array::Int8Array>();
            let values = StringArray::from(vec!["EWR", "JFK", "LGA"]);
            Arc::new(DictionaryArray::<Int8Type>::new(keys, Arc::new(values)))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
            any_texts(random, kind, rows, nulls.as_ref())
        }
        DataType::Boolean => {
            let values: BooleanBuffer = (0..rows).map(|_| random.bool()).collect();
            Arc::new(arrow_array::BooleanArray::new(values, nulls))
        }
        other => {
            let width = match other {
                DataType::FixedSizeBinary(width) => usize::try_from(*width).unwrap(),
                other => other.primitive_width().unwrap(),
            };
            let data = ArrayDataBuilder::new(other.clone())
                .len(rows)
                .nulls(nulls)
                .add_buffer(any_bytes(random, rows * width));
            make_array(data.build().unwrap())
        }
    }
}

/// A batch that may be a part of a larger one, so that its columns begin anywhere.
fn any_batch(random: &mut Rng) -> RecordBatch {
    let fields = (0..random.usize(..6)).map(|at| any_field(random, &format!("c{at}"), 2));
    let fields: Fields = fields.collect();
    let rows = random.usize(..70);
    let columns = fields.iter().map(|field| any_array(random, field, rows));
    let columns = columns.collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new_with_options(schema, columns, &options).unwrap();
    let start = random.usize(..=rows);
    batch.slice(start, random.usize(..=rows - start))
}

/// Bits of floats, so that NaN is equal to itself.
fn assert_same(one: &RecordBatch, other: &RecordBatch, seed: u64) {
    assert_eq!(one.schema(), other.schema(), "seed {seed}");
    assert_eq!(one.num_rows(), other.num_rows(), "seed {seed}");
    for (one, other) in one.columns().iter().zip(other.columns()) {
        assert!(
            one.to_data() == other.to_data(),
            "seed {seed}: {one:?} {other:?}"
        );
    }
}

#[test]
fn any_batch_comes_as_it_was() {
    for seed in 0..3_000 {
        let mut random = Rng::with_seed(seed);
        let batch = any_batch(&mut random);
        let columns = Columns::of(&batch);
        let announced = Columns::decode(&columns.encode().unwrap()).unwrap();
        assert!(announced.fits(&batch), "seed {seed}");
        let written = Body::new(&columns, &batch).unwrap();
        let mut body = MutableBuffer::from_len_zeroed(written.bytes());
        // What was there before.
        body.as_slice_mut().fill(0xa5);
        written.write(body.as_slice_mut());
        let back = read_body(&announced, batch.num_rows(), &body.into()).unwrap();
        assert_same(&batch, &back, seed);
    }
}

/// Bodies of somebody who writes anything: an error or some batch, and nothing else.
#[test]
fn damaged_bodies_of_hostile_peers_are_found_out() {
    cases(100_000, |random| {
        // Most of the time goes into making a batch.
        let mut same = Rng::with_seed(random.u64(..500));
        let batch = any_batch(&mut same);
        let columns = Columns::of(&batch);
        let written = Body::new(&columns, &batch).unwrap();
        let mut body = MutableBuffer::from_len_zeroed(written.bytes());
        written.write(body.as_slice_mut());
        for _ in 0..random.usize(1..4) {
            if !body.is_empty() {
                let at = random.usize(..body.len());
                body.as_slice_mut()[at] = random.u8(..);
            }
        }
        if random.u8(..4) == 0 {
            body.truncate(random.usize(..=body.len()));
        }
        let rows = match random.u8(..8) {
            0 => random.usize(..200),
            1 => u32::MAX as usize,
            _ => batch.num_rows(),
        };
        if let Ok(batch) = read_body(&columns, rows, &body.into()) {
            assert_eq!(batch.num_rows(), rows);
        }
    });
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what a matrix does with its numbers"
)]
fn narrowed(column: &ArrayRef) -> Float32Array {
    match column.as_primitive_opt::<Float64Type>() {
        Some(column) => column.unary(|value| value as f32),
        None => column.as_primitive::<Float32Type>().clone(),
    }
}

/// Columns that lie apart where they are written are one matrix where they are read.
#[test]
fn columns_of_numbers_become_the_rows_of_a_matrix() {
    let mut random = Rng::with_seed(7);
    let (rows, width) = (100, 5);
    let columns: Vec<ArrayRef> = (0..width)
        .map(|at| -> ArrayRef {
            let values = (0..rows).map(|_| (random.u8(..4) > 0).then(|| random.f64() * 1e3));
            let values: ArrayRef = Arc::new(values.collect::<Float64Array>());
            if at % 2 == 0 {
                return values;
            }
            Arc::new(narrowed(&values))
        })
        .collect();
    let fields = columns.iter().enumerate();
    let fields: Fields = fields
        .map(|(at, column)| Field::new(format!("c{at}"), column.data_type().clone(), true))
        .collect();
    let apart: ArrayRef = Arc::new(StructArray::new(fields, columns.clone(), None));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
    let batch = RecordBatch::try_from_iter([("x", apart), ("id", ids)]).unwrap();
    let cell = Arc::new(Field::new("item", DataType::Float32, false));
    let matrix = Field::new("x", DataType::FixedSizeList(cell, 5), false);
    let schema = Arc::new(Schema::new(vec![matrix, batch.schema().field(1).clone()]));
    for part in [
        batch.clone(),
        batch.slice(13, 50),
        batch.slice(99, 1),
        batch.slice(0, 0),
    ] {
        let columns = Columns::under(schema.clone(), &part);
        let body = Body::new(&columns, &part).unwrap();
        let mut bytes = MutableBuffer::from_len_zeroed(body.bytes());
        body.write(bytes.as_slice_mut());
        let read = read_body(&columns, part.num_rows(), &bytes.into()).unwrap();
        assert_eq!(read.column(1), part.column(1));
        let found = read.column(0).as_fixed_size_list();
        let apart = part.column(0).as_struct();
        for (at, column) in apart.columns().iter().enumerate() {
            let expected = narrowed(column);
            for row in 0..part.num_rows() {
                let found = found.value(row);
                let found = found.as_primitive::<Float32Type>().value(at);
                let expected = expected.is_valid(row).then(|| expected.value(row));
                assert!(expected == Some(found) || expected.is_none() && found.is_nan());
            }
        }
    }
    let wider = Field::new(
        "x",
        DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, false)), 6),
        false,
    );
    let wider = Arc::new(Schema::new(vec![wider, batch.schema().field(1).clone()]));
    let columns = Columns::under(wider, &batch);
    assert!(!columns.fits(&batch), "a matrix with more columns");
}

#[test]
fn types_that_no_channel_carries_are_named() {
    let views: ArrayRef = Arc::new(StringViewArray::from(vec!["a"]));
    let inner: Fields = vec![Field::new("text", DataType::Utf8View, false)].into();
    let outer: ArrayRef = Arc::new(StructArray::new(inner, vec![views], None));
    let batch = RecordBatch::try_from_iter([("outer", outer)]).unwrap();
    assert_eq!(
        Body::new(&Columns::of(&batch), &batch)
            .unwrap_err()
            .to_string(),
        "the column `outer.text` has the type Utf8View, which no channel carries"
    );
}

#[test]
fn another_dictionary_is_another_schema() {
    let of = |values: Vec<&str>| {
        let keys = arrow_array::Int8Array::from(vec![0]);
        let array = DictionaryArray::<Int8Type>::new(keys, Arc::new(StringArray::from(values)));
        RecordBatch::try_from_iter([("d", Arc::new(array) as ArrayRef)]).unwrap()
    };
    let columns = Columns::of(&of(vec!["a", "b"]));
    assert!(columns.fits(&of(vec!["a", "b"])));
    let other = of(vec!["a", "c"]);
    let error = Body::new(&columns, &other).unwrap_err();
    assert!(matches!(error, ColumnsError::OtherDictionary), "{error}");
}

/// What a reader gets lies in the ring, and keeps its place there.
#[test]
fn a_batch_is_read_where_it_was_written() {
    let channel = Channel::new(Setting {
        input_bytes: 64 << 10,
        output_bytes: 16 << 10,
        retention: Retention::Read,
    });
    let (mut host, descriptors) = channel.unwrap().begin(1).unwrap();
    let mut node = NodeEnd::open(descriptors).unwrap();
    let matrix = FixedSizeListArray::new(
        Arc::new(Field::new("item", DataType::Float32, false)),
        4,
        Arc::new(Float32Array::from_iter_values((0..400_u16).map(f32::from))),
        None,
    );
    let mut lists = ListBuilder::new(Int32Builder::new());
    for row in 0..100 {
        lists.append_value([Some(row), None]);
    }
    let batch = RecordBatch::try_from_iter([
        ("features", Arc::new(matrix) as ArrayRef),
        ("label", Arc::new(Int64Array::from_iter_values(0..100))),
        ("lists", Arc::new(lists.finish())),
    ])
    .unwrap();
    let columns = Columns::of(&batch);
    let body = Body::new(&columns, &batch).unwrap();
    let bytes = body.bytes();
    let mut slot = host.input.reserve(bytes).unwrap().unwrap();
    body.write(slot.body());
    slot.commit(
        Header {
            rows: 100,
            ..Header::new(Kind::Data)
        },
        bytes,
    );
    let record = node.input.take().unwrap().unwrap();
    let ring = record.body().as_ptr_range();
    let read = read_body(&columns, 100, &record.into_buffer()).unwrap();
    assert_same(&batch, &read, 0);
    let list = read.column(0).to_data();
    let values = list.child_data()[0].buffers()[0].as_ptr();
    assert!(ring.contains(&values));
    assert_eq!(values as usize % ALIGNMENT, 0);
    drop(read);
    assert_eq!(node.input.leased(), 1, "a column still lives");
    drop(list);
    assert_eq!(node.input.leased(), 0);
}
