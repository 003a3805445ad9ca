//! What was written to a node and is not done with: rows that it has not read, or not answered, and how far event time was behind them.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use arrow_array::RecordBatch;

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
    /// Event time has come this far when all before it is answered.
    Watermark(i64),
}

/// In the order in which it was written.
#[derive(Debug, Default)]
pub(crate) struct Pending(VecDeque<Item>);

impl Pending {
    pub(crate) fn push(&mut self, written: Written) {
        self.0.push_back(Item::Rows(written));
    }

    pub(crate) fn push_watermark(&mut self, at: i64) {
        match self.0.back_mut() {
            Some(Item::Watermark(last)) => *last = at,
            _ => self.0.push_back(Item::Watermark(at)),
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
                Item::Watermark(at) => Some(Done::Watermark(at)),
            },
        }
    }

    /// All that is left, oldest first.
    pub(crate) fn take_rows(&mut self) -> impl Iterator<Item = Written> {
        let all = std::mem::take(&mut self.0);
        all.into_iter().filter_map(|item| match item {
            Item::Rows(written) => Some(written),
            Item::Watermark(_) => None,
        })
    }
}

/// See [`Pending::pop_done`].
pub(crate) enum Done {
    Rows(Written),
    Watermark(i64),
}
