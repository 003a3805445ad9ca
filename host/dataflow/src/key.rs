//! Where a row belongs: the frozen hash of its key.
//!
//! Rows with equal keys meet in one task, also tomorrow, in another build, and in another language: so this is no library's own
//! hash. It may never change; `golden` below says what it answers.
//!
//! The hash of a row runs over its key columns in order. Each value takes the hash before it (0 at first) as seed, plus the tag
//! of its kind, and is hashed with XXH3-64 over its bytes, little-endian:
//!
//! | kind | tag | bytes |
//! | --- | --- | --- |
//! | null | 0 | none |
//! | boolean | 1 | one: 0 or 1 |
//! | integer | 2 | 8: as signed 64 bits |
//! | integer above the signed range | 3 | 8: as unsigned 64 bits |
//! | floating point | 4 | 8: as 64 bits; -0 is 0, every NaN is `0x7ff8000000000000` |
//! | text, binary | 5 | its own |
//! | date | 6 | 8: days since 1970 as signed 64 bits |
//! | timestamp, duration | 7 | 16: nanoseconds as signed 128 bits |
//! | time of day | 8 | 8: nanoseconds as signed 64 bits |
//! | decimal | 9 | 16: the unscaled number as signed 128 bits |
//!
//! So the width of an integer and the unit of a time do not matter, nor whether text is a dictionary.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayAccessor, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{DataType, TimeUnit};
use arrow_select::take::{take, take_record_batch};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::Cause;

/// Into how many groups keys fall. State belongs to a group, groups belong to tasks: a job may have more tasks one day.
pub const KEY_GROUPS: u16 = 4096;

/// The group of a key with this hash.
pub fn group(hash: u64) -> u16 {
    // The highest bits: as many as there are groups.
    u16::try_from(hash >> 52).unwrap_or_default()
}

/// The task of a group, of so many: groups lie side by side.
pub fn task(group: u16, parallelism: usize) -> usize {
    usize::from(group) * parallelism / usize::from(KEY_GROUPS)
}

/// Whether values of this type can be a key.
pub fn is_hashable(kind: &DataType) -> bool {
    use DataType as D;
    match kind {
        D::Dictionary(_, values) => is_hashable(values),
        D::Null
        | D::Boolean
        | D::Utf8
        | D::LargeUtf8
        | D::Utf8View
        | D::Binary
        | D::LargeBinary
        | D::BinaryView
        | D::FixedSizeBinary(_)
        | D::Decimal128(..) => true,
        D::Interval(_) => false,
        other => other.is_temporal() || other.is_integer() || other.is_floating(),
    }
}

/// The hash of each row over these columns, which are of one length.
///
/// # Errors
///
/// A column is of a type that is not hashable.
pub fn hash_rows(columns: &[ArrayRef]) -> Result<Vec<u64>, Cause> {
    let mut hashes = vec![0; columns.first().map_or(0, Array::len)];
    for column in columns {
        fold(column, &mut hashes)?;
    }
    Ok(hashes)
}

/// Splits a batch by the keys in these columns: the rows of each task, of so many, in their order. A task without rows is left out.
///
/// # Errors
///
/// A column is of a type that is not hashable.
pub fn split(
    batch: &RecordBatch,
    columns: &[usize],
    tasks: usize,
) -> Result<Vec<(usize, RecordBatch)>, Cause> {
    let keys: Vec<_> = columns
        .iter()
        .map(|&column| batch.column(column).clone())
        .collect();
    let mut rows_of = vec![Vec::with_capacity(batch.num_rows() / tasks * 2); tasks];
    for (row, hash) in (0..).zip(hash_rows(&keys)?) {
        rows_of[task(group(hash), tasks)].push(row);
    }
    let parts = rows_of
        .into_iter()
        .enumerate()
        .filter(|(_, rows)| !rows.is_empty());
    parts
        .map(|(task_of_rows, rows): (_, Vec<u32>)| {
            Ok((
                task_of_rows,
                take_record_batch(batch, &UInt32Array::from(rows))?,
            ))
        })
        .collect()
}

fn no_key(kind: &DataType) -> Cause {
    format!("{kind} cannot be a key").into()
}

/// Folds one column into the hashes.
fn fold(column: &dyn Array, hashes: &mut [u64]) -> Result<(), Cause> {
    match column.data_type() {
        DataType::Null => each(column, hashes, |_| (0, [])),
        DataType::Boolean => {
            let values = column.as_boolean();
            each(column, hashes, |row| (1, [u8::from(values.value(row))]));
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            fold(&take(dictionary.values(), dictionary.keys(), None)?, hashes)?;
        }
        DataType::Decimal128(..) => {
            number::<Decimal128Type, _>(column, hashes, |value| (9, value.to_le_bytes()));
        }
        kind if kind.is_numeric() => fold_numbers(column, hashes)?,
        kind if kind.is_temporal() => fold_times(column, hashes)?,
        _ => fold_texts(column, hashes)?,
    }
    Ok(())
}

fn fold_numbers(column: &dyn Array, hashes: &mut [u64]) -> Result<(), Cause> {
    use DataType as D;
    match column.data_type() {
        D::Int8 => signed::<Int8Type>(column, hashes),
        D::Int16 => signed::<Int16Type>(column, hashes),
        D::Int32 => signed::<Int32Type>(column, hashes),
        D::Int64 => signed::<Int64Type>(column, hashes),
        D::UInt8 => signed::<UInt8Type>(column, hashes),
        D::UInt16 => signed::<UInt16Type>(column, hashes),
        D::UInt32 => signed::<UInt32Type>(column, hashes),
        D::UInt64 => number::<UInt64Type, _>(column, hashes, |value| {
            let tag = if i64::try_from(value).is_ok() { 2 } else { 3 };
            (tag, value.to_le_bytes())
        }),
        D::Float16 => floating::<Float16Type>(column, hashes),
        D::Float32 => floating::<Float32Type>(column, hashes),
        D::Float64 => floating::<Float64Type>(column, hashes),
        other => return Err(no_key(other)),
    }
    Ok(())
}

