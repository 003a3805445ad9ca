//! The ring on the heap: for tests, for the model checker and for miri.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use super::*;
use crate::page::Page;
use crate::record::{ALIGNMENT, Header, Kind};
use crate::region::{Pages, Region};

struct Heap {
    base: NonNull<u8>,
    layout: Layout,
    pages: [Page; 2],
}

// SAFETY: bytes and atomics.
unsafe impl Send for Heap {}
// SAFETY: as above; the ring says who touches which bytes.
unsafe impl Sync for Heap {}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: it was allocated so.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// Both ends of a ring, with these bells: of the one that reads, and of the one that writes.
fn ring(capacity: usize, bells: [Bell; 2]) -> (Writer, Reader) {
    let (writer, reader, _) = ring_on_heap(capacity, bells, None);
    (writer, reader)
}

fn ring_on_heap(
    capacity: usize,
    [of_reading, of_writing]: [Bell; 2],
    retained: Option<Retained>,
) -> (Writer, Reader, Arc<Heap>) {
    let layout = Layout::from_size_align(capacity, ALIGNMENT).unwrap();
    // SAFETY: it has a size.
    let base = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
    let heap = Arc::new(Heap {
        base,
        layout,
        pages: [Page::new(0), Page::new(0)],
    });
    let [one, other] = [&heap.pages[0], &heap.pages[1]].map(NonNull::from);
    // SAFETY: heap and pages stay with their owner, and only these two ends touch them.
    let (region, pages) = unsafe {
        let region = Region::new(base, capacity as u64, heap.clone());
        let pages = [
            Pages::new(one, other, heap.clone()),
            Pages::new(other, one, heap.clone()),
        ];
        (region, pages)
    };
    let [of_writer, of_reader] = pages;
    let writer = Writer::new(region.clone(), of_writer, of_reading, 1, retained);
    let reader = Reader::new(region, of_reader, of_writing, 1, &Start::default());
    (writer, reader, heap)
}

#[cfg(not(feature = "loom"))]
fn silent() -> [Bell; 2] {
    [Arc::new(|| ()), Arc::new(|| ())]
}

/// Writes a record with so many bytes, each of this value; false if there is no room.
#[cfg(not(feature = "loom"))]
fn write(writer: &mut Writer, bytes: usize, value: u8) -> bool {
    let Some(mut slot) = writer.reserve(bytes).unwrap() else {
        return false;
    };
    slot.body().fill(value);
    let header = Header {
        rows: u32::from(value),
        ..Header::new(Kind::Data)
    };
    slot.commit(header, bytes);
    true
}

#[cfg(not(feature = "loom"))]
mod alone {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::error::{Error, Fault};
    use crate::record::Tally;

    #[test]
    fn what_is_written_is_read_and_its_place_is_free_when_it_is_dropped() {
        let (mut writer, mut reader) = ring(4096, silent());
        assert!(reader.take().unwrap().is_none());
        let mut records = 0_u8;
        while write(&mut writer, 500, records) {
            records += 1;
        }
        assert_eq!(records, 7, "each takes 576 bytes");
        let first = reader.take().unwrap().unwrap();
        assert_eq!(first.body(), [0; 500]);
        assert_eq!((first.header().rows, first.header().sequence), (0, 0));
        assert!(!write(&mut writer, 1, 9), "the first one is not given back");
        let second = reader.take().unwrap().unwrap();
        drop(second);
        assert!(!write(&mut writer, 1, 9), "the oldest one holds its place");
        drop(first);
        assert!(write(&mut writer, 900, 9));
        let last = std::iter::from_fn(|| reader.take().unwrap())
            .last()
            .unwrap();
        assert_eq!(last.body(), [9; 900]);
    }

    #[test]
    fn what_is_dropped_uncommitted_never_was() {
        let (mut writer, mut reader) = ring(4096, silent());
        assert!(writer.reserve(100).unwrap().is_some());
        assert!(reader.take().unwrap().is_none());
        assert!(write(&mut writer, 10, 3));
        assert_eq!(reader.take().unwrap().unwrap().body(), [3; 10]);
    }

