//! Commands that were carried out: the same id twice acts once.

use std::collections::BTreeSet;

use crate::wire::cluster::ActionId;

/// Ids kept; the lowest are forgotten first. An AM repeats only actions of its last few events.
const KEPT_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Actions(BTreeSet<(u64, u32, u32)>);

impl Actions {
    /// Whether the command is to be carried out: the first time that its id is seen.
    pub(super) fn is_new(&mut self, action: Option<ActionId>) -> bool {
        let Some(id) = action else { return true };
        let new = self.0.insert((id.event_number, id.position, id.part));
        if self.0.len() > KEPT_MAX {
            self.0.pop_first();
        }
        new
    }
}
