//! Numbers, words, truths and characters.

use std::ops::RangeInclusive;

use super::Field;
use crate::diagnostic::code;
use crate::read::Findings;
use crate::schema::nearest;
use crate::values;

impl Field<'_> {
    /// A whole number in a range.
    pub(crate) fn integer(
        &self,
        range: RangeInclusive<u32>,
        findings: &mut Findings,
    ) -> Option<u32> {
        let number = self.whole(findings)?;
        let value = u32::try_from(number)
            .ok()
            .filter(|value| range.contains(value));
        if value.is_none() {
            let message = format!("`{}` is {number}", self.name);
            let hint = format!("give a number from {} to {}", range.start(), range.end());
            self.error(code::OUT_OF_RANGE, message, hint, findings);
        }
        value
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&self, findings: &mut Findings) -> Option<u64> {
        let number = self.whole(findings)?;
        let value = u64::try_from(number).ok();
        if value.is_none() {
            let message = format!("`{}` is {number}", self.name);
            self.error(code::OUT_OF_RANGE, message, "give 0 or more", findings);
        }
        value
    }

    /// Any whole number.
    pub(crate) fn whole(&self, findings: &mut Findings) -> Option<i64> {
        let number = self.item.as_integer();
        if number.is_none() {
            let hint = format!("such as `{} = 1`", self.name);
            self.wrong_type("a whole number", &hint, findings);
        }
        number
    }

    /// A finite number, with or without a fraction.
    pub(crate) fn number(&self, findings: &mut Findings) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "`1` is as good as `1.0`")]
        let whole = self.item.as_integer().map(|number| number as f64);
        let Some(number) = whole.or_else(|| self.item.as_float()) else {
            let hint = format!("such as `{} = 1.5`", self.name);
            self.wrong_type("a number", &hint, findings);
            return None;
        };
        if !number.is_finite() {
            let message = format!("`{}` is {number}", self.name);
            self.error(
                code::OUT_OF_RANGE,
                message,
                "give a finite number",
                findings,
            );
        }
        number.is_finite().then_some(number)
    }

    /// A finite number above 0.
    pub(crate) fn positive(&self, findings: &mut Findings) -> Option<f64> {
        let number = self.number(findings)?;
        if number <= 0.0 {
            let message = format!("`{}` is {number}", self.name);
            self.error(
                code::OUT_OF_RANGE,
                message,
                "give a number above 0",
                findings,
            );
        }
        (number > 0.0).then_some(number)
    }

    /// A number of bytes, at least `least`.
    pub(crate) fn size_from(&self, least: u64, findings: &mut Findings) -> Option<u64> {
        let value = self.size(findings)?;
        if value < least {
            let message = format!("`{}` is {}", self.name, values::size_text(value));
            let hint = format!("give {} or more", values::size_text(least));
            self.error(code::OUT_OF_RANGE, message, hint, findings);
        }
        (value >= least).then_some(value)
    }

    /// A number of bytes in a range.
    pub(crate) fn size_within(
        &self,
        range: RangeInclusive<u64>,
        findings: &mut Findings,
    ) -> Option<u64> {
        let value = self.size(findings)?;
        let is_within = range.contains(&value);
        if !is_within {
            let message = format!("`{}` is {}", self.name, values::size_text(value));
            let [least, most] = [range.start(), range.end()].map(|bytes| values::size_text(*bytes));
            let hint = format!("give {least} to {most}");
            self.error(code::OUT_OF_RANGE, message, hint, findings);
        }
        is_within.then_some(value)
    }

    /// `true` or `false`.
    pub(crate) fn truth(&self, findings: &mut Findings) -> Option<bool> {
        let truth = self.item.as_bool();
        if truth.is_none() {
            let hint = format!("write `{} = true` or `{0} = false`", self.name);
            self.wrong_type("`true` or `false`", &hint, findings);
        }
        truth
    }

    /// One of some words; `what` they name, such as "a format".
    pub(crate) fn word<T: Copy>(
        &self,
        what: &str,
        words: &[(&str, T)],
        findings: &mut Findings,
    ) -> Option<T> {
        let text = self.text(findings)?;
        let known = words.iter().find(|(word, _)| *word == text);
        if known.is_none() {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let hint = match nearest(&text, &names) {
                Some(meant) => format!("did you mean `{meant}`? one of {}", listed(&names)),
                None => format!("one of {}", listed(&names)),
            };
            let message = format!("{text:?} is not {what}");
            self.error(code::BAD_VALUE, message, hint, findings);
        }
        known.map(|(_, value)| *value)
    }

    /// A text of at most one character, of ASCII, that ends no line.
    pub(crate) fn character(&self, findings: &mut Findings) -> Option<String> {
        let text = self.text(findings)?;
        if text.len() <= 1 && !text.contains(['\r', '\n']) {
            return Some(text);
        }
        let message = format!("`{}` is {text:?}", self.name);
        let hint = "give one character of ASCII that is no line end";
        self.error(code::BAD_VALUE, message, hint, findings);
        None
    }

    /// A text that says something.
    pub(crate) fn filled_text(&self, findings: &mut Findings) -> Option<String> {
        let text = self.text(findings)?;
        if text.trim().is_empty() {
            let message = format!("`{}` is empty", self.name);
            self.error(code::BAD_VALUE, message, "fill it, or remove it", findings);
            return None;
        }
        Some(text)
    }

    /// A point in time, as RFC 3339 writes it; in quotes, or as a date of TOML.
    pub(crate) fn time(&self, findings: &mut Findings) -> Option<String> {
        let text = match self.item.as_datetime() {
            Some(time) => time.to_string(),
            None => self.text(findings)?,
        };
        if let Some(complaint) = values::time_complaint(&text) {
            let message = format!("`{}`: the time {text:?} {complaint}", self.name);
            let hint = "write it like \"2013-01-31T06:00:00Z\" or \"2013-01-31T06:00:00-05:00\"";
            self.error(code::BAD_VALUE, message, hint, findings);
            return None;
        }
        Some(text)
    }
}

/// `a`, `b`, `c`
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<_> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    quoted.join(", ")
}
