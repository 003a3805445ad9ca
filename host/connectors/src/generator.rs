//! Rows that are made up, the same ones for the same seed.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use fastrand::Rng;
use forebay_dataflow::{Cause, Clock, Source, TaskContext};

use crate::connector::SourceConnector;
use crate::error::Error;

/// Rows come at most so late, so that many go together.
const TICK: Duration = Duration::from_millis(1);

/// How the values of a column are made.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// The number of the row, from 0 over all tasks: whole numbers without gaps or repetition.
    Sequence,
    /// Whole numbers from `least` to `most`, both of which come, too; all as likely.
    Integers {
        /// The least.
        least: i64,
        /// The greatest.
        most: i64,
    },
    /// Numbers from `least` up to `most`, which does not come; all as likely.
    Floats {
        /// The least.
        least: f64,
        /// Above the greatest.
        most: f64,
    },
    /// Normally distributed numbers.
    Normal {
        /// Their mean.
        mean: f64,
        /// Their standard deviation.
        deviation: f64,
    },
    /// One of these texts; all as likely.
    Choice(Vec<String>),
    /// True so often: a share from 0 to 1.
    Booleans {
        /// The share of `true`.
        share: f64,
    },
    /// A timestamp that grows from row to row (over all tasks), in microseconds.
    EventTime {
        /// That of the first row, since 1970 UTC.
        start: i64,
        /// From one row to the next; a second divided by the rate unless said otherwise, a millisecond without a rate.
        step: Option<Duration>,
    },
}

/// A column that is made up.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Values,
}

/// What is made up.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorOptions {
    /// The columns, at least one.
    pub columns: Vec<Column>,
    /// Rows a second, of all tasks together; `None`: as fast as they are taken.
    pub rate: Option<f64>,
    /// Another seed, other rows.
    pub seed: u64,
    /// So many rows, of all tasks together; `None`: endless.
    pub rows: Option<u64>,
    /// So many rows are handed on together at most, at least 1.
    pub batch_rows: usize,
}

impl GeneratorOptions {
    /// Endless, as fast as it goes, with seed 0 and 8192 rows in a batch.
    pub fn new(columns: Vec<Column>) -> Self {
        Self {
            columns,
            rate: None,
            seed: 0,
            rows: None,
            batch_rows: 8192,
        }
    }
}

/// A source of rows that are made up. The same seed and number of tasks give the same rows, however they are cut into batches.
#[derive(Debug, Clone)]
pub struct Generator {
    options: Arc<GeneratorOptions>,
    schema: SchemaRef,
}

impl Generator {
    /// Checks what is asked for.
    ///
    /// # Errors
    ///
    /// A setting cannot be.
    pub fn new(options: GeneratorOptions) -> Result<Self, Error> {
        let refuse = |problem: &str| Err(Error::Setting(problem.into()));
        if options.columns.is_empty() || options.batch_rows == 0 {
            return refuse("a generator has at least one column, and one row in a batch");
        }
        if options
            .rate
            .is_some_and(|rate| !(rate.is_finite() && rate > 0.0))
        {
            return refuse("the rate of a generator is a number above 0");
        }
        let mut names = HashSet::new();
        for column in &options.columns {
            if !names.insert(&column.name) {
                let name = &column.name;
                return refuse(&format!("two columns are named `{name}`; rename one"));
            }
            check(column)?;
        }
        let fields = options.columns.iter().map(field);
        Ok(Self {
            schema: Schema::new(fields.collect::<Vec<_>>()).into(),
            options: options.into(),
        })
    }
}

fn check(column: &Column) -> Result<(), Error> {
    let problem = match &column.values {
        Values::Integers { least, most } if least > most => "`least` is above `most`",
        Values::Floats { least, most } if !((most - least).is_finite() && least < most) => {
            "`least` must be below `most`"
        }
        Values::Normal { mean, deviation }
            if !(mean.is_finite() && deviation.is_finite() && *deviation >= 0.0) =>
        {
            "the mean is a number, and the deviation one that is not negative"
        }
        Values::Choice(texts) if texts.is_empty() => "there is nothing to choose from",
        Values::Booleans { share } if !(0.0..=1.0).contains(share) => {
            "the share is a number from 0 to 1"
        }
        _ => return Ok(()),
    };
    Err(Error::Setting(format!(
        "column `{}`: {problem}",
        column.name
    )))
}

