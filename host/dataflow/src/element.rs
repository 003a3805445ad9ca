//! What flows through an exchange.

use arrow_array::RecordBatch;

/// One element of a stream. There are these four and no others: whatever a later part of the engine needs travels inside one of them.
#[derive(Debug, Clone)]
pub enum Element {
    /// Rows.
    Batch(RecordBatch),
    /// How far event time has come.
    Watermark(Watermark),
    /// The mark of a consistent cut; the number of its checkpoint.
    Barrier(u64),
    /// Nothing follows.
    End,
}

/// How far event time has come in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watermark {
    /// Every row with an event time before this one has come. In microseconds since 1970, UTC.
    At(i64),
    /// The stream is silent, and nobody shall wait for it. It speaks again with the next `At`.
    Idle,
}

impl Watermark {
    /// Nothing is known yet.
    pub const START: Self = Self::At(i64::MIN);
    /// All rows have come.
    pub const ALL: Self = Self::At(i64::MAX);

    /// The watermark of several streams together: the least of those that are not idle; idle if all are. `None` of none.
    pub(crate) fn of_all(streams: impl IntoIterator<Item = Self>) -> Option<Self> {
        streams.into_iter().reduce(|one, other| match (one, other) {
            (Self::At(one), Self::At(other)) => Self::At(one.min(other)),
            (at @ Self::At(_), Self::Idle) | (Self::Idle, at) => at,
        })
    }
}

/// What has been said of the event time of a stream: it never goes back, and nothing is said twice.
#[derive(Debug)]
pub(crate) struct Told {
    at: i64,
    idle: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            at: i64::MIN,
            idle: false,
        }
    }
}

impl Told {
    /// What is to be said now, if anything.
    pub(crate) fn advance(&mut self, to: Watermark) -> Option<Watermark> {
        let (at, idle) = match to {
            Watermark::At(at) => (at.max(self.at), false),
            Watermark::Idle => (self.at, true),
        };
        let is_news = (at, idle) != (self.at, self.idle);
        (self.at, self.idle) = (at, idle);
        is_news.then_some(if idle {
            Watermark::Idle
        } else {
            Watermark::At(at)
        })
    }
}
