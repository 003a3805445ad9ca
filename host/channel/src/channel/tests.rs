//! Both ends in one process, as two would have them.

use std::thread;
use std::time::Duration;

use super::*;
use crate::link::Waited;
use crate::{Header, Kind, Outcome, Room};

const SETTING: Setting = Setting {
    input_bytes: RING_BYTES_MIN,
    output_bytes: RING_BYTES_MIN,
    retention: Retention::Read,
};
const WATCHDOG: Option<Duration> = Some(Duration::from_secs(20));

fn both(setting: Setting) -> (HostEnd, NodeEnd) {
    let (host, descriptors) = Channel::new(setting).unwrap().begin(1).unwrap();
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
        if writer.sleeps_for(8).unwrap() == Room::WaitsForPeer {
            assert_eq!(link.wait(WATCHDOG).unwrap(), Waited::Rung);
            writer.wakes();
        }
    }
}

fn value(body: &[u8]) -> u64 {
    u64::from_le_bytes(body.try_into().unwrap())
}

/// What comes from the node.
fn answer(host: &mut HostEnd) -> u64 {
    loop {
        if let Some(record) = host.output.take().unwrap() {
            return value(&record.copied());
        }
        if host.output.sleeps().unwrap() {
            assert_eq!(host.link.wait(WATCHDOG).unwrap(), Waited::Rung);
            host.output.wakes();
        }
    }
}

/// What comes to the node.
fn take(node: &mut NodeEnd) -> u64 {
    match node.wait_for_record(WATCHDOG).unwrap() {
        Outcome::Came(record) => value(record.body()),
        other => panic!("{other:?}"),
    }
}

fn end(writer: &mut Writer) {
    let tally = writer.tally().encode();
    let mut slot = writer.reserve(tally.len()).unwrap().unwrap();
    slot.body().copy_from_slice(&tally);
    slot.commit(Header::new(Kind::End), tally.len());
}

#[test]
fn rows_go_there_and_back_however_small_the_rings_are() {
    let (mut host, mut node) = both(SETTING);
    let rows = 20_000;
    let echo = thread::spawn(move || {
        for _ in 0..rows {
            let double = take(&mut node) * 2;
            let Outcome::Came(mut slot) = node.wait_for_room(8, WATCHDOG).unwrap() else {
                panic!("there was no room")
            };
            slot.body().copy_from_slice(&double.to_le_bytes());
            slot.commit(Header::new(Kind::Data), 8);
        }
    });
    let (mut fed, mut answered) = (0, 0);
    while answered < rows {
        if fed < rows && host.input.reserve(8).unwrap().is_some() {
            put(&mut host.input, &host.link, fed);
            fed += 1;
        } else {
            assert_eq!(answer(&mut host), answered * 2);
            answered += 1;
        }
    }
    echo.join().unwrap();
}

const EMITTED: Setting = Setting {
    retention: Retention::Emitted,
    ..SETTING
};

#[test]
fn the_next_attempt_finds_what_was_not_answered() {
    let (mut host, mut node) = both(EMITTED);
    let mut slot = host.input.reserve(3).unwrap().unwrap();
    slot.body().copy_from_slice(b"abc");
    let header = Header {
        schema: 7,
        ..Header::new(Kind::Schema)
    };
    slot.commit(header, 3);
    for row in 0..5 {
        put(&mut host.input, &host.link, row);
    }
    end(&mut host.input);
    assert_eq!(node.schema, None);
    assert_eq!(node.input.take().unwrap().unwrap().body(), b"abc");
    assert_eq!([(); 3].map(|()| take(&mut node)), [0, 1, 2]);
    host.input.answered(1).unwrap();
    host.input.answered(2).unwrap();
    drop(node);
    assert!(matches!(host.link.wait(None), Err(Error::PeerGone)));
    let (mut host, descriptors) = host.retire().begin(2).unwrap();
    // Before the node is there.
    assert_eq!(host.input.sleeps_for(8).unwrap(), Room::IsThere);
    let mut node = NodeEnd::open(descriptors).unwrap();
    assert_eq!(node.schema, Some((7, b"abc".to_vec())));
    assert_eq!([(); 3].map(|()| take(&mut node)), [2, 3, 4]);
    let end = node.input.take().unwrap().unwrap();
    assert_eq!((end.header().kind, end.header().attempt), (Kind::End, 2));
    assert_eq!(host.input.tally(), node.input.tally());
}

#[test]
fn a_full_ring_waits_for_the_next_attempt() {
    let (mut host, mut node) = both(EMITTED);
    let mut rows = 0;
    while host.input.reserve(8).unwrap().is_some() {
        put(&mut host.input, &host.link, rows);
        rows += 1;
    }
    assert_eq!(take(&mut node), 0);
    host.input.answered(0).unwrap();
    put(&mut host.input, &host.link, rows);
    drop(node);
    let (mut host, descriptors) = host.retire().begin(2).unwrap();
    assert!(host.input.reserve(8).unwrap().is_none());
    assert_eq!(host.input.sleeps_for(8).unwrap(), Room::WaitsForPeer);
    let mut node = NodeEnd::open(descriptors).unwrap();
    let again: Vec<u64> = (0..rows).map(|_| take(&mut node)).collect();
    assert!(again.into_iter().eq(1..=rows));
}

