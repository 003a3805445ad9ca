//! What a node answers with: arrays of all kinds become the columns that the host has asked for.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, LargeBinaryBuilder, LargeStringBuilder, StringBuilder};
use arrow_array::{Array, ArrayRef, make_array};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer};
use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCapsule, PyDict, PyType};

use crate::batch::Column;
use crate::layout::{self, Layout};
use crate::{arrow, batch};

/// The columns of answers.
#[pyclass(frozen)]
pub(crate) struct Results {
    schema: SchemaRef,
}

impl Results {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }

    fn field(&self, index: usize) -> PyResult<&Field> {
        let field = self.schema.fields().get(index);
        let missing = || PyValueError::new_err("there is no such column");
        Ok(field.ok_or_else(missing)?)
    }
}

#[pymethods]
impl Results {
    /// Names and types.
    fn columns(&self) -> Vec<(String, String)> {
        batch::names_and_types(&self.schema)
    }

    /// As of a column: what an element is to numpy, what lies in memory, and the shape of a row.
    fn layout(&self, index: usize) -> PyResult<Option<(&'static str, &'static str, Vec<usize>)>> {
        let layout = Layout::of(self.field(index)?.data_type());
        Ok(layout.map(|layout| (layout.dtype, layout.storage, layout.inner)))
    }

    /// Whether its values are texts or bytes.
    fn is_text(&self, index: usize) -> PyResult<bool> {
        use DataType::{Binary, LargeBinary, LargeUtf8, Utf8};
        let kind = self.field(index)?.data_type();
        Ok(matches!(kind, Utf8 | LargeUtf8 | Binary | LargeBinary))
    }

    /// A column of plain elements: their memory, and for each a byte that is 0 where it is null.
    #[pyo3(signature = (index, elements, valid))]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 wants it so")]
    fn plain(
        &self,
        py: Python<'_>,
        index: usize,
        elements: PyBuffer<u8>,
        valid: Option<PyBuffer<u8>>,
    ) -> PyResult<Column> {
        let field = self.field(index)?;
        let elements = Buffer::from_vec(elements.to_vec(py)?);
        let valid = valid.map(|valid| valid.to_vec(py)).transpose()?;
        let array = py.detach(|| plain(field, elements, valid.as_deref()));
        column(field, array?)
    }

    /// A column of texts.
    fn texts(&self, index: usize, texts: Vec<Option<String>>) -> PyResult<Column> {
        let field = self.field(index)?;
        let array: ArrayRef = if *field.data_type() == DataType::LargeUtf8 {
            let mut builder = LargeStringBuilder::new();
            builder.extend(texts);
            Arc::new(builder.finish())
        } else {
            let mut builder = StringBuilder::new();
            builder.extend(texts);
            Arc::new(builder.finish())
        };
        column(field, array)
    }

    /// A column of bytes.
    fn bytes(&self, index: usize, values: Vec<Option<Vec<u8>>>) -> PyResult<Column> {
        let field = self.field(index)?;
        let array: ArrayRef = if *field.data_type() == DataType::LargeBinary {
            let mut builder = LargeBinaryBuilder::new();
            builder.extend(values);
            Arc::new(builder.finish())
        } else {
            let mut builder = BinaryBuilder::new();
            builder.extend(values);
            Arc::new(builder.finish())
        };
        column(field, array)
    }

    /// A column that is an Arrow array already.
    fn arrow(
        &self,
        index: usize,
        schema: &Bound<'_, PyCapsule>,
        array: &Bound<'_, PyCapsule>,
    ) -> PyResult<Column> {
        self.column_of(index, arrow::taken(schema, array)?)
    }

