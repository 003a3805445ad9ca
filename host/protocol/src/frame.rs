//! A frame: a 4-byte little-endian length, then one message of that length.

use std::io::{self, Read, Write};

use prost::Message;

/// Longest message that a frame may carry, in bytes (16 MiB). A longer one ends the conversation.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

const HEADER_BYTES: usize = size_of::<u32>();
const READ_BYTES: usize = 16 * 1024;

/// Why bytes are not frames. The conversation is over: what follows has no known beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header announces more than [`FRAME_BYTES_MAX`].
    #[error("a frame of {bytes} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooLong {
        /// Length in the header.
        bytes: usize,
    },
    /// The bytes of a frame are not a message of the expected type.
    #[error("a frame of {bytes} bytes is not a valid message")]
    Malformed {
        /// Length of the frame's message.
        bytes: usize,
        /// What the decoder says.
        #[source]
        source: prost::DecodeError,
    },
}

/// Why [`read_frame`] got no message.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer has sent something that is not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer has hung up in the middle of a frame.
    #[error("the peer hung up {bytes} bytes into a frame")]
    Truncated {
        /// Bytes of the unfinished frame, header included.
        bytes: usize,
    },
    /// The reader has failed.
    #[error("the control socket cannot be read")]
    Io(#[from] io::Error),
}

/// The bytes of one frame, ready to be written.
///
/// Senders keep their messages under [`FRAME_BYTES_MAX`]; the peer refuses a longer one by name.
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    let length = message.encoded_len();
    let header = u32::try_from(length).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(HEADER_BYTES + length);
    frame.extend_from_slice(&header.to_le_bytes());
    frame.extend_from_slice(&message.encode_to_vec());
    frame
}

/// Cuts a stream of bytes into messages: [`push`](Decoder::push) what has arrived, then [`pull`](Decoder::pull) until
/// there is none.
///
/// Holds only bytes that have arrived, whatever a header announces. Bytes from a hostile peer give an error, never a panic.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Bytes before it are pulled already.
    start: usize,
}

impl Decoder {
    /// Takes bytes as they have arrived, in pieces of any size.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, or `None` until more bytes are pushed. After an error each further call gives the same error.
    pub fn pull<M: Message + Default>(&mut self) -> Result<Option<M>, FrameError> {
        let Some((header, rest)) = self.pending().split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let bytes = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
        if bytes > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong { bytes });
        }
        let Some(body) = rest.get(..bytes) else {
            return Ok(None);
        };
        let message = M::decode(body).map_err(|source| FrameError::Malformed { bytes, source })?;
        self.start += HEADER_BYTES + bytes;
        Ok(Some(message))
    }

    /// Bytes that have arrived and belong to no pulled message.
    pub fn pending_bytes(&self) -> usize {
        self.pending().len()
    }

    fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Blocks until one message has arrived; `None` when the peer has hung up between two frames.
pub fn read_frame<M: Message + Default>(
    reader: &mut impl Read,
    decoder: &mut Decoder,
) -> Result<Option<M>, ReadError> {
    let mut buffer = [0; READ_BYTES];
    loop {
        if let Some(message) = decoder.pull()? {
            return Ok(Some(message));
        }
        match reader.read(&mut buffer) {
            Ok(0) => return end_of_stream(decoder),
            Ok(length) => decoder.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn end_of_stream<M>(decoder: &Decoder) -> Result<Option<M>, ReadError> {
    match decoder.pending_bytes() {
        0 => Ok(None),
        bytes => Err(ReadError::Truncated { bytes }),
    }
}

/// Blocks until the whole frame is written.
pub fn write_frame<M: Message>(writer: &mut impl Write, message: &M) -> io::Result<()> {
    writer.write_all(&encode(message))
}
