//! Waiting in a thread of Python: without the interpreter's lock, and with a look at signals now and then.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTimeoutError, PyValueError};
use pyo3::prelude::*;

/// Time without a look at signals: Python's own handlers run in the main thread alone, which may not be the one that a signal interrupts. A
/// look costs little, but with nothing to wait for there is nothing but looks: it becomes twice as long with each, up to the second one.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);
const SIGNALS_AT_LEAST_EVERY: Duration = Duration::from_millis(400);

/// When a wait is over; `None`: never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) const NEVER: Self = Self(None);

    /// In so many seconds.
    pub(crate) fn after(seconds: Option<f64>) -> PyResult<Self> {
        let Some(seconds) = seconds else {
            return Ok(Self::NEVER);
        };
        let time = Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|_| {
            PyValueError::new_err(format!("a timeout of {seconds} seconds is none"))
        })?;
        Ok(Self(Instant::now().checked_add(time)))
    }

    fn left(self) -> Duration {
        self.0.map_or(SIGNALS_AT_LEAST_EVERY, |end| {
            end.saturating_duration_since(Instant::now())
        })
    }
}

/// Tries until something comes. Each try gets the longest time that it may take, and runs without the interpreter's lock.
///
/// # Errors
///
/// The deadline, a signal whose handler raises, and what the try gives.
pub(crate) fn wait<T: Send, E: Send + Into<PyErr>>(
    py: Python<'_>,
    deadline: Deadline,
    mut attempt: impl FnMut(Duration) -> Result<Option<T>, E> + Send,
) -> PyResult<T> {
    let mut longest = SIGNALS_EVERY;
    loop {
        let left = deadline.left();
        let come = py.detach(|| attempt(left.min(longest)));
        if let Some(come) = come.map_err(Into::into)? {
            return Ok(come);
        }
        py.check_signals()?;
        if left.is_zero() {
            return Err(PyTimeoutError::new_err("nothing came in time"));
        }
        longest = (2 * longest).min(SIGNALS_AT_LEAST_EVERY);
    }
}

/// What one thread has at a time.
#[derive(Debug)]
pub(crate) struct Turn<T> {
    value: Mutex<Option<T>>,
    back: Condvar,
}

impl<T: Send> Turn<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(Some(value)),
            back: Condvar::new(),
        }
    }

    pub(crate) fn take(&self, py: Python<'_>, deadline: Deadline) -> PyResult<Lent<'_, T>> {
        wait(py, deadline, |longest| {
            Ok::<_, PyErr>(self.take_within(longest))
        })
    }

    /// `None`: another thread has it all this time.
    pub(crate) fn take_within(&self, longest: Duration) -> Option<Lent<'_, T>> {
        let waited = self
            .back
            .wait_timeout_while(self.value(), longest, |value| value.is_none());
        let value = waited.unwrap_or_else(PoisonError::into_inner).0.take();
        value.map(|value| self.lend(value))
    }

    /// `None`: another thread has it.
    pub(crate) fn try_take(&self) -> Option<Lent<'_, T>> {
        let value = self.value().take();
        value.map(|value| self.lend(value))
    }

    fn lend(&self, value: T) -> Lent<'_, T> {
        let value = Some(value);
        Lent { turn: self, value }
    }

    fn value(&self) -> MutexGuard<'_, Option<T>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Given back when it is dropped.
pub(crate) struct Lent<'a, T: Send> {
    turn: &'a Turn<T>,
    value: Option<T>,
}

impl<T: Send> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until the drop")
    }
}

impl<T: Send> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until the drop")
    }
}

impl<T: Send> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        *self.turn.value() = self.value.take();
        self.turn.back.notify_one();
    }
}
