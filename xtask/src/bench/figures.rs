//! What becomes of the samples of a row: median, 99th percentile, and whether the target is met.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// So many samples have a 99th percentile that is not simply the largest of them.
const SAMPLES_OF_P99: usize = 100;

/// Samples of one thing.
#[derive(Clone, Debug)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// At least one; sorted here.
    pub(super) fn new(mut samples: Vec<f64>) -> Result<Self> {
        ensure!(
            !samples.is_empty() && samples.iter().all(|sample| sample.is_finite()),
            "a row without samples, or with some that are no numbers: {samples:?}"
        );
        samples.sort_by(f64::total_cmp);
        Ok(Self(samples))
    }

    pub(super) fn number(&self) -> usize {
        self.0.len()
    }

    /// The middle one; between the two in the middle where their number is even.
    pub(super) fn median(&self) -> f64 {
        let (low, high) = (self.0[(self.number() - 1) / 2], self.0[self.number() / 2]);
        f64::midpoint(low, high)
    }

    /// The smallest that at least 99 of 100 samples do not exceed.
    pub(super) fn p99(&self) -> f64 {
        self.0[(self.number() * 99).div_ceil(100) - 1]
    }

    pub(super) fn max(&self) -> f64 {
        self.0[self.number() - 1]
    }

    pub(super) fn min(&self) -> f64 {
        self.0[0]
    }

    /// The 99th percentile, or the largest of a few, and which of them it is; of what shall be large, the least.
    pub(super) fn worst(&self, target: Target) -> (f64, &'static str) {
        match target {
            Target::AtLeast(_) => (self.min(), "min"),
            Target::AtMost(_) if self.number() < SAMPLES_OF_P99 => (self.max(), "max"),
            Target::AtMost(_) => (self.p99(), "p99"),
        }
    }
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn of(row: &Value) -> Result<Self> {
        match (row["at_most"].as_f64(), row["at_least"].as_f64()) {
            (Some(at_most), None) => Ok(Self::AtMost(at_most)),
            (None, Some(at_least)) => Ok(Self::AtLeast(at_least)),
            _ => anyhow::bail!("a row has one target"),
        }
    }

    /// As one says it, and how much.
    pub(super) fn words(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(most) => ("at most", most),
            Self::AtLeast(least) => ("at least", least),
        }
    }
}

/// A row of the page.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) unit: String,
    pub(super) target: Target,
    /// Name of the statistic that the target is held against: `median`, `p99`, `max`.
    pub(super) judged: String,
    pub(super) samples: Samples,
    /// What it should be seen beside.
    pub(super) beside: Vec<(String, Samples)>,
    /// What one has to know of it.
    pub(super) note: Option<String>,
}

impl Figure {
    /// Reads a row of `forebay-bench`.
    pub(super) fn parse(row: &str) -> Result<Self> {
        let row: Value =
            serde_json::from_str(row).with_context(|| format!("not a row of figures: `{row}`"))?;
        let beside = row["beside"].as_array().into_iter().flatten();
        let beside = beside.map(|beside| Ok((text(beside, "what")?, samples(beside)?)));
        Ok(Self {
            what: text(&row, "what")?,
            unit: text(&row, "unit")?,
            target: Target::of(&row)?,
            judged: text(&row, "judged")?,
            samples: samples(&row)?,
            beside: beside.collect::<Result<_>>()?,
            note: row["note"].as_str().map(str::to_owned),
        })
    }

    /// The statistic that the target is held against.
    pub(super) fn judged_value(&self) -> f64 {
        match self.judged.as_str() {
            "worst" => self.samples.worst(self.target).0,
            "p99" => self.samples.p99(),
            "max" => self.samples.max(),
            _ => self.samples.median(),
        }
    }

