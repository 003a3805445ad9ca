//! From Arrow to what operators read.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, FixedSizeListArray, RecordBatch};
use arrow_buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, SchemaRef, TimeUnit};

use super::{Batch, Column, Field, Kind, Spans, Values};
use crate::operator::InputFault;

/// Fails where a value does not fit, where the default would make it null.
const STRICT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow_cast::display::FormatOptions::new(),
};

/// The columns that an operator reads, and how each comes to its kind.
#[derive(Debug)]
pub(crate) struct InputColumns {
    schema: SchemaRef,
    layouts: Vec<Layout>,
}

/// A kind, and Arrow's type of the same layout.
#[derive(Debug)]
struct Layout {
    kind: Kind,
    data_type: DataType,
}

impl InputColumns {
    /// Fails at the first column whose type operators do not have.
    pub(crate) fn new(schema: SchemaRef) -> Result<Self, InputFault> {
        let layout = |field: &Arc<arrow_schema::Field>| {
            layout(field.data_type()).ok_or_else(|| InputFault::Type {
                column: field.name().clone(),
                data_type: field.data_type().clone(),
            })
        };
        let layouts = schema
            .fields()
            .iter()
            .map(layout)
            .collect::<Result<_, _>>()?;
        Ok(Self { schema, layouts })
    }

    pub(crate) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        let fields = self.schema.fields().iter().zip(&self.layouts);
        fields
            .map(|(field, layout)| Field {
                name: field.name().clone(),
                kind: layout.kind,
                nullable: field.is_nullable(),
            })
            .collect()
    }

    /// The rows as columns that begin at bit and offset 0. Where the layouts agree nothing is copied yet.
    pub(crate) fn columns(&self, batch: &RecordBatch) -> Result<Batch, InputFault> {
        self.check(batch)?;
        let rows =
            u32::try_from(batch.num_rows()).map_err(|_| InputFault::Rows(batch.num_rows()))?;
        let columns = self
            .layouts
            .iter()
            .zip(batch.columns())
            .zip(self.schema.fields());
        let columns = columns.map(|((layout, array), field)| {
            layout.column(array).map_err(|why| InputFault::Values {
                column: field.name().clone(),
                why,
            })
        });
        Ok(Batch {
            rows,
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    /// An operator was told of one schema, once.
    fn check(&self, batch: &RecordBatch) -> Result<(), InputFault> {
        let given = batch.schema_ref();
        if Arc::ptr_eq(given, &self.schema) {
            return Ok(());
        }
        if given.fields().len() != self.layouts.len() {
            return Err(InputFault::Count {
                given: given.fields().len(),
                opened: self.layouts.len(),
            });
        }
        let mut both = self.schema.fields().iter().zip(given.fields());
        let other = both.find(|(opened, given)| {
            opened.name() != given.name() || opened.data_type() != given.data_type()
        });
        match other {
            None => Ok(()),
            Some((opened, given)) => Err(InputFault::Other {
                column: opened.name().clone(),
                opened: opened.data_type().clone(),
                given: given.name().clone(),
                given_type: given.data_type().clone(),
            }),
        }
    }
}

/// The kind of a type, if operators have it.
fn layout(data_type: &DataType) -> Option<Layout> {
    let (kind, own) = match data_type {
        DataType::Boolean => (Kind::Boolean, DataType::Boolean),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            (Kind::Int32, DataType::Int32)
        }
        DataType::Int64 | DataType::UInt32 => (Kind::Int64, DataType::Int64),
        DataType::Float16 | DataType::Float32 => (Kind::Float32, DataType::Float32),
        DataType::Float64 => (Kind::Float64, DataType::Float64),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => (Kind::Text, DataType::Utf8),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => (Kind::Bytes, DataType::Binary),
        DataType::Timestamp(_, zone) => (
            Kind::TimestampMicros,
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        ),
        DataType::FixedSizeList(item, size) if *item.data_type() == DataType::Float32 => {
            let size = u32::try_from(*size).ok().filter(|size| *size > 0)?;
            (Kind::Float32Vector(size), data_type.clone())
        }
        DataType::Dictionary(_, values) => return layout(values),
        _ => return None,
    };
    Some(Layout {
        kind,
        data_type: own,
    })
}

impl Layout {
    fn column(&self, array: &ArrayRef) -> Result<Column, String> {
        let array = if *array.data_type() == self.data_type {
            Arc::clone(array)
        } else {
            cast_with_options(array, &self.data_type, &STRICT).map_err(|error| error.to_string())?
        };
        let validity = array
            .nulls()
            .filter(|nulls| nulls.null_count() > 0)
            .map_or_else(empty, |nulls| bitmap(nulls.inner()));
        Ok(Column {
            values: self.values(&array)?,
            validity,
        })
    }

    fn values(&self, array: &ArrayRef) -> Result<Values, String> {
        Ok(match self.kind {
            Kind::Boolean => Values::Booleans(bitmap(array.as_boolean().values())),
            Kind::Int32 => Values::Int32s(numbers::<Int32Type>(array)),
            Kind::Int64 => Values::Int64s(numbers::<Int64Type>(array)),
            Kind::Float32 => Values::Float32s(numbers::<Float32Type>(array)),
            Kind::Float64 => Values::Float64s(numbers::<Float64Type>(array)),
            Kind::TimestampMicros => Values::Timestamps(numbers::<TimestampMicrosecondType>(array)),
            Kind::Text => {
                let array = array.as_string::<i32>();
                Values::Text(spans(array.offsets(), array.values()))
            }
            Kind::Bytes => {
                let array = array.as_binary::<i32>();
                Values::Bytes(spans(array.offsets(), array.values()))
            }
            Kind::Float32Vector(_) => Values::Float32s(vectors(array.as_fixed_size_list())?),
        })
    }
}

fn empty() -> Buffer {
    Buffer::from_vec(Vec::<u8>::new())
}

/// The bits from bit 0 on; copied only if they begin within a byte.
fn bitmap(bits: &BooleanBuffer) -> Buffer {
    let buffer = bits.sliced();
    buffer.slice_with_length(0, bits.len().div_ceil(8))
}

fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef) -> ScalarBuffer<T::Native> {
    array.as_primitive::<T>().values().clone()
}

/// Offsets of a slice do not begin with 0: those are copied, the data is not.
fn spans(offsets: &OffsetBuffer<i32>, data: &Buffer) -> Spans {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let bytes = |offset: i32| usize::try_from(offset).unwrap_or(0);
    let data = data.slice_with_length(bytes(first), bytes(last) - bytes(first));
    let offsets = if first == 0 {
        offsets.inner().clone()
    } else {
        offsets.iter().map(|offset| offset - first).collect()
    };
    Spans { offsets, data }
}

/// The numbers of all rows. Those of a row that is null may be anything; within another row none may be null.
fn vectors(array: &FixedSizeListArray) -> Result<ScalarBuffer<f32>, String> {
    let values = array.values().as_primitive::<Float32Type>();
    let size = usize::try_from(array.value_length()).unwrap_or(0);
    if values.null_count() > 0 {
        let has_null =
            |row: &usize| array.is_valid(*row) && values.slice(row * size, size).null_count() > 0;
        if let Some(row) = (0..array.len()).find(has_null) {
            return Err(format!("the vector of row {row} has a null in it"));
        }
    }
    Ok(values.values().clone())
}
