//! Arrow batches as bodies of records: the buffers of their columns one behind the other, each from a multiple of 64 on, without anything
//! that describes them. Where each begins follows from the schema, the number of rows and the offsets that came before it.
//!
//! A column is: its validity if it may be null (a bit a row), then its values; texts and lists have their offsets first, which begin with 0.
//! Keys of a dictionary are values; the dictionary itself travels with the schema.

mod body;
mod schema;

use arrow_schema::DataType;

pub use self::body::{Body, read_body};
pub use self::schema::Columns;

/// Why something is no batch, or a batch cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    /// Columns of this type cannot be sent.
    #[error("the column `{column}` has the type {found}, which no channel carries")]
    Unsupported {
        /// Its name, with those of the columns that it is in.
        column: String,
        /// Its type.
        found: DataType,
    },
    /// The batch has other columns than were announced.
    #[error("the batch has other columns than its schema")]
    OtherColumns,
    /// A dictionary is not the one that was announced.
    #[error("a dictionary of the batch is not the one of its schema")]
    OtherDictionary,
    /// A body does not begin at a multiple of 64.
    #[error("the body of a record does not begin at a multiple of 64")]
    Misaligned,
    /// The body of a record is too short for its columns.
    #[error("the column `{column}` goes over the end of its record")]
    TooShort {
        /// Its name, with those of the columns that it is in.
        column: String,
    },
    /// The body of a record has more than its columns.
    #[error("the record has {surplus} bytes more than its columns")]
    TooLong {
        /// Behind the last column.
        surplus: usize,
    },
    /// The values of a column are none of its type: offsets that go back, text that is not UTF-8, keys without a value.
    #[error("the column `{column}` is damaged: {problem}")]
    Damaged {
        /// Its name, with those of the columns that it is in.
        column: String,
        /// What is wrong.
        problem: String,
    },
    /// The schema of a record is none.
    #[error("the schema is damaged: {0}")]
    Schema(String),
}

#[cfg(test)]
mod tests;
