//! The end of a ring that writes.

use std::fmt;
use std::time::Duration;

use super::{Bell, Start};
use crate::error::{Error, Fault};
use crate::page::{NOTHING, Seen, Waking, Word, wish};
use crate::record::{ALIGNMENT, HEADER_BYTES, Header, Kind, Tally, record_bytes};
use crate::region::{Pages, Region};

/// The end of a ring that writes.
pub struct Writer {
    region: Region,
    pages: Pages,
    bell: Bell,
    waking: Waking,
    /// The end of the last record.
    written: u64,
    released: Seen,
    /// What lies behind it stays, even when it is released; `None`: nothing does.
    retained: Option<u64>,
    attempt: u32,
    sequence: u64,
    tally: Tally,
}

impl Writer {
    /// Of an empty ring.
    pub(crate) fn new(region: Region, pages: Pages, bell: Bell, attempt: u32) -> Self {
        Self {
            region,
            pages,
            bell,
            waking: Waking::default(),
            written: 0,
            released: Seen::new("release", 0),
            retained: None,
            attempt,
            sequence: 0,
            tally: Tally::default(),
        }
    }

    /// Most bytes of a body. A record takes up a quarter of the ring at most, so that there is room for it wherever the last one ended.
    pub fn body_bytes_max(&self) -> usize {
        body_bytes_max(self.region.capacity())
    }

    /// What was written so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes that the peer has not released.
    pub fn occupied(&self) -> u64 {
        self.written - self.released.value
    }

    /// The end of the last record.
    pub fn position(&self) -> u64 {
        self.written
    }

    /// Room for a body of so many bytes at most, if there is any now.
    ///
    /// # Errors
    ///
    /// It never fits, or the peer has broken the rules.
    pub fn reserve(&mut self, body: usize) -> Result<Option<Slot<'_>>, Error> {
        let place = self.place(body)?;
        if place.end > self.limit() {
            self.look_at_peer()?;
        }
        if place.end > self.limit() {
            return Ok(None);
        }
        if place.start > self.written {
            self.pad(place.start);
        }
        // SAFETY: the bytes lie within the ring, behind all that is written and before what may not be written over. This end alone
        // writes, and the peer does not read them before they are committed.
        let body = unsafe {
            self.region
                .slice_mut(place.start + HEADER_BYTES as u64, body)
        };
        // The slice lives as long as the slot, which holds the writer: nobody can reserve the same bytes.
        let body: *mut [u8] = body;
        Ok(Some(Slot {
            writer: self,
            start: place.start,
            body,
        }))
    }

    /// This end is about to sleep until there is room for such a body; `false`: there is some already. The bell rings when there is.
    ///
    /// # Errors
    ///
    /// As [`Writer::reserve`].
    pub fn sleeps_for(&mut self, body: usize) -> Result<bool, Error> {
        let end = self.place(body)?.end;
        wish(
            &self.pages.own().wants_room,
            end.saturating_sub(self.region.capacity()),
        );
        self.look_at_peer()?;
        let sleeps = end > self.limit();
        if !sleeps {
            self.wakes();
        }
        Ok(sleeps)
    }

    /// This end does not sleep any more.
    pub fn wakes(&self) {
        self.pages.own().wants_room.set(NOTHING);
    }

    /// How long this end has slept for room, in microseconds.
    pub(crate) fn waited(&self) -> &Word {
        &self.pages.own().waited_for_room
    }

    /// How long the peer has slept for records, as it says.
    pub fn peer_waited(&self) -> Duration {
        Duration::from_micros(self.pages.peer().waited_for_records.get())
    }

    /// From now on nothing behind this position is written over, unless this is called again with a later one: an answer has come to
    /// what lies before it.
    pub fn retain_from(&mut self, position: u64) {
        self.retained = Some(position);
    }

    /// The next attempt of the peer reads again from what is retained, or else from what comes now.
    pub(crate) fn begin_attempt(&mut self, attempt: u32, pages: Pages, bell: Bell) -> Start {
        let position = self.retained.unwrap_or(self.written);
        self.attempt = attempt;
        self.tally = Tally::default();
        let first = self.mark_retained(position);
        self.pages = pages;
        self.bell = bell;
        self.waking = Waking::default();
        self.released = Seen::new("release", position);
        self.pages.own().written.set(self.written);
        Start {
            position,
            sequence: first.unwrap_or(self.sequence),
        }
    }

    /// Gives all records from here on to the current attempt, and counts them anew. Returns the first of their numbers.
    fn mark_retained(&mut self, mut position: u64) -> Option<u64> {
        let mut first = None;
        while position < self.written {
            // SAFETY: records begin within the ring.
            let bytes = unsafe { self.region.header(position) };
            let header = Header {
                attempt: self.attempt,
                ..Header::decode(&bytes).expect("nobody else can write into this ring")
            };
            self.write_header(position, &header);
            self.tally.count(&header);
            if header.kind != Kind::Pad {
                first.get_or_insert(header.sequence);
            }
            position += header.record_bytes();
        }
        first
    }

    /// Where a record with such a body would go.
    fn place(&self, body: usize) -> Result<Place, Error> {
        let capacity = self.region.capacity();
        let bytes = record_bytes(body as u64);
        if body > self.body_bytes_max() {
            return Err(Error::TooLarge { bytes, capacity });
        }
        let to_end = capacity - self.region.offset(self.written);
        let start = if bytes > to_end {
            self.written + to_end
        } else {
            self.written
        };
        Ok(Place {
            start,
            end: start + bytes,
        })
    }

    /// Writing may go on up to here.
    fn limit(&self) -> u64 {
        let free_from = self.released.value.min(self.retained.unwrap_or(u64::MAX));
        free_from + self.region.capacity()
    }

    fn look_at_peer(&mut self) -> Result<(), Fault> {
        let released = self.pages.peer().released.get();
        self.released.take(released, self.written)
    }

    /// Fills the ring up to its end.
    fn pad(&mut self, end: u64) {
        let bytes = end - self.written - HEADER_BYTES as u64;
        let header = Header {
            length: u32::try_from(bytes).expect("the rest of a ring is less than a record"),
            attempt: self.attempt,
            ..Header::new(Kind::Pad)
        };
        self.write_header(self.written, &header);
        self.written = end;
    }

    fn write_header(&self, position: u64, header: &Header) {
        // SAFETY: it lies within the ring, where this end alone may write, and nobody reads yet.
        let bytes = unsafe { self.region.slice_mut(position, HEADER_BYTES) };
        bytes.copy_from_slice(&header.encode());
    }

    fn publish(&mut self) {
        self.pages.own().written.set(self.written);
        let written = self.written;
        let wish = &self.pages.peer().wants_records;
        if self.waking.is_due(wish, |wanted| written > wanted) {
            (self.bell)();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("written", &self.written)
            .field("released", &self.released.value)
            .field("capacity", &self.region.capacity())
            .finish_non_exhaustive()
    }
}

