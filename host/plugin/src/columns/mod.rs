//! Columns between Arrow and operators: which kinds there are, how a batch becomes columns, and which columns make a batch.
//!
//! It is about layouts alone, and knows no WebAssembly. What comes from an operator is hostile: [`OutputColumns`] believes
//! nothing that it is told. Start from [`InputColumns`] and [`OutputColumns`].

mod input;
mod output;
#[cfg(test)]
mod tests;

use arrow_buffer::{Buffer, ScalarBuffer};

pub(crate) use input::InputColumns;
pub(crate) use output::OutputColumns;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Int32,
    Int64,
    Float32,
    Float64,
    Text,
    Bytes,
    TimestampMicros,
    /// So many numbers in every row.
    Float32Vector(u32),
}

impl Kind {
    /// As the WIT spells it.
    const fn word(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::TimestampMicros => "timestamp-micros",
            Self::Float32Vector(_) => "float32-vector",
        }
    }
}

/// A column's name and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
}

/// One value after the other, of so many bytes each.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    pub(crate) offsets: ScalarBuffer<i32>,
    pub(crate) data: Buffer,
}

/// The values of a column in Arrow's layout; booleans are a bitmap.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    Booleans(Buffer),
    Int32s(ScalarBuffer<i32>),
    Int64s(ScalarBuffer<i64>),
    Float32s(ScalarBuffer<f32>),
    Float64s(ScalarBuffer<f64>),
    Text(Spans),
    Bytes(Spans),
    Timestamps(ScalarBuffer<i64>),
}

impl Values {
    /// As the WIT spells it.
    const fn word(&self) -> &'static str {
        match self {
            Self::Booleans(_) => "booleans",
            Self::Int32s(_) => "int32s",
            Self::Int64s(_) => "int64s",
            Self::Float32s(_) => "float32s",
            Self::Float64s(_) => "float64s",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Timestamps(_) => "timestamps",
        }
    }
}

/// Values, and which of them are there: one bit a row, or nothing where all are.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) values: Values,
    pub(crate) validity: Buffer,
}

/// Rows as an operator gets and gives them.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) rows: u32,
    pub(crate) columns: Vec<Column>,
}
