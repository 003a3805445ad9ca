//! The clock, in one place.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static BEGIN: OnceLock<(u64, Instant)> = OnceLock::new();

/// Milliseconds since 1970. Read from the wall clock once: when somebody sets that one, deadlines stay where they were.
pub fn now_ms() -> u64 {
    let (began_ms, began) = *BEGIN.get_or_init(|| (wall_ms(), Instant::now()));
    began_ms.saturating_add(milliseconds(began.elapsed()))
}

/// Begins no earlier than this: the process before knew this time already. Without effect once the clock was read.
pub(crate) fn begin_after(known_ms: u64) {
    BEGIN.get_or_init(|| (wall_ms().max(known_ms), Instant::now()));
}

/// In whole ones; one that is too long for the number counts as the longest.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// 0 where the clock stands before 1970.
fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    milliseconds(since)
}
