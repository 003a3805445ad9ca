//! The node of a task: its channel, once it is there.

use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use forebay_channel::{
    Body, Columns, Error, FLAG_CONTINUES, Header, Kind, PolledHost, UntrustedRecord,
};
use forebay_dataflow::Cause;
use tokio::runtime::Handle;

use super::feeds::TaskSeat;

/// The node of a task.
pub(crate) struct Node {
    pub(crate) seat: TaskSeat,
    runtime: Handle,
    host: Option<PolledHost>,
    state: State,
    schemas: u32,
    columns: Option<(u32, Columns)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has no channel yet, or it speaks.
    Alive,
    /// It has ended without a word. Whether somebody is to start it again, others decide: this task waits.
    Dead,
    /// It has said its last.
    Ended,
}

/// What happens with a node.
pub(crate) enum Event {
    /// It has written.
    Record(UntrustedRecord),
    /// There is room for what is to be written.
    Room,
}

/// What a node has done that none does.
#[derive(Debug, thiserror::Error)]
#[error("`{node}` does not keep to the rules of its channel: {error}")]
struct Broken {
    node: String,
    #[source]
    error: Error,
}

impl Node {
    pub(crate) fn new(seat: TaskSeat, runtime: Handle) -> Self {
        Self {
            seat,
            runtime,
            host: None,
            state: State::Alive,
            schemas: 0,
            columns: None,
        }
    }

    /// It has said its last: nothing more is read or written.
    pub(crate) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    pub(crate) fn end(&mut self) {
        self.state = State::Ended;
    }

    /// What happens next; with `room`, also when there is some for a body of so many bytes.
    pub(crate) fn poll(
        &mut self,
        room: Option<usize>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Event, Cause>> {
        if self.state != State::Alive {
            return Poll::Pending;
        }
        if let Err(error) = self.poll_host(context) {
            return Poll::Ready(Err(error.into()));
        }
        let Some(host) = &mut self.host else {
            return Poll::Pending;
        };
        let happened = match host.poll_record(context) {
            Poll::Ready(record) => Poll::Ready(record.map(Event::Record)),
            Poll::Pending => match room {
                Some(bytes) => host.poll_room(bytes, context).map_ok(|()| Event::Room),
                None => Poll::Pending,
            },
        };
        let waits_for_room = room.is_some() && happened.is_pending();
        let counts = &self.seat.counts;
        counts.waits_for_room.store(waits_for_room, Relaxed);
        match happened {
            Poll::Ready(Err(Error::PeerGone)) => {
                self.state = State::Dead;
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.broken(error))),
            Poll::Ready(Ok(event)) => Poll::Ready(Ok(event)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_host(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        if self.host.is_none()
            && let Poll::Ready(end) = self.seat.poll_end(context)
        {
            let _reactor = self.runtime.enter();
            self.host = Some(PolledHost::new(end)?);
        }
        Ok(())
    }

    fn broken(&self, error: Error) -> Cause {
        let node = self.seat.node();
        Broken { node, error }.into()
    }

    /// Whether it has read all that was written.
    pub(crate) fn has_read_all(&mut self) -> bool {
        match &mut self.host {
            Some(host) => host.gauge().read().read == host.input().position(),
            None => false,
        }
    }

    /// How far it has read.
    pub(crate) fn read(&self) -> u64 {
        self.host
            .as_ref()
            .map_or(0, |host| host.gauge().read().read)
    }

    /// Where the next record begins.
    pub(crate) fn position(&mut self) -> u64 {
        self.host.as_mut().map_or(0, |host| host.input().position())
    }

    /// The largest body that there is room for at all; there is a channel.
    pub(crate) fn body_bytes_max(&mut self) -> usize {
        let host = self.host.as_mut();
        host.map_or(0, |host| host.input().body_bytes_max())
    }

    pub(crate) fn has_channel(&self) -> bool {
        self.host.is_some()
    }

    /// What the node has to be told of the columns of a batch, before it gets rows of them.
    pub(crate) fn new_columns(&self, columns: Columns) -> Option<Columns> {
        let known = self.columns.as_ref();
        let are_known = known.is_some_and(|(_, known)| known.is_same(&columns));
        (!are_known).then_some(columns)
    }

    /// Tells the columns; there is room for this body.
    pub(crate) fn announce(&mut self, columns: Columns, body: &[u8]) -> Result<(), Cause> {
        let number = self.schemas;
        self.schemas += 1;
        self.columns = Some((number, columns));
        let header = Header {
            schema: number,
            ..Header::new(Kind::Schema)
        };
        self.put(header, body.len(), |room| room.copy_from_slice(body))?;
        Ok(())
    }

    /// The columns that were told last.
    pub(crate) fn columns(&self) -> Option<&Columns> {
        self.columns.as_ref().map(|(_, columns)| columns)
    }

    /// Writes rows of the columns that were told last; there is room for them. Returns their number in the ring.
    pub(crate) fn put_rows(
        &mut self,
        header: Header,
        body: &Body<'_>,
        continues: bool,
    ) -> Result<u64, Cause> {
        let schema = self.columns.as_ref().map_or(0, |(number, _)| *number);
        let header = Header {
            schema,
            flags: header.flags | if continues { FLAG_CONTINUES } else { 0 },
            ..header
        };
        self.put(header, body.bytes(), |room| body.write(room))
    }

    /// Writes a record; there is room for it.
    pub(crate) fn put(
        &mut self,
        header: Header,
        bytes: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<u64, Cause> {
        let full = || Cause::from("there is no room in the channel");
        let host = self.host.as_mut().ok_or_else(full)?;
        match host.input().reserve(bytes) {
            Ok(Some(mut slot)) => {
                write(&mut slot.body()[..bytes]);
                Ok(slot.commit(header, bytes))
            }
            Ok(None) => Err(full()),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Tells why its input ends before its time, where there is room for that in its ring.
    pub(crate) fn fail(&mut self, why: &str) {
        let why = format!("the dataflow has failed: {why}");
        let why = &why[..why.floor_char_boundary(self.body_bytes_max())];
        if self.state == State::Alive {
            let header = Header::new(Kind::Error);
            // Without it the node hears only that the host is gone.
            let _ = self.put(header, why.len(), |room| {
                room.copy_from_slice(why.as_bytes());
            });
        }
    }

    /// All that was written, for the end to say.
    pub(crate) fn tally(&mut self) -> [u8; 24] {
        let tally = self.host.as_mut().map(|host| host.input().tally());
        tally.unwrap_or_default().encode()
    }

    /// The node has answered these records.
    pub(crate) fn answered(
        &mut self,
        sequences: std::ops::RangeInclusive<u64>,
    ) -> Result<(), Cause> {
        let Some(host) = &mut self.host else {
            return Ok(());
        };
        for sequence in sequences {
            host.input()
                .answered(sequence)
                .map_err(|fault| Cause::from(Error::from(fault)))?;
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(host) = self.host.take() {
            self.seat.give_back(host.retire());
        }
    }
}
