//! Arrow's C data interface in capsules of Python.

use std::ffi::CStr;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::{Array, RecordBatch, StructArray};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

/// A capsule `arrow_schema`.
pub(crate) fn schema<'py>(py: Python<'py>, schema: &Schema) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema).map_err(refused)?;
    PyCapsule::new_with_value(py, schema, SCHEMA)
}

/// A capsule `arrow_array`. What takes it keeps the batch.
pub(crate) fn array<'py>(py: Python<'py>, batch: &RecordBatch) -> PyResult<Bound<'py, PyCapsule>> {
    let data = StructArray::from(batch.clone()).into_data();
    PyCapsule::new_with_value(py, FFI_ArrowArray::new(&data), ARRAY)
}

/// What two capsules of somebody else have. They are empty afterwards.
#[expect(unsafe_code, reason = "the C data interface is pointers")]
pub(crate) fn taken(
    schema: &Bound<'_, PyCapsule>,
    array: &Bound<'_, PyCapsule>,
) -> PyResult<ArrayData> {
    let schema = schema.pointer_checked(Some(SCHEMA))?.cast();
    let array = array.pointer_checked(Some(ARRAY))?.cast();
    // SAFETY: capsules of these names have these structures, which outlive this call; what is moved out is marked as such.
    let data = unsafe {
        let schema = FFI_ArrowSchema::from_raw(schema.as_ptr());
        let array = FFI_ArrowArray::from_raw(array.as_ptr());
        from_ffi(array, &schema)
    };
    let mut data = data.map_err(refused)?;
    data.align_buffers();
    data.validate_full().map_err(refused)?;
    Ok(data)
}

#[expect(clippy::needless_pass_by_value, reason = "it is a step of `map_err`")]
fn refused(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
