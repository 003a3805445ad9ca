//! Records that lie in the ring for as long as anything looks at them.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_buffer::Buffer;
use forebay_channel::Record;

use crate::fork::Kept;

/// The sequences of the records that are held.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<BTreeSet<u64>>);

impl Held {
    pub(crate) fn sequences(&self) -> Vec<u64> {
        self.set().iter().copied().collect()
    }

    fn set(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record that is given back to the host when it is dropped.
struct Lease {
    record: Kept<Record>,
    held: Kept<Arc<Held>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // In a child a thread that is not there may have the lock.
        if !crate::fork::is_child() {
            self.held.set().remove(&self.record.header().sequence);
        }
    }
}

/// The body of a record where it lies. The record is held while anything of the buffer lives.
#[expect(unsafe_code, reason = "the buffer lies in memory of the channel")]
pub(crate) fn buffer(record: Record, held: &Arc<Held>) -> Buffer {
    held.set().insert(record.header().sequence);
    let (place, length) = (NonNull::from(record.body()).cast(), record.body().len());
    let lease = Lease {
        record: Kept::new(record),
        held: Kept::new(held.clone()),
    };
    // SAFETY: the bytes lie in the ring for as long as the record lives, which the lease keeps; what is leased is not written over.
    unsafe { Buffer::from_custom_allocation(place, length, Arc::new(AssertUnwindSafe(lease))) }
}
