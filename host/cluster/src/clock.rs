//! The clock, in one place.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static BEGIN: OnceLock<(u64, Instant)> = OnceLock::new();

/// Milliseconds since 1970. Read from the wall clock once: when somebody sets that one, deadlines stay where they were.
pub fn now_ms() -> u64 {
    let (began_ms, began) = *BEGIN.get_or_init(|| (wall_ms(), Instant::now()));
    let elapsed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    began_ms.saturating_add(elapsed)
}

/// Begins no earlier than this: the process before knew this time already. Without effect once the clock was read.
pub(crate) fn begin_after(known_ms: u64) {
    BEGIN.get_or_init(|| (wall_ms().max(known_ms), Instant::now()));
}

/// 0 where the clock stands before 1970.
fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
