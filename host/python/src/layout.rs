//! Which columns are plain memory, and what libraries of arrays call their elements.

use arrow_array::BooleanArray;
use arrow_buffer::{BooleanBuffer, Buffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, TimeUnit};

/// Of a column of plain elements, or of lists of always as many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// What an element means, as numpy says it; little-endian.
    pub(crate) dtype: &'static str,
    /// What lies there. Dates and times may be narrower than what numpy has for them.
    pub(crate) storage: &'static str,
    /// Bytes of an element.
    pub(crate) width: usize,
    /// Elements of a row, from the outermost list on; empty: a row is an element.
    pub(crate) inner: Vec<usize>,
}

/// What numpy calls truths. In Arrow they are bits.
pub(crate) const TRUTHS: &str = "|b1";

impl Layout {
    /// `None`: texts, lists of all lengths and the like.
    pub(crate) fn of(kind: &DataType) -> Option<Self> {
        if let DataType::FixedSizeList(field, length) = kind {
            let mut layout = Self::of(field.data_type())?;
            layout.inner.insert(0, usize::try_from(*length).ok()?);
            return Some(layout);
        }
        let (dtype, storage, width) = element(kind)?;
        let inner = Vec::new();
        Some(Self {
            dtype,
            storage,
            width,
            inner,
        })
    }

    /// Of so many rows.
    pub(crate) fn shape(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows)
            .chain(self.inner.iter().copied())
            .collect()
    }

    /// Elements of a row.
    pub(crate) fn elements(&self) -> usize {
        self.inner.iter().product()
    }
}

fn element(kind: &DataType) -> Option<(&'static str, &'static str, usize)> {
    use DataType as T;
    Some(match kind {
        T::Boolean => (TRUTHS, TRUTHS, 1),
        T::Int8 => ("|i1", "|i1", 1),
        T::Int16 => ("<i2", "<i2", 2),
        T::Int32 => ("<i4", "<i4", 4),
        T::Int64 => ("<i8", "<i8", 8),
        T::UInt8 => ("|u1", "|u1", 1),
        T::UInt16 => ("<u2", "<u2", 2),
        T::UInt32 => ("<u4", "<u4", 4),
        T::UInt64 => ("<u8", "<u8", 8),
        T::Float16 => ("<f2", "<f2", 2),
        T::Float32 => ("<f4", "<f4", 4),
        T::Float64 => ("<f8", "<f8", 8),
        T::Date32 => ("<M8[D]", "<i4", 4),
        T::Date64 => ("<M8[ms]", "<i8", 8),
        T::Timestamp(unit, _) => (moment(*unit), "<i8", 8),
        T::Time32(unit) => (span(*unit), "<i4", 4),
        T::Time64(unit) | T::Duration(unit) => (span(*unit), "<i8", 8),
        _ => return None,
    })
}

fn moment(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "<M8[s]",
        TimeUnit::Millisecond => "<M8[ms]",
        TimeUnit::Microsecond => "<M8[us]",
        TimeUnit::Nanosecond => "<M8[ns]",
    }
}

fn span(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "<m8[s]",
        TimeUnit::Millisecond => "<m8[ms]",
        TimeUnit::Microsecond => "<m8[us]",
        TimeUnit::Nanosecond => "<m8[ns]",
    }
}

/// Those of a column that has a layout, innermost: without copying, but for bits, each of which becomes a byte.
pub(crate) fn elements(data: &ArrayData) -> Buffer {
    match data.data_type() {
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            let inner = &data.child_data()[0];
            elements(&inner.slice(data.offset() * length, data.len() * length))
        }
        DataType::Boolean => {
            let values = BooleanArray::from(data.clone());
            values.values().iter().map(u8::from).collect()
        }
        kind => {
            let width = kind.primitive_width().unwrap_or(0);
            let (start, length) = (data.offset() * width, data.len() * width);
            data.buffers()[0].slice_with_length(start, length)
        }
    }
}

/// Elements that are null, or in a list that is.
pub(crate) fn nulls(data: &ArrayData) -> usize {
    match data.data_type() {
        DataType::FixedSizeList(_, _) if data.null_count() == 0 && nulls_within(data) == 0 => 0,
        DataType::FixedSizeList(_, _) => {
            let valid = bits(&valid(data));
            valid.len() - valid.count_set_bits()
        }
        _ => data.null_count(),
    }
}

fn nulls_within(data: &ArrayData) -> usize {
    data.child_data().iter().map(nulls).sum()
}

/// For each element a byte: 1 where it is there.
pub(crate) fn valid(data: &ArrayData) -> Buffer {
    let own: Vec<u8> = (0..data.len())
        .map(|row| u8::from(data.is_valid(row)))
        .collect();
    let DataType::FixedSizeList(_, length) = data.data_type() else {
        return Buffer::from_vec(own);
    };
    let length = usize::try_from(*length).unwrap_or(0);
    let inner = data.child_data()[0].slice(data.offset() * length, data.len() * length);
    let inner = valid(&inner);
    let inner = inner.iter().enumerate();
    inner.map(|(at, valid)| valid & own[at / length]).collect()
}

/// Bits of bytes, of which each is 0 or not.
pub(crate) fn bits(bytes: &[u8]) -> BooleanBuffer {
    BooleanBuffer::collect_bool(bytes.len(), |at| bytes[at] != 0)
}
