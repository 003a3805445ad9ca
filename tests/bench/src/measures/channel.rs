//! The channel to a node, both of its ends in this program: records in a row, and one there and back.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{hint, thread};

use anyhow::{Context, Result, bail, ensure};
use forebay_channel::{
    Channel, Header, HostEnd, Kind, Link, NodeEnd, Outcome, Retention, Room, Setting, Tally,
    UntrustedRecord, Waited,
};
use forebay_test_support::environment;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};

use crate::Effort;
use crate::row::{Row, Unit, median, microseconds};

const RING_BYTES: u64 = 4 << 20;
const BODY_BYTES: usize = 64;
/// Nobody waits longer for anything here.
const WATCHDOG: Option<Duration> = Some(Duration::from_secs(20));
/// After such a time everybody sleeps.
pub(super) const PAUSE: Duration = Duration::from_millis(2);
/// What a sleep on either side may cost beside the two wake-ups that it takes.
pub(super) const BESIDE_WAKE_UPS_US: f64 = 40.0;

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let runs = effort.times(10, 2);
    let rates: Result<Vec<f64>> = (0..runs)
        .map(|_| rate(effort.times(5_000_000, 500_000)))
        .collect();
    let trips = effort.times(2_000, 100);
    let bare = wake_ups(trips)?;
    let most = median(&bare) + BESIDE_WAKE_UPS_US;
    let what = "records of 64 bytes to another thread, 4 MiB ring";
    Ok(vec![
        Row::at_least(what, Unit::MillionRows, 5.0, rates?),
        Row::new(
            "a record of 64 bytes there and back, without a sleep",
            Unit::Microseconds,
            20.0,
            round_trips(trips, Waiting::Spins)?,
        ),
        Row::new(
            "a record of 64 bytes there and back, both ends asleep",
            Unit::Microseconds,
            most,
            round_trips(trips, Waiting::Sleeps)?,
        )
        .beside("a byte there and back through a socket", bare)
        .noted("the target is the socket's median and 40 µs"),
    ])
}

fn both() -> Result<(HostEnd, NodeEnd)> {
    let channel = Channel::new(Setting {
        input_bytes: RING_BYTES,
        output_bytes: RING_BYTES,
        retention: Retention::Read,
    })?;
    let (host, descriptors) = channel.begin(1)?;
    Ok((host, NodeEnd::open(descriptors)?))
}

/// Millions of records a second, from the first one written to the last one read.
fn rate(records: u64) -> Result<f64> {
    let (mut host, mut node) = both()?;
    let reading = thread::spawn(move || -> Result<Tally> {
        loop {
            if came(node.wait_for_record(WATCHDOG)?)?.header().kind == Kind::End {
                return Ok(node.input.tally());
            }
        }
    });
    let begun = Instant::now();
    for _ in 0..records {
        put(&mut host, data(), &[7; BODY_BYTES])?;
    }
    let tally = host.input.tally().encode();
    put(&mut host, Header::new(Kind::End), &tally)?;
    let read = reading.join().ok().context("the reader has panicked")??;
    let took = begun.elapsed();
    ensure!(read.records == records, "{read:?} were read of {records}");
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    let records = records as f64;
    Ok(records / took.as_secs_f64() / 1e6)
}

/// Writes a record, and sleeps until there is room for it; its sequence.
pub(super) fn put(host: &mut HostEnd, header: Header, body: &[u8]) -> Result<u64> {
    put_with(host, header, body.len(), |room| room.copy_from_slice(body))
}

/// Likewise, with a body of so many bytes that is written in its place.
pub(super) fn put_with(
    host: &mut HostEnd,
    header: Header,
    bytes: usize,
    write: impl FnOnce(&mut [u8]),
) -> Result<u64> {
    loop {
        if let Some(mut slot) = host.input.reserve(bytes)? {
            write(slot.body());
            return Ok(slot.commit(header, bytes));
        }
        if host.input.sleeps_for(bytes)? == Room::WaitsForPeer {
            rung(&host.link)?;
            host.input.wakes();
        }
    }
}

fn data() -> Header {
    Header {
        rows: 1,
        ..Header::new(Kind::Data)
    }
}

