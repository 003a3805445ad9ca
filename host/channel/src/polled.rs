//! The end of a host in a task that never blocks its thread: what is not there yet is [`Poll::Pending`], and the reactor of tokio wakes the task.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::unix::AsyncFd;

use crate::channel::{Channel, HostEnd};
use crate::error::Error;
use crate::gauge::Gauge;
use crate::link::{Drained, Link};
use crate::ring::{Room, UntrustedRecord, Writer};

/// A [`HostEnd`] that is polled. Both directions belong to one task: the waker of the last poll is the one that is called, and a bell that
/// rings for one direction wakes the task for both.
#[derive(Debug)]
pub struct PolledHost {
    end: HostEnd,
    readiness: AsyncFd<Link>,
    /// Since when it has waited.
    without_record: Option<Instant>,
    without_room: Option<Instant>,
}

impl PolledHost {
    /// Must be called where a runtime of tokio is, which has to live as long as this.
    ///
    /// # Errors
    ///
    /// The reactor takes no more descriptors.
    pub fn new(end: HostEnd) -> Result<Self, Error> {
        // SAFETY: a link shares its descriptor with the others of its end, which stays open for as long as it lives.
        let readiness = unsafe { AsyncFd::register(end.link.clone()) }
            .map_err(|error| Error::system("the channel cannot be waited for", error))?;
        Ok(Self {
            end,
            readiness,
            without_record: None,
            without_room: None,
        })
    }

    /// As [`HostEnd::retire`].
    pub fn retire(self) -> Channel {
        self.end.retire()
    }

    /// As [`HostEnd::gauge`].
    pub fn gauge(&self) -> Gauge {
        self.end.gauge()
    }

    /// To the node. When [`PolledHost::poll_room`] was ready, [`Writer::reserve`] has room for such a body.
    pub fn input(&mut self) -> &mut Writer {
        &mut self.end.input
    }

    /// The next record from the node. Behind its end there is none, and nobody is woken.
    ///
    /// # Errors
    ///
    /// The node is gone and all that it has written was read, or it has broken the rules.
    pub fn poll_record(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<UntrustedRecord, Error>> {
        loop {
            let output = &mut self.end.output;
            if let Some(record) = output.take()? {
                end_of_wait(&mut self.without_record, |time| output.add_wait(time));
                return Poll::Ready(Ok(record));
            }
            if !output.sleeps()? {
                continue;
            }
            self.without_record.get_or_insert_with(Instant::now);
            let rung = ready!(poll_bell(&self.readiness, context));
            output.wakes();
            if let Err(error) = rung {
                // What it wrote last is still there.
                return Poll::Ready(output.take()?.ok_or(error));
            }
        }
    }

    /// Whether there is room for a body of so many bytes. Where only answers are missing, nobody is woken: room comes with
    /// [`Writer::answered`], which this task calls itself.
    ///
    /// # Errors
    ///
    /// There never is any, the node is gone, or it has broken the rules.
    pub fn poll_room(&mut self, body: usize, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let input = &mut self.end.input;
            if input.reserve(body)?.is_some() {
                end_of_wait(&mut self.without_room, |time| input.add_wait(time));
                return Poll::Ready(Ok(()));
            }
            match input.sleeps_for(body)? {
                Room::IsThere => continue,
                Room::WaitsForPeer | Room::WaitsForAnswers => {
                    self.without_room.get_or_insert_with(Instant::now);
                }
            }
            let rung = ready!(poll_bell(&self.readiness, context));
            input.wakes();
            rung?;
        }
    }
}

/// Ready when the bell has rung since the last time.
fn poll_bell(readiness: &AsyncFd<Link>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
    let guard = ready!(readiness.poll_read_ready(context));
    let mut guard = guard.map_err(|error| Error::system("cannot wait for the channel", error))?;
    // The reactor tells of what comes, and not of what is still there.
    if guard.get_inner().drain()? == Drained::Empty {
        guard.clear_ready();
    }
    // It may have rung for the other direction, which was asked before this one.
    context.waker().wake_by_ref();
    Poll::Ready(Ok(()))
}

