//! From what operators answer to Arrow. Everything is checked before an array is made of it.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, Schema, SchemaRef, TimeUnit};

use super::{Batch, Column, Field, Kind, Spans, Values};
use crate::error::InvalidAnswer;
use crate::operator::{ChangedSchema, OperatorFault};

/// Longest name of a column, in bytes.
const NAME_BYTES_MAX: usize = 1 << 10;

/// The columns that an operator has announced.
#[derive(Debug)]
pub(crate) struct OutputColumns {
    schema: SchemaRef,
    kinds: Vec<Kind>,
}

impl OutputColumns {
    /// A timestamp has the zone of the input's column of its name, since operators know none; others have no zone.
    pub(crate) fn new(fields: &[Field], input: &Schema) -> Result<Self, InvalidAnswer> {
        let invalid = |place: String, why: String| InvalidAnswer { place, why };
        if fields.is_empty() {
            return Err(invalid(
                "its output".to_owned(),
                "it has no columns".to_owned(),
            ));
        }
        let mut names = HashSet::new();
        for (number, field) in fields.iter().enumerate() {
            check_field(field, names.insert(&field.name)).map_err(|why| {
                invalid(
                    format!("the output's column {number} (`{}`)", shown(&field.name)),
                    why,
                )
            })?;
        }
        let announced = fields.iter().map(|field| arrow_field(field, input));
        Ok(Self {
            schema: Arc::new(Schema::new(announced.collect::<Vec<_>>())),
            kinds: fields.iter().map(|field| field.kind).collect(),
        })
    }

    pub(crate) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batch at this position of an answer, if it is what was announced.
    pub(crate) fn batch(
        &self,
        position: usize,
        batch: Batch,
    ) -> Result<RecordBatch, OperatorFault> {
        self.check(&batch.columns)?;
        let rows = batch.rows as usize;
        let fields = self.schema.fields().iter().zip(&self.kinds);
        let arrays = fields.zip(batch.columns).map(|((field, kind), column)| {
            array(field, *kind, rows, column).map_err(|why| {
                let place = format!(
                    "column `{}` of batch {position} (of {rows} rows)",
                    field.name()
                );
                InvalidAnswer { place, why }
            })
        });
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map_err(
            |error| {
                let place = format!("batch {position}");
                let why = error.to_string();
                InvalidAnswer { place, why }.into()
            },
        )
    }

    fn check(&self, columns: &[Column]) -> Result<(), ChangedSchema> {
        let announced = self.schema.fields().iter().zip(&self.kinds);
        for ((field, kind), column) in announced.zip(columns) {
            if !fits(*kind, &column.values) {
                return Err(ChangedSchema::Kind {
                    column: field.name().clone(),
                    announced: kind.word(),
                    found: column.values.word(),
                });
            }
        }
        match self.schema.fields().get(columns.len()) {
            Some(missing) => Err(ChangedSchema::Missing {
                column: missing.name().clone(),
            }),
            None if columns.len() == self.kinds.len() => Ok(()),
            None => Err(ChangedSchema::More {
                announced: self.kinds.len(),
                found: columns.len(),
                last: self
                    .schema
                    .fields()
                    .last()
                    .map_or_else(String::new, |last| last.name().clone()),
            }),
        }
    }
}

fn shown(name: &str) -> String {
    name[..name.floor_char_boundary(64)]
        .escape_debug()
        .to_string()
}

fn check_field(field: &Field, is_new: bool) -> Result<(), String> {
    if field.name.is_empty() {
        return Err("it has no name".to_owned());
    }
    if field.name.len() > NAME_BYTES_MAX || field.name.chars().any(char::is_control) {
        return Err(format!(
            "its name has more than {NAME_BYTES_MAX} bytes, or control characters"
        ));
    }
    if !is_new {
        return Err("another column has the same name".to_owned());
    }
    match field.kind {
        Kind::Float32Vector(0) => Err("its vectors have no numbers".to_owned()),
        Kind::Float32Vector(size) if i32::try_from(size).is_err() => {
            Err(format!("vectors of {size} numbers are too long"))
        }
        _ => Ok(()),
    }
}

fn arrow_field(field: &Field, input: &Schema) -> arrow_schema::Field {
    let data_type = match field.kind {
        Kind::Boolean => DataType::Boolean,
        Kind::Int32 => DataType::Int32,
        Kind::Int64 => DataType::Int64,
        Kind::Float32 => DataType::Float32,
        Kind::Float64 => DataType::Float64,
        Kind::Text => DataType::Utf8,
        Kind::Bytes => DataType::Binary,
        Kind::TimestampMicros => {
            let zone = match input
                .field_with_name(&field.name)
                .map(arrow_schema::Field::data_type)
            {
                Ok(DataType::Timestamp(_, zone)) => zone.clone(),
                _ => None,
            };
            DataType::Timestamp(TimeUnit::Microsecond, zone)
        }
        Kind::Float32Vector(size) => {
            let item = arrow_schema::Field::new("item", DataType::Float32, false);
            DataType::FixedSizeList(Arc::new(item), i32::try_from(size).unwrap_or(i32::MAX))
        }
    };
    arrow_schema::Field::new(&field.name, data_type, field.nullable)
}

const fn fits(kind: Kind, values: &Values) -> bool {
    matches!(
        (kind, values),
        (Kind::Boolean, Values::Booleans(_))
            | (Kind::Int32, Values::Int32s(_))
            | (Kind::Int64, Values::Int64s(_))
            | (Kind::Float32 | Kind::Float32Vector(_), Values::Float32s(_))
            | (Kind::Float64, Values::Float64s(_))
            | (Kind::Text, Values::Text(_))
            | (Kind::Bytes, Values::Bytes(_))
            | (Kind::TimestampMicros, Values::Timestamps(_))
    )
}

