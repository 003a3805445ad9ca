use super::view::{Bits, Bytes, Numbers, Text, Vectors, View};
use super::{Batch, Column, Field, Fields, Kind, OperatorError, Spans, Values};

/// The rows of one call, with their columns by name.
///
/// A column that is not there, or is of another kind, is an error that names it; [`Fields::find_of`] finds that out in
/// [`open`](super::BatchOperator::open) already.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    fields: &'a Fields,
    batch: Batch,
}

impl<'a> Rows<'a> {
    /// The rows of a batch that has these fields.
    pub const fn new(fields: &'a Fields, batch: Batch) -> Self {
        Self { fields, batch }
    }

    /// Number of rows.
    pub const fn len(&self) -> usize {
        self.batch.rows as usize
    }

    /// Whether there are no rows.
    pub const fn is_empty(&self) -> bool {
        self.batch.rows == 0
    }

    /// The columns' names and kinds.
    pub const fn fields(&self) -> &'a Fields {
        self.fields
    }

    /// The column of this name as it is: its clone can be handed on.
    pub fn column(&self, name: &str) -> Result<&Column, OperatorError> {
        self.find(name).map(|(_, column)| column)
    }

    /// All columns in the order of the fields.
    pub fn columns(&self) -> &[Column] {
        &self.batch.columns
    }

    /// A column of booleans.
    pub fn booleans(&self, name: &str) -> Result<View<'_, Bits<'_>>, OperatorError> {
        self.view(name, "boolean", |values| match values {
            Values::Booleans(bits) => Some(Bits(bits)),
            _ => None,
        })
    }

    /// A column of 32-bit integers.
    pub fn int32s(&self, name: &str) -> Result<View<'_, &[i32]>, OperatorError> {
        self.view(name, "int32", |values| match values {
            Values::Int32s(values) => Some(&**values),
            _ => None,
        })
    }

    /// A column of 64-bit integers.
    pub fn int64s(&self, name: &str) -> Result<View<'_, &[i64]>, OperatorError> {
        self.view(name, "int64", |values| match values {
            Values::Int64s(values) => Some(&**values),
            _ => None,
        })
    }

    /// A column of 64-bit floats.
    pub fn float64s(&self, name: &str) -> Result<View<'_, &[f64]>, OperatorError> {
        self.view(name, "float64", |values| match values {
            Values::Float64s(values) => Some(&**values),
            _ => None,
        })
    }

    /// A column of timestamps: microseconds since 1970.
    pub fn timestamps(&self, name: &str) -> Result<View<'_, &[i64]>, OperatorError> {
        self.view(name, "timestamp-micros", |values| match values {
            Values::Timestamps(values) => Some(&**values),
            _ => None,
        })
    }

    /// A column of bytes.
    pub fn bytes(&self, name: &str) -> Result<View<'_, Bytes<'_>>, OperatorError> {
        self.view(name, "bytes", |values| match values {
            Values::Bytes(Spans { offsets, data }) => Some(Bytes { offsets, data }),
            _ => None,
        })
    }

    /// A column of texts.
    pub fn text(&self, name: &str) -> Result<View<'_, Text<'_>>, OperatorError> {
        self.view(name, "text", |values| match values {
            Values::Text(Spans { offsets, data }) => {
                // Once for all cells. The host has checked it.
                let data = std::str::from_utf8(data).ok()?;
                Some(Text { offsets, data })
            }
            _ => None,
        })
    }

    /// A column of 32-bit floats, one a row.
    pub fn float32s(&self, name: &str) -> Result<View<'_, &[f32]>, OperatorError> {
        let (field, column) = self.find(name)?;
        match (&column.values, field.kind) {
            (Values::Float32s(values), Kind::Float32) => Ok(self.of(&**values, column)),
            _ => Err(wrong_kind(field, "float32")),
        }
    }

    /// A column of vectors.
    pub fn vectors(&self, name: &str) -> Result<View<'_, Vectors<'_>>, OperatorError> {
        let (field, column) = self.find(name)?;
        match (&column.values, field.kind) {
            (Values::Float32s(values), Kind::Float32Vector(size)) => {
                let size = size as usize;
                Ok(self.of(Vectors { values, size }, column))
            }
            _ => Err(wrong_kind(field, "float32-vector")),
        }
    }

    /// A column of numbers of whatever kind, booleans included.
    pub fn numbers(&self, name: &str) -> Result<View<'_, Numbers<'_>>, OperatorError> {
        let (field, column) = self.find(name)?;
        let numbers = match (&column.values, field.kind) {
            (Values::Booleans(bits), _) => Numbers::Booleans(Bits(bits)),
            (Values::Int32s(values), _) => Numbers::Int32s(values),
            (Values::Int64s(values), _) => Numbers::Int64s(values),
            (Values::Float32s(values), Kind::Float32) => Numbers::Float32s(values),
            (Values::Float64s(values), _) => Numbers::Float64s(values),
            _ => return Err(wrong_kind(field, "a number")),
        };
        Ok(self.of(numbers, column))
    }

    fn view<'r, C: super::Cells>(
        &'r self,
        name: &str,
        wanted: &str,
        cells: impl FnOnce(&'r Values) -> Option<C>,
    ) -> Result<View<'r, C>, OperatorError> {
        let (field, column) = self.find(name)?;
        let cells = cells(&column.values).ok_or_else(|| wrong_kind(field, wanted))?;
        Ok(self.of(cells, column))
    }

    fn of<'r, C: super::Cells>(&'r self, cells: C, column: &'r Column) -> View<'r, C> {
        View::new(cells, &column.validity, self.len())
    }

    fn find(&self, name: &str) -> Result<(&'a Field, &Column), OperatorError> {
        let position = self.fields.position(name)?;
        let column = self.batch.columns.get(position).ok_or_else(|| {
            OperatorError::new("no-column", "the rows do not have it").at_column(name)
        })?;
        Ok((&self.fields[position], column))
    }
}

fn wrong_kind(field: &Field, wanted: &str) -> OperatorError {
    let message = format!("it is {}, but should be {wanted}", field.kind);
    OperatorError::new("wrong-kind", message).at_column(&field.name)
}
