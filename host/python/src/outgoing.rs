//! What goes to the host: who has the output writes all that waits, in its order.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use forebay_channel::{
    Body, Columns, Error, FLAG_CONTINUES, Header, Kind, NodeOutput, Outcome, Slot,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::failure::Failure;
use crate::fork::Kept;
use crate::ledger::{Ledger, Message, MessageBody};
use crate::waiting::{Deadline, Turn, wait};

pub(crate) struct Outgoing {
    output: Turn<Kept<NodeOutput>>,
    ledger: Mutex<Ledger>,
    body_bytes_max: usize,
    /// Of the answers.
    columns: Option<Columns>,
}

impl Outgoing {
    pub(crate) fn new(output: NodeOutput, ledger: Ledger, columns: Option<Columns>) -> Self {
        Self {
            body_bytes_max: output.writer.body_bytes_max(),
            output: Turn::new(Kept::new(output)),
            ledger: Mutex::new(ledger),
            columns,
        }
    }

    /// Of the answers; `None`: there are none.
    pub(crate) fn columns(&self) -> Option<&Columns> {
        self.columns.as_ref()
    }

    /// Nobody waits while this is locked.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all that waits. What is left after an error goes out with the next call.
    pub(crate) fn flush(&self, py: Python<'_>, deadline: Deadline) -> PyResult<()> {
        if !self.ledger().has_messages() {
            return Ok(());
        }
        let mut output = self.output.take(py, deadline)?;
        wait(py, deadline, |longest| self.write_all(&mut output, longest))
    }

    fn write_all(&self, output: &mut NodeOutput, longest: Duration) -> Result<Option<()>, Failure> {
        loop {
            let Some(message) = self.ledger().next_message() else {
                return Ok(Some(()));
            };
            if !self.write(output, &message, longest)? {
                return Ok(None);
            }
            self.ledger().written();
        }
    }

    /// Whether there was room.
    fn write(
        &self,
        output: &mut NodeOutput,
        message: &Message,
        longest: Duration,
    ) -> Result<bool, Failure> {
        let tally = output.writer.tally().encode();
        let put = |bytes: &[u8], mut slot: Slot| {
            slot.body().copy_from_slice(bytes);
            slot.commit(message.header, bytes.len());
        };
        match &message.body {
            MessageBody::Tally => room(output, tally.len(), longest, |slot| put(&tally, slot)),
            MessageBody::Bytes(bytes) => {
                room(output, bytes.len(), longest, |slot| put(bytes, slot))
            }
            MessageBody::Rows(batch) => {
                let Some(columns) = &self.columns else {
                    return Ok(true);
                };
                let body = Body::new(columns, batch)?;
                room(output, body.bytes(), longest, |mut slot| {
                    body.write(slot.body());
                    slot.commit(message.header, body.bytes());
                })
            }
        }
    }

    /// Writes an error behind which nothing comes, if that can be done at once.
    pub(crate) fn abort(&self, text: &str) {
        if self.ledger().has_ended() {
            return;
        }
        let Some(mut output) = self.output.try_take() else {
            return;
        };
        let beginning = text.ceil_char_boundary(text.len().saturating_sub(self.body_bytes_max));
        let text = &text.as_bytes()[beginning..];
        if let Ok(Some(mut slot)) = output.writer.reserve(text.len()) {
            slot.body().copy_from_slice(text);
            slot.commit(Header::new(Kind::Error), text.len());
            self.ledger().abort();
        }
    }

    /// An answer in parts that fit into the ring.
    pub(crate) fn split(
        &self,
        columns: &Columns,
        batch: &RecordBatch,
        answers: u64,
    ) -> Result<Vec<Message>, Unfit> {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < batch.num_rows() || parts.is_empty() {
            let part = self.longest_part(columns, &batch.slice(at, batch.num_rows() - at))?;
            at += part.num_rows();
            parts.push(part);
        }
        let last = parts.len() - 1;
        let messages = parts.into_iter().enumerate();
        Ok(messages
            .map(|(index, part)| data(part, index < last, answers))
            .collect())
    }

    /// The first rows, as many as fit, or some fewer.
    fn longest_part(&self, columns: &Columns, batch: &RecordBatch) -> Result<RecordBatch, Unfit> {
        let most = self.body_bytes_max;
        let mut part = batch.clone();
        loop {
            let bytes = Body::new(columns, &part)?.bytes();
            match part.num_rows() {
                _ if bytes <= most => return Ok(part),
                0 | 1 => return Err(Unfit::Row { bytes, most }),
                rows => part = part.slice(0, (rows * most / bytes).clamp(1, rows - 1)),
            }
        }
    }
}

/// Why an answer cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(
        "one row of the answer has {bytes} bytes, and a record takes {most}: make `output_ring` larger, it is to be four times as large as a row"
    )]
    Row { bytes: usize, most: usize },
    #[error(transparent)]
    Columns(#[from] forebay_channel::ColumnsError),
}

impl From<Unfit> for PyErr {
    fn from(unfit: Unfit) -> Self {
        PyValueError::new_err(unfit.to_string())
    }
}

fn data(batch: RecordBatch, continues: bool, answers: u64) -> Message {
    let header = Header {
        flags: if continues { FLAG_CONTINUES } else { 0 },
        rows: u32::try_from(batch.num_rows()).unwrap_or(u32::MAX),
        answers,
        ..Header::new(Kind::Data)
    };
    let body = MessageBody::Rows(batch);
    Message { header, body }
}

/// Writes with a function if there is room in time.
fn room(
    output: &mut NodeOutput,
    bytes: usize,
    longest: Duration,
    write: impl FnOnce(Slot<'_>),
) -> Result<bool, Failure> {
    match output.wait_for_room(bytes, longest.into()) {
        Ok(Outcome::Came(slot)) => {
            write(slot);
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(Error::TooLarge { bytes, .. }) => Err(Failure::Connection(format!(
            "a record of {bytes} bytes does not fit into the output: make `output_ring` larger"
        ))),
        Err(error) => Err(error.into()),
    }
}
