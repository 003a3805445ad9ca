//! A node's life as the manager sees it.

use std::time::Duration;

use forebay_cluster::wire::cluster::manager_message::Message;
use forebay_cluster::wire::cluster::outbox_entry::Event;
use forebay_cluster::wire::cluster::{
    self, KnownCause, NodeLimits, Readiness, Release, StallKind, Start, attempt_ended, readiness,
};

use crate::harness::tests;
use crate::world::{Talk, World, code, node_id, shell, signal};

tests![
    a_node_starts_becomes_ready_and_ends,
    a_node_that_kills_itself_ends_by_a_signal,
    an_orderly_stop_asks_first,
    a_stubborn_node_is_killed_after_its_grace,
    without_grace_a_node_is_killed_at_once,
    a_node_listens_before_it_is_ready,
    a_node_that_does_not_become_ready_stalls_and_is_killed,
    one_node_never_has_two_live_attempts,
    a_node_without_a_place_does_not_start,
    a_taken_port_is_named,
    a_released_port_is_kept_until_the_process_is_gone,
];

async fn a_node_starts_becomes_ready_and_ends() {
    let mut world = World::new().await;
    let script = "echo $FOREBAY_JOB $FOREBAY_ROLE $FOREBAY_INDEX $FOREBAY_ATTEMPT; pwd; exit 3";
    let pid = world.talk.run(shell(script)).await;
    world.talk.ready().await;
    let ended = world.talk.ended().await;
    assert_eq!(
        (
            code(&ended),
            ended.was_ready,
            ended.stop_was_asked,
            ended.attempt
        ),
        (Some(3), true, false, 1)
    );
    let folder = world.node_folder("worker:0").canonicalize().unwrap();
    assert_eq!(
        ended.last_lines,
        ["digits worker 0 1".to_owned(), folder.display().to_string()]
    );
    assert_eq!(world.talk.whole_log().await.len() as u64, ended.log_bytes);
    assert!(pid > 0 && crate::world::is_gone(pid));
}

async fn a_node_that_kills_itself_ends_by_a_signal() {
    let mut world = World::new().await;
    world.talk.run(shell("kill -KILL $$")).await;
    let ended = world.talk.ended().await;
    assert_eq!(
        (signal(&ended), ended.cause),
        (Some(9), KnownCause::None.into())
    );
}

async fn an_orderly_stop_asks_first() {
    let mut world = World::new().await;
    world
        .talk
        .run(shell(
            "trap 'echo asked; exit 7' TERM; echo up; while :; do sleep 0.05; done",
        ))
        .await;
    world.talk.line("up").await;
    world.talk.stop("worker:0", 1, Duration::from_mins(1)).await;
    let ended = world.talk.ended().await;
    assert_eq!((code(&ended), ended.stop_was_asked), (Some(7), true));
    assert_eq!(ended.last_lines.last().unwrap(), "asked");
}

async fn a_stubborn_node_is_killed_after_its_grace() {
    let mut world = World::new().await;
    world
        .talk
        .run(shell("trap '' TERM; echo up; while :; do sleep 0.05; done"))
        .await;
    world.talk.line("up").await;
    world
        .talk
        .stop("worker:0", 1, Duration::from_millis(300))
        .await;
    let ended = world.talk.ended().await;
    assert_eq!((signal(&ended), ended.stop_was_asked), (Some(9), true));
}

async fn without_grace_a_node_is_killed_at_once() {
    let mut world = World::new().await;
    world
        .talk
        .run(shell(
            "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done",
        ))
        .await;
    world.talk.line("up").await;
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    let ended = world.talk.ended().await;
    assert_eq!(signal(&ended), Some(9));
    assert!(!ended.last_lines.contains(&"asked".to_owned()));
}

/// `worker:0` that serves HTTP on its port, ready when it listens there.
fn server(port: u16) -> Start {
    let readiness = Some(Readiness {
        kind: Some(readiness::Kind::Listening("http".to_owned())),
    });
    Start {
        readiness,
        ..shell(&format!("exec python3 -m http.server {port}"))
    }
}

