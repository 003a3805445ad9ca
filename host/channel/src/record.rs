//! Records: a header of 64 bytes, then a body. All of it is little-endian and begins at a multiple of 64.

use crate::error::{Fault, HeaderFault};
use crate::layout::{self, u16_at, u32_at, u64_at};

/// What positions and lengths are multiples of: some frameworks copy memory that begins elsewhere, or end the process.
pub const ALIGNMENT: usize = 64;
/// Of a header.
pub(crate) const HEADER_BYTES: usize = 64;
/// The checksum is over all before it.
const CHECKED_BYTES: usize = 60;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// Rows.
    Data = 1,
    /// Nothing: what it takes up is the end of the ring, where the next record does not fit.
    Pad = 2,
    /// The columns of the rows behind it that name its schema.
    Schema = 3,
    /// A cut of the job: everything before it belongs to its checkpoint. A node sends it back when it is done with all of that.
    Barrier = 4,
    /// No row behind it is older than its body: microseconds since 1970, 8 bytes.
    Watermark = 5,
    /// The end of one run over bounded training data.
    PassEnd = 6,
    /// Nothing comes behind it. Its body is a [`Tally`] of all before it.
    End = 7,
    /// Nothing comes behind it, because something has failed. Its body is a text.
    Error = 8,
}

impl Kind {
    fn of(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Data,
            2 => Self::Pad,
            3 => Self::Schema,
            4 => Self::Barrier,
            5 => Self::Watermark,
            6 => Self::PassEnd,
            7 => Self::End,
            8 => Self::Error,
            _ => return None,
        })
    }
}

/// More of the same batch follows in the next record of its kind: it was too large for one.
pub const FLAG_CONTINUES: u16 = 1;
/// Rows that fill up the last round: they weigh nothing.
pub const FLAG_PADDING: u16 = 2;
const FLAGS_KNOWN: u16 = FLAG_CONTINUES | FLAG_PADDING;

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the record is.
    pub kind: Kind,
    /// [`FLAG_CONTINUES`] and the like.
    pub flags: u16,
    /// Bytes of the body, without what fills it up to a multiple of 64.
    pub length: u32,
    /// Rows in the body.
    pub rows: u32,
    /// The schema of the body; of a schema record, its own number.
    pub schema: u32,
    /// The attempt of the node that it is for, or from.
    pub attempt: u32,
    /// The pass over the training data, from 0.
    pub pass: u32,
    /// Counts the records of a ring, pads left out, from 0. The ring sets it.
    pub sequence: u64,
    /// How far the sources are read when all rows up to this record are, as the checkpoint coordinator counts it.
    pub source_offset: u64,
    /// The checkpoint that the record belongs to; of a barrier, its own number.
    pub checkpoint: u64,
    /// Of a result, the sequence of the record that it answers.
    pub answers: u64,
}

