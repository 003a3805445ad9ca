//! The bytes of a ring, which both ends see. Nothing here knows what is written where: who may touch which bytes when follows from the
//! positions, which [`Writer`](crate::Writer) and [`Reader`](crate::Reader) keep.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::page::Page;
use crate::record::{ALIGNMENT, HEADER_BYTES};

/// Keeps memory where it is.
pub(crate) type Owner = Arc<dyn Any + Send + Sync>;

/// A ring of bytes.
#[derive(Clone)]
pub(crate) struct Region {
    base: NonNull<u8>,
    capacity: u64,
    _owner: Owner,
    #[cfg(feature = "loom")]
    lines: Arc<Vec<loom::cell::UnsafeCell<()>>>,
}

// SAFETY: it is a place, and a share of what keeps it; every access to it is unsafe, and says why nobody else is there.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// # Safety
    ///
    /// `capacity` bytes, a multiple of 64, are there and begin at a multiple of 64 for as long as `owner` lives. Nobody but the two ends
    /// of the ring touches them.
    pub(crate) unsafe fn new(base: NonNull<u8>, capacity: u64, owner: Owner) -> Self {
        debug_assert_eq!(base.as_ptr() as usize % ALIGNMENT, 0);
        Self {
            base,
            capacity,
            _owner: owner,
            #[cfg(feature = "loom")]
            #[expect(
                clippy::arc_with_non_send_sync,
                reason = "the model checker finds those who are there at a time"
            )]
            lines: Arc::new(
                (0..capacity / ALIGNMENT as u64)
                    .map(|_| loom::cell::UnsafeCell::new(()))
                    .collect(),
            ),
        }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Where a position lies in the ring.
    pub(crate) fn offset(&self, position: u64) -> u64 {
        position % self.capacity
    }

    /// The bytes from a position on, which must not go over the end of the ring.
    fn at(&self, position: u64, bytes: usize) -> *mut u8 {
        let offset = self.offset(position);
        debug_assert!(offset + bytes as u64 <= self.capacity);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a ring lies in memory, so positions in it are sizes"
        )]
        let offset = offset as usize;
        self.base.as_ptr().wrapping_add(offset)
    }

    /// For writing.
    ///
    /// # Safety
    ///
    /// The bytes lie within the ring, and nobody else reads or writes them while the slice lives.
    #[expect(
        clippy::mut_from_ref,
        reason = "the positions say who may write what, not the borrow"
    )]
    pub(crate) unsafe fn slice_mut(&self, position: u64, bytes: usize) -> &mut [u8] {
        #[cfg(feature = "loom")]
        self.note_write(position, bytes);
        // SAFETY: they lie in the ring, which lives as long as `self`; the caller sees to it that nobody else is there.
        unsafe { std::slice::from_raw_parts_mut(self.at(position, bytes), bytes) }
    }

    /// For reading.
    ///
    /// # Safety
    ///
    /// The bytes lie within the ring, and nobody writes them while the slice lives.
    pub(crate) unsafe fn slice(&self, position: u64, bytes: usize) -> &[u8] {
        #[cfg(feature = "loom")]
        self.note_read(position, bytes);
        // SAFETY: they lie in the ring, which lives as long as `self`; the caller sees to it that nobody writes them.
        unsafe { std::slice::from_raw_parts(self.at(position, bytes), bytes) }
    }

    /// A header as it is at this moment, even where its writer does not keep to the rules and goes on writing.
    ///
    /// # Safety
    ///
    /// The header lies within the ring.
    pub(crate) unsafe fn header(&self, position: u64) -> [u8; HEADER_BYTES] {
        #[cfg(feature = "loom")]
        self.note_read(position, HEADER_BYTES);
        // SAFETY: it lies in the ring and begins at a multiple of 64. The copy is made once: what is checked is what is used.
        unsafe {
            self.at(position, HEADER_BYTES)
                .cast::<[u8; HEADER_BYTES]>()
                .read_volatile()
        }
    }

    /// Copies bytes as they are at this moment, whatever their writer does.
    ///
    /// # Safety
    ///
    /// The bytes lie within the ring.
    pub(crate) unsafe fn copy_to(&self, position: u64, copy: &mut [u8]) {
        #[cfg(feature = "loom")]
        self.note_read(position, copy.len());
        // SAFETY: they lie in the ring. No reference to them is made, and all bytes are valid ones.
        unsafe {
            let from = self.at(position, copy.len());
            std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), copy.len());
        }
    }

    /// Tells the model checker, which finds two that are there at a time.
    #[cfg(feature = "loom")]
    fn note_write(&self, position: u64, bytes: usize) {
        for line in self.lines_of(position, bytes) {
            line.with_mut(|_| ());
        }
    }

    #[cfg(feature = "loom")]
    fn note_read(&self, position: u64, bytes: usize) {
        for line in self.lines_of(position, bytes) {
            line.with(|_| ());
        }
    }

    #[cfg(feature = "loom")]
    fn lines_of(&self, position: u64, bytes: usize) -> &[loom::cell::UnsafeCell<()>] {
        let first =
            usize::try_from(self.offset(position)).expect("a ring lies in memory") / ALIGNMENT;
        &self.lines[first..first + bytes.div_ceil(ALIGNMENT)]
    }
}

/// The pages of one end: its own, and the one that the other end writes.
#[derive(Clone)]
pub(crate) struct Pages {
    own: NonNull<Page>,
    peer: NonNull<Page>,
    _owner: Owner,
}

// SAFETY: a page has nothing but atomics.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// # Safety
    ///
    /// Both are pages, in memory that stays for as long as `owner` lives. `own` can be written; nobody else writes it.
    pub(crate) unsafe fn new(own: NonNull<Page>, peer: NonNull<Page>, owner: Owner) -> Self {
        Self {
            own,
            peer,
            _owner: owner,
        }
    }

    /// Of an end without a peer.
    pub(crate) fn of_nobody() -> Self {
        let pages = Arc::new([Page::new(0), Page::new(0)]);
        let [own, peer] = [&pages[0], &pages[1]].map(NonNull::from);
        // SAFETY: they live as long as their owner, and nobody else has them.
        unsafe { Self::new(own, peer, pages) }
    }

    pub(crate) fn own(&self) -> &Page {
        // SAFETY: it lives as long as the owner, and is made of atomics, so that others may look at it.
        unsafe { self.own.as_ref() }
    }

    /// Only to be read: this end may have no right to write it.
    pub(crate) fn peer(&self) -> &Page {
        // SAFETY: as above; whatever the peer writes is a number.
        unsafe { self.peer.as_ref() }
    }
}
