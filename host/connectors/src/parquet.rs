//! Parquet: only what is wanted is read.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use tokio::runtime::Handle;

use crate::access::InputFile;
use crate::error::Error;
use crate::reading::{BatchStream, Reading, project};

/// The parts of a file, for the decoder.
struct Parts {
    file: InputFile,
    runtime: Handle,
}

impl AsyncFileReader for Parts {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let fetched = self.file.fetch(&self.runtime, range);
        async move {
            fetched
                .await
                .map_err(|error| ParquetError::External(error.into()))
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        // All of them are on their way before the first one is awaited.
        let fetched: Vec<_> = ranges
            .into_iter()
            .map(|range| self.file.fetch(&self.runtime, range))
            .collect();
        async move {
            let fetched = futures_util::future::try_join_all(fetched).await;
            fetched.map_err(|error| ParquetError::External(error.into()))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.file.size;
        async move {
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

type Builder = ParquetRecordBatchStreamBuilder<Parts>;

fn failed(file: &InputFile, error: ParquetError) -> Error {
    let error = match error {
        ParquetError::External(source) => match source.downcast::<Error>() {
            Ok(own) => return *own,
            Err(other) => ParquetError::External(other),
        },
        other => other,
    };
    Error::damaged(&file.name, "Parquet", error)
}

async fn builder(reading: &Reading) -> Result<Builder, Error> {
    if reading.file.size == 0 {
        return Err(Error::Empty(reading.file.name.to_string()));
    }
    let parts = Parts {
        file: reading.file.clone(),
        runtime: reading.runtime.clone(),
    };
    let builder = ParquetRecordBatchStreamBuilder::new(parts).await;
    builder.map_err(|error| failed(&reading.file, error))
}

/// The schema that the file says it has.
pub(crate) async fn schema(reading: &Reading) -> Result<SchemaRef, Error> {
    Ok(builder(reading).await?.schema().clone())
}

/// The wanted columns of the rows behind the first `skip` ones.
pub(crate) async fn open(reading: Reading, skip: u64) -> Result<BatchStream, Error> {
    let builder = builder(&reading).await?;
    let positions = reading.positions_in(builder.schema())?;
    let wanted: Vec<usize> = reading
        .columns
        .iter()
        .map(|column| positions[*column])
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
    // The decoder leaves the columns in the order of the file.
    let order = wanted
        .iter()
        .map(|column| wanted.iter().filter(|other| *other < column).count())
        .collect::<Vec<_>>();
    let stream = builder
        .with_projection(mask)
        .with_batch_size(reading.batch_rows)
        .with_offset(usize::try_from(skip).unwrap_or(usize::MAX))
        .build()
        .map_err(|error| failed(&reading.file, error))?;
    let (output, file) = (reading.output(), reading.file);
    let arrange = move |batch: ParquetResult<RecordBatch>| {
        let batch = batch.map_err(|error| failed(&file, error))?;
        project(&batch, &order, &output)
            .map_err(|error| Error::damaged(&file.name, "Parquet", error))
    };
    Ok(stream
        .map(arrange)
        .try_filter(|batch| std::future::ready(batch.num_rows() > 0))
        .boxed())
}
