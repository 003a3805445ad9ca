//! What the two ends may rely on: messages survive any cutting of the stream, and bad bytes end it by name.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::Cursor;

use forebay_protocol::node::v1::{
    Down, Hello, Report, Signal, Up, Value, Welcome, down, up, value,
};
use forebay_protocol::{
    Decoder, FRAME_BYTES_MAX, FrameError, PROTOCOL_VERSION, ReadError, encode, read_frame,
};
use proptest::prelude::*;

fn up(message: up::Message) -> Up {
    Up {
        message: Some(message),
    }
}

fn samples() -> Vec<Up> {
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        pid: 7,
        python_version: "3.11.7".into(),
        ..Hello::default()
    };
    let loss = Value {
        kind: Some(value::Kind::Number(0.5)),
    };
    let report = Report {
        step: Some(3),
        values: [("loss".to_owned(), loss)].into(),
        time_ms: 1,
    };
    let signal = Signal {
        name: "best".into(),
        payload: "x".repeat(70_000),
    };
    vec![
        up(up::Message::Hello(hello)),
        up(up::Message::Report(report)),
        Up::default(),
        up(up::Message::Signal(signal)),
    ]
}

fn pull_all(decoder: &mut Decoder) -> Vec<Up> {
    std::iter::from_fn(|| decoder.pull().unwrap()).collect()
}

#[test]
fn a_conversation_survives_pieces_of_any_size() {
    let stream: Vec<u8> = samples().iter().flat_map(encode).collect();
    for piece in [1, 2, 3, 5, 4096, stream.len()] {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for bytes in stream.chunks(piece) {
            decoder.push(bytes);
            seen.extend(pull_all(&mut decoder));
        }
        assert_eq!(seen, samples(), "pieces of {piece} bytes");
        assert_eq!(decoder.pending_bytes(), 0);
    }
}

#[test]
fn the_header_is_little_endian_and_counts_the_message_alone() {
    let message = Down {
        message: Some(down::Message::Welcome(Welcome {
            job: "digits".into(),
            ..Welcome::default()
        })),
    };
    let frame = encode(&message);
    let length = u32::from_le_bytes(frame[..4].try_into().unwrap());
    assert_eq!(usize::try_from(length).unwrap() + 4, frame.len());
}

#[test]
fn an_announced_giant_is_refused_before_it_arrives() {
    let mut decoder = Decoder::default();
    decoder.push(&u32::MAX.to_le_bytes());
    let refused = FrameError::TooLong {
        bytes: 4_294_967_295,
    };
    assert_eq!(decoder.pull::<Up>(), Err(refused.clone()));
    decoder.push(&encode(&Up::default()));
    assert_eq!(
        decoder.pull::<Up>(),
        Err(refused),
        "nothing is read past an error"
    );
}

#[test]
fn the_longest_allowed_frame_waits_for_its_bytes() {
    let mut decoder = Decoder::default();
    decoder.push(&u32::try_from(FRAME_BYTES_MAX).unwrap().to_le_bytes());
    assert_eq!(decoder.pull::<Up>(), Ok(None));
    assert_eq!(decoder.pending_bytes(), 4);
}

#[test]
fn bytes_that_are_no_message_are_named() {
    let mut decoder = Decoder::default();
    decoder.push(&[2, 0, 0, 0, 0x0a, 0xff]);
    let error = decoder.pull::<Up>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a frame of 2 bytes is not a valid message"
    );
}

#[test]
fn a_message_from_a_later_version_is_an_empty_one() {
    let mut decoder = Decoder::default();
    // Field 99, length-delimited, empty.
    decoder.push(&[3, 0, 0, 0, 0x9a, 0x06, 0x00]);
    assert_eq!(decoder.pull::<Up>(), Ok(Some(Up::default())));
}

#[test]
fn a_hang_up_is_an_end_between_frames_and_an_error_inside_one() {
    let frame = encode(&samples()[0]);
    let mut decoder = Decoder::default();
    let mut whole = Cursor::new(frame.clone());
    assert_eq!(
        read_frame::<Up>(&mut whole, &mut decoder).unwrap(),
        Some(samples()[0].clone())
    );
    assert_eq!(read_frame::<Up>(&mut whole, &mut decoder).unwrap(), None);

    let mut cut = Cursor::new(&frame[..6]);
    let error = read_frame::<Up>(&mut cut, &mut Decoder::default()).unwrap_err();
    assert!(
        matches!(error, ReadError::Truncated { bytes: 6 }),
        "{error}"
    );
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..16)) {
        let mut decoder = Decoder::default();
        let mut arrived = 0;
        for piece in &pieces {
            decoder.push(piece);
            arrived += piece.len();
            while let Ok(Some(_)) = decoder.pull::<Up>() {}
            prop_assert!(decoder.pending_bytes() <= arrived);
        }
    }

    #[test]
    fn foreign_bytes_in_a_true_frame_never_panic(body in proptest::collection::vec(any::<u8>(), 0..512)) {
        let mut decoder = Decoder::default();
        decoder.push(&u32::try_from(body.len()).unwrap().to_le_bytes());
        decoder.push(&body);
        let _ = decoder.pull::<Down>();
    }
}
