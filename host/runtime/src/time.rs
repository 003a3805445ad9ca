//! Times as the job file writes them.

use jiff::Timestamp;

/// Microseconds since 1970 of an RFC 3339 text.
pub(crate) fn micros_of(text: &str) -> Result<i64, jiff::Error> {
    text.parse::<Timestamp>().map(Timestamp::as_microsecond)
}
