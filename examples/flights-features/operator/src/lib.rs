//! Turns the categories and numbers of each row into one vector that a model can read.
//!
//! It is *not* a general feature store: two rules, of which a Python script could do the same. Start from [`Features`].
//!
//! Config:
//!
//! ```json
//! {
//!   "categories": ["carrier", "origin"],
//!   "numbers": {"temp": {"mean": 55.0, "scale": 18.0}},
//!   "buckets": 64,
//!   "keep": ["time_hour"],
//!   "into": "features"
//! }
//! ```
//!
//! A vector has, for each category, `buckets` numbers of which one is 1: that of the hash of its text ([`bucket`]); all are
//! 0 where it is null. Then there are, for each number, in the order of their names, `(number - mean) / scale`, or 0 where it
//! is null; and 1 where it is null, else 0. The columns of `keep` go on as they are.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use forebay_plugin_sdk::operator::{
    Batch, BatchOperator, Column, Field, Fields, Kind, OperatorError, Rows, config,
};
use serde::Deserialize;

/// The operator.
#[derive(Debug)]
pub struct Features {
    config: Config,
    width: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    numbers: BTreeMap<String, Scale>,
    #[serde(default = "default_buckets")]
    buckets: NonZeroU16,
    #[serde(default)]
    keep: Vec<String>,
    into: String,
}

const fn default_buckets() -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add(63)
}

/// How a number comes near 0.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scale {
    mean: f64,
    scale: f64,
}

const NUMBERS: [Kind; 5] = [
    Kind::Float64,
    Kind::Float32,
    Kind::Int64,
    Kind::Int32,
    Kind::Boolean,
];

impl BatchOperator for Features {
    fn open(text: &str, input: &Fields) -> Result<(Self, Vec<Field>), OperatorError> {
        let config: Config = config(text)?;
        for name in &config.categories {
            input.find_of(name, &[Kind::Text])?;
        }
        for (name, Scale { scale, .. }) in &config.numbers {
            input.find_of(name, &NUMBERS)?;
            if *scale == 0.0 {
                return Err(OperatorError::new("bad-config", "its `scale` is 0").at_column(name));
            }
        }
        let width =
            config.categories.len() * usize::from(config.buckets.get()) + config.numbers.len() * 2;
        if width == 0 {
            let message = "there are no features: name `categories` (with `buckets`) or `numbers`";
            return Err(OperatorError::new("bad-config", message));
        }
        let mut output = Vec::new();
        for name in &config.keep {
            output.push(input.find(name)?.clone());
        }
        let size = u32::try_from(width).unwrap_or(u32::MAX);
        output.push(Field::new(&config.into, Kind::Float32Vector(size)));
        Ok((Self { config, width }, output))
    }

    fn process(&mut self, rows: &Rows) -> Result<Vec<Batch>, OperatorError> {
        let kept = self
            .config
            .keep
            .iter()
            .map(|name| rows.column(name).cloned());
        let mut columns = kept.collect::<Result<Vec<_>, _>>()?;
        columns.push(Column::from(self.vectors(rows)?));
        Ok(vec![Batch::new(rows.len(), columns)])
    }
}

impl Features {
    /// The vectors of all rows, one after the other; each is made whole before the next is touched.
    fn vectors(&self, rows: &Rows) -> Result<Vec<f32>, OperatorError> {
        let texts = self.config.categories.iter().map(|name| rows.text(name));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let numbers = self.config.numbers.iter();
        let numbers = numbers.map(|(name, scale)| Ok((rows.numbers(name)?, *scale)));
        let numbers = numbers.collect::<Result<Vec<_>, OperatorError>>()?;
        let buckets = usize::from(self.config.buckets.get());
        let mut vectors = vec![0.0; rows.len() * self.width];
        for (row, vector) in vectors.chunks_exact_mut(self.width).enumerate() {
            let (of_texts, of_numbers) = vector.split_at_mut(texts.len() * buckets);
            for (text, ones) in texts.iter().zip(of_texts.chunks_exact_mut(buckets)) {
                if let Some(text) = text.get(row) {
                    ones[bucket(text, self.config.buckets)] = 1.0;
                }
            }
            for ((number, by), pair) in numbers.iter().zip(of_numbers.chunks_exact_mut(2)) {
                match number.get(row) {
                    Some(number) => pair[0] = narrow((number - by.mean) / by.scale),
                    None => pair[1] = 1.0,
                }
            }
        }
        Ok(vectors)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "models read 32 bits, and a scaled number needs no more"
)]
const fn narrow(number: f64) -> f32 {
    number as f32
}

/// The bucket of a text: FNV-1a, 64 bits, of its UTF-8 bytes, modulo the number of buckets.
///
/// In Python: `h = 0xcbf29ce484222325`, then `h = (h ^ byte) * 0x100000001b3 % 2**64` for each byte, and `h % buckets`.
pub fn bucket(text: &str, buckets: NonZeroU16) -> usize {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    usize::try_from(hash % u64::from(buckets.get())).unwrap_or(0)
}

forebay_plugin_sdk::export!(Features: batch_operator);
