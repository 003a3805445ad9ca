//! The walk along the columns of a batch, which is the same for measuring, writing and reading.

use std::slice;

use arrow_array::{Array, RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::bit_mask::set_bits;
use arrow_buffer::{
    ArrowNativeType, BooleanBuffer, Buffer, MutableBuffer, NullBuffer, ToByteSlice,
};
use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_schema::{DataType, Field, FieldRef, SchemaRef};

use super::{Columns, ColumnsError};
use crate::ALIGNMENT;

/// A batch that can be the body of a record.
#[derive(Debug)]
pub struct Body<'a> {
    columns: &'a Columns,
    batch: &'a RecordBatch,
    bytes: usize,
}

impl<'a> Body<'a> {
    /// Of a batch that is one of these columns.
    ///
    /// # Errors
    ///
    /// It has other columns or another dictionary, or a column is of a type that no channel carries.
    pub fn new(columns: &'a Columns, batch: &'a RecordBatch) -> Result<Self, ColumnsError> {
        columns.check(batch)?;
        let mut measured = Out::default();
        put_all(columns, batch, &mut measured)?;
        let bytes = measured.length;
        Ok(Self {
            columns,
            batch,
            bytes,
        })
    }

    /// How long it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes it.
    ///
    /// # Panics
    ///
    /// There is room for less than [`Body::bytes`].
    pub fn write(&self, room: &mut [u8]) {
        let mut out = Out {
            bytes: Some(room),
            length: 0,
        };
        put_all(self.columns, self.batch, &mut out).expect("it was measured");
    }
}

/// The batch in a body. Its buffers are parts of this one, which must begin at a multiple of 64. Everything is checked.
///
/// # Errors
///
/// The body is not one of these columns.
pub fn read_body(
    columns: &Columns,
    rows: usize,
    body: &Buffer,
) -> Result<RecordBatch, ColumnsError> {
    if body.as_ptr().align_offset(ALIGNMENT) != 0 {
        return Err(ColumnsError::Misaligned);
    }
    let mut taken = In {
        body,
        at: 0,
        dictionaries: columns.dictionaries().iter(),
    };
    let batch = taken.batch(columns.schema(), rows)?;
    match body.len().saturating_sub(taken.at) {
        0 => Ok(batch),
        surplus => Err(ColumnsError::TooLong { surplus }),
    }
}

/// A batch without rows.
pub(super) fn empty(
    schema: &SchemaRef,
    dictionaries: &[ArrayData],
) -> Result<RecordBatch, ColumnsError> {
    // Of no rows no column has more than the first offset, which is 0, on each of its levels.
    let levels = schema
        .fields()
        .iter()
        .map(|field| levels(field))
        .sum::<usize>();
    let body = MutableBuffer::from_len_zeroed(levels * ALIGNMENT).into();
    let mut taken = In {
        body: &body,
        at: 0,
        dictionaries: dictionaries.iter(),
    };
    taken.batch(schema, 0)
}

/// A field, and all that it is made of.
fn levels(field: &Field) -> usize {
    let inner: usize = match field.data_type() {
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::Map(inner, _)
        | DataType::FixedSizeList(inner, _) => levels(inner),
        DataType::Struct(fields) => fields.iter().map(|inner| levels(inner)).sum(),
        _ => 0,
    };
    1 + inner
}

/// Where a column stands, for messages.
struct Path<'a> {
    outer: Option<&'a Path<'a>>,
    name: &'a str,
}

impl<'a> Path<'a> {
    fn top(field: &'a Field) -> Self {
        Self {
            outer: None,
            name: field.name(),
        }
    }

    fn inner(&'a self, field: &'a Field) -> Self {
        Self {
            outer: Some(self),
            name: field.name(),
        }
    }

    fn text(&self) -> String {
        match self.outer {
            Some(outer) => format!("{}.{}", outer.text(), self.name),
            None => self.name.to_owned(),
        }
    }

    fn unsupported(&self, found: &DataType) -> ColumnsError {
        ColumnsError::Unsupported {
            column: self.text(),
            found: found.clone(),
        }
    }

