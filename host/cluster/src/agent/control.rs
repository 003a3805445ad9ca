//! The socket between an agent and the process of one node. What comes from a node is not trusted: a frame that is too
//! long or not a message ends the conversation, and a node that does not read is hung up on.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use forebay_protocol::{Decoder, FrameError, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::wire::node::{Down, Up, down};

/// Messages read and not taken; then the node waits.
const UPS_MAX: usize = 64;
/// Frames that a node has not read; then it is hung up on.
const DOWNS_MAX: usize = 64;
const READ_BYTES: usize = 16 * 1024;

/// One frame, shared by all nodes that it goes to.
pub(super) type Frame = Arc<[u8]>;

/// Encodes a message once.
pub(super) fn frame(message: down::Message) -> Frame {
    encode(&Down {
        message: Some(message),
    })
    .into()
}

/// The agent's end of it. Hangs up when dropped.
#[derive(Debug)]
pub(super) struct Control {
    ups: mpsc::Receiver<Up>,
    downs: Option<mpsc::Sender<Frame>>,
    tasks: JoinSet<()>,
}

impl Control {
    pub(super) fn open(socket: StdUnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(socket)?.into_split();
        let (up, ups) = mpsc::channel(UPS_MAX);
        let (downs, queue) = mpsc::channel(DOWNS_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = read(reader, &up).await {
                tracing::warn!(%error, "a node does not speak the protocol, its control socket is closed");
            }
        });
        tasks.spawn(write(writer, queue));
        Ok(Self {
            ups,
            downs: Some(downs),
            tasks,
        })
    }

    /// The next message; `None` when the node has hung up, or was hung up on.
    pub(super) async fn next(&mut self) -> Option<Up> {
        self.ups.recv().await
    }

    pub(super) fn send(&mut self, frame: Frame) {
        let full = self
            .downs
            .as_ref()
            .is_some_and(|downs| downs.try_send(frame).is_err());
        if full {
            tracing::warn!("a node does not read, its control socket is closed");
            self.close();
        }
    }

    pub(super) fn close(&mut self) {
        self.downs = None;
        self.tasks.abort_all();
    }
}

async fn read(mut reader: OwnedReadHalf, ups: &mpsc::Sender<Up>) -> Result<(), FrameError> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some(up) = decoder.pull::<Up>()? {
            if ups.send(up).await.is_err() {
                return Ok(());
            }
        }
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => decoder.push(&buffer[..count]),
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Frame>) {
    while let Some(frame) = queue.recv().await {
        if writer.write_all(&frame).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use super::*;
    use crate::wire::node::{Done, up};

    const WATCHDOG: Duration = Duration::from_secs(20);

    fn pair() -> (Control, StdUnixStream) {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(WATCHDOG)).unwrap();
        (Control::open(ours).unwrap(), theirs)
    }

    async fn next(control: &mut Control) -> Option<Up> {
        tokio::time::timeout(WATCHDOG, control.next())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn messages_come_in_any_pieces() {
        let (mut control, mut node) = pair();
        let up = Up {
            message: Some(up::Message::Done(Done {})),
        };
        let (head, rest) = (encode(&up)[..1].to_vec(), encode(&up)[1..].to_vec());
        node.write_all(&head).unwrap();
        node.write_all(&rest).unwrap();
        assert_eq!(next(&mut control).await, Some(up));
        drop(node);
        assert_eq!(next(&mut control).await, None);
    }

    #[tokio::test]
    async fn what_is_no_frame_ends_the_conversation() {
        let (mut control, mut node) = pair();
        node.write_all(&[0xff; 64]).unwrap();
        assert_eq!(next(&mut control).await, None);
    }

    #[tokio::test]
    async fn a_node_that_does_not_read_is_hung_up_on() {
        let (mut control, mut node) = pair();
        let long: Frame = vec![0; 1 << 20].into();
        for _ in 0..=DOWNS_MAX + 1 {
            control.send(long.clone());
        }
        assert_eq!(next(&mut control).await, None);
        let read = tokio::task::spawn_blocking(move || node.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
        assert!(read.is_ok(), "it sees the hang-up: {read:?}");
    }
}