    pub(super) fn is_met(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.judged_value() <= most,
            Target::AtLeast(least) => self.judged_value() >= least,
        }
    }

    /// For the person who waits.
    pub(super) fn sentence(&self) -> String {
        let verdict = if self.is_met() { "met" } else { "missed" };
        let (at, target) = self.target.words();
        format!(
            "{}: {} {} {}, {at} {}: {verdict}",
            self.what,
            self.judged,
            short(self.judged_value()),
            self.unit,
            short(target)
        )
    }
}

fn text(value: &Value, key: &str) -> Result<String> {
    let text = value[key].as_str();
    Ok(text
        .with_context(|| format!("a row lacks `{key}`"))?
        .to_owned())
}

fn samples(value: &Value) -> Result<Samples> {
    let samples = value["samples"].as_array().into_iter().flatten();
    Samples::new(samples.filter_map(Value::as_f64).collect())
}

/// Three digits that count, and no more than there are.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => trimmed(format!("{value:.1}")),
        _ => trimmed(format!("{value:.2}")),
    }
}

fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(samples: impl IntoIterator<Item = u32>) -> Samples {
        Samples::new(samples.into_iter().map(f64::from).collect()).expect("there are some")
    }

    #[track_caller]
    fn check(samples: &Samples, median: f64, p99: f64, worst: (f64, &str)) {
        let target = Target::AtMost(1.0);
        let found = (samples.median(), samples.p99(), samples.worst(target));
        assert_eq!(found, (median, p99, worst));
    }

    #[test]
    fn the_order_of_samples_does_not_matter() {
        check(&samples([3, 1, 2]), 2.0, 3.0, (3.0, "max"));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        check(&samples([4, 1, 2, 3]), 2.5, 4.0, (4.0, "max"));
        check(&samples([7]), 7.0, 7.0, (7.0, "max"));
    }

    #[test]
    fn one_of_a_hundred_may_be_beyond_the_99th_percentile() {
        check(&samples(1..=100), 50.5, 99.0, (99.0, "p99"));
        check(&samples(1..=200), 100.5, 198.0, (198.0, "p99"));
        check(&samples(1..=99), 50.0, 99.0, (99.0, "max"));
        check(&samples(1..=101), 51.0, 100.0, (100.0, "p99"));
    }

    #[test]
    fn a_row_without_samples_is_refused() {
        assert!(Samples::new(Vec::new()).is_err());
        assert!(Samples::new(vec![1.0, f64::NAN]).is_err());
        assert!(
            Figure::parse("{\"what\":\"a\",\"unit\":\"ms\",\"at_most\":1,\"judged\":\"max\"}")
                .is_err()
        );
        assert!(Figure::parse("measuring").is_err());
        let row = r#"{"what":"a","unit":"ms","judged":"median","samples":[1]"#;
        assert!(Figure::parse(&format!("{row}}}")).is_err());
        assert!(Figure::parse(&format!("{row},\"at_most\":1,\"at_least\":1}}")).is_err());
    }

    #[test]
    fn a_target_is_held_against_the_statistic_that_the_row_names() {
        let row = |judged: &str| {
            let samples: Vec<u32> = (1..=200).collect();
            let row = serde_json::json!({"what": "a", "unit": "ms", "at_most": 198, "judged": judged, "samples": samples, "beside": []});
            Figure::parse(&row.to_string())
                .expect("a whole row")
                .is_met()
        };
        assert_eq!([row("median"), row("p99"), row("max")], [true, true, false]);
    }

    #[test]
    fn what_shall_be_large_is_held_against_the_least() {
        let row = |judged: &str| {
            let row = format!(
                r#"{{"what":"a","unit":"","at_least":2,"judged":"{judged}","samples":[1,2,3]}}"#
            );
            Figure::parse(&row).expect("a whole row").is_met()
        };
        assert_eq!([row("median"), row("worst")], [true, false]);
    }

    #[test]
    fn numbers_are_as_long_as_they_are_sure() {
        let texts = [0.0, 0.5, 3.0, 1.234, 12.34, 123.4, 2_600.0].map(short);
        assert_eq!(texts, ["0", "0.5", "3", "1.23", "12.3", "123", "2600"]);
    }
}
