//! The journal in memory, with the fences of the real one: a term and an entry exist once.

use crate::journal::Entry;

/// Entries are kept as they would be on disk.
#[derive(Default)]
pub(super) struct Journal {
    term: u64,
    entries: u64,
    last: Option<Vec<u8>>,
}

impl Journal {
    /// Takes the next term.
    pub(super) fn claim_term(&mut self) -> u64 {
        self.term += 1;
        self.term
    }

    /// False for an author that was overtaken.
    pub(super) fn append(&mut self, entry: &Entry) -> bool {
        if entry.term != self.term || entry.number != self.entries + 1 {
            return false;
        }
        self.entries = entry.number;
        self.last = Some(serde_json::to_vec(entry).expect("an entry is data"));
        true
    }

    pub(super) fn last(&self) -> Option<Entry> {
        let last = self.last.as_ref()?;
        Some(serde_json::from_slice(last).expect("what was written can be read"))
    }
}
