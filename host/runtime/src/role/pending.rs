//! What was written to a node and is not done with: rows that it has not read, or not answered, and how far event time was behind them.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use arrow_array::RecordBatch;
use forebay_dataflow::Watermark;

/// A batch that was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Its numbers in the ring: it may be several records.
    pub(crate) sequences: RangeInclusive<u64>,
    /// Where its last record ends.
    pub(crate) position: u64,
    /// As it came from the input; `None`: nobody else gets it.
    pub(crate) batch: Option<RecordBatch>,
    pub(crate) rows: usize,
    /// How many of them, at the end, only fill up a round.
    pub(crate) padding: usize,
    /// What the node has answered so far.
    pub(crate) results: Vec<RecordBatch>,
    /// It has answered all.
    pub(crate) is_answered: bool,
}

impl Written {
    pub(crate) fn answered_rows(&self) -> usize {
        self.results.iter().map(RecordBatch::num_rows).sum()
    }
}

#[derive(Debug)]
enum Item {
    Rows(Written),
    /// Event time has come this far, or its silence has, when all before it is answered.
    Watermark(Watermark),
}

impl Item {
    fn is_silence(&self) -> bool {
        matches!(self, Self::Watermark(Watermark::Idle))
    }
}

/// In the order in which it was written.
#[derive(Debug, Default)]
pub(crate) struct Pending(VecDeque<Item>);

impl Pending {
    pub(crate) fn push(&mut self, written: Written) {
        self.0.push_back(Item::Rows(written));
    }

    pub(crate) fn push_watermark(&mut self, watermark: Watermark) {
        // A silence that is over is not worth telling.
        self.0.retain(|item| !item.is_silence());
        match (self.0.back_mut(), watermark) {
            (Some(Item::Watermark(last)), Watermark::At(_)) => *last = watermark,
            _ => self.0.push_back(Item::Watermark(watermark)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what the node has read: rows that nobody answers.
    pub(crate) fn forget_read(&mut self, read: u64) {
        while let Some(Item::Rows(first)) = self.0.front() {
            if first.position > read {
                break;
            }
            self.0.pop_front();
        }
    }

    /// The batch whose last record has this number, if it waits for an answer.
    pub(crate) fn unanswered(&mut self, sequence: u64) -> Option<&mut Written> {
        let mut rows = self.0.iter_mut().filter_map(|item| match item {
            Item::Rows(written) => Some(written),
            Item::Watermark(_) => None,
        });
        rows.find(|written| *written.sequences.end() == sequence && !written.is_answered)
    }

    /// The next that is done: rows with their answer, or a watermark that nothing is before any more.
    pub(crate) fn pop_done(&mut self) -> Option<Done> {
        match self.0.front()? {
            Item::Rows(written) if !written.is_answered => None,
            _ => match self.0.pop_front()? {
                Item::Rows(written) => Some(Done::Rows(written)),
                Item::Watermark(watermark) => Some(Done::Watermark(watermark)),
            },
        }
    }

    /// All that is left, oldest first.
    pub(crate) fn into_rest(self) -> impl Iterator<Item = Done> {
        self.0.into_iter().map(|item| match item {
            Item::Rows(written) => Done::Rows(written),
            Item::Watermark(watermark) => Done::Watermark(watermark),
        })
    }
}

/// What nothing waits for any more.
pub(crate) enum Done {
    Rows(Written),
    Watermark(Watermark),
}

/// Event time behind a task, and as far as it was said.
#[derive(Debug)]
pub(crate) struct Passed {
    /// Microseconds, and whether all is silent.
    now: (i64, bool),
    said: (i64, bool),
}

impl Default for Passed {
    fn default() -> Self {
        let nothing = (i64::MIN, false);
        Self {
            now: nothing,
            said: nothing,
        }
    }
}

impl Passed {
    pub(crate) fn pass(&mut self, watermark: Watermark) {
        self.now = match watermark {
            Watermark::At(at) => (self.now.0.max(at), false),
            Watermark::Idle => (self.now.0, true),
        };
    }

    pub(crate) fn is_news(&self) -> bool {
        self.now != self.said
    }

    /// What is to be said next: how far it is comes before a silence.
    pub(crate) fn news(&mut self) -> Option<Watermark> {
        if !self.is_news() {
            return None;
        }
        let is_further = self.now.0 > self.said.0;
        self.said = (self.now.0, self.now.1 && !is_further);
        Some(if self.said.1 {
            Watermark::Idle
        } else {
            Watermark::At(self.said.0)
        })
    }

    /// The engine says how far it is.
    pub(crate) fn say_time(&mut self) -> i64 {
        self.said = (self.now.0, false);
        self.now.0
    }

    /// The engine says whether all is silent.
    pub(crate) fn say_silence(&mut self) -> bool {
        self.said.1 = self.now.1;
        self.now.1
    }
}