    /// All columns of an Arrow batch, by name.
    fn arrow_batch(
        &self,
        schema: &Bound<'_, PyCapsule>,
        array: &Bound<'_, PyCapsule>,
    ) -> PyResult<Vec<Column>> {
        let data = arrow::taken(schema, array)?;
        let DataType::Struct(fields) = data.data_type() else {
            return Ok(vec![self.column_of(0, data)?]);
        };
        let given = fields.iter().map(|field| field.name().as_str());
        check_names(&self.schema, &given.collect::<Vec<_>>())?;
        let columns = self.schema.fields().iter().enumerate();
        columns
            .map(|(index, field)| {
                let at = fields.iter().position(|given| given.name() == field.name());
                let at = at.ok_or_else(|| PyValueError::new_err("there is no such column"))?;
                let own = data.child_data()[at].slice(data.offset(), data.len());
                self.column_of(index, own)
            })
            .collect()
    }

    /// Raises where the names of an answer are not those of the results.
    #[pyo3(name = "check_names")]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 wants it so")]
    fn check_names_(&self, given: Vec<String>) -> PyResult<()> {
        let given: Vec<_> = given.iter().map(String::as_str).collect();
        check_names(&self.schema, &given)
    }
}

impl Results {
    fn column_of(&self, index: usize, data: ArrayData) -> PyResult<Column> {
        let field = self.field(index)?;
        let found = data.data_type().clone();
        let recast = recast(data, field).ok_or_else(|| {
            PyValueError::new_err(format!(
                "the column `{}` is to be {}, and {found} was given",
                field.name(),
                field.data_type()
            ))
        })?;
        column(field, make_array(recast))
    }
}

fn check_names(schema: &SchemaRef, given: &[&str]) -> PyResult<()> {
    let wanted: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let named = |names: &[&str]| {
        let names = names.iter().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    };
    let missing: Vec<_> = wanted
        .iter()
        .copied()
        .filter(|name| !given.contains(name))
        .collect();
    let surplus: Vec<_> = given
        .iter()
        .copied()
        .filter(|name| !wanted.contains(name))
        .collect();
    if missing.is_empty() && surplus.is_empty() {
        return Ok(());
    }
    let mut text = format!("an answer has the columns {}", named(&wanted));
    if !missing.is_empty() {
        text = format!("{text}; missing: {}", named(&missing));
    }
    if !surplus.is_empty() {
        text = format!("{text}; too many: {}", named(&surplus));
    }
    Err(PyValueError::new_err(text))
}

/// Refuses nulls where there may be none.
fn column(field: &Field, array: ArrayRef) -> PyResult<Column> {
    if !field.is_nullable() && array.null_count() > 0 {
        return Err(PyValueError::new_err(format!(
            "the column `{}` has {} nulls, and there may be none",
            field.name(),
            array.null_count()
        )));
    }
    Ok(Column {
        name: field.name().clone(),
        array,
    })
}

/// The columns of an answer whose arrays are what is wanted as they are; `None`: it is to be looked at more closely. One pass from a dict of
/// arrays of numpy to columns: what a script that scores row by row waits for.
pub(crate) fn as_they_are(
    answer: &Bound<'_, PyAny>,
    schema: &Schema,
) -> PyResult<Option<Vec<ArrayRef>>> {
    let fields = schema.fields();
    let Ok(answer) = answer.cast_exact::<PyDict>() else {
        return match fields.as_ref() {
            [field] => Ok(array(answer, field)?.map(|array| vec![array])),
            _ => Ok(None),
        };
    };
    if answer.len() != fields.len() {
        return Ok(None);
    }
    let arrays = fields.iter().map(|field| {
        let values = answer.get_item(field.name())?;
        values.map_or(Ok(None), |values| array(&values, field))
    });
    arrays.collect()
}

/// `None`: it is no array of numpy, or of another type or shape.
fn array(values: &Bound<'_, PyAny>, field: &Field) -> PyResult<Option<ArrayRef>> {
    static NDARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    // Others have arrays of this name too; where nobody has, nobody looks for numpy.
    let is_array = values.get_type().name()? == "ndarray"
        && NDARRAY
            .import(values.py(), "numpy", "ndarray")
            .is_ok_and(|ndarray| values.is_exact_instance(ndarray));
    if !is_array {
        return Ok(None);
    }
    let Some(layout) = Layout::of(field.data_type()) else {
        return Ok(None);
    };
    let of_type = match layout.dtype {
        "|i1" => elements_of::<i8>,
        "<i2" => elements_of::<i16>,
        "<i4" => elements_of::<i32>,
        "<i8" => elements_of::<i64>,
        "|u1" => elements_of::<u8>,
        "<u2" => elements_of::<u16>,
        "<u4" => elements_of::<u32>,
        "<u8" => elements_of::<u64>,
        "<f4" => elements_of::<f32>,
        "<f8" => elements_of::<f64>,
        _ => return Ok(None),
    };
    let elements = of_type(values, &layout.inner);
    elements
        .map(|elements| plain(field, elements?, None))
        .transpose()
}