    #[cfg(feature = "arrow")]
    #[test]
    fn a_buffer_keeps_its_record_as_long_as_a_part_of_it_lives() {
        let (mut writer, mut reader) = ring(4096, silent());
        assert!(write(&mut writer, 500, 3) && write(&mut writer, 100, 4));
        let buffer = reader.take().unwrap().unwrap().into_buffer();
        let part = buffer.slice_with_length(100, 50);
        drop(buffer);
        assert!(write(&mut writer, 500, 5));
        assert_eq!((part.as_slice(), reader.leased()), (&[3; 50][..], 1));
        let elsewhere = std::thread::spawn(move || drop(part));
        elsewhere.join().unwrap();
        assert_eq!(reader.leased(), 0);
        let mut reader = UntrustedReader::new(reader);
        let copy = reader.take().unwrap().unwrap().copied_buffer();
        assert_eq!(copy.as_slice(), [4; 100]);
        assert_eq!(copy.as_ptr() as usize % ALIGNMENT, 0);
    }

    #[test]
    fn a_body_that_never_fits_is_refused() {
        let (mut writer, _reader) = ring(4096, silent());
        assert_eq!(writer.body_bytes_max(), 960);
        assert!(writer.reserve(960).unwrap().is_some());
        let error = writer.reserve(961).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a record of 1088 bytes is larger than a quarter of its ring of 4096 bytes"
        );
    }

    #[test]
    fn what_was_not_answered_is_not_written_over() {
        let (mut writer, mut reader, _) = ring_on_heap(4096, silent(), Some(Retained::default()));
        for value in 0..4 {
            assert!(write(&mut writer, 900, value));
            drop(reader.take().unwrap());
        }
        assert!(!write(&mut writer, 0, 9));
        assert_eq!(writer.sleeps_for(0).unwrap(), Room::WaitsForAnswers);
        writer.answered(1).unwrap();
        assert!(!write(&mut writer, 0, 9), "the first one is not answered");
        writer.answered(0).unwrap();
        assert_eq!(writer.sleeps_for(900).unwrap(), Room::IsThere);
        assert!(write(&mut writer, 900, 9));
        for sequence in [0, 1, 5, u64::MAX] {
            let error = writer.answered(sequence).unwrap_err();
            assert_eq!(error, Fault::Answer { sequence });
        }
    }

    #[test]
    fn nothing_comes_behind_a_fault() {
        let (mut writer, mut reader, heap) = ring_on_heap(4096, silent(), None);
        assert!(write(&mut writer, 8, 1) && write(&mut writer, 8, 2));
        // SAFETY: it lies within the ring, and no slice of it lives now.
        unsafe { heap.base.add(1).write(9) };
        let first = reader.take().unwrap_err().to_string();
        assert_eq!(reader.take().unwrap_err().to_string(), first);
    }

    #[test]
    fn the_end_says_how_much_there_was() {
        let ended = |wrong_rows| {
            let (mut writer, mut reader) = ring(4096, silent());
            write(&mut writer, 100, 5);
            let tally = writer.tally();
            assert_eq!((tally.records, tally.rows, tally.bytes), (1, 5, 100));
            let rows = tally.rows + wrong_rows;
            let mut slot = writer.reserve(24).unwrap().unwrap();
            slot.body()
                .copy_from_slice(&Tally { rows, ..tally }.encode());
            slot.commit(Header::new(Kind::End), 24);
            reader.take().unwrap();
            (reader.take(), writer, reader)
        };
        let (end, mut writer, mut reader) = ended(0);
        assert_eq!(end.unwrap().unwrap().header().kind, Kind::End);
        assert!(reader.take().unwrap().is_none());
        write(&mut writer, 0, 0);
        let error = reader.take().unwrap_err();
        assert!(matches!(error, Error::Fault(Fault::BehindEnd)), "{error}");
        let (end, ..) = ended(1);
        let error = end.unwrap_err();
        assert!(
            matches!(error, Error::Fault(Fault::Counts { .. })),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_records_come_as_they_were_written(
            quarter in 4_usize..40,
            records in prop::collection::vec((0..=1000_usize, any::<u8>()), 1..200),
            held in 0_usize..3,
            order in any::<u64>(),
        ) {
            let (mut writer, mut reader) = ring(quarter * 4 * ALIGNMENT, silent());
            let mut random = fastrand::Rng::with_seed(order);
            let most = writer.body_bytes_max();
            let mut coming = VecDeque::new();
            let mut leased = Vec::new();
            for (share, value) in records {
                let bytes = most * share / 1000;
                while !write(&mut writer, bytes, value) {
                    if let Some(record) = reader.take().unwrap() {
                        let (bytes, value): (usize, u8) = coming.pop_front().unwrap();
                        prop_assert!(record.body().len() == bytes && record.body().iter().all(|byte| *byte == value));
                        prop_assert_eq!(record.body().as_ptr() as usize % ALIGNMENT, 0);
                        leased.push(record);
                    }
                    if leased.len() > held || coming.is_empty() {
                        leased.swap_remove(random.usize(..leased.len()));
                    }
                }
                coming.push_back((bytes, value));
            }
            drop(leased);
            let rest = std::iter::from_fn(|| reader.take().unwrap()).count();
            prop_assert_eq!(rest, coming.len());
            prop_assert_eq!(writer.tally(), reader.tally());
            prop_assert_eq!(reader.leased(), 0);
        }
    }
}

