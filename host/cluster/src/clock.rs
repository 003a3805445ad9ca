//! The clock, in one place.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static BEGIN: LazyLock<(u64, Instant)> = LazyLock::new(|| (wall_ms(), Instant::now()));

/// Milliseconds since 1970. Read from the wall clock once: when somebody sets that one, deadlines stay where they were.
pub fn now_ms() -> u64 {
    let (began_ms, began) = *BEGIN;
    let elapsed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    began_ms.saturating_add(elapsed)
}

/// 0 where the clock stands before 1970.
fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