#[test]
fn the_next_attempt_of_training_begins_with_what_comes_then() {
    let (mut host, node) = both(SETTING);
    put(&mut host.input, &host.link, 1);
    drop(node);
    let (mut host, descriptors) = host.retire().begin(2).unwrap();
    let mut node = NodeEnd::open(descriptors).unwrap();
    assert!(node.input.take().unwrap().is_none());
    put(&mut host.input, &host.link, 2);
    assert_eq!(take(&mut node), 2);
}

#[test]
fn records_of_an_earlier_attempt_release_nothing_of_the_next_one() {
    let (mut host, mut node) = both(SETTING);
    for row in 0..3 {
        put(&mut node.output, &node.link, row);
    }
    let held: Vec<_> = std::iter::from_fn(|| host.output.take().unwrap()).collect();
    drop(node);
    let (mut host, descriptors) = host.retire().begin(2).unwrap();
    let mut node = NodeEnd::open(descriptors).unwrap();
    drop(held);
    put(&mut node.output, &node.link, 9);
    assert_eq!(answer(&mut host), 9);
}

#[test]
fn who_drops_an_end_hangs_up_although_a_record_lives() {
    let (mut host, mut node) = both(SETTING);
    put(&mut host.input, &host.link, 1);
    let record = node.input.take().unwrap().unwrap();
    drop(node);
    assert!(matches!(host.link.wait(WATCHDOG), Err(Error::PeerGone)));
    assert_eq!(value(record.body()), 1);
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
        let error = Channel::new(setting).unwrap_err();
        assert!(matches!(error, Error::Capacity { .. }), "{error}");
    }
}

#[test]
fn what_is_no_channel_is_not_opened() {
    let channel = Channel::new(Setting {
        output_bytes: 2 * RING_BYTES_MIN,
        ..SETTING
    });
    let (_host, descriptors) = channel.unwrap().begin(1).unwrap();
    // Both pages, both rings, a ring and a page.
    for (one, other) in [(2, 3), (0, 1), (1, 3)] {
        let copies = descriptors.0.each_ref().map(|one| one.try_clone().unwrap());
        let mut shuffled = Descriptors(copies);
        shuffled.0.swap(one, other);
        let error = NodeEnd::open(shuffled).unwrap_err();
        assert!(matches!(error, Error::Fault(Fault::Geometry(_))), "{error}");
    }
    assert!(NodeEnd::open(descriptors).is_ok());
}

#[test]
fn a_node_knows_what_it_answers_with_in_every_attempt() {
    let results = b"a schema";
    let mut channel = Channel::new(EMITTED).unwrap().with_results(results);
    for attempt in 1..=2 {
        let (mut host, descriptors) = channel.begin(attempt).unwrap();
        put(&mut host.input, &host.link, 1);
        let node = NodeEnd::open(descriptors).unwrap();
        assert_eq!(node.results.as_deref(), Some(&results[..]));
        channel = host.retire();
    }
    let (_host, descriptors) = Channel::new(SETTING).unwrap().begin(1).unwrap();
    assert_eq!(NodeEnd::open(descriptors).unwrap().results, None);
}

#[test]
fn a_gauge_shows_what_is_read_held_and_over() {
    let (mut host, descriptors) = Channel::new(SETTING).unwrap().begin(1).unwrap();
    let gauge = host.gauge();
    let mut node = NodeEnd::open(descriptors).unwrap();
    put(&mut host.input, &host.link, 1);
    put(&mut host.input, &host.link, 2);
    let record = node.input.take().unwrap();
    let reading = gauge.read();
    assert_eq!(
        (reading.occupied, reading.held, reading.read),
        (256, 128, 128)
    );
    drop(record);
    drop(node.input.take().unwrap());
    let said = node.output.tally().encode();
    let mut slot = node.output.reserve(said.len()).unwrap().unwrap();
    slot.body().copy_from_slice(&said);
    assert!(!gauge.read().node_has_ended);
    slot.commit(Header::new(Kind::End), said.len());
    let reading = gauge.read();
    assert_eq!((reading.occupied, reading.held), (0, 0));
    assert!(reading.node_has_ended && reading.emitted == 128);
    assert_eq!(reading.unheard, 128);
    host.output.take().unwrap();
    assert_eq!(gauge.read().unheard, 0);
}

#[test]
fn a_geometry_comes_back_as_it_was_or_not_at_all() {
    let geometry = Geometry {
        setting: EMITTED,
        attempt: 3,
        start: Start {
            position: 1 << 40,
            sequence: 5,
            schema: Some((9, vec![1, 2, 3])),
        },
        results: Some([4, 5].into()),
    };
    let encoded = geometry.encode();
    let (decoded, bodies) = Geometry::decode(&encoded).unwrap();
    assert_eq!((decoded.attempt, decoded.start.position), (3, 1 << 40));
    assert_eq!((bodies.schema, bodies.results), (Some((9, 3)), Some(2)));
    let with = |at: usize, value: u8| {
        let mut encoded = encoded;
        encoded[at] = value;
        Geometry::decode(&encoded)
    };
    for (at, value) in [
        (0, 0),
        (7, 2),
        (8, 1),
        (22, 9),
        (24, 1),
        (31, 0x80),
        (39, 0x80),
        (44, 2),
    ] {
        assert!(with(at, value).is_err(), "byte {at}");
    }
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
