//! The words by which the two ends of a channel tell each other how far they are. Each end writes its own page, and reads that of the other.

use std::time::Duration;

use crate::error::Fault;
use crate::record::ALIGNMENT;
use crate::sync::{AtomicU64, Ordering, fence};

/// Of a page in memory.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Nobody waits.
pub(crate) const NOTHING: u64 = u64::MAX;

/// One word in a cache line of its own, so that the two ends do not take lines away from each other without need.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    pub(crate) fn get(&self) -> u64 {
        // Of memory that can only be read, no other order of a load is promised to work.
        let value = self.0.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        value
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// For words that count time, in microseconds.
    pub(crate) fn add(&self, time: Duration) {
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.set(self.get().saturating_add(microseconds));
    }
}

/// What one end says.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Page {
    /// The end of the last record that it has written into its outgoing ring.
    pub(crate) written: Word,
    /// What lies before this in its incoming ring is free.
    pub(crate) released: Word,
    /// The end of the last record that it has read of its incoming ring: between this and `released` lies what it holds.
    pub(crate) read: Word,
    /// It sleeps until more than this is written into its incoming ring; [`NOTHING`]: it does not.
    pub(crate) wants_records: Word,
    /// It sleeps until so much of its outgoing ring is released; [`NOTHING`]: it does not.
    pub(crate) wants_room: Word,
    /// How long it has waited for records, microseconds.
    pub(crate) waited_for_records: Word,
    /// How long it has waited for room, microseconds.
    pub(crate) waited_for_room: Word,
    /// 1: the last record that it has written ends what it says.
    pub(crate) ended: Word,
}

const _: () = assert!(size_of::<Page>() <= PAGE_BYTES);

impl Page {
    /// At the beginning; the ring that comes in is read from `start` on.
    pub(crate) fn new(start: u64) -> Self {
        Self {
            written: Word::new(0),
            released: Word::new(start),
            read: Word::new(start),
            wants_records: Word::new(NOTHING),
            wants_room: Word::new(NOTHING),
            waited_for_records: Word::new(0),
            waited_for_room: Word::new(0),
            ended: Word::new(0),
        }
    }
}

/// A position of the peer, as far as it was checked.
#[derive(Debug)]
pub(crate) struct Seen {
    word: &'static str,
    pub(crate) value: u64,
}

impl Seen {
    pub(crate) fn new(word: &'static str, value: u64) -> Self {
        Self { word, value }
    }

    /// Takes a newer value. It grows, and not beyond what there is.
    pub(crate) fn take(&mut self, value: u64, most: u64) -> Result<(), Fault> {
        if value < self.value || value > most || !value.is_multiple_of(ALIGNMENT as u64) {
            return Err(Fault::Position {
                word: self.word,
                value,
                least: self.value,
                most,
            });
        }
        self.value = value;
        Ok(())
    }
}

/// One end's side of the agreement on who wakes whom. Who goes to sleep says until when, and looks once more; who makes progress looks
/// whether somebody sleeps for it. A full fence between the two steps of both makes sure that one of them sees the other.
#[derive(Debug, Default)]
pub(crate) struct Waking {
    /// The wish that was answered last: one is enough.
    answered: Option<u64>,
}

impl Waking {
    /// After `progress` was made known: whether the peer sleeps for it.
    pub(crate) fn is_due(&mut self, wish: &Word, is_met: impl Fn(u64) -> bool) -> bool {
        fence(Ordering::SeqCst);
        let wanted = wish.get();
        if wanted == NOTHING || !is_met(wanted) || self.answered == Some(wanted) {
            return false;
        }
        self.answered = Some(wanted);
        true
    }
}

/// Says what this end sleeps for. Whoever calls it looks once more before it sleeps.
pub(crate) fn wish(word: &Word, position: u64) {
    word.set(position);
    fence(Ordering::SeqCst);
}
