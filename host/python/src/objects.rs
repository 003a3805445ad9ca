//! Columns as Python objects, row by row: what is no plain memory.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, OffsetSizeTrait, PrimitiveArray};
use arrow_schema::DataType;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

type Objects = Vec<Py<PyAny>>;

/// An object for each row.
///
/// # Errors
///
/// There are none for this type.
pub(crate) fn of(py: Python<'_>, array: &ArrayRef, name: &str) -> PyResult<Objects> {
    let array = array.as_ref();
    match array.data_type() {
        DataType::Null => Ok((0..array.len()).map(|_| py.None()).collect()),
        DataType::Boolean => each(py, array.as_boolean().iter(), |truth| truth.into_py_any(py)),
        DataType::Utf8 => each(py, array.as_string::<i32>().iter(), |text| {
            text.into_py_any(py)
        }),
        DataType::LargeUtf8 => each(py, array.as_string::<i64>().iter(), |text| {
            text.into_py_any(py)
        }),
        DataType::Binary => each(py, array.as_binary::<i32>().iter(), |bytes| {
            bytes_of(py, bytes)
        }),
        DataType::LargeBinary => each(py, array.as_binary::<i64>().iter(), |bytes| {
            bytes_of(py, bytes)
        }),
        DataType::FixedSizeBinary(_) => each(py, array.as_fixed_size_binary().iter(), |bytes| {
            bytes_of(py, bytes)
        }),
        DataType::List(_) => lists::<i32>(py, array, name),
        DataType::LargeList(_) => lists::<i64>(py, array, name),
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            let list = array.as_fixed_size_list();
            let ranges = (0..list.len()).map(|row| (row * length, length));
            sliced(py, array, &of(py, list.values(), name)?, ranges)
        }
        DataType::Struct(_) => structs(py, array, name),
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            sliced(
                py,
                array,
                &of(py, &entries, name)?,
                ranges_of(map.value_offsets()),
            )
        }
        DataType::Dictionary(_, _) => dictionary(py, array, name),
        kind if kind.is_decimal() => decimals(py, array),
        _ => numbers(py, array, name),
    }
}

fn each<T>(
    py: Python<'_>,
    rows: impl Iterator<Item = Option<T>>,
    object: impl Fn(T) -> PyResult<Py<PyAny>>,
) -> PyResult<Objects> {
    rows.map(|row| row.map_or_else(|| Ok(py.None()), &object))
        .collect()
}

fn bytes_of(py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
    PyBytes::new(py, bytes).into_py_any(py)
}

fn numbers(py: Python<'_>, array: &dyn Array, name: &str) -> PyResult<Objects> {
    match array.data_type() {
        DataType::Int8 => primitives::<Int8Type>(py, array),
        DataType::Int16 => primitives::<Int16Type>(py, array),
        DataType::Int32 => primitives::<Int32Type>(py, array),
        DataType::Int64 => primitives::<Int64Type>(py, array),
        DataType::UInt8 => primitives::<UInt8Type>(py, array),
        DataType::UInt16 => primitives::<UInt16Type>(py, array),
        DataType::UInt32 => primitives::<UInt32Type>(py, array),
        DataType::UInt64 => primitives::<UInt64Type>(py, array),
        DataType::Float32 => primitives::<Float32Type>(py, array),
        DataType::Float64 => primitives::<Float64Type>(py, array),
        DataType::Float16 => {
            let halves = array.as_primitive::<Float16Type>().iter();
            each(py, halves, |half| half.to_f32().into_py_any(py))
        }
        kind => Err(PyTypeError::new_err(format!(
            "the column `{name}` has values of type {kind}, for which there are no plain objects: take `batch.arrow()`, or CAST them in SQL"
        ))),
    }
}

fn primitives<T: ArrowPrimitiveType>(py: Python<'_>, array: &dyn Array) -> PyResult<Objects>
where
    T::Native: for<'a> IntoPyObject<'a>,
{
    each(py, array.as_primitive::<T>().iter(), |value| {
        value.into_py_any(py)
    })
}

fn decimals(py: Python<'_>, array: &dyn Array) -> PyResult<Objects> {
    let decimal = py.import("decimal")?.getattr("Decimal")?;
    match array.data_type() {
        DataType::Decimal32(_, _) => {
            decimals_of(py, array.as_primitive::<Decimal32Type>(), &decimal)
        }
        DataType::Decimal64(_, _) => {
            decimals_of(py, array.as_primitive::<Decimal64Type>(), &decimal)
        }
        DataType::Decimal128(_, _) => {
            decimals_of(py, array.as_primitive::<Decimal128Type>(), &decimal)
        }
        _ => decimals_of(py, array.as_primitive::<Decimal256Type>(), &decimal),
    }
}

fn decimals_of<T: DecimalType + ArrowPrimitiveType>(
    py: Python<'_>,
    array: &PrimitiveArray<T>,
    decimal: &Bound<'_, PyAny>,
) -> PyResult<Objects> {
    let rows = (0..array.len()).map(|row| array.is_valid(row).then_some(row));
    each(py, rows, |row| {
        Ok(decimal.call1((array.value_as_string(row),))?.unbind())
    })
}

fn lists<O: OffsetSizeTrait>(py: Python<'_>, array: &dyn Array, name: &str) -> PyResult<Objects> {
    let list = array.as_list::<O>();
    let values = of(py, list.values(), name)?;
    sliced(py, array, &values, ranges_of(list.value_offsets()))
}

/// Where each row begins, and how many values it has.
fn ranges_of<O: OffsetSizeTrait>(offsets: &[O]) -> impl Iterator<Item = (usize, usize)> {
    offsets
        .windows(2)
        .map(|pair| (pair[0].as_usize(), (pair[1] - pair[0]).as_usize()))
}

fn sliced(
    py: Python<'_>,
    array: &dyn Array,
    values: &Objects,
    ranges: impl Iterator<Item = (usize, usize)>,
) -> PyResult<Objects> {
    let rows = ranges.enumerate();
    let rows = rows.map(|(row, range)| array.is_valid(row).then_some(range));
    each(py, rows, |(start, length)| {
        let row = values[start..start + length]
            .iter()
            .map(|value| value.bind(py));
        PyList::new(py, row)?.into_py_any(py)
    })
}

fn structs(py: Python<'_>, array: &dyn Array, name: &str) -> PyResult<Objects> {
    let array = array.as_struct();
    let fields = array.fields().iter().zip(array.columns());
    let fields = fields.map(|(field, column)| {
        let path = format!("{name}.{}", field.name());
        Ok((field.name(), of(py, column, &path)?))
    });
    let fields = fields.collect::<PyResult<Vec<_>>>()?;
    let rows = (0..array.len()).map(|row| array.is_valid(row).then_some(row));
    each(py, rows, |row| {
        let object = PyDict::new(py);
        for (name, values) in &fields {
            object.set_item(name, &values[row])?;
        }
        object.into_py_any(py)
    })
}

/// Rows of one key share an object.
fn dictionary(py: Python<'_>, array: &dyn Array, name: &str) -> PyResult<Objects> {
    let array = array.as_any_dictionary();
    let values = of(py, array.values(), name)?;
    // The keys of rows that are null may be anything.
    let keys = if values.is_empty() {
        vec![0; array.len()]
    } else {
        array.normalized_keys()
    };
    let keys = keys.into_iter().enumerate();
    let rows = keys.map(|(row, key)| array.is_valid(row).then_some(key));
    each(py, rows, |key| Ok(values[key].clone_ref(py)))
}
