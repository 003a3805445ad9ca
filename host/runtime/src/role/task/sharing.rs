//! Rows that a node leaves to its siblings.

use std::future::poll_fn;

use forebay_dataflow::Cause;

use super::RoleTask;
use crate::role::siblings::{Place, Share};

impl RoleTask {
    /// Rows that its node does not read. Who gets them answers for this task, which keeps their place.
    pub(super) fn keep_for_others(&mut self, rows: usize, share: Option<Share>) {
        // Of several passes nobody else gets a share: it would have to come again in each.
        let are_passed_on =
            self.siblings.passes_rows_on() && !self.sent_end && self.fed.passes == 1;
        let Some(mut share) = share else {
            return self.drop_rows(rows);
        };
        if !are_passed_on {
            return self.drop_share(&share);
        }
        if self.answers() && share.owed_to.is_none() {
            share.owed_to = Some(Place {
                task: self.task(),
                number: self.pending.keep_place(rows),
                row: 0,
            });
        }
        self.handed_over += 1;
        self.rest.push_back(share);
    }

    /// Nobody reads these rows.
    pub(super) fn drop_share(&self, share: &Share) {
        self.drop_rows(share.rows());
        if let Some(place) = share.owed_to {
            self.siblings.settle(place, share.rows(), None);
        }
    }

    pub(super) async fn pass_on_rest(&mut self) -> Result<(), Cause> {
        if self.barriers.is_here() {
            return Ok(());
        }
        let (siblings, task) = (self.siblings.clone(), self.task());
        while let Some(share) = self.rest.pop_front() {
            let barrier = self.barriers.passed;
            let passed =
                poll_fn(|context| siblings.poll_pass_on(task, barrier, &share, context)).await?;
            if passed.is_none() {
                self.drop_share(&share);
            }
        }
        Ok(())
    }
}
