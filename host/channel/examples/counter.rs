//! A library that tests preload: it tells how much memory a process has asked for, whoever asks: interpreter, numpy, frameworks, and the Rust half of
//! the `forebay` package. It stands before the allocator of the C library, which does all the work.

#![expect(unsafe_code, reason = "it stands in the place of `malloc`")]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// Of the C library.
const NO_MEMORY: c_int = 12;

unsafe extern "C" {
    fn __libc_malloc(bytes: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, bytes: usize) -> *mut c_void;
    fn __libc_realloc(place: *mut c_void, bytes: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, bytes: usize) -> *mut c_void;
}

fn note(bytes: usize) {
    LARGEST.fetch_max(bytes, Relaxed);
}

/// The largest piece of memory that any thread has asked for since this was asked last.
#[unsafe(no_mangle)]
pub extern "C" fn forebay_largest_allocation() -> usize {
    LARGEST.swap(0, Relaxed)
}

/// # Safety
///
/// As that of the C library, and so are all below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(bytes: usize) -> *mut c_void {
    note(bytes);
    // SAFETY: whoever calls keeps to the rules of this very function.
    unsafe { __libc_malloc(bytes) }
}

/// # Safety
///
/// See [`malloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(count: usize, bytes: usize) -> *mut c_void {
    note(count.saturating_mul(bytes));
    // SAFETY: as above.
    unsafe { __libc_calloc(count, bytes) }
}

/// # Safety
///
/// See [`malloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(place: *mut c_void, bytes: usize) -> *mut c_void {
    note(bytes);
    // SAFETY: as above.
    unsafe { __libc_realloc(place, bytes) }
}

/// # Safety
///
/// See [`malloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memalign(alignment: usize, bytes: usize) -> *mut c_void {
    note(bytes);
    // SAFETY: as above.
    unsafe { __libc_memalign(alignment, bytes) }
}

/// # Safety
///
/// See [`malloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(alignment: usize, bytes: usize) -> *mut c_void {
    // SAFETY: as above.
    unsafe { memalign(alignment, bytes) }
}

/// # Safety
///
/// See [`malloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    alignment: usize,
    bytes: usize,
) -> c_int {
    // SAFETY: as above.
    let memory = unsafe { memalign(alignment, bytes) };
    if memory.is_null() {
        return NO_MEMORY;
    }
    // SAFETY: whoever calls gives a place for the answer.
    unsafe { *place = memory };
    0
}
