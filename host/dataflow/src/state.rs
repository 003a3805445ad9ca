//! Rows as bytes, for the state of operators.

use std::io::Cursor;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;

use crate::error::Cause;

/// A batch in Arrow's streaming format.
///
/// # Errors
///
/// A type that Arrow's format does not have.
pub fn batch_bytes(batch: &RecordBatch) -> Result<Vec<u8>, Cause> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(batch)?;
    Ok(writer.into_inner()?)
}

/// What [`batch_bytes`] made.
///
/// # Errors
///
/// These are no such bytes.
pub fn batch_of_bytes(bytes: &[u8]) -> Result<RecordBatch, Cause> {
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None)?;
    reader
        .next()
        .ok_or("the state holds no batch")?
        .map_err(Into::into)
}
