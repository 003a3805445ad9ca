//! Columns whose values follow from the number of the row, so that both sides know them.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "rows of tests are few, or their numbers are to wrap around"
)]

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int32Type, Int64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    DurationSecondArray, FixedSizeBinaryArray, FixedSizeListArray, Float16Array, Float32Array,
    Float64Array, Int8Array, Int32Array, Int64Array, LargeBinaryArray, ListArray, RecordBatch,
    StringArray, StructArray, Time32SecondArray, TimestampMicrosecondArray, UInt8Array,
    UInt16Array,
};
use arrow_schema::{DataType, Field, Schema};
use forebay_channel::Columns;
use serde_json::{Value, json};

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// Of columns by name.
pub(crate) fn columns(names: &[String]) -> Columns {
    let arrays = names.iter().map(|name| array(name, 0, 0));
    let arrays: Vec<_> = arrays.collect();
    let fields = names.iter().zip(&arrays);
    let fields =
        fields.map(|(name, array)| Field::new(name, array.data_type().clone(), is_nullable(name)));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    Columns::of(&RecordBatch::try_new(schema.into(), arrays).expect("they are of their types"))
}

/// Rows from a number on.
pub(crate) fn batch(columns: &Columns, first: usize, rows: usize) -> RecordBatch {
    let fields = columns.schema().fields().iter();
    let arrays = fields
        .map(|field| array(field.name(), first, rows))
        .collect();
    RecordBatch::try_new(columns.schema().clone(), arrays).expect("they are of their types")
}

fn is_nullable(name: &str) -> bool {
    matches!(name, "name" | "gap" | "count" | "maybe" | "when" | "gaps")
}

fn array(name: &str, first: usize, rows: usize) -> ArrayRef {
    let numbers = (first as i64)..(first + rows) as i64;
    let floats = numbers.clone().map(|row| row as f32 * 0.5);
    let present = |row: i64| (row % 4 != 3).then_some(row);
    match name {
        "id" => Arc::new(Int64Array::from_iter_values(numbers)),
        "x" | "score" | "label" => Arc::new(Float32Array::from_iter_values(floats)),
        "wide" => Arc::new(Float64Array::from_iter_values(floats.map(f64::from))),
        "half" => Arc::new(Float16Array::from_iter_values(floats.map(Half::from_f32))),
        "small" => Arc::new(Int8Array::from_iter_values(
            numbers.map(|row| (row % 100) as i8),
        )),
        "int" => Arc::new(Int32Array::from_iter_values(numbers.map(|row| row as i32))),
        "byte" => Arc::new(UInt8Array::from_iter_values(numbers.map(|row| row as u8))),
        "word" => Arc::new(UInt16Array::from_iter_values(numbers.map(|row| row as u16))),
        "flag" => Arc::new(
            numbers
                .map(|row| Some(row % 3 == 0))
                .collect::<BooleanArray>(),
        ),
        "maybe" => Arc::new(
            numbers
                .map(|row| present(row).map(|row| row % 3 == 0))
                .collect::<BooleanArray>(),
        ),
        "name" => Arc::new(
            numbers
                .map(|row| present(row).map(|row| format!("name {row}")))
                .collect::<StringArray>(),
        ),
        "gap" => Arc::new(
            numbers
                .map(|row| present(row).map(|row| row as f32))
                .collect::<Float32Array>(),
        ),
        "count" => Arc::new(
            numbers
                .map(|row| present(row).map(|row| row as i32))
                .collect::<Int32Array>(),
        ),
        "at" => Arc::new(TimestampMicrosecondArray::from_iter_values(
            numbers.map(|row| row * 1_000_000),
        )),
        "when" => Arc::new(numbers.map(present).collect::<TimestampMicrosecondArray>()),
        "day" => Arc::new(Date32Array::from_iter_values(numbers.map(|row| row as i32))),
        "clock" => Arc::new(Time32SecondArray::from_iter_values(
            numbers.map(|row| row as i32 % 86400),
        )),
        "span" => Arc::new(DurationSecondArray::from_iter_values(numbers)),
        "price" => {
            let prices = Decimal128Array::from_iter_values(numbers.map(i128::from));
            Arc::new(prices.with_precision_and_scale(10, 2).expect("they fit"))
        }
        _ => nested(name, first, rows),
    }
}

fn nested(name: &str, first: usize, rows: usize) -> ArrayRef {
    let numbers = (first as i64)..(first + rows) as i64;
    match name {
        "features" => matrix(first, rows, 4, false),
        "gaps" => matrix(first, rows, 2, true),
        "huge" => matrix(first, rows, 8192, false),
        "blob" => Arc::new(LargeBinaryArray::from_iter_values(
            numbers.map(i64::to_le_bytes),
        )),
        "code" => {
            let codes: Vec<_> = numbers.map(|row| row as u16).collect();
            Arc::new(FixedSizeBinaryArray::new(2, codes.into(), None))
        }
        "city" => {
            let keys = Int8Array::from_iter_values(numbers.map(|row| (row % 2) as i8));
            let values = StringArray::from_iter_values(["Trier", "Kiel"]);
            Arc::new(DictionaryArray::new(keys, Arc::new(values)))
        }
        "tags" => {
            let lists = numbers
                .map(|row| Some((0..row % 3).map(|tag| Some(tag as i32)).collect::<Vec<_>>()));
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))
        }
        "point" => {
            let [a, b] = ["id", "x"].map(|name| array(name, first, rows));
            let field = |name: &str, array: &ArrayRef| {
                Arc::new(Field::new(name, array.data_type().clone(), false))
            };
            Arc::new(StructArray::from(vec![
                (field("a", &a), a),
                (field("b", &b), b),
            ]))
        }
        _ => panic!("nobody knows the column `{name}`"),
    }
}

fn matrix(first: usize, rows: usize, width: usize, has_gaps: bool) -> ArrayRef {
    let values = (first * width..(first + rows) * width).map(|at| at as f32);
    let values: Float32Array = if has_gaps {
        values
            .map(|value| (value % 5.0 < 4.0).then_some(value))
            .collect()
    } else {
        Float32Array::from_iter_values(values)
    };
    let field = Field::new("item", DataType::Float32, has_gaps);
    let width = i32::try_from(width).expect("it is narrow");
    Arc::new(FixedSizeListArray::new(
        field.into(),
        width,
        Arc::new(values),
        None,
    ))
}

/// As JSON, by name.
pub(crate) fn values(batch: &RecordBatch) -> Value {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = fields.map(|(field, column)| (field.name().clone(), list(column)));
    Value::Object(columns.collect())
}

fn list(array: &ArrayRef) -> Value {
    let rows = (0..array.len()).map(|row| {
        if array.is_null(row) {
            return Value::Null;
        }
        match array.data_type() {
            DataType::Boolean => json!(array.as_boolean().value(row)),
            DataType::Float32 => json!(array.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
            DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
            DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
            DataType::Date32 => json!(
                array
                    .as_primitive::<arrow_array::types::Date32Type>()
                    .value(row)
            ),
            DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
            DataType::FixedSizeList(_, _) => list(&array.as_fixed_size_list().value(row)),
            kind => json!(kind.to_string()),
        }
    });
    Value::Array(rows.collect())
}
