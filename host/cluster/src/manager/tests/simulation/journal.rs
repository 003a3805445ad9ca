//! The journal in memory, with the fences of the real one: a term and an entry exist once.

use std::path::PathBuf;

use crate::journal::{Entry, Journal, JournalError};

/// Entries are kept as they would be on disk.
#[derive(Default)]
pub(super) struct MemoryJournal {
    term: u64,
    entries: u64,
    last: Option<Vec<u8>>,
}

impl MemoryJournal {
    pub(super) fn last_term(&self) -> u64 {
        self.term
    }
}

fn fenced(number: u64) -> JournalError {
    JournalError::Fenced(PathBuf::from(number.to_string()))
}

impl Journal for MemoryJournal {
    fn claim_term(&mut self, term: u64, _pid: u32) -> Result<(), JournalError> {
        if term <= self.term {
            return Err(fenced(term));
        }
        self.term = term;
        Ok(())
    }

    fn last(&self) -> Result<Option<Entry>, JournalError> {
        let read = |last| serde_json::from_slice(last).expect("what was written can be read");
        Ok(self.last.as_deref().map(read))
    }

    fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        if entry.term != self.term || entry.number != self.entries + 1 {
            return Err(fenced(entry.number));
        }
        self.entries = entry.number;
        self.last = Some(serde_json::to_vec(entry).expect("an entry is data"));
        Ok(())
    }
}
