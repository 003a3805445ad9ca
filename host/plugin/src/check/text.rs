//! Texts that a plugin writes for people, and texts of users that it may quote in them.

use crate::types::{Ending, ExitReport, KnownCause, ScriptError, StartFailure};

/// Longest name of a phase or timer, in bytes.
const WORD_BYTES_MAX: usize = 128;

/// A text that has to be there.
pub(super) fn required(what: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("its {what} is empty"));
    }
    bounded(what, text, bytes_max)
}

/// A text that may be left out, but not empty.
pub(super) fn optional(what: &str, text: Option<&str>, bytes_max: usize) -> Result<(), String> {
    text.map_or(Ok(()), |text| required(what, text, bytes_max))
}

/// A text that may be empty.
pub(super) fn bounded(what: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    let used = text.len();
    if used > bytes_max {
        return Err(format!(
            "its {what} has {used} bytes, more than the limit `text-bytes` of {bytes_max}"
        ));
    }
    if text.chars().any(is_unprintable) {
        return Err(format!("its {what} has control characters: {text:?}"));
    }
    Ok(())
}

/// A word such as a phase or the id of a timer.
pub(super) fn word(what: &str, word: &str) -> Result<(), String> {
    if word.is_empty() {
        return Err(format!("its {what} is empty"));
    }
    if word.len() > WORD_BYTES_MAX {
        return Err(format!(
            "its {what} has {} bytes, more than {WORD_BYTES_MAX}",
            word.len()
        ));
    }
    if word
        .chars()
        .any(|character| character.is_control() || character.is_whitespace())
    {
        return Err(format!(
            "its {what} has spaces or control characters: {word:?}"
        ));
    }
    Ok(())
}

/// A time that the host has to wait.
pub(super) fn wait(what: &str, wait_ms: u64, wait_ms_max: u64) -> Result<(), String> {
    if wait_ms > wait_ms_max {
        return Err(format!(
            "its {what} of {wait_ms} ms is longer than the limit `wait-ms` of {wait_ms_max}"
        ));
    }
    Ok(())
}

fn is_unprintable(character: char) -> bool {
    character.is_control() && character != '\n' && character != '\t'
}

/// The report with texts that a plugin may quote without breaking its own limits.
pub(super) fn quotable(report: &ExitReport, bytes_max: usize) -> ExitReport {
    let quote = |text: &str| quotable_text(text, bytes_max);
    ExitReport {
        ending: match &report.ending {
            Ending::NotStarted(failure) => Ending::NotStarted(StartFailure {
                code: quote(&failure.code),
                message: quote(&failure.message),
            }),
            ending => ending.clone(),
        },
        cause: match &report.cause {
            KnownCause::Refused(why) => KnownCause::Refused(quote(why)),
            cause => cause.clone(),
        },
        hint: report.hint.as_deref().map(quote),
        last_lines: report.last_lines.iter().map(|line| quote(line)).collect(),
        error: report.error.as_ref().map(|error| ScriptError {
            kind: quote(&error.kind),
            message: quote(&error.message),
            traceback: error
                .traceback
                .chars()
                .filter(|character| !is_unprintable(*character))
                .collect(),
        }),
        ..report.clone()
    }
}

pub(crate) fn quotable_text(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    text[..end]
        .chars()
        .filter(|character| !is_unprintable(*character))
        .collect()
}
