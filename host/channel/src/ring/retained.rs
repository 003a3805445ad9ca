//! What stays in a ring until an answer has come, for the next attempt of the peer.

use std::collections::VecDeque;

use crate::error::Fault;
use crate::record::{Header, Kind};

/// Number and body of a schema record.
pub(crate) type Schema = (u32, Vec<u8>);

/// Records in the order in which they were written, from the first one without an answer on.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    records: VecDeque<Kept>,
    /// The schema that was in force before the first of them.
    schema: Option<Schema>,
}

#[derive(Debug)]
struct Kept {
    sequence: u64,
    start: u64,
    waits: bool,
    schema: Option<Schema>,
}

impl Retained {
    /// A record was written; its body counts where it is a schema.
    pub(crate) fn note(&mut self, header: &Header, start: u64, body: Vec<u8>) {
        let schema = (header.kind == Kind::Schema).then_some((header.schema, body));
        self.records.push_back(Kept {
            sequence: header.sequence,
            start,
            waits: matches!(header.kind, Kind::Data | Kind::Barrier | Kind::End),
            schema,
        });
        self.forget();
    }

    /// The peer has answered this record. It may answer others first.
    pub(crate) fn answered(&mut self, sequence: u64) -> Result<(), Fault> {
        let first = self.records.front().map_or(0, |first| first.sequence);
        let index = sequence.checked_sub(first);
        let index = index.and_then(|index| usize::try_from(index).ok());
        let record = index.and_then(|index| self.records.get_mut(index));
        let record = record.filter(|record| record.waits);
        record.ok_or(Fault::Answer { sequence })?.waits = false;
        self.forget();
        Ok(())
    }

    /// Where the first one begins; `None`: there is none.
    pub(crate) fn start(&self) -> Option<u64> {
        self.records.front().map(|first| first.start)
    }

    pub(crate) fn first_sequence(&self) -> Option<u64> {
        self.records.front().map(|first| first.sequence)
    }

    pub(crate) fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    fn forget(&mut self) {
        while let Some(first) = self.records.pop_front_if(|first| !first.waits) {
            self.schema = first.schema.or(self.schema.take());
        }
    }
}
