//! How far a dataflow is, as its agent is told.

use std::time::Duration;

use forebay_cluster::wire::cluster::{FeedProgress, OperatorPart, OperatorProgress};
use forebay_cluster::wire::to_wire;
use forebay_dataflow::{Part, Progress, Watermark};
use forebay_plugin::NodeId;
use forebay_runtime::FeedReading;

pub(super) fn feed(reading: FeedReading) -> FeedProgress {
    let channel = &reading.channel;
    FeedProgress {
        rows: reading.rows,
        bytes: reading.bytes,
        answered: reading.answered,
        pass: reading.pass,
        ring_bytes: channel.input_bytes,
        occupied_bytes: channel.occupied,
        held_bytes: channel.held,
        dataflow_waited_us: microseconds(channel.host_waited),
        node_waited_us: microseconds(channel.node_waited),
        node_waited_for_room_us: microseconds(channel.node_waited_for_room),
        ended: reading.ended,
        node: Some(to_wire(&NodeId::new(reading.role, reading.index))),
    }
}

pub(super) fn operator(progress: &Progress) -> OperatorProgress {
    let watermark_us = match progress.watermark {
        Watermark::START | Watermark::ALL | Watermark::Idle => None,
        Watermark::At(at) => Some(at),
    };
    OperatorProgress {
        operator: progress.operator.to_string(),
        part: match progress.part {
            Part::Source => OperatorPart::Source,
            Part::Transform => OperatorPart::Transform,
            Part::Sink => OperatorPart::Sink,
            Part::Role => OperatorPart::Role,
        }
        .into(),
        tasks: small(progress.tasks),
        ended: small(progress.ended),
        rows_in: progress.rows_in,
        rows_out: progress.rows_out,
        late: progress.late,
        malformed: progress.malformed,
        dropped: progress.dropped,
        watermark_us,
        idle: progress.watermark == Watermark::Idle,
        queued_rows: progress.queued_rows as u64,
        queued_bytes: progress.queued_bytes as u64,
        busy_us: microseconds(progress.busy),
        idle_us: microseconds(progress.idle),
        back_pressured_us: microseconds(progress.back_pressured),
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
