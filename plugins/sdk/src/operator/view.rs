//! Columns as they are read: cell by cell, with nulls.

/// A column of one kind.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, C> {
    cells: C,
    validity: &'a [u8],
    rows: usize,
}

/// The cells of a column, whether they are null or not.
pub trait Cells: Copy {
    /// What one row has.
    type Cell;

    /// What this row has; anything where it is null.
    fn cell(self, row: usize) -> Self::Cell;
}

impl<'a, C: Cells> View<'a, C> {
    pub(super) const fn new(cells: C, validity: &'a [u8], rows: usize) -> Self {
        Self {
            cells,
            validity,
            rows,
        }
    }

    /// Number of rows.
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether some rows may be null.
    pub const fn has_nulls(&self) -> bool {
        !self.validity.is_empty()
    }

    /// Whether this row is null.
    pub fn is_null(&self, row: usize) -> bool {
        self.has_nulls() && !bit(self.validity, row)
    }

    /// What this row has, if it is not null. There must be such a row.
    pub fn get(&self, row: usize) -> Option<C::Cell> {
        (!self.is_null(row)).then(|| self.cells.cell(row))
    }

    /// All rows in order.
    pub fn iter(self) -> impl Iterator<Item = Option<C::Cell>> + use<'a, C> {
        (0..self.rows).map(move |row| self.get(row))
    }

    /// The cells themselves; those of rows that are null may be anything.
    pub const fn cells(&self) -> C {
        self.cells
    }
}

pub(super) fn bit(bits: &[u8], row: usize) -> bool {
    bits[row / 8] >> (row % 8) & 1 == 1
}

impl<T: Copy> Cells for &[T] {
    type Cell = T;

    fn cell(self, row: usize) -> T {
        self[row]
    }
}

/// Booleans: one bit a row, least significant first.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a>(pub &'a [u8]);

impl Cells for Bits<'_> {
    type Cell = bool;

    fn cell(self, row: usize) -> bool {
        bit(self.0, row)
    }
}

/// Texts, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    pub(super) offsets: &'a [i32],
    pub(super) data: &'a str,
}

impl<'a> Cells for Text<'a> {
    type Cell = &'a str;

    fn cell(self, row: usize) -> &'a str {
        &self.data[span(self.offsets, row)]
    }
}

/// Bytes, one value after the other.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    pub(super) offsets: &'a [i32],
    pub(super) data: &'a [u8],
}

impl<'a> Cells for Bytes<'a> {
    type Cell = &'a [u8];

    fn cell(self, row: usize) -> &'a [u8] {
        &self.data[span(self.offsets, row)]
    }
}

fn span(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |offset: i32| usize::try_from(offset).unwrap_or(usize::MAX);
    at(offsets[row])..at(offsets[row + 1])
}

/// Vectors of the same length, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    pub(super) values: &'a [f32],
    pub(super) size: usize,
}

impl<'a> Cells for Vectors<'a> {
    type Cell = &'a [f32];

    fn cell(self, row: usize) -> &'a [f32] {
        &self.values[row * self.size..(row + 1) * self.size]
    }
}

/// Numbers of whatever kind, as `f64`; booleans are 0 and 1, and an `int64` is rounded beyond 2^53.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// Of a boolean column.
    Booleans(Bits<'a>),
    /// Of an int32 column.
    Int32s(&'a [i32]),
    /// Of an int64 column.
    Int64s(&'a [i64]),
    /// Of a float32 column.
    Float32s(&'a [f32]),
    /// Of a float64 column.
    Float64s(&'a [f64]),
}

impl Cells for Numbers<'_> {
    type Cell = f64;

    #[expect(clippy::cast_precision_loss, reason = "as its type says")]
    fn cell(self, row: usize) -> f64 {
        match self {
            Self::Booleans(bits) => f64::from(bits.cell(row)),
            Self::Int32s(values) => f64::from(values[row]),
            Self::Int64s(values) => values[row] as f64,
            Self::Float32s(values) => f64::from(values[row]),
            Self::Float64s(values) => values[row],
        }
    }
}
