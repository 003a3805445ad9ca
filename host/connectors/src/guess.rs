//! What type the values of a column are, as far as their texts tell.

use arrow_array::timezone::Tz;
use arrow_array::types::Date32Type;
use arrow_cast::parse::{Parser, string_to_datetime};
use arrow_schema::{DataType, TimeUnit};

use crate::csv::boolean;

const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const FLOAT: u8 = 4;
const DATE: u8 = 8;
const TIME: u8 = 16;
const TIME_OF_ZONE: u8 = 32;
const TEXT: u8 = 64;

/// The kinds of values that were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Guess(u8);

impl<'a> FromIterator<&'a str> for Guess {
    fn from_iter<I: IntoIterator<Item = &'a str>>(values: I) -> Self {
        let mut guess = Self::default();
        for value in values {
            if guess.0 & TEXT == 0 {
                guess.0 |= kind_of(value);
            }
        }
        guess
    }
}

impl Guess {
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The type that holds all of them; text, if there were none.
    pub(crate) fn kind(self) -> DataType {
        const DATE_OR_TIME: u8 = DATE | TIME;
        const NUMBER: u8 = INTEGER | FLOAT;
        match self.0 {
            BOOLEAN => DataType::Boolean,
            INTEGER => DataType::Int64,
            FLOAT | NUMBER => DataType::Float64,
            DATE => DataType::Date32,
            TIME | DATE_OR_TIME => DataType::Timestamp(TimeUnit::Microsecond, None),
            TIME_OF_ZONE => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            _ => DataType::Utf8,
        }
    }
}

fn kind_of(value: &str) -> u8 {
    if boolean(value).is_some() {
        return BOOLEAN;
    }
    if let Some(kind) = number(value) {
        return kind;
    }
    if value.len() == 10 && has_date(value) && Date32Type::parse(value).is_some() {
        return DATE;
    }
    time(value).unwrap_or(TEXT)
}

fn number(value: &str) -> Option<u8> {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number of so many digits is rather a name.
        return Some(value.parse::<i64>().map_or(TEXT, |_| INTEGER));
    }
    let is_number =
        value.parse::<f64>().is_ok() && !value.to_ascii_lowercase().contains("infinity");
    is_number.then_some(FLOAT)
}

/// `2013-01-01...`
fn has_date(value: &str) -> bool {
    let bytes = value.as_bytes();
    let has = |position: usize, expected: u8| bytes.get(position) == Some(&expected);
    has(4, b'-') && has(7, b'-') && bytes.iter().take(4).all(u8::is_ascii_digit)
}

/// `2013-01-01 05:00:00`, with or without fractions and zone.
fn time(value: &str) -> Option<u8> {
    if value.len() < 19 || !has_date(value) {
        return None;
    }
    let zone: Tz = "+00:00".parse().ok()?;
    string_to_datetime(&zone, value).ok()?;
    let has_zone = value
        .get(19..)
        .is_some_and(|rest| rest.contains(|mark: char| !mark.is_ascii_digit() && mark != '.'));
    Some(if has_zone { TIME_OF_ZONE } else { TIME })
}