fn field(column: &Column) -> Field {
    let kind = match &column.values {
        Values::Sequence | Values::Integers { .. } => DataType::Int64,
        Values::Floats { .. } | Values::Normal { .. } => DataType::Float64,
        Values::Choice(_) => DataType::Utf8,
        Values::Booleans { .. } => DataType::Boolean,
        Values::EventTime { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    };
    Field::new(&column.name, kind, false)
}

impl SourceConnector for Generator {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn tasks_max(&self) -> usize {
        usize::MAX
    }

    fn is_bounded(&self) -> bool {
        self.options.rows.is_some()
    }

    fn open(&self, context: TaskContext) -> Result<Box<dyn Source>, Cause> {
        let (task, tasks) = (context.task as u64, context.parallelism as u64);
        let seeds = (0..self.options.columns.len() as u64).map(|column| {
            // Seeds that are close to each other give sequences that are not.
            let mut rng = Rng::with_seed(self.options.seed ^ (task << 32) ^ (column << 16));
            Rng::with_seed(rng.u64(..))
        });
        let rows = self.options.rows;
        Ok(Box::new(GeneratorTask {
            rngs: seeds.collect(),
            rows_max: rows.map(|rows| rows / tasks + u64::from(task < rows % tasks)),
            rate: self.options.rate.map(|rate| rate / float(tasks)),
            options: self.options.clone(),
            schema: self.schema.clone(),
            clock: context.clock,
            task,
            tasks,
            made: 0,
            origin: None,
        }))
    }
}

struct GeneratorTask {
    options: Arc<GeneratorOptions>,
    schema: SchemaRef,
    clock: Clock,
    task: u64,
    tasks: u64,
    /// One for each column, so that the batches that rows are made in do not matter.
    rngs: Vec<Rng>,
    rows_max: Option<u64>,
    /// Rows a second.
    rate: Option<f64>,
    made: u64,
    /// So many rows had been made at that time: the rate counts from then on.
    origin: Option<(u64, Duration)>,
}

impl GeneratorTask {
    /// How many rows may be made now, by the rate.
    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<u64> {
        let Some(rate) = self.rate else {
            return Poll::Ready(u64::MAX);
        };
        loop {
            let now = self.clock.now();
            let (made, since) = *self.origin.get_or_insert((self.made, now));
            let due = made + rows_of(now.saturating_sub(since).as_secs_f64() * rate) + 1;
            if due > self.made {
                return Poll::Ready(due - self.made);
            }
            let seconds = float(self.made - made) / rate;
            let at =
                since.saturating_add(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
            ready!(self.clock.poll_at(at.max(now + TICK), context));
        }
    }

    fn batch(&mut self, rows: usize) -> Result<RecordBatch, Cause> {
        let numbers = (self.made..).take(rows);
        let numbers: Vec<u64> = numbers
            .map(|number| number * self.tasks + self.task)
            .collect();
        let columns = self.options.columns.iter().zip(&mut self.rngs);
        let rate = self.options.rate;
        let arrays = columns.map(|(column, rng)| array(&column.values, &numbers, rate, rng));
        let batch = RecordBatch::try_new(self.schema.clone(), arrays.collect())?;
        self.made += rows as u64;
        Ok(batch)
    }
}

/// Whole rows of a number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is not negative, and what is beyond a u64 may be cut"
)]
fn rows_of(rows: f64) -> u64 {
    rows as u64
}

/// Rows beyond 2^53 may be one off: the rate of nothing.
#[expect(
    clippy::cast_precision_loss,
    reason = "only rates and times come of it"
)]
fn float(rows: u64) -> f64 {
    rows as f64
}

fn array(values: &Values, numbers: &[u64], rate: Option<f64>, rng: &mut Rng) -> ArrayRef {
    let rows = numbers.iter();
    match values {
        Values::Sequence => Arc::new(Int64Array::from_iter_values(
            rows.map(|number| number.cast_signed()),
        )),
        Values::Integers { least, most } => Arc::new(Int64Array::from_iter_values(
            rows.map(|_| rng.i64(*least..=*most)),
        )),
        Values::Floats { least, most } => Arc::new(Float64Array::from_iter_values(
            rows.map(|_| least + rng.f64() * (most - least)),
        )),
        Values::Normal { mean, deviation } => Arc::new(Float64Array::from_iter_values(
            rows.map(|_| mean + deviation * standard_normal(rng)),
        )),
        Values::Choice(texts) => Arc::new(StringArray::from_iter_values(
            rows.map(|_| &texts[rng.usize(..texts.len())]),
        )),
        Values::Booleans { share } => {
            let values: Vec<bool> = rows.map(|_| rng.f64() < *share).collect();
            Arc::new(BooleanArray::from(values))
        }
        Values::EventTime { start, step } => {
            let step = step.map_or_else(|| rate.map_or(1000.0, |rate| 1e6 / rate), micros);
            let times =
                rows.map(|number| start.saturating_add_unsigned(rows_of(float(*number) * step)));
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// By Box and Muller.
fn standard_normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

impl Source for GeneratorTask {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        let left = self.rows_max.map_or(u64::MAX, |rows| rows - self.made);
        if left == 0 {
            return Poll::Ready(Ok(None));
        }
        let due = ready!(self.poll_due(context)).min(left);
        let rows = usize::try_from(due).unwrap_or(usize::MAX);
        let batch = self.batch(rows.min(self.options.batch_rows));
        Poll::Ready(batch.map(Some))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        let seeds = self.rngs.iter().map(Rng::get_seed);
        let numbers = std::iter::once(self.made).chain(seeds);
        Ok(numbers.flat_map(u64::to_le_bytes).collect())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        let (numbers, rest) = state.as_chunks::<8>();
        if numbers.len() != self.rngs.len() + 1 || !rest.is_empty() {
            return Err("it is the state of other columns".into());
        }
        self.made = u64::from_le_bytes(numbers[0]);
        self.rngs = numbers[1..]
            .iter()
            .map(|seed| Rng::with_seed(u64::from_le_bytes(*seed)))
            .collect();
        self.origin = None;
        Ok(())
    }
}