impl Header {
    /// A record of this kind without a body, and zero everywhere else.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            flags: 0,
            length: 0,
            rows: 0,
            schema: 0,
            attempt: 0,
            pass: 0,
            sequence: 0,
            source_offset: 0,
            checkpoint: 0,
            answers: 0,
        }
    }

    /// What the record takes up in a ring.
    pub(crate) fn record_bytes(&self) -> u64 {
        record_bytes(u64::from(self.length))
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at, value: &[u8]| layout::put(&mut bytes, at, value);
        put(0, &self.length.to_le_bytes());
        put(4, &(self.kind as u16).to_le_bytes());
        put(6, &self.flags.to_le_bytes());
        put(8, &self.schema.to_le_bytes());
        put(12, &self.attempt.to_le_bytes());
        put(16, &self.sequence.to_le_bytes());
        put(24, &self.source_offset.to_le_bytes());
        put(32, &self.checkpoint.to_le_bytes());
        put(40, &self.answers.to_le_bytes());
        put(48, &self.rows.to_le_bytes());
        put(52, &self.pass.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Of bytes from a peer that may have written anything.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFault> {
        if u32_at(bytes, CHECKED_BYTES) != crc32fast::hash(&bytes[..CHECKED_BYTES]) {
            return Err(HeaderFault::Checksum);
        }
        let kind = Kind::of(u16_at(bytes, 4)).ok_or(HeaderFault::Kind(u16_at(bytes, 4)))?;
        let flags = u16_at(bytes, 6);
        if flags & !FLAGS_KNOWN != 0 || u32_at(bytes, 56) != 0 {
            return Err(HeaderFault::Flags(flags));
        }
        Ok(Self {
            kind,
            flags,
            length: u32_at(bytes, 0),
            rows: u32_at(bytes, 48),
            schema: u32_at(bytes, 8),
            attempt: u32_at(bytes, 12),
            pass: u32_at(bytes, 52),
            sequence: u64_at(bytes, 16),
            source_offset: u64_at(bytes, 24),
            checkpoint: u64_at(bytes, 32),
            answers: u64_at(bytes, 40),
        })
    }
}

/// What a record with such a body takes up.
pub(crate) const fn record_bytes(body: u64) -> u64 {
    HEADER_BYTES as u64 + body.next_multiple_of(ALIGNMENT as u64)
}

/// What has gone through one direction of a channel: the body of [`Kind::End`]. Both sides count, and compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Data records.
    pub records: u64,
    /// Their rows.
    pub rows: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, header: &Header) {
        if header.kind == Kind::Data {
            self.records += 1;
            self.rows += u64::from(header.rows);
            self.bytes += u64::from(header.length);
        }
    }

    /// The body that says it.
    pub fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        layout::put(&mut bytes, 0, &self.records.to_le_bytes());
        layout::put(&mut bytes, 8, &self.rows.to_le_bytes());
        layout::put(&mut bytes, 16, &self.bytes.to_le_bytes());
        bytes
    }

    /// Of the body of a record.
    ///
    /// # Errors
    ///
    /// It has another length.
    pub fn decode(body: &[u8]) -> Result<Self, Fault> {
        if body.len() != 24 {
            return Err(Fault::Tally { bytes: body.len() });
        }
        Ok(Self {
            records: u64_at(body, 0),
            rows: u64_at(body, 8),
            bytes: u64_at(body, 16),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Data,
            flags: FLAG_CONTINUES,
            length: 0x0102_0304,
            rows: 5,
            schema: 6,
            attempt: 7,
            pass: 8,
            sequence: u64::MAX - 9,
            source_offset: 10 << 40,
            checkpoint: 11,
            answers: 12,
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn every_bit_that_flips_is_seen() {
        let bytes = header().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_layout_is_the_one_that_peers_know() {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&[4, 3, 2, 1, 1, 0, 1, 0]);
        bytes[8..16].copy_from_slice(&[6, 0, 0, 0, 7, 0, 0, 0]);
        bytes[16..24].copy_from_slice(&(u64::MAX - 9).to_le_bytes());
        bytes[24..32].copy_from_slice(&[0, 0, 0, 0, 0, 10, 0, 0]);
        bytes[32..40].copy_from_slice(&[11, 0, 0, 0, 0, 0, 0, 0]);
        bytes[40..48].copy_from_slice(&[12, 0, 0, 0, 0, 0, 0, 0]);
        bytes[48..56].copy_from_slice(&[5, 0, 0, 0, 8, 0, 0, 0]);
        assert_eq!(header().encode()[..CHECKED_BYTES], bytes[..CHECKED_BYTES]);
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        let with = |at: usize, value: u8| {
            let mut bytes = header().encode();
            bytes[at] = value;
            let checksum = crc32fast::hash(&bytes[..CHECKED_BYTES]);
            bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
            Header::decode(&bytes)
        };
        assert_eq!(with(4, 9), Err(HeaderFault::Kind(9)));
        assert_eq!(with(6, 4), Err(HeaderFault::Flags(4)));
        assert_eq!(with(56, 1), Err(HeaderFault::Flags(FLAG_CONTINUES)));
    }

    #[test]
    fn a_record_takes_whole_lines() {
        assert_eq!(
            [0, 1, 64, 65].map(record_bytes),
            [64, 128, 128, 192],
            "header and body, up to the next multiple of 64"
        );
    }
}
