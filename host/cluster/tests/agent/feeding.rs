//! Nodes with input: what they inherit, what is told of them, and who stands still.

use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use forebay_cluster::agent::{FedAttempt, FeedState};
use forebay_cluster::wire::cluster::outbox_entry::Event;
use forebay_cluster::wire::cluster::{NodeLimits, StallKind, Start, attempt_ended};

use crate::executor::{Call, world};
use crate::harness::tests;
use crate::world::{Talk, code, kill, shell};

tests![
    a_fed_node_inherits_its_channel_and_only_that_one,
    a_node_without_input_inherits_nothing,
    nobody_else_holds_the_channel_of_a_node,
    the_end_of_a_fed_node_says_whether_input_is_left,
    a_node_that_cannot_be_fed_does_not_start,
    an_agent_without_a_dataflow_feeds_nobody,
    who_stays_after_all_its_input_lingers,
];

/// `worker:0`, its first attempt, fed by the third attempt of the dataflow.
fn fed(script: &str) -> Start {
    Start {
        fed_by: Some(3),
        ..shell(script)
    }
}

fn worker() -> FedAttempt {
    FedAttempt {
        node: "worker:0".parse().unwrap(),
        attempt: 1,
        fed_by: 3,
    }
}

/// Four readers with a word each, and a writer, whose other end stays here.
fn channel() -> (Vec<OwnedFd>, PipeReader) {
    let with_word = |word: &str| {
        let (reader, mut writer) = pipe().unwrap();
        writeln!(writer, "{word}").unwrap();
        OwnedFd::from(reader)
    };
    let mut channel: Vec<_> = ["one", "two", "three", "four"].map(with_word).into();
    let (reader, writer) = pipe().unwrap();
    channel.push(writer.into());
    (channel, reader)
}

/// Everything that comes through, until nobody is left who could write.
async fn all_of(mut reader: PipeReader) -> String {
    let read = move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

async fn a_fed_node_inherits_its_channel_and_only_that_one() {
    let (mut world, executor, mut called) = world().await;
    let (channel, reader) = channel();
    *executor.channel.lock().unwrap() = Ok(channel);
    // The shell reads one line of each of the first four.
    let script = "IFS=,; set -- $FOREBAY_CHANNEL; echo $# numbers
        for number in $1 $2 $3 $4; do read line < /proc/self/fd/$number; echo $line; done
        echo hello > /proc/self/fd/$5";
    world.talk.run(fed(script)).await;
    let ended = world.talk.ended().await;
    assert_eq!(
        (code(&ended), ended.last_lines),
        (
            Some(0),
            ["5 numbers", "one", "two", "three", "four"]
                .map(str::to_owned)
                .to_vec()
        )
    );
    assert_eq!(all_of(reader).await, "hello\n");
    assert_eq!(called.recv().await, Some(Call::Feed(worker())));
    assert_eq!(called.recv().await, Some(Call::FeedEnded(worker())));
}

async fn a_node_without_input_inherits_nothing() {
    let (mut world, _executor, mut called) = world().await;
    world
        .talk
        .run(shell("echo ${FOREBAY_CHANNEL-nothing}"))
        .await;
    assert_eq!(world.talk.ended().await.last_lines, ["nothing"]);
    assert!(called.try_recv().is_err());
}

/// Neither the agent nor `node-exec`: whoever feeds a node sees its end by that.
async fn nobody_else_holds_the_channel_of_a_node() {
    let (mut world, executor, _called) = world().await;
    let (channel, reader) = channel();
    *executor.channel.lock().unwrap() = Ok(channel);
    let pid = world.talk.run(fed("exec sleep 1000")).await;
    let text = tokio::spawn(all_of(reader));
    // `node-exec` closes its own a moment later than it starts the node.
    world.talk.ready().await;
    assert!(!text.is_finished(), "the node holds it");
    kill(pid);
    assert_eq!(text.await.unwrap(), "");
    world.talk.ended().await;
}

async fn the_end_of_a_fed_node_says_whether_input_is_left() {
    for left in [false, true] {
        let (mut world, executor, _called) = world().await;
        executor.input_left.store(left, Ordering::Relaxed);
        world.talk.run(fed("exit 0")).await;
        let ended = world.talk.ended().await;
        assert_eq!((code(&ended), ended.input_left), (Some(0), left));
    }
}

/// The code and the message of a node that never ran.
async fn not_started(talk: &mut Talk) -> (String, String) {
    match talk.ended().await.ending {
        Some(attempt_ended::Ending::NotStarted(why)) => (why.code, why.message),
        other => panic!("{other:?}"),
    }
}

async fn a_node_that_cannot_be_fed_does_not_start() {
    let (mut world, executor, mut called) = world().await;
    *executor.channel.lock().unwrap() = Err("there is no memory for it".into());
    world.talk.place("worker:0", &[]).await;
    world.talk.start(fed("exit 0")).await;
    let (code, message) = not_started(&mut world.talk).await;
    assert_eq!(code, "feed-failed");
    assert_eq!(message, "it cannot be fed: there is no memory for it");
    assert_eq!(called.recv().await, Some(Call::Feed(worker())));
    assert_eq!(called.recv().await, Some(Call::FeedEnded(worker())));
}

async fn an_agent_without_a_dataflow_feeds_nobody() {
    let mut world = crate::world::World::new().await;
    world.talk.place("worker:0", &[]).await;
    world.talk.start(fed("exit 0")).await;
    let (code, message) = not_started(&mut world.talk).await;
    assert_eq!(code, "feed-failed");
    assert_eq!(message, "it cannot be fed: the agent runs no dataflow");
}

async fn who_stays_after_all_its_input_lingers() {
    let (mut world, executor, _called) = world().await;
    *executor.state.lock().unwrap() = FeedState {
        read_all: true,
        ..FeedState::default()
    };
    let limits = Some(NodeLimits {
        linger_grace_ms: 1,
        ..NodeLimits::default()
    });
    let start = Start {
        limits,
        ..fed("exec sleep 1000")
    };
    world.talk.run(start).await;
    let mut told = Vec::new();
    for _again in 0..3 {
        let stalled = world.talk.event(|event| match event {
            Event::Stalled(stalled) => Some(stalled.clone()),
            _ => None,
        });
        let stalled = stalled.await;
        assert_eq!(stalled.kind(), StallKind::Lingering);
        told.push(stalled.for_ms);
    }
    assert_eq!(
        told,
        [10, 20, 40],
        "ten times its grace, then twice as long"
    );
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    world.talk.ended().await;
}
