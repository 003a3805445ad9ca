//! Keys of rows, as bytes that are equal where the keys are.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::SchemaRef;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::Cause;
use crate::state::batch_bytes;

/// Something for each key.
pub(super) type ByKey<T> = HashMap<Box<[u8]>, T, BuildHasherDefault<KeyHasher>>;

/// Takes a key at once: the hasher of the library is made for pieces of anything, and its state alone is larger than most keys.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length of a key, in front of it.
    fn write_usize(&mut self, length: usize) {
        self.0 ^= length as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Makes keys of the same columns of every batch.
pub(super) struct Keys {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Keys {
    pub(super) fn new(schema: &SchemaRef, columns: &[usize]) -> Result<Self, Cause> {
        let fields = columns
            .iter()
            .map(|&column| SortField::new(schema.field(column).data_type().clone()));
        Ok(Self {
            columns: columns.to_vec(),
            converter: RowConverter::new(fields.collect())?,
        })
    }

    /// The key of each row.
    pub(super) fn of(&self, batch: &RecordBatch) -> Result<Rows, Cause> {
        self.of_columns(&self.columns_of(batch))
    }

    /// The key of each row of these columns alone.
    pub(super) fn of_columns(&self, columns: &[ArrayRef]) -> Result<Rows, Cause> {
        Ok(self.converter.convert_columns(columns)?)
    }

    /// For each row, whether a part of its key is null: such a key is equal to none.
    pub(super) fn nulls(&self, batch: &RecordBatch) -> Vec<bool> {
        let mut nulls = vec![false; batch.num_rows()];
        for column in self.columns_of(batch) {
            let Some(of_column) = column.logical_nulls() else {
                continue;
            };
            nulls
                .iter_mut()
                .zip(of_column.iter())
                .for_each(|(null, valid)| *null |= !valid);
        }
        nulls
    }

    /// The columns of these keys.
    pub(super) fn columns_from<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<Vec<ArrayRef>, Cause> {
        let parser = self.converter.parser();
        Ok(self
            .converter
            .convert_rows(keys.into_iter().map(|key| parser.parse(key)))?)
    }

    /// The columns of these keys as the bytes of a batch.
    pub(super) fn batch_bytes(&self, keys: Vec<&[u8]>) -> Result<Vec<u8>, Cause> {
        let columns = self.columns_from(keys)?.into_iter().enumerate();
        let named = columns.map(|(number, column)| (format!("key {number}"), column));
        batch_bytes(&RecordBatch::try_from_iter_with_nullable(
            named.map(|(name, column)| (name, column, true)),
        )?)
    }

    fn columns_of(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.columns
            .iter()
            .map(|&column| batch.column(column).clone())
            .collect()
    }
}