fn fold_times(column: &dyn Array, hashes: &mut [u64]) -> Result<(), Cause> {
    use DataType as D;
    use TimeUnit as U;
    match column.data_type() {
        D::Date32 => day::<Date32Type>(column, hashes, 1),
        D::Date64 => day::<Date64Type>(column, hashes, 86_400_000),
        D::Timestamp(U::Second, _) => time::<TimestampSecondType>(column, hashes, 1_000_000_000),
        D::Timestamp(U::Millisecond, _) => {
            time::<TimestampMillisecondType>(column, hashes, 1_000_000);
        }
        D::Timestamp(U::Microsecond, _) => time::<TimestampMicrosecondType>(column, hashes, 1_000),
        D::Timestamp(U::Nanosecond, _) => time::<TimestampNanosecondType>(column, hashes, 1),
        D::Duration(U::Second) => time::<DurationSecondType>(column, hashes, 1_000_000_000),
        D::Duration(U::Millisecond) => time::<DurationMillisecondType>(column, hashes, 1_000_000),
        D::Duration(U::Microsecond) => time::<DurationMicrosecondType>(column, hashes, 1_000),
        D::Duration(U::Nanosecond) => time::<DurationNanosecondType>(column, hashes, 1),
        D::Time32(U::Second) => of_day::<Time32SecondType>(column, hashes, 1_000_000_000),
        D::Time32(_) => of_day::<Time32MillisecondType>(column, hashes, 1_000_000),
        D::Time64(U::Microsecond) => of_day::<Time64MicrosecondType>(column, hashes, 1_000),
        D::Time64(_) => of_day::<Time64NanosecondType>(column, hashes, 1),
        other => return Err(no_key(other)),
    }
    Ok(())
}

fn fold_texts(column: &dyn Array, hashes: &mut [u64]) -> Result<(), Cause> {
    match column.data_type() {
        DataType::Utf8 => text(&column.as_string::<i32>(), hashes),
        DataType::LargeUtf8 => text(&column.as_string::<i64>(), hashes),
        DataType::Utf8View => text(&column.as_string_view(), hashes),
        DataType::Binary => text(&column.as_binary::<i32>(), hashes),
        DataType::LargeBinary => text(&column.as_binary::<i64>(), hashes),
        DataType::BinaryView => text(&column.as_binary_view(), hashes),
        DataType::FixedSizeBinary(_) => text(&column.as_fixed_size_binary(), hashes),
        other => return Err(no_key(other)),
    }
    Ok(())
}

fn each<B: AsRef<[u8]>>(column: &dyn Array, hashes: &mut [u64], value: impl Fn(usize) -> (u64, B)) {
    let nulls = column.logical_nulls();
    for (row, hash) in hashes.iter_mut().enumerate() {
        *hash = if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            xxh3_64_with_seed(&[], *hash)
        } else {
            let (tag, bytes) = value(row);
            xxh3_64_with_seed(bytes.as_ref(), hash.wrapping_add(tag))
        };
    }
}

fn number<T: ArrowPrimitiveType, B: AsRef<[u8]>>(
    column: &dyn Array,
    hashes: &mut [u64],
    value: impl Fn(T::Native) -> (u64, B),
) {
    let values = column.as_primitive::<T>().values();
    each(column, hashes, |row| value(values[row]));
}

fn signed<T: ArrowPrimitiveType<Native: Into<i64>>>(column: &dyn Array, hashes: &mut [u64]) {
    number::<T, _>(column, hashes, |value| (2, value.into().to_le_bytes()));
}

fn floating<T: ArrowPrimitiveType<Native: Into<f64>>>(column: &dyn Array, hashes: &mut [u64]) {
    number::<T, _>(column, hashes, |value| {
        let value: f64 = value.into();
        let bits = match value {
            0.0 => 0,
            nan if nan.is_nan() => 0x7ff8_0000_0000_0000,
            other => other.to_bits(),
        };
        (4, bits.to_le_bytes())
    });
}

fn day<T: ArrowPrimitiveType<Native: Into<i64>>>(column: &dyn Array, hashes: &mut [u64], of: i64) {
    number::<T, _>(column, hashes, |value| {
        (6, value.into().div_euclid(of).to_le_bytes())
    });
}

fn time<T: ArrowPrimitiveType<Native = i64>>(
    column: &dyn Array,
    hashes: &mut [u64],
    unit_ns: i128,
) {
    number::<T, _>(column, hashes, |value| {
        (7, (i128::from(value) * unit_ns).to_le_bytes())
    });
}

fn of_day<T: ArrowPrimitiveType<Native: Into<i64>>>(
    column: &dyn Array,
    hashes: &mut [u64],
    unit_ns: i64,
) {
    number::<T, _>(column, hashes, |value| {
        (8, value.into().wrapping_mul(unit_ns).to_le_bytes())
    });
}

fn text<'a, A: ArrayAccessor<Item: AsRef<[u8]>> + 'a>(values: &'a A, hashes: &mut [u64]) {
    each(values, hashes, |row| (5, values.value(row)));
}
