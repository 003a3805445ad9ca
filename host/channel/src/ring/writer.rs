//! The end of a ring that writes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::retained::Retained;
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
    /// The end of the last record, or of the pad behind it.
    written: u64,
    released: Seen,
    /// `None`: what is released is gone.
    retained: Option<Retained>,
    attempt: u32,
    sequence: u64,
    tally: Tally,
}

/// Whether to sleep for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is some.
    IsThere,
    /// The bell rings when the peer has released enough.
    WaitsForPeer,
    /// The peer has released enough, but has not answered what lies there: room comes with [`Writer::answered`], and no bell rings.
    WaitsForAnswers,
}

impl Writer {
    /// Of an empty ring.
    pub(crate) fn new(
        region: Region,
        pages: Pages,
        bell: Bell,
        attempt: u32,
        retained: Option<Retained>,
    ) -> Self {
        Self {
            region,
            pages,
            bell,
            waking: Waking::default(),
            written: 0,
            released: Seen::new("release", 0),
            retained,
            attempt,
            sequence: 0,
            tally: Tally::default(),
        }
    }

    /// Most bytes of a body. A record takes up a quarter of the ring at most, so that there is room for it wherever the last one ended.
    pub fn body_bytes_max(&self) -> usize {
        body_bytes_max(self.region.capacity())
    }

    /// What was written in this attempt, with what was retained for it.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The end of the last record that was written, or of what fills the ring up behind it.
    pub fn position(&self) -> u64 {
        self.written
    }

    /// Bytes that the peer has not released.
    ///
    /// # Errors
    ///
    /// The peer has broken the rules.
    pub fn occupied(&mut self) -> Result<u64, Error> {
        self.look_at_peer()?;
        Ok(self.pages.own().written.get() - self.released.value)
    }

    /// Bytes that the peer holds: it has read them and not released. As it says.
    pub fn held(&self) -> u64 {
        let read = self.pages.peer().read.get();
        read.saturating_sub(self.released.value)
            .min(self.region.capacity())
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

    /// This end is about to sleep until there is room for such a body, unless there is some already.
    ///
    /// # Errors
    ///
    /// As [`Writer::reserve`].
    pub fn sleeps_for(&mut self, body: usize) -> Result<Room, Error> {
        let end = self.place(body)?.end;
        wish(
            &self.pages.own().wants_room,
            end.saturating_sub(self.region.capacity()),
        );
        self.look_at_peer()?;
        if end > self.released.value + self.region.capacity() {
            return Ok(Room::WaitsForPeer);
        }
        self.wakes();
        Ok(if end > self.limit() {
            Room::WaitsForAnswers
        } else {
            Room::IsThere
        })
    }

    /// This end does not sleep any more.
    pub fn wakes(&self) {
        self.pages.own().wants_room.set(NOTHING);
    }

    /// How long this end has slept for room.
    pub(crate) fn waited(&self) -> &Word {
        &self.pages.own().waited_for_room
    }

    /// This end has waited so long.
    #[cfg(feature = "polled")]
    pub(crate) fn add_wait(&self, time: Duration) {
        self.waited().add(time);
    }

    /// How long the peer has slept for records, as it says.
    pub fn peer_waited(&self) -> Duration {
        Duration::from_micros(self.pages.peer().waited_for_records.get())
    }

    /// The peer has answered the record of this sequence: data, a barrier or the end. What it has answered from the first one on need not be
    /// there for its next attempt. Does nothing where nothing is retained.
    ///
    /// # Errors
    ///
    /// No such record waits for an answer.
    pub fn answered(&mut self, sequence: u64) -> Result<(), Fault> {
        match &mut self.retained {
            Some(retained) => retained.answered(sequence),
            None => Ok(()),
        }
    }

    /// The next attempt of the peer reads again from what is retained, or else from what comes now.
    pub(crate) fn begin_attempt(&mut self, attempt: u32, pages: Pages, bell: Bell) {
        let start = self.start();
        self.attempt = attempt;
        self.tally = Tally::default();
        self.mark_retained(start.position);
        self.pages = pages;
        self.bell = bell;
        self.waking = Waking::default();
        self.released = Seen::new("release", start.position);
        self.pages.own().written.set(self.written);
    }

    /// The peer is gone; there is no other one yet.
    pub(crate) fn rest(&mut self) {
        self.pages = Pages::of_nobody();
        self.bell = Arc::new(|| ());
    }

    /// Where the next attempt of the peer would begin.
    pub(crate) fn start(&self) -> Start {
        let retained = self.retained.as_ref();
        let first =
            retained.and_then(|retained| Some((retained.start()?, retained.first_sequence()?)));
        let (position, sequence) = first.unwrap_or((self.written, self.sequence));
        Start {
            position,
            sequence,
            schema: retained.and_then(|retained| retained.schema().cloned()),
        }
    }

    /// Gives all records from here on to the current attempt, and counts them anew. Nobody reads them now: their last reader is gone, and what
    /// it may have left behind gets no answer.
    fn mark_retained(&mut self, mut position: u64) {
        while position < self.written {
            // SAFETY: records begin within the ring.
            let bytes = unsafe { self.region.header(position) };
            let header = Header {
                attempt: self.attempt,
                ..Header::decode(&bytes).expect("nobody else can write into this ring")
            };
            self.write_header(position, &header);
            if header.kind == Kind::End {
                let said = self.tally.encode();
                // SAFETY: the body of an end is as long, lies within the ring, and nobody else is there.
                let body = unsafe {
                    self.region
                        .slice_mut(position + HEADER_BYTES as u64, said.len())
                };
                body.copy_from_slice(&said);
            }
            self.tally.count(&header);
            position += header.record_bytes();
        }
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
        let retained = self.retained.as_ref().and_then(Retained::start);
        let free_from = self.released.value.min(retained.unwrap_or(u64::MAX));
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
        // SAFETY: it lies within the ring, which this end alone writes, in a place that no sound peer reads now.
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
fn body_bytes_max(capacity: u64) -> usize {
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
    /// There was room for less, or it is to be a pad, which the ring makes itself.
    pub fn commit(mut self, header: Header, length: usize) -> u64 {
        assert!(length <= self.body.len(), "there was room for less");
        assert!(header.kind != Kind::Pad, "pads are made by the ring");
        let header = Header {
            attempt: self.writer.attempt,
            sequence: self.writer.sequence,
            length: u32::try_from(length).expect("a ring has room for less"),
            ..header
        };
        let start = self.start;
        let schema = match (header.kind, &self.writer.retained) {
            (Kind::Schema, Some(_)) => self.body()[..length].to_vec(),
            _ => Vec::new(),
        };
        let writer = self.writer;
        writer.write_header(start, &header);
        writer.tally.count(&header);
        writer.sequence += 1;
        writer.written = start + header.record_bytes();
        if let Some(retained) = &mut writer.retained {
            retained.note(&header, start, schema);
        }
        if matches!(header.kind, Kind::End | Kind::Error) {
            writer.pages.own().ended.set(1);
        }
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