    fn damaged(&self, problem: &(impl ToString + ?Sized)) -> ColumnsError {
        ColumnsError::Damaged {
            column: self.text(),
            problem: problem.to_string(),
        }
    }
}

/// What the buffers of a type are, apart from the validity.
enum Shape<'a> {
    Nothing,
    Bits,
    /// So many bytes a row.
    Fixed(usize),
    /// Offsets, 32 bits wide or 64, and bytes.
    Bytes {
        is_large: bool,
    },
    /// Offsets, and another column.
    List(&'a FieldRef, bool),
    /// So many rows of another column for each.
    FixedList(&'a FieldRef, usize),
    Struct(&'a [FieldRef]),
}

impl<'a> Shape<'a> {
    fn of(kind: &'a DataType, path: &Path) -> Result<Self, ColumnsError> {
        use DataType::{
            Binary, Boolean, Dictionary, FixedSizeBinary, FixedSizeList, LargeBinary, LargeList,
            LargeUtf8, List, Map, Null, Struct, Utf8,
        };
        let count = |number: &i32| usize::try_from(*number).map_err(|_| path.unsupported(kind));
        Ok(match kind {
            Null => Self::Nothing,
            Boolean => Self::Bits,
            Utf8 | Binary => Self::Bytes { is_large: false },
            LargeUtf8 | LargeBinary => Self::Bytes { is_large: true },
            FixedSizeBinary(width) => Self::Fixed(count(width)?),
            List(field) | Map(field, _) => Self::List(field, false),
            LargeList(field) => Self::List(field, true),
            FixedSizeList(field, length) => Self::FixedList(field, count(length)?),
            Struct(fields) => Self::Struct(fields),
            Dictionary(keys, _) => Self::Fixed(
                keys.primitive_width()
                    .ok_or_else(|| path.unsupported(kind))?,
            ),
            other => Self::Fixed(
                other
                    .primitive_width()
                    .ok_or_else(|| path.unsupported(kind))?,
            ),
        })
    }
}

// ------------------------------------------------------------------------------------------------------------- writing

/// Where buffers go; without bytes they are only measured.
#[derive(Default)]
struct Out<'a> {
    bytes: Option<&'a mut [u8]>,
    /// Up to the end of the last buffer.
    length: usize,
}

impl Out<'_> {
    /// Room for the next buffer.
    fn buffer(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let start = self.length.next_multiple_of(ALIGNMENT);
        self.length = start + bytes;
        Some(&mut self.bytes.as_mut()?[start..start + bytes])
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(room) = self.buffer(bytes.len()) {
            room.copy_from_slice(bytes);
        }
    }

    fn bits(&mut self, bits: &[u8], offset: usize, length: usize) {
        if let Some(room) = self.buffer(length.div_ceil(8)) {
            room.fill(0);
            set_bits(room, bits, 0, offset, length);
        }
    }

    fn validity(&mut self, nulls: Option<&NullBuffer>, rows: usize) {
        match nulls {
            Some(nulls) => self.bits(nulls.validity(), nulls.offset(), rows),
            None => {
                if let Some(room) = self.buffer(rows.div_ceil(8)) {
                    room.fill(u8::MAX);
                }
            }
        }
    }

    /// Offsets that begin with 0; returns where the values begin, and how many they are.
    fn offsets<T: ArrowNativeType + std::ops::Sub<Output = T>>(
        &mut self,
        data: &ArrayData,
    ) -> (usize, usize) {
        let rows = data.len();
        let zero = [T::default()];
        let all: &[T] = data.buffers()[0].typed_data();
        // An empty column may come without offsets.
        let own = if rows == 0 {
            &zero[..]
        } else {
            &all[data.offset()..=data.offset() + rows]
        };
        let first = own[0];
        if let Some(room) = self.buffer((rows + 1) * size_of::<T>()) {
            for (room, offset) in room.chunks_exact_mut(size_of::<T>()).zip(own) {
                let offset = *offset - first;
                room.copy_from_slice(slice::from_ref(&offset).to_byte_slice());
            }
        }
        (first.as_usize(), (own[rows] - first).as_usize())
    }

    fn column(&mut self, field: &Field, data: &ArrayData, path: &Path) -> Result<(), ColumnsError> {
        let rows = data.len();
        let shape = Shape::of(field.data_type(), path)?;
        if field.is_nullable() && !matches!(shape, Shape::Nothing) {
            self.validity(data.nulls(), rows);
        }
        match shape {
            Shape::Nothing => {}
            Shape::Bits => self.bits(&data.buffers()[0], data.offset(), rows),
            Shape::Fixed(width) => {
                let start = data.offset() * width;
                self.bytes(&data.buffers()[0][start..start + rows * width]);
            }
            Shape::Bytes { is_large } => {
                let (first, length) = self.any_offsets(data, is_large);
                self.bytes(&data.buffers()[1][first..first + length]);
            }
            Shape::List(inner, is_large) => {
                let (first, length) = self.any_offsets(data, is_large);
                let values = data.child_data()[0].slice(first, length);
                self.column(inner, &values, &path.inner(inner))?;
            }
            Shape::FixedList(_, length) if matches!(data.data_type(), DataType::Struct(_)) => {
                if let Some(room) = self.buffer(rows * length * size_of::<f32>()) {
                    put_side_by_side(data.child_data(), room);
                }
            }
            Shape::FixedList(inner, length) => {
                let values = data.child_data()[0].slice(data.offset() * length, rows * length);
                self.column(inner, &values, &path.inner(inner))?;
            }
            Shape::Struct(fields) => {
                // Those of a part of a struct are parts already.
                for (inner, values) in fields.iter().zip(data.child_data()) {
                    self.column(inner, values, &path.inner(inner))?;
                }
            }
        }
        Ok(())
    }

    fn any_offsets(&mut self, data: &ArrayData, is_large: bool) -> (usize, usize) {
        if is_large {
            self.offsets::<i64>(data)
        } else {
            self.offsets::<i32>(data)
        }
    }
}

