//! What a task is not done with: rows that its node has not read, or not answered, or left to others who have not, and how far event time was
//! behind them.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use arrow_array::RecordBatch;
use forebay_dataflow::Watermark;

use super::siblings::{Settled, Share};

/// A batch that was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Its numbers in the ring: it may be several records.
    pub(crate) sequences: RangeInclusive<u64>,
    /// Where its last record ends.
    pub(crate) position: u64,
    /// As they came from the input; `None`: nobody else gets them.
    pub(crate) share: Option<Share>,
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
    /// The node has left them to others.
    Left(Left),
    /// Event time has come this far, or its silence has, when all before it is answered.
    Watermark(Watermark),
}

/// The place of rows that others have.
#[derive(Debug)]
struct Left {
    number: u64,
    /// That are not done with.
    rows: usize,
    /// By the row that they begin with: what one has left again, several others may have.
    answered: Vec<(usize, RecordBatch)>,
}

impl Left {
    /// Parts that begin with the same row are of different keys.
    fn in_order(mut self) -> Vec<RecordBatch> {
        self.answered.sort_by_key(|(row, _)| *row);
        self.answered.into_iter().map(|(_, rows)| rows).collect()
    }
}

impl Item {
    fn is_silence(&self) -> bool {
        matches!(self, Self::Watermark(Watermark::Idle))
    }
}

/// In the order of the input.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    items: VecDeque<Item>,
    /// The number of the place that was kept last.
    last_place: u64,
}

impl Pending {
    pub(crate) fn push(&mut self, written: Written) {
        self.items.push_back(Item::Rows(written));
    }

    pub(crate) fn push_watermark(&mut self, watermark: Watermark) {
        // A silence that is over is not worth telling.
        self.items.retain(|item| !item.is_silence());
        match (self.items.back_mut(), watermark) {
            (Some(Item::Watermark(last)), Watermark::At(_)) => *last = watermark,
            _ => self.items.push_back(Item::Watermark(watermark)),
        }
    }

    /// Keeps a place for rows that others get; its number.
    pub(crate) fn keep_place(&mut self, rows: usize) -> u64 {
        self.last_place += 1;
        self.items.push_back(Item::Left(Left {
            number: self.last_place,
            rows,
            answered: Vec::new(),
        }));
        self.last_place
    }

    /// Places that are kept.
    pub(crate) fn places(&self) -> usize {
        let is_place = |item: &&Item| matches!(item, Item::Left(_));
        self.items.iter().filter(is_place).count()
    }

    /// Others are done with some of the rows of a place.
    pub(crate) fn settle(&mut self, settled: Settled) {
        let mut left = self.items.iter_mut().filter_map(|item| match item {
            Item::Left(left) => Some(left),
            Item::Rows(_) | Item::Watermark(_) => None,
        });
        if let Some(left) = left.find(|left| left.number == settled.place.number) {
            left.rows = left.rows.saturating_sub(settled.rows);
            let answered = settled.answered.map(|rows| (settled.place.row, rows));
            left.answered.extend(answered);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Forgets what the node has read: rows that nobody answers.
    pub(crate) fn forget_read(&mut self, read: u64) {
        while let Some(Item::Rows(first)) = self.items.front() {
            if first.position > read {
                break;
            }
            self.items.pop_front();
        }
    }

    /// The batch whose last record has this number, if it waits for an answer.
    pub(crate) fn unanswered(&mut self, sequence: u64) -> Option<&mut Written> {
        let mut rows = self.items.iter_mut().filter_map(|item| match item {
            Item::Rows(written) => Some(written),
            Item::Left(_) | Item::Watermark(_) => None,
        });
        rows.find(|written| *written.sequences.end() == sequence && !written.is_answered)
    }

    /// The next that is done: rows with their answer, or a watermark that nothing is before any more.
    pub(crate) fn pop_done(&mut self) -> Option<Done> {
        let item = self.items.pop_front_if(|item| match item {
            Item::Rows(written) => written.is_answered,
            Item::Left(left) => left.rows == 0,
            Item::Watermark(_) => true,
        });
        item.map(Done::from)
    }

    /// All that is left, oldest first.
    pub(crate) fn take_rest(&mut self) -> impl Iterator<Item = Done> + use<> {
        std::mem::take(&mut self.items).into_iter().map(Done::from)
    }
}

/// What nothing waits for any more.
pub(crate) enum Done {
    Rows(Written),
    /// Rows that others had, with their answers.
    Answered(Vec<RecordBatch>),
    Watermark(Watermark),
}

impl From<Item> for Done {
    fn from(item: Item) -> Self {
        match item {
            Item::Rows(written) => Self::Rows(written),
            Item::Left(left) => Self::Answered(left.in_order()),
            Item::Watermark(watermark) => Self::Watermark(watermark),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, Int32Array, RecordBatch};

    use super::{Done, Pending};
    use crate::role::siblings::{Place, Settled, Share};

    #[test]
    fn answers_of_several_others_come_in_the_order_of_their_rows() {
        let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..6));
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let mut pending = Pending::default();
        let number = pending.keep_place(6);
        let (task, row) = (0, 0);
        let owed_to = Some(Place { task, number, row });
        let share = Share { batch, owed_to };
        let again = share.slice(2, 4);
        for part in [again.slice(2, 2), share.slice(0, 2), again.slice(0, 2)] {
            assert!(pending.pop_done().is_none());
            pending.settle(Settled {
                place: part.owed_to.unwrap(),
                rows: part.rows(),
                answered: Some(part.batch),
            });
        }
        let Some(Done::Answered(parts)) = pending.pop_done() else {
            panic!("all are answered");
        };
        let rows = parts
            .iter()
            .flat_map(|part| part.column(0).as_primitive::<Int32Type>().values());
        assert_eq!(rows.copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    }
}
