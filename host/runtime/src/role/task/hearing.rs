//! What a task hears from its node: answers, barriers that come back, and the end.

use std::sync::atomic::Ordering::Relaxed;

use forebay_channel::{ColumnsError, FLAG_CONTINUES, Kind, UntrustedRecord, read_body};
use forebay_dataflow::{Cause, Output};

use super::RoleTask;
use crate::role::pending::{Done, Written};
use crate::role::siblings::{Phase, Share};

/// Why a node's answers are none, or its rows cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("`{node}` answers, but the job file names no `output` of role `{role}`")]
    Uninvited { node: String, role: String },
    #[error("`{node}` answers before it has said with which columns")]
    Unannounced { node: String },
    #[error("`{node}` answers with other columns than the `output` of role `{role}`")]
    OtherColumns { node: String, role: String },
    #[error("`{node}` answers record {answers}, which waits for no answer")]
    Unasked { node: String, answers: u64 },
    #[error("`{node}` answers {answered} rows with {results}")]
    OtherRows {
        node: String,
        answered: usize,
        results: usize,
    },
    #[error("`{node}` answers with a part that has no rows")]
    NoRows { node: String },
    #[error("`{node}` answers with damaged rows")]
    Damaged { node: String, source: ColumnsError },
    #[error("`{node}` has closed its feed and left {rows} rows without an answer")]
    Unanswered { node: String, rows: usize },
    #[error("`{node}` has written a record that only the host writes")]
    Foreign { node: String },
    #[error(
        "{what} of {bytes} bytes for `{node}` is more than a quarter of its ring: raise `roles.{role}.input_ring` to {wanted} MiB"
    )]
    TooLarge {
        what: &'static str,
        node: String,
        role: String,
        bytes: usize,
        wanted: usize,
    },
}

impl RoleTask {
    pub(super) async fn hear(
        &mut self,
        record: &UntrustedRecord,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        match record.header().kind {
            Kind::Schema => self.hear_schema(record)?,
            Kind::Data => self.hear_answer(record)?,
            Kind::Barrier => self.hear_echo(record.header().checkpoint)?,
            Kind::End => self.hear_end(record.header().answers)?,
            // Why, its agent hears.
            Kind::Error => {}
            Kind::Pad | Kind::Watermark | Kind::PassEnd => {
                return Err(Fault::Foreign { node: self.name() }.into());
            }
        }
        self.emit_done(output).await
    }

    /// The node is done with all before this barrier; one that was given up meanwhile is passed over.
    fn hear_echo(&mut self, barrier: u64) -> Result<(), Cause> {
        let awaited = self
            .barriers
            .awaited
            .take_if(|(awaited, _)| *awaited == barrier);
        let Some((_, sequence)) = awaited else {
            return Ok(());
        };
        self.barriers.echoed = barrier;
        self.node.answered(sequence..=sequence)
    }

    fn hear_schema(&mut self, record: &UntrustedRecord) -> Result<(), Cause> {
        let (node, role) = (self.name(), self.fed.role.clone());
        let Some(results) = &self.fed.results else {
            return Err(Fault::Uninvited { node, role }.into());
        };
        if record.copied() != *results.encoded {
            return Err(Fault::OtherColumns { node, role }.into());
        }
        self.has_announced_results = true;
        Ok(())
    }

    fn hear_answer(&mut self, record: &UntrustedRecord) -> Result<(), Cause> {
        let (node, role) = (self.name(), self.fed.role.clone());
        let header = *record.header();
        let Some(results) = &self.fed.results else {
            return Err(Fault::Uninvited { node, role }.into());
        };
        if !self.has_announced_results {
            return Err(Fault::Unannounced { node }.into());
        }
        let answers = header.answers;
        let Some(written) = self.pending.unanswered(answers) else {
            return Err(Fault::Unasked { node, answers }.into());
        };
        let rows = written.answered_rows() + header.rows as usize;
        let continues = header.flags & FLAG_CONTINUES != 0;
        if rows > written.rows || !continues && rows < written.rows {
            return Err(Fault::OtherRows {
                node,
                answered: written.rows,
                results: rows,
            }
            .into());
        }
        if continues && header.rows == 0 {
            // They might go on for ever.
            return Err(Fault::NoRows { node }.into());
        }
        let batch = read_body(
            &results.columns,
            header.rows as usize,
            &record.copied_buffer(),
        )
        .map_err(|source| Fault::Damaged { node, source })?;
        written.results.push(batch);
        if continues {
            return Ok(());
        }
        written.is_answered = true;
        let sequences = written.sequences.clone();
        self.node
            .seat
            .counts
            .answered
            .fetch_add(rows as u64, Relaxed);
        self.node.answered(sequences)
    }

    /// The node reads no more: it was sent the end and has read all, or it has closed its feed.
    fn hear_end(&mut self, delivered: u64) -> Result<(), Cause> {
        self.node.end();
        self.node.seat.counts.ended.store(true, Relaxed);
        let mut unanswered = 0;
        for rest in self.pending.take_rest() {
            match rest {
                Done::Rows(written) if *written.sequences.end() > delivered => {
                    self.keep_for_others(written.rows, written.share);
                }
                Done::Rows(written) if self.answers() && !written.is_answered => {
                    unanswered += written.rows;
                }
                // A place is kept only behind the end of the node.
                Done::Rows(_) | Done::Answered(_) => {}
                Done::Watermark(watermark) => self.pass_behind_answers(watermark),
            }
        }
        if unanswered > 0 {
            return Err(Fault::Unanswered {
                node: self.name(),
                rows: unanswered,
            }
            .into());
        }
        if !self.sent_end {
            self.siblings.enter(self.task(), Phase::Closed);
        }
        Ok(())
    }

    pub(super) async fn emit_done(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        while let Some(done) = self.pending.pop_done() {
            match done {
                Done::Watermark(watermark) => self.passed.pass(watermark),
                Done::Answered(batches) => {
                    for rows in batches {
                        output.emit(rows).await?;
                    }
                }
                Done::Rows(written) => self.emit_answered(written, output).await?,
            }
        }
        Ok(())
    }

    async fn emit_answered(&self, written: Written, output: &mut Output<'_>) -> Result<(), Cause> {
        let Some(Share { batch, owed_to }) = written.share else {
            return Ok(());
        };
        let rows = self.fed.joined(&batch, written.padding, &written.results)?;
        match (owed_to, rows) {
            (Some(place), rows) => self.siblings.settle(place, written.rows, rows),
            (None, Some(rows)) => output.emit(rows).await?,
            (None, None) => {}
        }
        Ok(())
    }
}