fn put_all(columns: &Columns, batch: &RecordBatch, out: &mut Out) -> Result<(), ColumnsError> {
    for (field, column) in columns.schema().fields().iter().zip(batch.columns()) {
        out.column(field, &column.to_data(), &Path::top(field))?;
    }
    Ok(())
}

/// The rows of these columns, one behind the other, as Float32.
fn put_side_by_side(columns: &[ArrayData], room: &mut [u8]) {
    let width = columns.len() * size_of::<f32>();
    for (place, column) in columns.iter().enumerate() {
        let cells = room
            .chunks_exact_mut(width)
            .map(|row| &mut row[place * size_of::<f32>()..][..size_of::<f32>()]);
        if *column.data_type() == DataType::Float32 {
            put_cells::<f32>(column, cells, |value| value);
        } else {
            put_cells::<f64>(column, cells, narrow);
        }
    }
}

fn put_cells<'a, T: ArrowNativeType>(
    column: &ArrayData,
    cells: impl Iterator<Item = &'a mut [u8]>,
    value: impl Fn(T) -> f32,
) {
    let values = &column.buffers()[0].typed_data::<T>()[column.offset()..];
    let put = |cell: &mut [u8], value: f32| cell.copy_from_slice(&value.to_le_bytes());
    match column.nulls() {
        None => {
            for (cell, own) in cells.zip(values) {
                put(cell, value(*own));
            }
        }
        Some(nulls) => {
            for ((cell, own), is_there) in cells.zip(values).zip(nulls) {
                put(cell, if is_there { value(*own) } else { f32::NAN });
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "tensors are of 32 bits, and that is told"
)]
const fn narrow(value: f64) -> f32 {
    value as f32
}

// ------------------------------------------------------------------------------------------------------------- reading

/// What is left of a body.
struct In<'a> {
    body: &'a Buffer,
    at: usize,
    /// Those of the columns that were not read yet.
    dictionaries: slice::Iter<'a, ArrayData>,
}

impl In<'_> {
    fn batch(&mut self, schema: &SchemaRef, rows: usize) -> Result<RecordBatch, ColumnsError> {
        let fields = schema.fields().iter();
        let arrays = fields.map(|field| {
            let data = self.column(field, rows, &Path::top(field))?;
            Ok(make_array(data))
        });
        let arrays = arrays.collect::<Result<Vec<_>, ColumnsError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
            .map_err(|error| ColumnsError::Schema(error.to_string()))
    }

    fn buffer(&mut self, bytes: Option<usize>, path: &Path) -> Result<Buffer, ColumnsError> {
        let too_short = || ColumnsError::TooShort {
            column: path.text(),
        };
        let bytes = bytes.ok_or_else(too_short)?;
        let start = self.at.next_multiple_of(ALIGNMENT);
        let end = start.checked_add(bytes).ok_or_else(too_short)?;
        if end > self.body.len() && bytes > 0 {
            return Err(too_short());
        }
        if bytes == 0 {
            // Nothing may follow it, and then its place is behind the end.
            self.at = end.min(self.body.len());
            return Ok(self.body.slice_with_length(0, 0));
        }
        self.at = end;
        Ok(self.body.slice_with_length(start, bytes))
    }

    fn column(
        &mut self,
        field: &Field,
        rows: usize,
        path: &Path,
    ) -> Result<ArrayData, ColumnsError> {
        let kind = field.data_type();
        let shape = Shape::of(kind, path)?;
        let mut data = ArrayDataBuilder::new(kind.clone()).len(rows);
        if field.is_nullable() && !matches!(shape, Shape::Nothing) {
            let bits = self.buffer(Some(rows.div_ceil(8)), path)?;
            let nulls = NullBuffer::new(BooleanBuffer::new(bits, 0, rows));
            data = data.nulls(Some(nulls).filter(|nulls| nulls.null_count() > 0));
        }
        data = match shape {
            Shape::Nothing => data,
            Shape::Bits => data.add_buffer(self.buffer(Some(rows.div_ceil(8)), path)?),
            Shape::Fixed(width) => {
                let values = self.buffer(rows.checked_mul(width), path)?;
                let data = data.add_buffer(values);
                match kind {
                    DataType::Dictionary(..) => data.add_child_data(self.dictionary(path)?),
                    _ => data,
                }
            }
            Shape::Bytes { is_large } => {
                let (offsets, length) = self.offsets(rows, is_large, path)?;
                let values = self.buffer(Some(length), path)?;
                data.add_buffer(offsets).add_buffer(values)
            }
            Shape::List(inner, is_large) => {
                let (offsets, length) = self.offsets(rows, is_large, path)?;
                let values = self.column(inner, length, &path.inner(inner))?;
                data.add_buffer(offsets).add_child_data(values)
            }
            Shape::FixedList(inner, length) => {
                let length = rows.checked_mul(length);
                let length = length.ok_or_else(|| path.damaged("it has too many values"))?;
                data.add_child_data(self.column(inner, length, &path.inner(inner))?)
            }
            Shape::Struct(fields) => {
                for inner in fields {
                    data = data.add_child_data(self.column(inner, rows, &path.inner(inner))?);
                }
                data
            }
        };
        data.build().map_err(|error| path.damaged(&error))
    }

    /// Offsets, and how many values they say that there are.
    fn offsets(
        &mut self,
        rows: usize,
        is_large: bool,
        path: &Path,
    ) -> Result<(Buffer, usize), ColumnsError> {
        let width = if is_large { 8 } else { 4 };
        let bytes = rows.checked_add(1).and_then(|rows| rows.checked_mul(width));
        let offsets = self.buffer(bytes, path)?;
        let last = if is_large {
            offsets.typed_data::<i64>()[rows]
        } else {
            offsets.typed_data::<i32>()[rows].into()
        };
        let last = usize::try_from(last).map_err(|_| path.damaged("an offset is negative"))?;
        Ok((offsets, last))
    }

    fn dictionary(&mut self, path: &Path) -> Result<ArrayData, ColumnsError> {
        let missing = || path.damaged("its dictionary is missing");
        self.dictionaries.next().cloned().ok_or_else(missing)
    }
}