/// A peer that writes anything, anywhere it can, at any time.
#[cfg(not(feature = "loom"))]
mod hostile {
    use fastrand::Rng;

    use super::*;
    use crate::error::Error;
    use crate::hostile::cases;

    const CAPACITY: usize = 1024;
    const TIMES: u64 = if cfg!(miri) { 50 } else { 100_000 };

    /// A number that is likely to be near what matters.
    fn any_number(random: &mut Rng, near: u64) -> u64 {
        match random.u8(..6) {
            0 => random.u64(..),
            1 => u64::MAX - random.u64(..256),
            2 => random.u64(..2 * CAPACITY as u64),
            _ => near.wrapping_add(random.u64(..256)).wrapping_sub(128),
        }
    }

    fn spoil_bytes(random: &mut Rng, heap: &Heap) {
        for _ in 0..random.usize(1..4) {
            let line = random.usize(..CAPACITY / ALIGNMENT) * ALIGNMENT;
            let at = line + random.usize(..ALIGNMENT);
            // SAFETY: it lies within the ring, and no slice of it lives now.
            unsafe { heap.base.add(at).write(random.u8(..)) };
        }
    }

    /// A header with a right checksum and wrong contents.
    fn forge_header(random: &mut Rng, heap: &Heap, position: u64) {
        let kinds = [Kind::Data, Kind::Pad, Kind::End, Kind::Error, Kind::Schema];
        let length = any_number(random, CAPACITY as u64 / 2);
        let header = Header {
            flags: random.u16(..4),
            length: u32::try_from(length).unwrap_or(u32::MAX),
            rows: random.u32(..),
            attempt: random.u32(..3),
            sequence: any_number(random, 3),
            ..Header::new(random.choice(kinds).unwrap())
        };
        let line = usize::try_from(position).unwrap() % CAPACITY / ALIGNMENT * ALIGNMENT;
        let bytes = header.encode();
        // SAFETY: a line lies within the ring, and no slice of it lives now.
        unsafe {
            heap.base
                .add(line)
                .copy_from_nonoverlapping(NonNull::from(&bytes).cast(), 64);
        };
    }

