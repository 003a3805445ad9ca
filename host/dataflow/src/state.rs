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

/// Several states as one.
pub(crate) fn parts(parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut whole = Vec::new();
    for part in parts {
        whole.extend((part.len() as u64).to_le_bytes());
        whole.extend(part);
    }
    whole
}

/// What [`parts`] put together.
pub(crate) fn split(mut whole: &[u8]) -> Result<Vec<&[u8]>, Cause> {
    let mut parts = Vec::new();
    while !whole.is_empty() {
        let (length, rest) = whole.split_first_chunk().ok_or("the state is cut off")?;
        let length = usize::try_from(u64::from_le_bytes(*length))?;
        let (part, rest) = rest
            .split_at_checked(length)
            .ok_or("the state is cut off")?;
        parts.push(part);
        whole = rest;
    }
    Ok(parts)
}

/// The same of so many.
pub(crate) fn split_parts<const N: usize>(whole: &[u8]) -> Result<[&[u8]; N], Cause> {
    let parts = split(whole)?;
    parts
        .try_into()
        .map_err(|parts: Vec<_>| format!("the state has {} parts, not {N}", parts.len()).into())
}
