//! What the script still owes the host, and what waits to be written: answers, barriers behind them, the end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use forebay_channel::{Header, Kind};

/// A record that waits for room.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) body: MessageBody,
}

#[derive(Clone, Debug)]
pub(crate) enum MessageBody {
    Bytes(Arc<[u8]>),
    Rows(RecordBatch),
    /// How much was written before it.
    Tally,
}

/// Why a batch cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Every batch is answered.
    NothingWaits,
    /// This one is, or never was asked for.
    NotThisOne,
    /// Nothing more can be said.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    /// The body of the schema of the answers; `None`: batches get none.
    results: Option<Arc<[u8]>>,
    /// By sequence.
    unanswered: BTreeMap<u64, Unanswered>,
    /// Checkpoint and sequence.
    barriers: VecDeque<(u64, u64)>,
    queue: VecDeque<Message>,
    /// Of the batch that was handed out last.
    last: u64,
    is_announced: bool,
    reads: bool,
    has_ended: bool,
}

#[derive(Debug)]
struct Unanswered {
    rows: usize,
    /// A thread is about to answer it.
    is_claimed: bool,
}

impl Ledger {
    pub(crate) fn new(results: Option<Arc<[u8]>>) -> Self {
        Self {
            results,
            unanswered: BTreeMap::new(),
            barriers: VecDeque::new(),
            queue: VecDeque::new(),
            last: 0,
            is_announced: false,
            reads: true,
            has_ended: false,
        }
    }

    /// The script gets a batch.
    pub(crate) fn hand_out(&mut self, sequence: u64, rows: usize) {
        self.last = sequence;
        if self.results.is_some() {
            let is_claimed = false;
            self.unanswered
                .insert(sequence, Unanswered { rows, is_claimed });
        }
    }

    /// A barrier came, while the script asks for more: all that was handed out before it is done with, but for answers.
    pub(crate) fn barrier(&mut self, checkpoint: u64, sequence: u64) {
        self.barriers.push_back((checkpoint, sequence));
        self.settle();
    }

    /// The script reads no more.
    pub(crate) fn stop_reading(&mut self) {
        self.reads = false;
        self.settle();
    }

    /// Whether there may be more to read.
    pub(crate) fn reads(&self) -> bool {
        self.reads
    }

    /// Nothing can be said any more.
    pub(crate) fn abort(&mut self) {
        self.has_ended = true;
        self.queue.clear();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Rows and batches without an answer.
    pub(crate) fn unanswered(&self) -> (usize, usize) {
        let rows = self.unanswered.values().map(|waiting| waiting.rows).sum();
        (rows, self.unanswered.len())
    }

    /// The batch to answer, the oldest one if none is named, and its rows. Nobody else answers it now.
    pub(crate) fn claim(&mut self, of: Option<u64>) -> Result<(u64, usize), Refusal> {
        if self.has_ended {
            return Err(Refusal::Closed);
        }
        let mut waiting = self.unanswered.iter_mut();
        let found = waiting.find(|(sequence, waiting)| {
            !waiting.is_claimed && of.is_none_or(|of| of == **sequence)
        });
        let refusal = of.map_or(Refusal::NothingWaits, |_| Refusal::NotThisOne);
        let (sequence, waiting) = found.ok_or(refusal)?;
        waiting.is_claimed = true;
        Ok((*sequence, waiting.rows))
    }

    /// It gets no answer yet.
    pub(crate) fn give_back(&mut self, sequence: u64) {
        if let Some(waiting) = self.unanswered.get_mut(&sequence) {
            waiting.is_claimed = false;
        }
    }

    /// It gets these rows as its answer, in this order.
    pub(crate) fn answer(&mut self, sequence: u64, parts: Vec<Message>) {
        self.unanswered.remove(&sequence);
        if let Some(body) = self.results.clone()
            && !std::mem::replace(&mut self.is_announced, true)
        {
            let header = Header::new(Kind::Schema);
            let body = MessageBody::Bytes(body);
            self.queue.push_back(Message { header, body });
        }
        self.queue.extend(parts);
        self.settle();
    }

    /// Whether something is to be written.
    pub(crate) fn has_messages(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What is to be written next.
    pub(crate) fn next_message(&self) -> Option<Message> {
        self.queue.front().cloned()
    }

    /// It was written.
    pub(crate) fn written(&mut self) {
        self.queue.pop_front();
    }

    /// Barriers without anything unanswered before them, and the end behind everything.
    fn settle(&mut self) {
        let oldest = self.unanswered.keys().next().copied();
        let is_done = |sequence: u64| oldest.is_none_or(|oldest| oldest > sequence);
        while let Some((checkpoint, _)) = self
            .barriers
            .pop_front_if(|(_, sequence)| is_done(*sequence))
        {
            let header = Header {
                checkpoint,
                ..Header::new(Kind::Barrier)
            };
            let body = MessageBody::Bytes(Arc::default());
            self.queue.push_back(Message { header, body });
        }
        if !self.reads && self.unanswered.is_empty() && !self.has_ended {
            self.has_ended = true;
            let header = Header {
                answers: self.last,
                ..Header::new(Kind::End)
            };
            let body = MessageBody::Tally;
            self.queue.push_back(Message { header, body });
        }
    }
}
