//! One direction of a channel: a ring of records with one end that writes and one that reads. No step waits.
//!
//! Positions count bytes from the beginning of the channel and only grow. `released <= read <= written <= released + capacity` holds at all
//! times: what is written over was released before, what is read was written before. A peer that says otherwise is found out, because
//! every position of it is checked against what this end knows itself.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Fault, HeaderFault};
use crate::page::{NOTHING, Seen, Waking, Word, wish};
use crate::record::{ALIGNMENT, HEADER_BYTES, Header, Kind, Tally, record_bytes};
use crate::region::{Pages, Region};

/// Wakes the peer, which sleeps.
pub(crate) type Bell = Arc<dyn Fn() + Send + Sync>;

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

/// The end of a ring that reads.
pub struct Reader {
    leases: Arc<Leases>,
    read: u64,
    written: Seen,
    attempt: u32,
    sequence: u64,
    tally: Tally,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) position: u64,
    pub(crate) sequence: u64,
}

impl Reader {
    pub(crate) fn new(
        region: Region,
        pages: Pages,
        bell: Bell,
        attempt: u32,
        start: Start,
    ) -> Self {
        let leases = Leases {
            region,
            pages,
            bell,
            state: Mutex::new(LeaseState {
                waking: Waking::default(),
                released: start.position,
                first: 0,
                ends: VecDeque::new(),
            }),
        };
        Self {
            leases: Arc::new(leases),
            read: start.position,
            written: Seen::new("write", start.position),
            attempt,
            sequence: start.sequence,
            tally: Tally::default(),
        }
    }

    /// What was read so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Records that are read and not yet released.
    pub fn leased(&self) -> usize {
        self.leases.state().ends.len()
    }

    /// The next record, if one is there now.
    ///
    /// # Errors
    ///
    /// The peer has broken the rules.
    pub fn take(&mut self) -> Result<Option<Record>, Error> {
        loop {
            if self.read == self.written.value && !self.look_at_peer()? {
                return Ok(None);
            }
            let position = self.read;
            // SAFETY: positions are multiples of 64, so the header lies within the ring.
            let bytes = unsafe { self.leases.region.header(position) };
            let header = self.checked(position, &bytes)?;
            self.read += header.record_bytes();
            self.leases.pages.own().read.set(self.read);
            let record = Record {
                header,
                number: self.leases.take(self.read),
                leases: self.leases.clone(),
                body: position + HEADER_BYTES as u64,
            };
            if header.kind == Kind::Pad {
                continue;
            }
            self.sequence += 1;
            self.check_tally(&record)?;
            return Ok(Some(record));
        }
    }

    /// This end is about to sleep until a record comes; `false`: one is there already. The bell rings when one comes.
    ///
    /// # Errors
    ///
    /// As [`Reader::take`].
    pub fn sleeps(&mut self) -> Result<bool, Error> {
        if self.read < self.written.value {
            return Ok(false);
        }
        wish(&self.leases.pages.own().wants_records, self.read);
        let sleeps = !self.look_at_peer()?;
        if !sleeps {
            self.wakes();
        }
        Ok(sleeps)
    }

    /// This end does not sleep any more.
    pub fn wakes(&self) {
        self.leases.pages.own().wants_records.set(NOTHING);
    }

    /// How long this end has slept for records, in microseconds.
    pub(crate) fn waited(&self) -> &Word {
        &self.leases.pages.own().waited_for_records
    }

    /// How long the peer has slept for room, as it says.
    pub fn peer_waited(&self) -> Duration {
        Duration::from_micros(self.leases.pages.peer().waited_for_room.get())
    }

    /// Whether there is more than before.
    fn look_at_peer(&mut self) -> Result<bool, Fault> {
        let most = self.leases.state().released + self.leases.region.capacity();
        self.written
            .take(self.leases.pages.peer().written.get(), most)?;
        Ok(self.read < self.written.value)
    }

    fn checked(&self, position: u64, bytes: &[u8; HEADER_BYTES]) -> Result<Header, Fault> {
        let fault = |problem| Fault::Header { position, problem };
        let header = Header::decode(bytes).map_err(fault)?;
        let to_end = self.leases.region.capacity() - self.leases.region.offset(position);
        let most = to_end.min(self.written.value - position);
        let is_whole = header.kind != Kind::Pad || header.record_bytes() == to_end;
        if header.record_bytes() > most || !is_whole {
            let (length, most) = (header.length, most - HEADER_BYTES as u64);
            return Err(fault(HeaderFault::Length { length, most }));
        }
        if header.attempt != self.attempt {
            let (expected, found) = (self.attempt, header.attempt);
            return Err(fault(HeaderFault::Attempt { expected, found }));
        }
        if header.kind != Kind::Pad && header.sequence != self.sequence {
            let (expected, found) = (self.sequence, header.sequence);
            return Err(fault(HeaderFault::Sequence { expected, found }));
        }
        Ok(header)
    }

