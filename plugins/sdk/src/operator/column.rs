//! Columns as they are made: of vectors without nulls, or collected from cells that may be null.
//!
//! ```
//! use forebay_plugin_sdk::operator::Column;
//!
//! let scaled = Column::from(vec![0.5_f64, 1.5]);
//! let origins: Column = ["JFK", "EWR"].into_iter().map(Some).collect();
//! let delays: Column = [Some(12_i32), None].into_iter().collect();
//! let vectors = Column::from(vec![1.0_f32, 0.0, 0.0, 1.0]);
//! # drop((scaled, origins, delays, vectors));
//! ```

use super::{Column, Spans, Values};

impl Column {
    /// Timestamps: microseconds since 1970.
    pub fn timestamps(cells: impl IntoIterator<Item = Option<i64>>) -> Self {
        let (values, validity) = collect(cells);
        Self {
            values: Values::Timestamps(values),
            validity,
        }
    }

    /// The same values, of which those rows are null for which this says so.
    #[must_use]
    pub fn with_nulls(self, rows: usize, is_null: impl Fn(usize) -> bool) -> Self {
        let mut validity = Bitmap::default();
        (0..rows).for_each(|row| validity.push(!is_null(row)));
        Self {
            values: self.values,
            validity: validity.into_validity(),
        }
    }
}

/// Bits, least significant first.
#[derive(Default)]
struct Bitmap {
    bytes: Vec<u8>,
    bits: usize,
    has_unset: bool,
}

impl Bitmap {
    fn push(&mut self, bit: bool) {
        if self.bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let (true, Some(last)) = (bit, self.bytes.last_mut()) {
            *last |= 1 << (self.bits % 8);
        }
        self.has_unset |= !bit;
        self.bits += 1;
    }

    /// No bytes where nothing is null.
    fn into_validity(self) -> Vec<u8> {
        if self.has_unset {
            self.bytes
        } else {
            Vec::new()
        }
    }
}

fn collect<T: Default>(cells: impl IntoIterator<Item = Option<T>>) -> (Vec<T>, Vec<u8>) {
    let mut validity = Bitmap::default();
    let note = |cell: Option<T>| {
        validity.push(cell.is_some());
        cell.unwrap_or_default()
    };
    let values = cells.into_iter().map(note).collect();
    (values, validity.into_validity())
}

fn collect_spans<T: AsRef<[u8]>>(cells: impl IntoIterator<Item = Option<T>>) -> (Spans, Vec<u8>) {
    let (mut offsets, mut data, mut validity) = (vec![0], Vec::new(), Bitmap::default());
    for cell in cells {
        validity.push(cell.is_some());
        if let Some(cell) = cell {
            data.extend_from_slice(cell.as_ref());
        }
        // The host refuses an answer of 2 GiB long before.
        offsets.push(i32::try_from(data.len()).unwrap_or(i32::MAX));
    }
    (Spans { offsets, data }, validity.into_validity())
}

macro_rules! numbers {
    ($($number:ty => $values:ident),+) => {$(
        /// Without nulls.
        impl From<Vec<$number>> for Column {
            fn from(values: Vec<$number>) -> Self {
                Self { values: Values::$values(values), validity: Vec::new() }
            }
        }

        impl FromIterator<Option<$number>> for Column {
            fn from_iter<I: IntoIterator<Item = Option<$number>>>(cells: I) -> Self {
                let (values, validity) = collect(cells);
                Self { values: Values::$values(values), validity }
            }
        }
    )+};
}

numbers!(i32 => Int32s, i64 => Int64s, f32 => Float32s, f64 => Float64s);

macro_rules! spans {
    ($($cell:ty => $values:ident),+) => {$(
        impl<'a> FromIterator<Option<&'a $cell>> for Column {
            fn from_iter<I: IntoIterator<Item = Option<&'a $cell>>>(cells: I) -> Self {
                let (spans, validity) = collect_spans(cells);
                Self { values: Values::$values(spans), validity }
            }
        }
    )+};
}

spans!(str => Text, [u8] => Bytes);

impl FromIterator<Option<String>> for Column {
    fn from_iter<I: IntoIterator<Item = Option<String>>>(cells: I) -> Self {
        let (spans, validity) = collect_spans(cells);
        Self {
            values: Values::Text(spans),
            validity,
        }
    }
}

impl FromIterator<Option<bool>> for Column {
    fn from_iter<I: IntoIterator<Item = Option<bool>>>(cells: I) -> Self {
        let (mut bits, mut validity) = (Bitmap::default(), Bitmap::default());
        for cell in cells {
            validity.push(cell.is_some());
            bits.push(cell.unwrap_or_default());
        }
        Self {
            values: Values::Booleans(bits.bytes),
            validity: validity.into_validity(),
        }
    }
}
