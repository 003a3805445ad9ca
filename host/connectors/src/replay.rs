//! Rows that have happened, as if they happened now.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_cast::cast;
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use forebay_dataflow::{Cause, Clock, Source, TaskContext};

use crate::column_types::type_text;
use crate::connector::SourceConnector;
use crate::error::Error;

/// Rows are handed on at most so late, so that many close ones go together.
const TICK: Duration = Duration::from_millis(1);

/// How fast event time passes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Speed {
    /// As fast as rows can be read.
    #[default]
    Max,
    /// So many seconds of event time in a second; more than 0.
    Factor(f64),
}

/// How rows are replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayOptions {
    /// A column of timestamps without nulls, by which the rows are sorted.
    pub event_time: String,
    /// How fast.
    pub speed: Speed,
    /// The event time at which the dataflow starts, in microseconds since 1970 UTC. That of the first row that comes unless said
    /// otherwise.
    pub start: Option<i64>,
}

/// Where the pace of replays begins that run together: the event time of the first row of any of them, and when it came. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Origin(Arc<OnceLock<(i64, Duration)>>);

impl Origin {
    fn at(start: i64) -> Self {
        Self(Arc::new(OnceLock::from((start, Duration::ZERO))))
    }
}

/// A source whose rows come at the pace of their event times. To everything behind it, it is a stream that ends some day.
pub struct Replay<S> {
    source: S,
    options: ReplayOptions,
    column: usize,
    origin: Origin,
}

impl<S: SourceConnector> Replay<S> {
    /// Replays the rows of another source, which are sorted by event time already.
    ///
    /// # Errors
    ///
    /// There is no such column of timestamps, or the speed is none.
    pub fn new(source: S, options: ReplayOptions) -> Result<Self, Error> {
        let schema = source.schema();
        let name = &options.event_time;
        let Some((column, field)) = schema.column_with_name(name) else {
            return Err(Error::NoColumn {
                column: name.clone(),
                columns: schema
                    .fields()
                    .iter()
                    .map(|field| field.name().clone())
                    .collect(),
            });
        };
        if !matches!(field.data_type(), DataType::Timestamp(..)) {
            let kind = type_text(field.data_type());
            return Err(Error::Setting(format!(
                "column `{name}` is {kind}, and cannot be an event time; only timestamps can"
            )));
        }
        if matches!(options.speed, Speed::Factor(factor) if !(factor.is_finite() && factor > 0.0)) {
            return Err(Error::Setting(
                "the speed of a replay is a number above 0, or `max`".into(),
            ));
        }
        Ok(Self {
            source,
            options,
            column,
            origin: Origin::default(),
        })
    }

    /// Begins with the others that have this origin, where no start is given.
    #[must_use]
    pub fn together(self, origin: &Origin) -> Self {
        Self {
            origin: origin.clone(),
            ..self
        }
    }
}

impl<S: SourceConnector> SourceConnector for Replay<S> {
    fn schema(&self) -> SchemaRef {
        self.source.schema()
    }

    fn tasks_max(&self) -> usize {
        self.source.tasks_max()
    }

    fn is_bounded(&self) -> bool {
        false
    }

    fn open(&self, context: TaskContext) -> Result<Box<dyn Source>, Cause> {
        let clock = context.clock.clone();
        let source = self.source.open(context)?;
        let Speed::Factor(factor) = self.options.speed else {
            return Ok(source);
        };
        Ok(Box::new(Paced {
            source,
            clock,
            factor,
            column: self.column,
            origin: self
                .options
                .start
                .map_or_else(|| self.origin.clone(), Origin::at),
            anew: self.origin.clone(),
            waiting: None,
            before: Vec::new(),
            skip: 0,
        }))
    }
}

/// A batch of which not all rows have been handed on.
struct Waiting {
    batch: RecordBatch,
    /// When the rows that are left are due, since the dataflow started.
    due: VecDeque<Duration>,
}

struct Paced {
    source: Box<dyn Source>,
    clock: Clock,
    factor: f64,
    column: usize,
    origin: Origin,
    /// That of a run that goes on.
    anew: Origin,
    waiting: Option<Waiting>,
    /// Where the source stood before the batch that waits.
    before: Vec<u8>,
    /// Rows of it that were handed on already.
    skip: usize,
}

impl Paced {
    fn due(&mut self, batch: &RecordBatch) -> Result<VecDeque<Duration>, Cause> {
        let times = batch.column(self.column);
        if times.null_count() > 0 {
            let name = batch.schema_ref().field(self.column).name().clone();
            return Err(format!("the event time `{name}` is null").into());
        }
        let kind = DataType::Timestamp(TimeUnit::Microsecond, None);
        let times = cast(times, &kind)?;
        let times = times.as_primitive::<TimestampMicrosecondType>().values();
        let now = self.clock.now();
        let Some(first) = times.first() else {
            return Ok(VecDeque::new());
        };
        let (start, base) = *self.origin.0.get_or_init(|| (*first, now));
        let factor = self.factor;
        let due = times.iter().map(|time| {
            let passed = u64::try_from(time.saturating_sub(start)).unwrap_or(0);
            let seconds = Duration::from_micros(passed).as_secs_f64() / factor;
            base.saturating_add(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
        });
        Ok(due.collect())
    }

    /// Rows that are due, of the batch that waits.
    fn take_due(&mut self) -> Option<RecordBatch> {
        let now = self.clock.now();
        let waiting = self.waiting.as_mut()?;
        let late = waiting.due.iter().take_while(|due| **due <= now).count();
        if late == 0 {
            return None;
        }
        waiting.due.drain(..late);
        let rest = waiting.batch.num_rows() - late;
        let taken = waiting.batch.slice(0, late);
        waiting.batch = waiting.batch.slice(late, rest);
        self.skip += late;
        if rest == 0 {
            self.waiting = None;
            self.skip = 0;
        }
        Some(taken)
    }
}

impl Source for Paced {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        loop {
            if let Some(rows) = self.take_due() {
                return Poll::Ready(Ok(Some(rows)));
            }
            if let Some(first) = self
                .waiting
                .as_ref()
                .and_then(|waiting| waiting.due.front())
            {
                let until = (*first).max(self.clock.now() + TICK);
                ready!(self.clock.poll_at(until, context));
                continue;
            }
            let before = self.source.snapshot()?;
            let Some(batch) = ready!(self.source.poll_next(context))? else {
                return Poll::Ready(Ok(None));
            };
            self.before = before;
            if batch.num_rows() <= self.skip {
                self.skip -= batch.num_rows();
                continue;
            }
            let batch = batch.slice(self.skip, batch.num_rows() - self.skip);
            let due = self.due(&batch)?;
            self.waiting = Some(Waiting { batch, due });
        }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        let (rows, source) = match self.waiting {
            Some(_) => (self.skip as u64, self.before.clone()),
            None => (self.skip as u64, self.source.snapshot()?),
        };
        Ok([&rows.to_le_bytes()[..], &source].concat())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        let (rows, source) = state.split_first_chunk().ok_or("the state is cut off")?;
        self.skip = usize::try_from(u64::from_le_bytes(*rows))?;
        // The pace begins anew with the next row.
        self.origin = self.anew.clone();
        self.source.restore(source)
    }
}
