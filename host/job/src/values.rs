//! The forms of text in a job file: durations, sizes, names and paths. Pure functions from text to value or complaint.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Longest name of a job or role, in characters.
pub const NAME_LENGTH_MAX: usize = 63;

/// Longest duration a limit may state: 365 days.
pub const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

const DURATION_UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1000),
    ("second", 1000),
    ("seconds", 1000),
    ("min", 60_000),
    ("minute", 60_000),
    ("minutes", 60_000),
    ("h", 3_600_000),
    ("hour", 3_600_000),
    ("hours", 3_600_000),
    ("day", 86_400_000),
    ("days", 86_400_000),
];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// `"10 min"`, `"500 ms"`, `"1 hour"`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    quantity(text, DURATION_UNITS).map(Duration::from_millis)
}

/// `"64 MiB"`, `"2 GB"`.
pub(crate) fn size(text: &str) -> Option<u64> {
    quantity(text, SIZE_UNITS)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The shortest text that [`duration`] reads back as this.
pub(crate) fn duration_text(value: Duration) -> String {
    let milliseconds = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    quantity_text(
        milliseconds,
        &[("hours", 3_600_000), ("min", 60_000), ("s", 1000)],
        "ms",
    )
}

/// The shortest text that [`size`] reads back as this.
pub(crate) fn size_text(bytes: u64) -> String {
    quantity_text(
        bytes,
        &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)],
        "B",
    )
}

fn quantity_text(value: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let whole = units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    match whole {
        Some((unit, factor)) => format!("{} {unit}", value / factor),
        None => format!("{value} {smallest}"),
    }
}

/// How things may be called: lower-case letters, digits and some other characters, a letter first.
pub(crate) struct Naming {
    /// The other characters, for messages.
    pub(crate) characters: &'static str,
    others: &'static [u8],
    /// One of them stands in for what is not allowed.
    substitute: char,
    /// What a name may not end with.
    not_last: &'static [u8],
}

/// Names of jobs, roles and environments.
pub(crate) const OUTER_NAMES: Naming = Naming {
    characters: "lower-case letters, digits and dashes",
    others: b"-",
    substitute: '-',
    not_last: b"-",
};

/// Names of sources, transforms and sinks: a query can have them without quotes, unless there is a dash in them.
pub(crate) const DATAFLOW_NAMES: Naming = Naming {
    characters: "lower-case letters, digits, underscores and dashes",
    others: b"_-",
    substitute: '_',
    not_last: b"",
};

impl Naming {
    /// Whether something may be called this.
    pub(crate) fn allows(&self, text: &str) -> bool {
        let inner = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || self.others.contains(&byte)
        };
        text.len() <= NAME_LENGTH_MAX
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text
                .bytes()
                .last()
                .is_some_and(|last| self.not_last.contains(&last))
            && text.bytes().all(inner)
    }

    /// A name in the spirit of `text`, if there is one.
    pub(crate) fn like(&self, text: &str) -> Option<String> {
        let fitting = |character: char| match character.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => letter,
            other if u8::try_from(other).is_ok_and(|byte| self.others.contains(&byte)) => other,
            _ => self.substitute,
        };
        let name: String = text.chars().map(fitting).take(NAME_LENGTH_MAX).collect();
        let name = name.trim_start_matches(|first: char| !first.is_ascii_lowercase());
        let name = name.trim_end_matches(self.substitute);
        self.allows(name).then(|| name.to_owned())
    }
}

/// Whether a plugin or environment is given as a path and not by name.
pub(crate) fn is_path(text: &str) -> bool {
    text.contains('/')
        || Path::new(text)
            .extension()
            .is_some_and(|extension| extension == "wasm")
}

/// Whether something that is found by name (a plugin, a Python environment) may be called this.
pub(crate) fn is_found_by_name(text: &str) -> bool {
    let fitting = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(fitting)
}

/// What keeps a text from being a point in time as RFC 3339 writes it; `None`: nothing.
pub(crate) fn time_complaint(text: &str) -> Option<&'static str> {
    match text.parse::<toml_edit::Datetime>() {
        Ok(time) if time.date.is_none() || time.time.is_none() => Some("lacks a date or a time"),
        Ok(time) if time.time.is_some_and(|time| time.second.is_none()) => Some("lacks seconds"),
        Ok(time) if time.offset.is_none() => Some("lacks its distance from UTC"),
        Ok(_) => None,
        Err(_) => Some("is not a date and time"),
    }
}

/// Whether an environment variable may be called this.
pub(crate) fn is_variable(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What keeps a path from being one inside the folder of the job file; `None`: nothing.
pub(crate) fn path_complaint(text: &str) -> Option<&'static str> {
    let path = Path::new(text);
    if path.is_absolute() {
        return Some("is absolute");
    }
    if path
        .components()
        .any(|component| component == Component::ParentDir)
    {
        return Some("leaves the folder of the job file");
    }
    (path.file_name().is_none() || text.ends_with('/')).then_some("does not name a file")
}

/// `./a/./b` -> `a/b`
pub(crate) fn without_dots(path: &Path) -> PathBuf {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_a_unit() {
        assert_eq!(duration("500 ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("10min"), Some(Duration::from_mins(10)));
        assert_eq!(duration(" 1 hour "), Some(Duration::from_hours(1)));
        for wrong in [
            "",
            "10",
            "min",
            "ten min",
            "1.5 h",
            "-1 s",
            "1 MiB",
            "99999999999999999999 s",
        ] {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
        assert_eq!(duration("18446744073709551615 days"), None);
    }

    #[test]
    fn quantities_are_written_as_they_are_read() {
        assert_eq!(duration_text(Duration::from_mins(10)), "10 min");
        assert_eq!(duration_text(Duration::ZERO), "0 ms");
        assert_eq!(duration_text(Duration::from_millis(61_001)), "61001 ms");
        assert_eq!(size_text(64 << 20), "64 MiB");
        assert_eq!(size("2 GB"), Some(2_000_000_000));
        assert_eq!(size("1 gib"), None);
    }

    #[test]
    fn a_wrong_name_leads_to_a_right_one() {
        assert_eq!(OUTER_NAMES.like("Worker_1").as_deref(), Some("worker-1"));
        assert_eq!(
            OUTER_NAMES.like("3 blind mice").as_deref(),
            Some("blind-mice")
        );
        assert_eq!(OUTER_NAMES.like("ü--"), None);
        assert!(!OUTER_NAMES.allows(&"a".repeat(NAME_LENGTH_MAX + 1)));
        assert_eq!(
            DATAFLOW_NAMES.like("Joined Rows-2.").as_deref(),
            Some("joined_rows-2")
        );
        assert!(DATAFLOW_NAMES.allows("joined_rows"));
        assert!(!OUTER_NAMES.allows("joined_rows"));
    }

    #[test]
    fn paths_stay_inside_the_folder() {
        for right in ["train.py", "src/train.py", "./train.py"] {
            assert_eq!(path_complaint(right), None, "{right}");
        }
        for wrong in [
            "",
            ".",
            "src/",
            "/train.py",
            "../train.py",
            "src/../../train.py",
        ] {
            assert!(path_complaint(wrong).is_some(), "{wrong}");
        }
    }
}