fn rung(link: &Link) -> Result<()> {
    match link.wait(WATCHDOG)? {
        Waited::Rung => Ok(()),
        other => bail!("nobody rang: {other:?}"),
    }
}

fn came<T>(outcome: Outcome<T>) -> Result<T> {
    match outcome {
        Outcome::Came(it) => Ok(it),
        Outcome::TimedOut | Outcome::Interrupted => bail!("nothing came"),
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Waiting {
    Spins,
    Sleeps,
}

/// How long each of some records takes to another thread and back, in microseconds.
fn round_trips(trips: usize, waiting: Waiting) -> Result<Vec<f64>> {
    let (mut host, mut node) = both()?;
    let echoing = thread::spawn(move || -> Result<()> {
        loop {
            let record = came(node.wait_for_record(WATCHDOG)?)?;
            if record.header().kind == Kind::End {
                return Ok(());
            }
            let mut slot = came(node.wait_for_room(BODY_BYTES, WATCHDOG)?)?;
            slot.body().copy_from_slice(record.body());
            slot.commit(Header::new(Kind::Data), BODY_BYTES);
        }
    });
    let mut samples = Vec::new();
    for _ in 0..trips {
        if waiting == Waiting::Sleeps {
            thread::sleep(PAUSE);
        }
        let begun = Instant::now();
        put(&mut host, data(), &[7; BODY_BYTES])?;
        let answer = answer(&mut host, waiting)?;
        samples.push(microseconds(begun.elapsed()));
        ensure!(answer.copied() == [7; BODY_BYTES], "another answer came");
    }
    let tally = host.input.tally().encode();
    put(&mut host, Header::new(Kind::End), &tally)?;
    echoing.join().ok().context("the echo has panicked")??;
    Ok(samples)
}

/// The next record of a node.
pub(super) fn answer(host: &mut HostEnd, waiting: Waiting) -> Result<UntrustedRecord> {
    loop {
        if let Some(record) = host.output.take()? {
            return Ok(record);
        }
        if waiting == Waiting::Spins {
            hint::spin_loop();
        } else if host.output.sleeps()? {
            rung(&host.link)?;
            host.output.wakes();
        }
    }
}

/// How long a byte takes through a socket to another thread that sleeps, and back, in microseconds.
pub(super) fn wake_ups(trips: usize) -> Result<Vec<f64>> {
    let (own, other) = sockets()?;
    let echoing = thread::spawn(move || -> Result<()> {
        let mut byte = [0];
        while recv(&other, &mut byte, RecvFlags::empty())?.0 > 0 {
            send(&other, &byte, SendFlags::empty())?;
        }
        Ok(())
    });
    let samples = trips_through(&own, trips)?;
    drop(own);
    echoing.join().ok().context("the echo has panicked")??;
    Ok(samples)
}

/// The same to a Python process that does nothing else.
pub(super) fn wake_ups_of_python(trips: usize) -> Result<Vec<f64>> {
    let (own, other) = sockets()?;
    let echo = "import os\nwhile byte := os.read(0, 1):\n    os.write(0, byte)";
    let mut echoing = Command::new(environment("dataflow").join("bin/python"))
        .args(["-c", echo])
        .stdin(Stdio::from(other))
        .spawn()?;
    // Python starts with the first one.
    trips_through(&own, 1)?;
    let samples = trips_through(&own, trips)?;
    drop(own);
    let status = echoing.wait()?;
    ensure!(status.success(), "the echo has failed ({status})");
    Ok(samples)
}

fn sockets() -> Result<(OwnedFd, OwnedFd)> {
    let (domain, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    Ok(socketpair(domain, kind, SocketFlags::CLOEXEC, None)?)
}

/// A byte there and back, each after a pause.
fn trips_through(own: &OwnedFd, trips: usize) -> Result<Vec<f64>> {
    let trip = |_| {
        thread::sleep(PAUSE);
        let begun = Instant::now();
        send(own, &[1], SendFlags::empty())?;
        recv(own, &mut [0], RecvFlags::empty())?;
        Ok(microseconds(begun.elapsed()))
    };
    (0..trips).map(trip).collect()
}
