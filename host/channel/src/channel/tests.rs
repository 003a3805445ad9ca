//! Both ends in one process, as two would have them.

use std::thread;
use std::time::Duration;

use super::*;
use crate::link::Waited;
use crate::{Header, Kind, Outcome, Record};

const SETTING: Setting = Setting {
    input_bytes: RING_BYTES_MIN,
    output_bytes: RING_BYTES_MIN,
    retention: Retention::Read,
    attempt: 1,
};
const WATCHDOG: Option<Duration> = Some(Duration::from_secs(20));

fn both(setting: Setting) -> (HostEnd, NodeEnd) {
    let (host, descriptors) = HostEnd::new(setting).unwrap();
    (host, NodeEnd::open(descriptors).unwrap())
}

fn put(writer: &mut Writer, link: &Link, value: u64) {
    loop {
        if let Some(mut slot) = writer.reserve(8).unwrap() {
            slot.body().copy_from_slice(&value.to_le_bytes());
            let header = Header {
                rows: 1,
                ..Header::new(Kind::Data)
            };
            slot.commit(header, 8);
            return;
        }
        if writer.sleeps_for(8).unwrap() {
            assert_eq!(link.wait(WATCHDOG).unwrap(), Waited::Rung);
            writer.wakes();
        }
    }
}

fn value(record: &Record) -> u64 {
    u64::from_le_bytes(record.body().try_into().unwrap())
}

fn take(reader: &mut Reader, link: &Link) -> u64 {
    loop {
        if let Some(record) = reader.take().unwrap() {
            return value(&record);
        }
        if reader.sleeps().unwrap() {
            assert_eq!(link.wait(WATCHDOG).unwrap(), Waited::Rung);
            reader.wakes();
        }
    }
}

#[test]
fn rows_go_there_and_back_however_small_the_rings_are() {
    let (mut host, mut node) = both(SETTING);
    let rows = 20_000;
    let echo = thread::spawn(move || {
        for _ in 0..rows {
            let Outcome::Came(record) = node.wait_for_record(WATCHDOG).unwrap() else {
                panic!("no record came")
            };
            let double = value(&record) * 2;
            let Outcome::Came(mut slot) = node.wait_for_room(8, WATCHDOG).unwrap() else {
                panic!("there was no room")
            };
            slot.body().copy_from_slice(&double.to_le_bytes());
            slot.commit(Header::new(Kind::Data), 8);
        }
    });
    let (link, mut input) = (host.link.clone(), host.input);
    // Two that sleep on one socket would take each other's bytes: this one does not sleep.
    let feeding = thread::spawn(move || {
        for row in 0..rows {
            while input.reserve(8).unwrap().is_none() {
                thread::yield_now();
            }
            put(&mut input, &link, row);
        }
    });
    for row in 0..rows {
        assert_eq!(take(&mut host.output, &host.link), row * 2);
    }
    feeding.join().unwrap();
    echo.join().unwrap();
}

#[test]
fn the_next_attempt_finds_what_was_not_answered() {
    let setting = Setting {
        retention: Retention::Emitted,
        ..SETTING
    };
    let (mut host, mut node) = both(setting);
    let mut ends = Vec::new();
    for row in 0..5 {
        put(&mut host.input, &host.link, row);
        ends.push(host.input.position());
    }
    assert_eq!(take(&mut node.input, &node.link), 0);
    assert_eq!(take(&mut node.input, &node.link), 1);
    assert_eq!(take(&mut node.input, &node.link), 2);
    host.input.retain_from(ends[1]);
    drop(node);
    assert!(matches!(host.link.wait(None), Err(Error::PeerGone)));
    let (mut host, descriptors) = host.renew(2).unwrap();
    let mut node = NodeEnd::open(descriptors).unwrap();
    put(&mut host.input, &host.link, 5);
    let again: Vec<u64> = (2..6).map(|_| take(&mut node.input, &node.link)).collect();
    assert_eq!(again, [2, 3, 4, 5]);
    assert_eq!(host.input.tally(), node.input.tally());
}

#[test]
fn the_next_attempt_of_training_begins_with_what_comes_then() {
    let (mut host, node) = both(SETTING);
    put(&mut host.input, &host.link, 1);
    drop(node);
    let (mut host, descriptors) = host.renew(2).unwrap();
    let mut node = NodeEnd::open(descriptors).unwrap();
    assert!(node.input.take().unwrap().is_none());
    put(&mut host.input, &host.link, 2);
    assert_eq!(take(&mut node.input, &node.link), 2);
}

#[test]
fn records_of_an_earlier_attempt_release_nothing_of_the_next_one() {
    let (mut host, mut node) = both(SETTING);
    for row in 0..3 {
        put(&mut node.output, &node.link, row);
    }
    let held: Vec<Record> = std::iter::from_fn(|| host.output.take().unwrap()).collect();
    drop(node);
    let (mut host, descriptors) = host.renew(2).unwrap();
    let mut node = NodeEnd::open(descriptors).unwrap();
    drop(held);
    put(&mut node.output, &node.link, 9);
    assert_eq!(take(&mut host.output, &host.link), 9);
}

#[test]
fn rings_have_sizes() {
    for bytes in [
        0,
        RING_BYTES_MIN - 4096,
        RING_BYTES_MIN + 1,
        RING_BYTES_MAX + 4096,
    ] {
        let setting = Setting {
            output_bytes: bytes,
            ..SETTING
        };
        let error = HostEnd::new(setting).unwrap_err();
        assert!(matches!(error, Error::Capacity { .. }), "{error}");
    }
}

#[test]
fn what_is_no_channel_is_not_opened() {
    let (_host, descriptors) = HostEnd::new(SETTING).unwrap();
    let Descriptors([input, output, host_page, node_page, socket]) = descriptors;
    let shuffled = Descriptors([output, input, node_page, host_page, socket]);
    let error = NodeEnd::open(shuffled).unwrap_err();
    assert!(matches!(error, Error::Fault(Fault::Geometry(_))), "{error}");
}

#[test]
fn what_was_written_before_the_host_went_is_read() {
    let (mut host, mut node) = both(SETTING);
    put(&mut host.input, &host.link, 1);
    let moment = Some(Duration::from_millis(1));
    drop(host);
    assert!(matches!(node.wait_for_record(None), Ok(Outcome::Came(_))));
    assert!(matches!(node.wait_for_record(moment), Err(Error::PeerGone)));
}

#[test]
fn nothing_comes_for_a_while() {
    let (host, mut node) = both(SETTING);
    let moment = Some(Duration::from_millis(2));
    assert!(matches!(
        node.wait_for_record(moment),
        Ok(Outcome::TimedOut)
    ));
    assert!(host.input.peer_waited() >= Duration::from_millis(1));
    while node.output.reserve(4000).unwrap().is_some() {
        put(&mut node.output, &node.link, 0);
    }
    assert!(matches!(
        node.wait_for_room(4000, moment),
        Ok(Outcome::TimedOut)
    ));
    assert!(host.output.peer_waited() >= Duration::from_millis(1));
}
