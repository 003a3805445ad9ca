//! How the input of a node ends: with its pass, with the passes that follow, and for good.

use std::future::poll_fn;
use std::task::Poll;

use forebay_channel::{Header, Kind};
use forebay_dataflow::{Cause, Output};

use super::{RoleTask, Seen};
use crate::role::node::Event;
use crate::role::siblings::Phase;
use crate::role::spool::Spooled;

impl RoleTask {
    pub(super) async fn end_pass(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        let header = Header {
            pass: self.pass,
            ..Header::new(Kind::PassEnd)
        };
        self.mark(header, &[], output).await
    }

    pub(super) async fn next_passes(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        let Some(spool) = self.spool.take() else {
            return Ok(());
        };
        let mut kept = spool.complete().await?;
        while self.pass + 1 < self.fed.passes && !self.node.has_ended() && !self.is_ending {
            self.pass += 1;
            self.feed_again(&mut kept, output).await?;
            self.end_pass(output).await?;
            kept.begin_again().await?;
        }
        Ok(())
    }

    async fn feed_again(
        &mut self,
        kept: &mut Spooled,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        while let Some(seen) = kept.next().await?.map(Seen::from) {
            self.is_ending |=
                poll_fn(|context| Poll::Ready(self.node.seat.is_ending(context))).await;
            if self.is_ending {
                break;
            }
            if self.node.has_ended() {
                self.drop_rows(seen.rows.num_rows());
                continue;
            }
            self.write(&seen, None, output).await?;
        }
        Ok(())
    }

    /// The end goes to the node, and comes back when it is done with everything.
    pub(super) async fn send_end(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        if !self.node.has_ended() && self.room(24, output).await? {
            self.sent_end = true;
            let said = self.node.tally();
            self.node.put(Header::new(Kind::End), said.len(), |room| {
                room.copy_from_slice(&said);
            })?;
        }
        let phase = if self.sent_end {
            Phase::Ended
        } else {
            Phase::Gone
        };
        self.siblings.enter(self.task(), phase);
        for share in self.siblings.refuse_inbox(self.task()) {
            self.drop_share(&share);
        }
        if self.siblings.have_ended() {
            self.node.seat.input_has_ended();
        }
        while !self.node.has_ended() {
            let node = &mut self.node;
            if let Event::Record(record) = poll_fn(|context| node.poll(None, context)).await? {
                self.hear(&record, output).await?;
            }
        }
        self.pass_on_rest().await
    }
}