    #[test]
    fn writers_are_found_out() {
        cases(TIMES, |random| {
            let (mut writer, reader, heap) = ring_on_heap(CAPACITY, silent(), None);
            let mut reader = UntrustedReader::new(reader);
            let mut held = Vec::new();
            for _ in 0..random.usize(1..40) {
                let position = writer.start().position;
                match random.u8(..10) {
                    0 => spoil_bytes(random, &heap),
                    1 => forge_header(random, &heap, position.saturating_sub(128)),
                    2 => heap.pages[0].written.set(any_number(random, position)),
                    3 => drop(held.pop()),
                    4 if held.len() > 2 => drop(held.swap_remove(random.usize(..held.len()))),
                    5..=7 => {
                        let bytes = random.usize(..writer.body_bytes_max());
                        write(&mut writer, bytes, random.u8(..));
                    }
                    _ => match reader.take() {
                        Ok(Some(record)) => {
                            assert_eq!(record.copied().len(), record.header().length as usize);
                            held.push(record);
                        }
                        Ok(None) => {}
                        Err(Error::Fault(_)) => return,
                        Err(other) => panic!("{other}"),
                    },
                }
            }
        });
    }

    #[test]
    fn readers_are_found_out() {
        cases(TIMES, |random| {
            let (mut writer, mut reader, heap) = ring_on_heap(CAPACITY, silent(), None);
            for _ in 0..random.usize(1..40) {
                let page = &heap.pages[1];
                let position = writer.start().position;
                match random.u8(..8) {
                    0 => page.released.set(any_number(random, position)),
                    1 => page.wants_records.set(any_number(random, position)),
                    2 => page.wants_room.set(any_number(random, position)),
                    3 => drop(reader.take()),
                    _ => {
                        let bytes = random.usize(..writer.body_bytes_max());
                        match writer.reserve(bytes) {
                            Ok(Some(slot)) => {
                                slot.commit(Header::new(Kind::Data), bytes);
                            }
                            Ok(None) => {}
                            Err(Error::Fault(_)) => return,
                            Err(other) => panic!("{other}"),
                        }
                        match writer.occupied() {
                            Ok(bytes) => assert!(bytes <= CAPACITY as u64),
                            Err(_) => return,
                        }
                    }
                }
            }
        });
    }
}

#[cfg(feature = "loom")]
mod every_order {
    use loom::thread;

    use super::*;
    use crate::error::Error;
    use crate::wait::{Bed, Outcome, Patience, wait_for_record, wait_for_room};

    /// One more than there is room for.
    const RECORDS: u8 = 5;

    fn bell(bed: &Arc<Bed>) -> Bell {
        let bed = bed.clone();
        Arc::new(move || bed.ring())
    }

    fn came<T>(outcome: Result<Outcome<T>, Error>) -> T {
        match outcome.unwrap() {
            Outcome::Came(it) => it,
            Outcome::TimedOut | Outcome::Interrupted => panic!("it waits for as long as it takes"),
        }
    }

    /// Nobody sleeps for ever, and nobody reads what is being written: more records than the ring has room for.
    #[test]
    fn a_writer_and_a_reader_in_every_order() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let [reading, writing] = [(); 2].map(|()| Arc::new(Bed::default()));
            let (mut writer, mut reader) = ring(4 * ALIGNMENT, [&reading, &writing].map(bell));
            let thread = thread::spawn(move || {
                let patience = &mut Patience::default();
                for value in 1..=RECORDS {
                    let slot = wait_for_room(&mut writer, patience, &*writing, 0, None);
                    let header = Header {
                        rows: u32::from(value),
                        ..Header::new(Kind::Data)
                    };
                    came(slot).commit(header, 0);
                }
                writer.tally()
            });
            let patience = &mut Patience::default();
            for value in 1..=RECORDS {
                let record = came(wait_for_record(&mut reader, patience, &*reading, None));
                assert_eq!(record.header().rows, u32::from(value));
            }
            assert_eq!(thread.join().unwrap(), reader.tally());
        });
    }
}
