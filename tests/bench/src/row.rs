//! What a measurement gives: a row of samples for each figure, as one JSON object.

use std::time::Duration;

use serde::Serialize;

/// Unit of the samples of a row.
#[derive(Clone, Copy, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "µs")]
    Microseconds,
    #[serde(rename = "MB")]
    Megabytes,
    #[serde(rename = "%")]
    PercentOfACore,
    /// Millions of rows in each second of one core.
    #[serde(rename = "M rows/s")]
    MillionRows,
    /// Of 10^9 bytes.
    #[serde(rename = "GB/s")]
    GigabytesASecond,
    /// A number of things.
    #[serde(rename = "")]
    Count,
}

/// Which statistic the target is held against.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Judged {
    Median,
    /// The 99th percentile; of a few samples, the largest. Of what shall be large, the least.
    Worst,
}

/// What a figure is held against.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// The same without Forebay, or what else a figure should be seen beside.
#[derive(Serialize)]
pub(crate) struct Beside {
    pub(crate) what: String,
    pub(crate) samples: Vec<f64>,
}

/// One figure of the page.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    #[serde(flatten)]
    pub(crate) target: Target,
    pub(crate) judged: Judged,
    pub(crate) samples: Vec<f64>,
    pub(crate) beside: Vec<Beside>,
    /// What one has to know of it, in a sentence.
    pub(crate) note: Option<&'static str>,
}

impl Row {
    pub(crate) fn new(
        what: impl Into<String>,
        unit: Unit,
        at_most: f64,
        samples: Vec<f64>,
    ) -> Self {
        Self {
            what: what.into(),
            unit,
            target: Target::AtMost(at_most),
            judged: Judged::Median,
            samples,
            beside: Vec::new(),
            note: None,
        }
    }

    /// One whose target is not to be fallen short of.
    pub(crate) fn at_least(
        what: impl Into<String>,
        unit: Unit,
        at_least: f64,
        samples: Vec<f64>,
    ) -> Self {
        Self {
            target: Target::AtLeast(at_least),
            ..Self::new(what, unit, at_least, samples)
        }
    }

    pub(crate) fn judged_by(mut self, judged: Judged) -> Self {
        self.judged = judged;
        self
    }

    pub(crate) fn noted(mut self, note: &'static str) -> Self {
        self.note = Some(note);
        self
    }

    pub(crate) fn beside(mut self, what: impl Into<String>, samples: Vec<f64>) -> Self {
        self.beside.push(Beside {
            what: what.into(),
            samples,
        });
        self
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The middle one.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
