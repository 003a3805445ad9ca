//! The bytes of a file, as they come.

use std::io;
use std::ops::Range;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use tokio::io::AsyncRead;
use tokio::runtime::Handle;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::access::InputFile;
use crate::error::{Error, Verb};
use crate::format::Compression;

/// How much is read at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// How many chunks are on their way while one is worked on.
const CHUNKS_AHEAD: usize = 2;

/// How much is decompressed at once.
const DECOMPRESSED_BYTES: usize = 256 << 10;

/// Pieces of a file in their order.
pub(crate) type ByteStream = BoxStream<'static, Result<Bytes, Error>>;

impl InputFile {
    /// A part of the file, which is read in a thread of the runtime; it begins at once.
    pub(crate) fn fetch(
        &self,
        runtime: &Handle,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Bytes, Error>> + Send + use<> {
        let (store, path, name) = (self.store.clone(), self.path.clone(), self.name.clone());
        let length = range.end - range.start;
        let read = runtime.spawn(async move { store.get_range(&path, range).await });
        async move {
            let read = read.await.map_err(|gone| Error::Read {
                path: name.to_string(),
                source: gone.into(),
            })?;
            let bytes = read.map_err(|error| Error::store(&name, Verb::Read, error))?;
            if bytes.len() as u64 == length {
                return Ok(bytes);
            }
            Err(Error::Read {
                path: name.to_string(),
                source: "it has become shorter while it was read".into(),
            })
        }
    }

    /// A part of the file in its order; some chunks ahead of who takes them.
    pub(crate) fn chunks(&self, runtime: &Handle, range: Range<u64>) -> ByteStream {
        let (file, runtime, end) = (self.clone(), runtime.clone(), range.end);
        let starts = range.step_by(usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX));
        stream::iter(starts)
            .map(move |start| file.fetch(&runtime, start..end.min(start + CHUNK_BYTES)))
            .buffered(CHUNKS_AHEAD)
            .boxed()
    }

    /// The whole file as it was before it was compressed.
    pub(crate) fn content(&self, compression: Compression, runtime: &Handle) -> ByteStream {
        let chunks = self.chunks(runtime, 0..self.size);
        let name = self.name.to_string();
        match compression {
            Compression::None => chunks,
            Compression::Gzip => {
                let mut decoder = GzipDecoder::new(reader(chunks));
                decoder.multiple_members(true);
                decompressed(decoder, name, "gzip")
            }
            Compression::Zstd => {
                let mut decoder = ZstdDecoder::new(reader(chunks));
                decoder.multiple_members(true);
                decompressed(decoder, name, "zstd")
            }
        }
    }
}

fn reader(chunks: ByteStream) -> StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes> {
    StreamReader::new(chunks.map_err(io::Error::other).boxed())
}

fn decompressed(
    decoder: impl AsyncRead + Send + 'static,
    name: String,
    format: &'static str,
) -> ByteStream {
    let own_words = move |error: io::Error| match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::damaged(&name, format, error),
    };
    ReaderStream::with_capacity(decoder, DECOMPRESSED_BYTES)
        .map_err(own_words)
        .boxed()
}