fn array(field: &FieldRef, kind: Kind, rows: usize, column: Column) -> Result<ArrayRef, String> {
    let nulls = nulls(field, rows, column.validity)?;
    Ok(match column.values {
        Values::Booleans(bits) => {
            check_bits("values", rows, bits.len())?;
            Arc::new(BooleanArray::new(BooleanBuffer::new(bits, 0, rows), nulls))
        }
        Values::Int32s(values) => numbers::<Int32Type>(field, rows, values, nulls)?,
        Values::Int64s(values) => numbers::<Int64Type>(field, rows, values, nulls)?,
        Values::Float64s(values) => numbers::<Float64Type>(field, rows, values, nulls)?,
        Values::Timestamps(values) => {
            numbers::<TimestampMicrosecondType>(field, rows, values, nulls)?
        }
        Values::Float32s(values) => match kind {
            Kind::Float32Vector(size) => vectors(field, size, rows, values, nulls)?,
            _ => numbers::<Float32Type>(field, rows, values, nulls)?,
        },
        Values::Text(spans) => {
            let offsets = offsets(rows, &spans)?;
            let array = StringArray::try_new(offsets, spans.data.clone(), nulls);
            Arc::new(array.map_err(|_| bad_text(&spans))?)
        }
        Values::Bytes(spans) => {
            let offsets = offsets(rows, &spans)?;
            let array = BinaryArray::try_new(offsets, spans.data, nulls);
            Arc::new(array.map_err(|error| error.to_string())?)
        }
    })
}

fn nulls(field: &FieldRef, rows: usize, validity: Buffer) -> Result<Option<NullBuffer>, String> {
    if validity.is_empty() {
        return Ok(None);
    }
    check_bits("validity", rows, validity.len())?;
    let nulls = NullBuffer::new(BooleanBuffer::new(validity, 0, rows));
    if nulls.null_count() == 0 {
        return Ok(None);
    }
    if !field.is_nullable() {
        let row = (0..rows).find(|row| nulls.is_null(*row)).unwrap_or(0);
        return Err(format!(
            "row {row} is null, but it was announced without nulls"
        ));
    }
    Ok(Some(nulls))
}

fn check_bits(what: &str, rows: usize, bytes: usize) -> Result<(), String> {
    let expected = rows.div_ceil(8);
    if bytes == expected {
        return Ok(());
    }
    Err(format!(
        "its {what} have {bytes} bytes instead of {expected}, one bit a row"
    ))
}

fn check_count(values: usize, expected: usize) -> Result<(), String> {
    if values == expected {
        return Ok(());
    }
    Err(format!("it has {values} values instead of {expected}"))
}

fn numbers<T: ArrowPrimitiveType>(
    field: &FieldRef,
    rows: usize,
    values: ScalarBuffer<T::Native>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, String> {
    check_count(values.len(), rows)?;
    let array = PrimitiveArray::<T>::try_new(values, nulls).map_err(|error| error.to_string())?;
    Ok(Arc::new(array.with_data_type(field.data_type().clone())))
}

fn vectors(
    field: &FieldRef,
    size: u32,
    rows: usize,
    values: ScalarBuffer<f32>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, String> {
    let expected = rows.checked_mul(size as usize);
    check_count(values.len(), expected.unwrap_or(usize::MAX))?;
    let DataType::FixedSizeList(item, size) = field.data_type() else {
        return Err(format!("vectors cannot be {}", field.data_type()));
    };
    let values = PrimitiveArray::<Float32Type>::new(values, None);
    let array = FixedSizeListArray::try_new(Arc::clone(item), *size, Arc::new(values), nulls);
    Ok(Arc::new(array.map_err(|error| error.to_string())?))
}

/// Arrow's own constructor panics where they are not right.
fn offsets(rows: usize, spans: &Spans) -> Result<OffsetBuffer<i32>, String> {
    let offsets = &spans.offsets;
    if offsets.len() != rows + 1 {
        return Err(format!(
            "it has {} offsets instead of {}",
            offsets.len(),
            rows + 1
        ));
    }
    if offsets[0] < 0 {
        return Err(format!("its first offset is {}", offsets[0]));
    }
    if let Some(row) = (0..rows).find(|row| offsets[*row] > offsets[row + 1]) {
        let (begin, end) = (offsets[row], offsets[row + 1]);
        return Err(format!("row {row} goes from offset {begin} back to {end}"));
    }
    let end = usize::try_from(offsets[rows]).unwrap_or(usize::MAX);
    if end > spans.data.len() {
        let bytes = spans.data.len();
        return Err(format!(
            "its last offset is {end}, but its data has {bytes} bytes"
        ));
    }
    Ok(OffsetBuffer::new(offsets.clone()))
}

/// What Arrow found, with the row; offsets are right here.
fn bad_text(spans: &Spans) -> String {
    let bytes = |offset: i32| usize::try_from(offset).unwrap_or(0);
    let is_bad =
        |both: &[i32]| std::str::from_utf8(&spans.data[bytes(both[0])..bytes(both[1])]).is_err();
    match spans.offsets.windows(2).position(is_bad) {
        Some(row) => format!("the text of row {row} is not UTF-8"),
        None => "its data is not UTF-8 where no row is".to_owned(),
    }
}