/// One behind the other, whatever their strides; `None`: they are of another type, or a row has another shape.
fn elements_of<T: Element + ArrowNativeType>(
    values: &Bound<'_, PyAny>,
    inner: &[usize],
) -> Option<PyResult<Buffer>> {
    let elements = PyBuffer::<T>::get(values).ok()?;
    let is_wanted = elements.shape().split_first()?.1 == inner;
    is_wanted.then(|| Ok(Buffer::from_vec(elements.to_vec(values.py())?)))
}

/// Of elements as numpy has them.
fn plain(field: &Field, elements: Buffer, valid: Option<&[u8]>) -> PyResult<ArrayRef> {
    let of_column =
        |error| PyValueError::new_err(format!("the column `{}`: {error}", field.name()));
    let layout = Layout::of(field.data_type());
    let layout = layout.ok_or_else(|| of_column("it has no elements of one width".to_owned()))?;
    let rows = elements.len() / layout.width / layout.elements().max(1);
    let valid = valid.map(layout::bits);
    let data = nested(field.data_type(), rows, &Elements { elements, valid });
    data.map(make_array).map_err(of_column)
}

struct Elements {
    elements: Buffer,
    valid: Option<BooleanBuffer>,
}

fn nested(kind: &DataType, rows: usize, elements: &Elements) -> Result<ArrayData, String> {
    let builder = ArrayDataBuilder::new(kind.clone()).len(rows);
    let builder = if let DataType::FixedSizeList(field, length) = kind {
        let length = usize::try_from(*length).unwrap_or(0);
        let inner = nested(field.data_type(), rows * length, elements)?;
        let nulls = inner.null_count();
        if !field.is_nullable() && nulls > 0 {
            return Err(format!("it has {nulls} nulls, and there may be none"));
        }
        builder.add_child_data(inner)
    } else {
        let values = match kind {
            DataType::Boolean => layout::bits(&elements.elements).into_inner(),
            _ => elements.elements.clone(),
        };
        let nulls = elements.valid.clone().map(NullBuffer::new);
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        builder.add_buffer(values).nulls(nulls)
    };
    builder.build().map_err(|error| error.to_string())
}

/// The same values under the names that the host has for what is within; `None`: they are of another type, or null where nothing may be.
fn recast(data: ArrayData, field: &Field) -> Option<ArrayData> {
    use DataType::{FixedSizeList, LargeList, List, Map, Struct};
    let wanted = field.data_type();
    if !field.is_nullable() && data.null_count() > 0 {
        return None;
    }
    let inner: Vec<&Field> = match (wanted, data.data_type()) {
        (wanted, found) if wanted == found => return Some(data),
        (FixedSizeList(field, wanted), FixedSizeList(_, found)) if wanted == found => vec![field],
        (List(field), List(_)) | (LargeList(field), LargeList(_)) | (Map(field, _), Map(_, _)) => {
            vec![field]
        }
        (Struct(fields), Struct(found)) if fields.len() == found.len() => {
            let names = fields.iter().zip(found);
            if names
                .clone()
                .any(|(wanted, found)| wanted.name() != found.name())
            {
                return None;
            }
            fields.iter().map(AsRef::as_ref).collect()
        }
        _ => return None,
    };
    let children = data.child_data().iter().zip(inner);
    let children = children.map(|(child, field)| recast(child.clone(), field));
    let children = children.collect::<Option<Vec<_>>>()?;
    let builder = data.into_builder().data_type(wanted.clone());
    builder.child_data(children).build().ok()
}
