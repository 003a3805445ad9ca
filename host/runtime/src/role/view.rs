//! What nodes see of the rows of their input: its columns as they are, or what the job packs of them.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use forebay_channel::Columns;
use forebay_dataflow::Cause;
use forebay_job::Tensor;

use crate::problem::column_hint;

/// From a batch of the input to what nodes see.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// What nodes see.
    schema: SchemaRef,
    /// The same with a struct for each matrix: its columns become one where they are written.
    unpacked: SchemaRef,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
enum Column {
    /// The column at this position, as this type.
    One(usize),
    /// The columns at these positions, side by side.
    Matrix(Vec<usize>),
}

/// Why a role cannot see its input so.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ViewError {
    #[error("the input has no column `{column}`")]
    NoColumn { column: String },
    #[error("`{column}` is {kind}, and a matrix is made of numbers")]
    NoNumber { column: String, kind: DataType },
    #[error("nodes cannot be fed the column `{column}`, which is {kind}")]
    Unsupported { column: String, kind: DataType },
}

impl ViewError {
    pub(crate) fn hint(&self, input: &Schema) -> String {
        match self {
            Self::NoColumn { column } => column_hint(column, input),
            Self::NoNumber { column, .. } => {
                format!("make a number of `{column}` in SQL, or feed it as a column of its own")
            }
            Self::Unsupported { column, .. } => {
                format!("cast `{column}` in SQL, or leave it out with `tensors`")
            }
        }
    }
}

impl View {
    /// Of these columns; `tensors` is empty where nodes see the columns as they are.
    pub(crate) fn new(input: &Schema, tensors: &[(String, Tensor)]) -> Result<Self, ViewError> {
        let mut columns = Vec::new();
        let (mut fields, mut unpacked) = (Vec::new(), Vec::new());
        let mut take = |name: &str, column| -> Result<(), ViewError> {
            let field = field_of(input, name, &column)?;
            unpacked.push(match &column {
                Column::One(_) => field.clone(),
                Column::Matrix(positions) => {
                    let fields = positions
                        .iter()
                        .map(|position| cells_of(input.field(*position)));
                    Field::new_struct(name, fields.collect::<Vec<_>>(), false)
                }
            });
            fields.push(field);
            columns.push(column);
            Ok(())
        };
        if tensors.is_empty() {
            for (position, field) in input.fields().iter().enumerate() {
                take(field.name(), Column::One(position))?;
            }
        }
        for (name, tensor) in tensors {
            let column = match tensor {
                Tensor::Column(column) => Column::One(position(input, column)?),
                Tensor::Matrix(names) => {
                    let positions = names.iter().map(|name| position(input, name));
                    Column::Matrix(positions.collect::<Result<_, _>>()?)
                }
            };
            take(name, column)?;
        }
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            unpacked: Arc::new(Schema::new(unpacked)),
            columns,
        })
    }

    /// Of batches that [`View::of`] has made.
    pub(crate) fn unpacked(&self) -> &SchemaRef {
        &self.unpacked
    }

    /// What nodes are told of batches like this one, which [`View::of`] has made.
    pub(crate) fn announced(&self, unpacked: &RecordBatch) -> Columns {
        Columns::under(self.schema.clone(), unpacked)
    }

    /// What nodes see of these rows. Columns are not copied, but for those of a type that does not travel.
    pub(crate) fn of(&self, batch: &RecordBatch) -> Result<RecordBatch, Cause> {
        let fields = self.unpacked.fields().iter();
        let columns = self.columns.iter().zip(fields);
        let columns = columns.map(|(column, field)| match (column, field.data_type()) {
            (Column::Matrix(positions), DataType::Struct(fields)) => {
                matrix(batch, positions, fields)
            }
            (Column::One(position), kind) => as_type(batch.column(*position), kind),
            (Column::Matrix(_), other) => Err(format!("{other} is no matrix").into()),
        });
        let columns = columns.collect::<Result<_, Cause>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            self.unpacked.clone(),
            columns,
            &options,
        )?)
    }
}

fn position(input: &Schema, column: &str) -> Result<usize, ViewError> {
    let found = input.column_with_name(column);
    found
        .map(|(position, _)| position)
        .ok_or_else(|| ViewError::NoColumn {
            column: column.to_owned(),
        })
}

fn field_of(input: &Schema, name: &str, column: &Column) -> Result<Field, ViewError> {
    match column {
        Column::One(position) => {
            let field = input.field(*position);
            let kind = travelling(field.data_type()).ok_or_else(|| ViewError::Unsupported {
                column: field.name().clone(),
                kind: field.data_type().clone(),
            })?;
            Ok(Field::new(name, kind, field.is_nullable()))
        }
        Column::Matrix(positions) => {
            for position in positions {
                let field = input.field(*position);
                if !is_number(field.data_type()) {
                    return Err(ViewError::NoNumber {
                        column: field.name().clone(),
                        kind: field.data_type().clone(),
                    });
                }
            }
            let width = i32::try_from(positions.len()).unwrap_or(i32::MAX);
            Ok(Field::new(
                name,
                DataType::FixedSizeList(cell(), width),
                false,
            ))
        }
    }
}

fn is_number(kind: &DataType) -> bool {
    kind.is_numeric() || *kind == DataType::Boolean
}

/// A cell of a matrix.
fn cell() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float32, false))
}

/// The type that a column has on its way to a node; `None`: it cannot be sent.
fn travelling(kind: &DataType) -> Option<DataType> {
    let inner = |field: &FieldRef| {
        let kind = travelling(field.data_type())?;
        Some(Arc::new(field.as_ref().clone().with_data_type(kind)))
    };
    Some(match kind {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Union(..)
        | DataType::RunEndEncoded(..) => return None,
        DataType::List(field) => DataType::List(inner(field)?),
        DataType::LargeList(field) => DataType::LargeList(inner(field)?),
        DataType::FixedSizeList(field, width) => DataType::FixedSizeList(inner(field)?, *width),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(inner).collect::<Option<_>>()?)
        }
        other => other.clone(),
    })
}

fn as_type(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef, Cause> {
    if column.data_type() == kind {
        return Ok(column.clone());
    }
    Ok(cast(column, kind)?)
}

/// A column of a matrix before it is packed, of a type that is packed.
fn cells_of(field: &Field) -> Field {
    let kind = match field.data_type() {
        DataType::Float64 => DataType::Float64,
        _ => DataType::Float32,
    };
    Field::new(field.name(), kind, true)
}

fn matrix(batch: &RecordBatch, positions: &[usize], fields: &Fields) -> Result<ArrayRef, Cause> {
    let columns = positions.iter().zip(fields);
    let columns =
        columns.map(|(position, field)| as_type(batch.column(*position), field.data_type()));
    let columns = columns.collect::<Result<_, _>>()?;
    Ok(Arc::new(StructArray::try_new(
        fields.clone(),
        columns,
        None,
    )?))
}