async fn a_node_listens_before_it_is_ready() {
    let mut world = World::new().await;
    let ports = world.talk.place("worker:0", &["http"]).await;
    world.talk.start(server(ports[0])).await;
    world.talk.ready().await;
    std::net::TcpStream::connect(("127.0.0.1", ports[0])).unwrap();
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    assert!(world.talk.ended().await.was_ready);
}

async fn a_node_that_does_not_become_ready_stalls_and_is_killed() {
    let mut world = World::new().await;
    let readiness = Some(Readiness {
        kind: Some(readiness::Kind::Attached(cluster::Attached {})),
    });
    let limits = Some(NodeLimits {
        start_within_ms: 100,
        stall_kill_ms: 100,
        ..NodeLimits::default()
    });
    world
        .talk
        .run(Start {
            readiness,
            limits,
            ..shell("sleep 1000")
        })
        .await;
    let stall = |event: &Event| match event {
        Event::Stalled(stalled) => Some(stalled.kind()),
        _ => None,
    };
    assert_eq!(world.talk.event(stall).await, StallKind::NotReady);
    let ended = world.talk.ended().await;
    assert_eq!(
        (signal(&ended), ended.cause()),
        (Some(15), KnownCause::StartTimeout)
    );
    assert!(!ended.was_ready && !ended.stop_was_asked);
}

async fn one_node_never_has_two_live_attempts() {
    let mut world = World::new().await;
    world.talk.run(shell("sleep 1000")).await;
    world
        .talk
        .start(Start {
            attempt: 2,
            ..shell("sleep 1000")
        })
        .await;
    let refused = world.talk.ended().await;
    assert_eq!(
        (refused.attempt, not_started(&refused).code.as_str()),
        (2, "spawn-failed")
    );
    assert_eq!(
        not_started(&refused).message,
        "attempt 1 of the node still lives"
    );
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    assert_eq!(world.talk.ended().await.attempt, 1);
}

async fn a_node_without_a_place_does_not_start() {
    let mut world = World::new().await;
    world.talk.start(shell("exit")).await;
    let refused = world.talk.ended().await;
    assert_eq!(
        not_started(&refused).message,
        "the node holds no place on this machine"
    );
}

async fn a_taken_port_is_named() {
    let mut world = World::new().await;
    let ports = world.talk.place("worker:0", &["http"]).await;
    let _stranger = std::net::TcpListener::bind(("0.0.0.0", ports[0])).unwrap();
    world.talk.start(shell("exit")).await;
    let refused = world.talk.ended().await;
    assert_eq!(not_started(&refused).code, "port-taken");
    assert_eq!(
        not_started(&refused).message,
        format!("another program listens on port {} (`http`)", ports[0])
    );
}

async fn a_released_port_is_kept_until_the_process_is_gone() {
    let mut world = World::new().await;
    let ports = world.talk.place("worker:0", &["http"]).await;
    world.talk.start(shell("sleep 1000")).await;
    world.talk.started().await;
    let release = Release {
        action: Some(Talk::action()),
        nodes: vec![node_id("worker:0")],
    };
    world.talk.say(Message::Release(release)).await;
    // Whoever is placed now comes after the release.
    world.talk.place("worker:1", &[]).await;
    assert!(lease(ports[0]).is_err());
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    world.talk.ended().await;
    assert!(lease(ports[0]).is_ok());
}

fn lease(port: u16) -> std::io::Result<std::os::unix::net::UnixDatagram> {
    use std::os::linux::net::SocketAddrExt;
    let name = std::os::unix::net::SocketAddr::from_abstract_name(format!("forebay/port/{port}"))?;
    std::os::unix::net::UnixDatagram::bind_addr(&name)
}

pub(crate) fn not_started(ended: &cluster::AttemptEnded) -> cluster::NotStarted {
    match &ended.ending {
        Some(attempt_ended::Ending::NotStarted(not_started)) => not_started.clone(),
        other => panic!("it ran: {other:?}"),
    }
}
