//! Waiting for a condition, with a watchdog.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for anything that takes a second or less on an idle machine.
pub const WATCHDOG: Duration = Duration::from_mins(1);
/// How often a condition that nobody announces is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; panics, naming `what`, when the watchdog ends first.
#[track_caller]
pub fn wait_until(what: &str, watchdog: Duration, condition: impl FnMut() -> bool) {
    assert!(
        holds_within(watchdog, condition),
        "waited {watchdog:?} in vain for: {what}"
    );
}

/// Whether `condition` came to hold before the watchdog ended.
pub(crate) fn holds_within(watchdog: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + watchdog;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::park_timeout(LOOK_EVERY);
    }
    true
}