/// See [`Writer::body_bytes_max`].
pub(crate) fn body_bytes_max(capacity: u64) -> usize {
    let quarter = capacity / 4 / ALIGNMENT as u64 * ALIGNMENT as u64;
    usize::try_from(quarter).unwrap_or(usize::MAX) - HEADER_BYTES
}

struct Place {
    start: u64,
    end: u64,
}

/// Room for one record. Dropped without [`Slot::commit`], it never was.
pub struct Slot<'a> {
    writer: &'a mut Writer,
    start: u64,
    body: *mut [u8],
}

// SAFETY: its pointer is a slice that belongs to it alone, as a mutable reference would.
unsafe impl Send for Slot<'_> {}

impl Slot<'_> {
    /// Where the body goes; what is there now is of an earlier record.
    pub fn body(&mut self) -> &mut [u8] {
        // SAFETY: it was made from a slice that lives as long as the writer's ring, and the slot holds the writer.
        unsafe { &mut *self.body }
    }

    /// Makes it a record with the first so many bytes of the body, and wakes the peer if it sleeps. Attempt, sequence and length of the
    /// header are set here. Returns the sequence.
    ///
    /// # Panics
    ///
    /// There was room for less.
    pub fn commit(self, header: Header, length: usize) -> u64 {
        assert!(length <= self.body.len(), "there was room for less");
        let writer = self.writer;
        let header = Header {
            attempt: writer.attempt,
            sequence: writer.sequence,
            length: u32::try_from(length).expect("a ring has room for less"),
            ..header
        };
        writer.write_header(self.start, &header);
        writer.tally.count(&header);
        writer.sequence += 1;
        writer.written = self.start + header.record_bytes();
        writer.publish();
        header.sequence
    }
}

impl fmt::Debug for Slot<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Slot({} bytes at {})",
            self.body.len(),
            self.start
        )
    }
}
