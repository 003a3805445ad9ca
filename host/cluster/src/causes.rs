//! Errors as one line for people, and what can be done about those that any part can meet.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// An error and its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What to do where a machine has run out of something, whoever noticed it.
pub fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let number = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::raw_os_error);
    match number.map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => {
            Some("free some space there, or work in a folder on another disk")
        }
        Some(Errno::MFILE) => Some("raise the limit of open files with `ulimit -n NUMBER`"),
        _ => remedy(error.source()?),
    }
}