fn end_of_wait(since: &mut Option<Instant>, add: impl FnOnce(std::time::Duration)) {
    if let Some(since) = since.take() {
        add(since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::thread;
    use std::time::Duration;

    use rustix::net::{SendFlags, send};
    use tokio::time::timeout;

    use super::*;
    use crate::{Header, Kind, NodeEnd, Outcome, RING_BYTES_MIN, Retention, Setting};

    const WATCHDOG: Duration = Duration::from_secs(20);

    fn both() -> (PolledHost, NodeEnd) {
        let channel = Channel::new(Setting {
            input_bytes: RING_BYTES_MIN,
            output_bytes: RING_BYTES_MIN,
            retention: Retention::Read,
        });
        let (host, descriptors) = channel.unwrap().begin(1).unwrap();
        let host = PolledHost::new(host).unwrap();
        (host, NodeEnd::open(descriptors).unwrap())
    }

    fn put(host: &mut PolledHost, value: u64) {
        let mut slot = host.input().reserve(8).unwrap().unwrap();
        slot.body().copy_from_slice(&value.to_le_bytes());
        slot.commit(Header::new(Kind::Data), 8);
    }

    /// Sends the next record back.
    fn echo(node: &mut NodeEnd) {
        let Outcome::Came(record) = node.wait_for_record(Some(WATCHDOG)).unwrap() else {
            panic!("no record came")
        };
        let Outcome::Came(mut slot) = node.wait_for_room(8, Some(WATCHDOG)).unwrap() else {
            panic!("there was no room")
        };
        slot.body().copy_from_slice(record.body());
        slot.commit(Header::new(Kind::Data), 8);
    }

    /// Feeds and takes as either can be done, in one task.
    async fn feed_and_take(host: &mut PolledHost, rows: u64) -> Vec<u64> {
        let (mut fed, mut taken) = (0, Vec::new());
        poll_fn(|context| {
            loop {
                let mut has_moved = false;
                while fed < rows && host.poll_room(8, context).is_ready() {
                    put(host, fed);
                    fed += 1;
                    has_moved = true;
                }
                while let Poll::Ready(record) = host.poll_record(context) {
                    let body = record.unwrap().copied();
                    taken.push(u64::from_le_bytes(body.try_into().unwrap()));
                    has_moved = true;
                    if taken.len() as u64 == rows {
                        return Poll::Ready(());
                    }
                }
                if !has_moved {
                    return Poll::Pending;
                }
            }
        })
        .await;
        taken
    }

    #[tokio::test]
    async fn one_task_feeds_and_takes_through_the_smallest_rings() {
        let (mut host, mut node) = both();
        let rows = 50_000;
        let echoing = thread::spawn(move || {
            for _ in 0..rows {
                echo(&mut node);
            }
        });
        let taken = timeout(WATCHDOG, feed_and_take(&mut host, rows))
            .await
            .unwrap();
        assert!(taken.into_iter().eq(0..rows));
        echoing.join().unwrap();
    }

    #[tokio::test]
    async fn a_node_that_never_reads_holds_the_feed_and_nothing_else() {
        let (mut host, node) = both();
        let mut fed = 0_u64;
        poll_fn(|context| {
            while host.poll_room(8, context).is_ready() {
                put(&mut host, fed);
                fed += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(fed, RING_BYTES_MIN / 128);
        let gone = thread::spawn(move || drop(node));
        let error = timeout(WATCHDOG, poll_fn(|context| host.poll_room(8, context))).await;
        assert!(matches!(error.unwrap(), Err(Error::PeerGone)));
        gone.join().unwrap();
    }

    #[tokio::test]
    async fn a_flood_of_bells_hides_no_death() {
        let (mut host, node) = both();
        let flood = thread::spawn(move || {
            let bell = node.link.bell();
            for _ in 0..10_000 {
                bell();
            }
            drop(node);
        });
        let error = timeout(WATCHDOG, poll_fn(|context| host.poll_record(context))).await;
        assert!(matches!(error.unwrap(), Err(Error::PeerGone)));
        flood.join().unwrap();
    }

    /// Bytes of any number and value, whenever a node likes to: they only wake the host.
    #[tokio::test]
    async fn a_hostile_socket_wakes_and_nothing_else() {
        let (mut host, mut node) = both();
        let rows = 20_000;
        let seed = fastrand::u64(..);
        let echoing = thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..rows {
                let mut bytes = vec![0; random.usize(..700)];
                random.fill(&mut bytes);
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                // Where the socket is full, the host has been woken.
                let _ = send(&node.link, &bytes, flags);
                echo(&mut node);
            }
        });
        let taken = timeout(WATCHDOG, feed_and_take(&mut host, rows)).await;
        let taken = taken.unwrap_or_else(|_| panic!("seed {seed}: the host stands still"));
        assert!(taken.into_iter().eq(0..rows), "seed {seed}");
        echoing.join().unwrap();
    }
}
