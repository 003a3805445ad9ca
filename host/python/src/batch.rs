//! Batches and columns, as the Python half sees them.

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Schema};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList};

use crate::intake::Rows;
use crate::layout::{self, Layout};
use crate::view::View;
use crate::{arrow, objects};

/// Rows from the host. They lie in the ring for as long as anything looks at them, unless they came in parts.
#[pyclass(frozen)]
pub(crate) struct Batch {
    rows: RecordBatch,
    #[pyo3(get)]
    sequence: u64,
    #[pyo3(get)]
    pass_number: u32,
    #[pyo3(get)]
    padding: usize,
}

impl Batch {
    pub(crate) fn new(rows: Rows) -> Self {
        Self {
            rows: rows.batch,
            sequence: rows.sequence,
            pass_number: rows.pass,
            padding: rows.padding,
        }
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.rows.num_rows()
    }

    /// Names and types.
    fn columns(&self) -> Vec<(String, String)> {
        names_and_types(self.rows.schema_ref())
    }

    /// The one of this name; `None`: there is none.
    fn column(&self, name: String) -> Option<Column> {
        let array = self.rows.column_by_name(&name)?.clone();
        Some(Column { name, array })
    }

    /// The elements of a column of numbers that are all there, as they lie in the ring; `None`: there is no such column, or it is another one.
    fn plain(&self, name: &str) -> Option<View> {
        let array = self.rows.column_by_name(name)?;
        let layout = Layout::of(array.data_type())?;
        let data = array.to_data();
        let is_plain = layout.dtype == layout.storage && layout.dtype != layout::TRUTHS;
        (is_plain && layout::nulls(&data) == 0).then(|| view(&layout, &data))
    }

    fn arrow_schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::schema(py, self.rows.schema_ref())
    }

    fn arrow_array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::array(py, &self.rows)
    }
}

/// A column of a batch, or of an answer.
#[pyclass(frozen)]
pub(crate) struct Column {
    #[pyo3(get)]
    pub(crate) name: String,
    pub(crate) array: ArrayRef,
}

#[pymethods]
impl Column {
    fn __len__(&self) -> usize {
        self.array.len()
    }

    /// As a text.
    #[getter]
    fn kind(&self) -> String {
        self.array.data_type().to_string()
    }

    /// What an element is to numpy, and what lies in memory; `None`: it is no plain memory.
    #[getter]
    fn dtypes(&self) -> Option<(&'static str, &'static str)> {
        let layout = Layout::of(self.array.data_type())?;
        Some((layout.dtype, layout.storage))
    }

    /// Elements that are null.
    #[getter]
    fn nulls(&self) -> usize {
        layout::nulls(&self.array.to_data())
    }

    /// All elements as they lie in the ring; truths as bytes, copied.
    fn view(&self, py: Python<'_>) -> PyResult<View> {
        let layout = self.layout()?;
        let data = self.array.to_data();
        Ok(match self.array.data_type() {
            // They are copied.
            DataType::Boolean => py.detach(|| view(&layout, &data)),
            _ => view(&layout, &data),
        })
    }

    /// A byte for each element: 1 where it is there.
    fn valid(&self, py: Python<'_>) -> PyResult<View> {
        let layout = self.layout()?;
        let data = self.array.to_data();
        let valid = py.detach(|| layout::valid(&data));
        let shape = layout.shape(data.len());
        Ok(View::new(valid, layout::TRUTHS, shape))
    }

    /// A Python object for each row.
    fn objects<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, objects::of(py, &self.array, &self.name)?)
    }
}

impl Column {
    fn layout(&self) -> PyResult<Layout> {
        let layout = Layout::of(self.array.data_type());
        layout.ok_or_else(|| PyTypeError::new_err("it has no elements of one width"))
    }
}

fn view(layout: &Layout, data: &ArrayData) -> View {
    let shape = layout.shape(data.len());
    View::new(layout::elements(data), layout.storage, shape)
}

pub(crate) fn names_and_types(schema: &Schema) -> Vec<(String, String)> {
    let fields = schema.fields().iter();
    fields
        .map(|field| (field.name().clone(), field.data_type().to_string()))
        .collect()
}
