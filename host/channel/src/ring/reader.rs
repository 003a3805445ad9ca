//! The end of a ring that reads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Bell, Start};
use crate::error::{Error, Fault, HeaderFault};
use crate::page::{NOTHING, Seen, Waking, Word, wish};
use crate::record::{HEADER_BYTES, Header, Kind, Tally};
use crate::region::{Pages, Region};

/// The end of a ring that reads.
pub struct Reader {
    leases: Arc<Leases>,
    read: u64,
    written: Seen,
    over: Option<Over>,
    attempt: u32,
    sequence: u64,
    tally: Tally,
}

/// Why nothing comes any more.
#[derive(Clone, Debug)]
enum Over {
    Ended,
    Faulty(Fault),
}

impl Reader {
    pub(crate) fn new(
        region: Region,
        pages: Pages,
        bell: Bell,
        attempt: u32,
        start: &Start,
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
            over: None,
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

    /// Bytes of the ring.
    pub fn capacity(&self) -> u64 {
        self.leases.region.capacity()
    }

    /// Bytes of the ring that were read and cannot be written over: what the oldest leased record keeps, with all behind it.
    pub fn held(&self) -> u64 {
        self.read - self.leases.state().released
    }

    /// The next record, if one is there now. Behind [`Kind::End`] and [`Kind::Error`] there is none.
    ///
    /// # Errors
    ///
    /// The peer has broken the rules: now, or at any time before.
    pub fn take(&mut self) -> Result<Option<Record>, Error> {
        match &self.over {
            Some(Over::Faulty(fault)) => return Err(fault.clone().into()),
            Some(Over::Ended) => {
                if self.look_at_peer()? {
                    return Err(self.fault(Fault::BehindEnd).into());
                }
                return Ok(None);
            }
            None => {}
        }
        self.take_next().map_err(|fault| self.fault(fault).into())
    }

    /// From now on this is all that is said.
    fn fault(&mut self, fault: Fault) -> Fault {
        self.over = Some(Over::Faulty(fault.clone()));
        fault
    }

    /// At most one pad lies before a record: it takes up the end of the ring, and a record does not fit into a quarter of it twice.
    fn take_next(&mut self) -> Result<Option<Record>, Fault> {
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
            if matches!(header.kind, Kind::End | Kind::Error) {
                self.over = Some(Over::Ended);
            }
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

    /// How long this end has slept for records.
    pub(crate) fn waited(&self) -> &Word {
        &self.leases.pages.own().waited_for_records
    }

    /// This end has waited so long.
    #[cfg(feature = "polled")]
    pub(crate) fn add_wait(&self, time: Duration) {
        self.waited().add(time);
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
        let capacity = self.leases.region.capacity();
        let to_end = capacity - self.leases.region.offset(position);
        // No sound writer makes a larger one, pads included.
        let most = to_end.min(self.written.value - position).min(capacity / 4);
        let is_whole = header.kind != Kind::Pad || header.record_bytes() == to_end;
        if header.record_bytes() > most || !is_whole {
            let length = header.length;
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

/// A record that lies in the ring for as long as this lives. Records may be dropped in any order, in any thread; the place of one is written
/// over when it and all older ones are dropped. In a process that was forked from the reader's, none may be dropped.
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

    /// Its body, in the ring.
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

    /// A copy of its body, as it is at this moment.
    fn copied(&self) -> Vec<u8> {
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

/// The end that reads a ring whose writer may go on writing what it has committed.
#[derive(Debug)]
pub struct UntrustedReader(Reader);

/// A record whose body is worth nothing before it was copied.
#[derive(Debug)]
pub struct UntrustedRecord(Record);

impl UntrustedReader {
    pub(crate) fn new(reader: Reader) -> Self {
        Self(reader)
    }

    /// As [`Reader::take`].
    ///
    /// # Errors
    ///
    /// As [`Reader::take`].
    pub fn take(&mut self) -> Result<Option<UntrustedRecord>, Error> {
        Ok(self.0.take()?.map(UntrustedRecord))
    }

    /// As [`Reader::sleeps`].
    ///
    /// # Errors
    ///
    /// As [`Reader::sleeps`].
    pub fn sleeps(&mut self) -> Result<bool, Error> {
        self.0.sleeps()
    }

    /// As [`Reader::wakes`].
    pub fn wakes(&self) {
        self.0.wakes();
    }

    /// As [`Reader::tally`].
    pub fn tally(&self) -> Tally {
        self.0.tally()
    }

    /// As [`Reader::peer_waited`].
    pub fn peer_waited(&self) -> Duration {
        self.0.peer_waited()
    }

    /// This end has waited so long.
    #[cfg(feature = "polled")]
    pub(crate) fn add_wait(&self, time: Duration) {
        self.0.add_wait(time);
    }
}

impl UntrustedRecord {
    /// Its header, as it was checked.
    pub fn header(&self) -> &Header {
        self.0.header()
    }

    /// A copy of its body, as it is at this moment.
    pub fn copied(&self) -> Vec<u8> {
        self.0.copied()
    }

    /// The same, from a multiple of 64 on.
    #[cfg(feature = "arrow")]
    pub fn copied_buffer(&self) -> arrow_buffer::Buffer {
        let mut copy = arrow_buffer::MutableBuffer::from_len_zeroed(self.0.length());
        // SAFETY: the header was checked, so it lies within the ring; the copy is as long.
        unsafe {
            self.0
                .leases
                .region
                .copy_to(self.0.body, copy.as_slice_mut());
        };
        copy.into()
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
