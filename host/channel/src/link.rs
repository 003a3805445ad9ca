//! The socket between the two ends. A byte in it wakes the one that sleeps; when it hangs up, the other process is gone.
//!
//! Why no eventfd: whether a write waits is a property of what both ends share, so a hostile node could make the host wait in one. What a
//! socket sends without waiting is a property of the call.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown,
    socketpair,
};

use crate::error::Error;
use crate::ring::Bell;

/// Bytes that are taken out of the socket at a time.
const DRAIN_BYTES: usize = 256;

/// One end of the socket.
#[derive(Clone, Debug)]
pub struct Link(Arc<OwnedFd>);

/// Hangs up when it is dropped: records that are still held keep the socket itself.
#[derive(Debug)]
pub(crate) struct HangUp(pub(crate) Link);

impl Drop for HangUp {
    fn drop(&mut self) {
        // Where that fails, the peer has hung up.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

/// How a [`Link::wait`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The peer may have done something.
    Rung,
    /// The time was over.
    TimedOut,
    /// A signal came: the caller looks whether it is for it.
    Interrupted,
}

/// What a [`Link::drain`] has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Nothing.
    Empty,
    /// Perhaps something: bytes, or the end of the peer.
    Partly,
}

impl Link {
    /// Both ends.
    pub(crate) fn pair() -> Result<(Self, OwnedFd), Error> {
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|error| Error::system("there is no descriptor for a socket pair", error))?;
        Ok((Self::new(one), other))
    }

    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(Arc::new(socket))
    }

    pub(crate) fn bell(&self) -> Bell {
        let link = self.clone();
        Arc::new(move || link.ring())
    }

    /// Wakes the peer. Where that cannot be done it is gone, or has more bytes to wake up of than it reads.
    fn ring(&self) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _ = send(&self.0, &[1], flags);
    }

    /// Takes back what has woken this end, or a part of it.
    ///
    /// # Errors
    ///
    /// The peer is gone.
    pub(crate) fn drain(&self) -> Result<Drained, Error> {
        let mut bytes = [0; DRAIN_BYTES];
        match recv(&self.0, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(Error::PeerGone),
            Ok(_) | Err(Errno::INTR) => Ok(Drained::Partly),
            Err(Errno::AGAIN) => Ok(Drained::Empty),
            Err(_) => Err(Error::PeerGone),
        }
    }

    /// Sleeps until the peer rings.
    ///
    /// # Errors
    ///
    /// The peer is gone.
    pub fn wait(&self, longest: Option<Duration>) -> Result<Waited, Error> {
        let longest = longest.and_then(|longest| Timespec::try_from(longest).ok());
        let mut waiting = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut waiting, longest.as_ref()) {
            Ok(0) => Ok(Waited::TimedOut),
            Ok(_) => self.drain().map(|_| Waited::Rung),
            Err(Errno::INTR) => Ok(Waited::Interrupted),
            Err(error) => Err(Error::system(
                "cannot wait for the channel",
                io::Error::from(error),
            )),
        }
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_wakes_and_a_hang_up_is_seen() {
        let (one, other) = Link::pair().unwrap();
        let other = Link::new(other);
        let moment = Some(Duration::ZERO);
        assert_eq!(one.wait(moment).unwrap(), Waited::TimedOut);
        other.ring();
        other.ring();
        assert_eq!(one.wait(None).unwrap(), Waited::Rung);
        assert_eq!(one.wait(moment).unwrap(), Waited::TimedOut);
        drop(other);
        assert!(matches!(one.wait(None), Err(Error::PeerGone)));
        one.ring();
    }

    #[test]
    fn who_does_not_wake_up_holds_nobody_up() {
        let (one, _other) = Link::pair().unwrap();
        for _ in 0..100_000 {
            one.ring();
        }
    }
}
