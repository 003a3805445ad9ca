//! What the rows of a channel look like, with all that does not change from row to row.

use std::io::Cursor;

use arrow_array::{Array, RecordBatch};
use arrow_data::ArrayData;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, FieldRef, SchemaRef};

use super::{ColumnsError, body};

/// A schema with its dictionaries.
#[derive(Clone, Debug)]
pub struct Columns {
    schema: SchemaRef,
    /// In the order in which a walk along the columns meets them.
    dictionaries: Vec<ArrayData>,
}

impl Columns {
    /// Those of a batch, and of all others with the same schema and the same dictionaries.
    pub fn of(batch: &RecordBatch) -> Self {
        Self::under(batch.schema(), batch)
    }

    /// Those of a batch, and of all others like it, as they are announced: where the schema has lists of so many Float32, none of which is
    /// null, the batch may have a struct of so many columns of Float32 or Float64. Their values are written side by side, a null as NaN.
    pub fn under(schema: SchemaRef, batch: &RecordBatch) -> Self {
        let mut dictionaries = Vec::new();
        for column in batch.columns() {
            gather(&column.to_data(), &mut dictionaries);
        }
        Self {
            schema,
            dictionaries,
        }
    }

    /// Names and types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether keys of a dictionary are among the values of its columns.
    pub fn has_dictionaries(&self) -> bool {
        !self.dictionaries.is_empty()
    }

    pub(super) fn dictionaries(&self) -> &[ArrayData] {
        &self.dictionaries
    }

    /// Whether these are the same, with the same dictionaries: in the same memory, or else of the same values.
    pub fn is_same(&self, other: &Self) -> bool {
        let mut pairs = self.dictionaries.iter().zip(&other.dictionaries);
        self.schema == other.schema
            && self.dictionaries.len() == other.dictionaries.len()
            && pairs.all(|(own, other)| own.ptr_eq(other) || own == other)
    }

    /// Whether a batch is one of these. Dictionaries are the same where they are in the same memory, or else have the same values.
    pub fn fits(&self, batch: &RecordBatch) -> bool {
        self.check(batch).is_ok()
    }

    pub(super) fn check(&self, batch: &RecordBatch) -> Result<(), ColumnsError> {
        let (announced, found) = (self.schema.fields(), batch.schema_ref().fields());
        let mut pairs = announced.iter().zip(found);
        let are_these = announced.len() == found.len()
            && self.schema.metadata() == batch.schema_ref().metadata()
            && pairs.all(|(announced, found)| announced == found || lies_apart(announced, found));
        if !are_these {
            return Err(ColumnsError::OtherColumns);
        }
        let are_same = self.is_same(&Self::under(self.schema.clone(), batch));
        are_same.then_some(()).ok_or(ColumnsError::OtherDictionary)
    }

    /// The body of a schema record: an Arrow IPC stream without rows.
    ///
    /// # Errors
    ///
    /// A type that no stream has, or no channel.
    pub fn encode(&self) -> Result<Vec<u8>, ColumnsError> {
        let no_schema = |error: arrow_schema::ArrowError| ColumnsError::Schema(error.to_string());
        let empty = body::empty(&self.schema, &self.dictionaries)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &self.schema).map_err(no_schema)?;
        writer.write(&empty).map_err(no_schema)?;
        writer.into_inner().map_err(no_schema)
    }

    /// Of the body of a schema record from a host: Arrow's reader is not made for bytes of somebody who may write anything. A host knows
    /// which columns a node is to send, and compares the bytes.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn decode(body: &[u8]) -> Result<Self, ColumnsError> {
        let no_schema = |error: arrow_schema::ArrowError| ColumnsError::Schema(error.to_string());
        let mut reader = StreamReader::try_new(Cursor::new(body), None).map_err(no_schema)?;
        let batch = reader.next().transpose().map_err(no_schema)?;
        let missing = || ColumnsError::Schema("it is cut short".to_owned());
        Ok(Self::of(&batch.ok_or_else(missing)?))
    }
}

/// Whether a column is a struct of what is announced as lists.
fn lies_apart(announced: &Field, found: &Field) -> bool {
    let is_number =
        |field: &FieldRef| matches!(field.data_type(), DataType::Float32 | DataType::Float64);
    let (DataType::FixedSizeList(cell, width), DataType::Struct(columns)) =
        (announced.data_type(), found.data_type())
    else {
        return false;
    };
    announced.name() == found.name()
        && !announced.is_nullable()
        && !found.is_nullable()
        && !cell.is_nullable()
        && *cell.data_type() == DataType::Float32
        && usize::try_from(*width) == Ok(columns.len())
        && columns.iter().all(is_number)
}

fn gather(data: &ArrayData, found: &mut Vec<ArrayData>) {
    match data.data_type() {
        DataType::Dictionary(..) => found.push(data.child_data()[0].clone()),
        _ => {
            for inner in data.child_data() {
                gather(inner, found);
            }
        }
    }
}
