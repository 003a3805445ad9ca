//! A child that was forked from the process of a node. It has copies of all objects, and must not touch what they share with the host: some of
//! it is not even mapped there.

use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set before anything else runs in a child, so before Python gives up the objects of threads that it does not have.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Whether this process was forked from the one that has opened the channel.
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// From now on a forked child knows that it is one.
#[expect(unsafe_code, reason = "only the C library calls back at a fork")]
pub(crate) fn watch() -> io::Result<()> {
    extern "C" fn in_child() {
        IS_CHILD.store(true, Ordering::Relaxed);
    }
    // SAFETY: the handler stays as long as this module, which Python never unloads; it stores into a word, which is safe in a child.
    match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Something that is given up in the process that has made it, and never in a forked child.
#[derive(Debug)]
pub(crate) struct Kept<T>(ManuallyDrop<T>);

impl<T> Kept<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Kept<T> {
    #[expect(unsafe_code, reason = "what is dropped depends on the process")]
    fn drop(&mut self) {
        if !is_child() {
            // SAFETY: it is dropped here alone, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}