    /// Counts, and compares where the peer says how much it was.
    fn check_tally(&mut self, record: &Record) -> Result<(), Fault> {
        self.tally.count(&record.header);
        if record.header.kind != Kind::End {
            return Ok(());
        }
        let said = Tally::decode(&record.copied())?;
        if said == self.tally {
            Ok(())
        } else {
            let came = self.tally;
            Err(Fault::Counts { said, came })
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reader")
            .field("read", &self.read)
            .field("written", &self.written.value)
            .field("capacity", &self.leases.region.capacity())
            .finish_non_exhaustive()
    }
}

/// A record that lies in the ring for as long as this lives: its place is not written over. Records may be dropped in any order, in any
/// thread; room for new ones there is behind the oldest that lives.
pub struct Record {
    header: Header,
    leases: Arc<Leases>,
    /// Of its lease.
    number: u64,
    /// Where the body begins.
    body: u64,
}

impl Record {
    /// Its header, as it was checked.
    pub fn header(&self) -> &Header {
        &self.header
    }

    fn length(&self) -> usize {
        // It fits into a ring, which lies in memory.
        usize::try_from(self.header.length).unwrap_or(usize::MAX)
    }

    /// Its body, in the ring. A reader that cannot trust the writer to keep its hands off it takes [`Record::copied`].
    pub fn body(&self) -> &[u8] {
        // SAFETY: the header was checked, so it lies within the ring; what is leased is not written over.
        unsafe { self.leases.region.slice(self.body, self.length()) }
    }

    /// Its body in the ring, which stays leased for as long as anything of the buffer lives.
    #[cfg(feature = "arrow")]
    pub fn into_buffer(self) -> arrow_buffer::Buffer {
        let (body, length) = (self.body(), self.length());
        let place = std::ptr::NonNull::from(body).cast();
        let owner = Arc::new(std::panic::AssertUnwindSafe(self));
        // SAFETY: the bytes lie in the ring, which the record keeps; what is leased is not written over.
        unsafe { arrow_buffer::Buffer::from_custom_allocation(place, length, owner) }
    }

    /// A copy of its body, as it is at this moment, that begins at a multiple of 64.
    #[cfg(feature = "arrow")]
    pub fn copied_buffer(&self) -> arrow_buffer::Buffer {
        let mut copy = arrow_buffer::MutableBuffer::from_len_zeroed(self.length());
        // SAFETY: the header was checked, so it lies within the ring; the copy is as long.
        unsafe { self.leases.region.copy_to(self.body, copy.as_slice_mut()) };
        copy.into()
    }

    /// A copy of its body, as it is at this moment.
    pub fn copied(&self) -> Vec<u8> {
        let mut copy = vec![0; self.length()];
        // SAFETY: the header was checked, so it lies within the ring; the copy is as long.
        unsafe { self.leases.region.copy_to(self.body, &mut copy) };
        copy
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Record").field(&self.header).finish()
    }
}

/// What of a ring is read and not released.
struct Leases {
    region: Region,
    pages: Pages,
    bell: Bell,
    state: Mutex<LeaseState>,
}

struct LeaseState {
    waking: Waking,
    /// Everything before it is free.
    released: u64,
    /// The number of the oldest lease.
    first: u64,
    /// Where each ends, and whether it is given back, from the oldest on.
    ends: VecDeque<(u64, bool)>,
}

impl Leases {
    fn state(&self) -> MutexGuard<'_, LeaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, end: u64) -> u64 {
        let mut state = self.state();
        state.ends.push_back((end, false));
        state.first + state.ends.len() as u64 - 1
    }

    fn give_back(&self, number: u64) {
        let mut state = self.state();
        let index = usize::try_from(number - state.first).unwrap_or(usize::MAX);
        if let Some((_, given_back)) = state.ends.get_mut(index) {
            *given_back = true;
        }
        let before = state.released;
        while let Some((end, true)) = state.ends.front().copied() {
            state.ends.pop_front();
            state.first += 1;
            state.released = end;
        }
        if state.released == before {
            return;
        }
        let released = state.released;
        self.pages.own().released.set(released);
        let wish = &self.pages.peer().wants_room;
        if state.waking.is_due(wish, |wanted| released >= wanted) {
            (self.bell)();
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.leases.give_back(self.number);
    }
}

#[cfg(test)]
mod tests;
