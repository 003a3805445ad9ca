//! Node control, spoken by a script that sends frames which the test has made.

use std::time::Duration;

use forebay_cluster::submission::HOST_VERSION;
use forebay_cluster::wire::cluster::manager_message::Message;
use forebay_cluster::wire::cluster::outbox_entry::Event;
use forebay_cluster::wire::cluster::{
    self, Acknowledge, ClusterSpec, LaunchFile, NodeLimits, Readiness, StallKind, Start, readiness,
};
use forebay_cluster::wire::node;
use forebay_cluster::wire::node::{
    Attached, Cluster, Done, Down, FinishJob, Hello, Report, ScriptError, Signal, Up, down, up,
    value,
};
use forebay_protocol::{Decoder, PROTOCOL_VERSION, encode};

use crate::harness::tests;
use crate::world::{Talk, World, code, parent_of, shell, signal, until_gone};

tests![
    a_node_attaches_reports_and_is_done,
    the_cluster_its_changes_and_the_stop_reach_the_node,
    a_package_of_another_version_is_refused,
    nonsense_closes_the_socket_and_nothing_else,
    a_node_that_is_done_and_stays_is_lingering,
    what_was_said_before_the_end_is_heard,
    a_node_that_says_more_than_the_outbox_holds_waits_and_nothing_is_lost,
];

/// Sends the file `frames`, then prints what comes as hexadecimal until the agent hangs up or SIGTERM is there.
const NODE: &str = "import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(4))
s = socket.socket(fileno=int(os.environ['FOREBAY_NODE_FD']))
s.sendall(open('frames', 'rb').read())
if sys.argv[1:] == ['leave']:
    os._exit(0)
while True:
    data = s.recv(65536)
    print('heard', data.hex(), flush=True)
    if not data:
        break
";

fn hello(package_version: &str) -> up::Message {
    up::Message::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        pid: 1,
        python_version: "3.11.2".to_owned(),
        package_version: package_version.to_owned(),
        executable: "/usr/bin/python3".to_owned(),
    })
}

fn frames(messages: Vec<up::Message>) -> Vec<u8> {
    messages
        .into_iter()
        .flat_map(|message| {
            encode(&Up {
                message: Some(message),
            })
        })
        .collect()
}

fn node(content: Vec<u8>, arguments: &str) -> Start {
    let file = |path: &str, content| LaunchFile {
        path: path.to_owned(),
        content,
    };
    let files = vec![file("frames", content), file("node.py", NODE.into())];
    let readiness = Some(Readiness {
        kind: Some(readiness::Kind::Attached(cluster::Attached {})),
    });
    let parameters = [("rate".to_owned(), "0.1".to_owned())].into();
    Start {
        files,
        readiness,
        parameters,
        ..shell(&format!("exec python3 node.py {arguments}"))
    }
}

/// Everything that the node has heard so far.
fn heard(log: &[u8]) -> Vec<down::Message> {
    let text = String::from_utf8_lossy(log).into_owned();
    let complete = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut decoder = Decoder::default();
    for line in complete
        .lines()
        .filter_map(|line| line.strip_prefix("heard "))
    {
        decoder.push(&hex::decode(line).unwrap());
    }
    std::iter::from_fn(|| decoder.pull::<Down>().unwrap())
        .filter_map(|down| down.message)
        .collect()
}

async fn a_node_attaches_reports_and_is_done() {
    let mut world = World::new().await;
    let values = [(
        "loss".to_owned(),
        node::Value {
            kind: Some(value::Kind::Number(0.5)),
        },
    )]
    .into();
    let said = vec![
        hello(HOST_VERSION),
        up::Message::Attached(Attached {}),
        up::Message::Report(Report {
            step: Some(3),
            values,
            time_ms: 1,
        }),
        up::Message::Signal(Signal {
            name: "custom".to_owned(),
            payload: "x".to_owned(),
        }),
        up::Message::FinishJob(FinishJob {
            reason: "converged".to_owned(),
        }),
        up::Message::Done(Done {}),
    ];
    world.talk.run(node(frames(said), "")).await;
    world.talk.ready().await;
    world
        .talk
        .event(|event| matches!(event, Event::Done(_)).then_some(()))
        .await;
    world
        .talk
        .until(|talk| !talk.reports.is_empty() && !heard(&talk.log).is_empty())
        .await;
    assert_eq!(world.talk.reports[0].report.as_ref().unwrap().step, Some(3));
    let said =
        |wanted: fn(&Event) -> bool| world.talk.events.iter().any(|(_, event)| wanted(event));
    assert!(said(|event| matches!(event, Event::Hello(_))));
    assert!(said(
        |event| matches!(event, Event::Signal(signal) if signal.name == "custom" && signal.payload == "x")
    ));
    assert!(said(
        |event| matches!(event, Event::FinishJob(finish) if finish.reason == "converged")
    ));
    let down::Message::Welcome(welcome) = heard(&world.talk.log).remove(0) else {
        panic!("no welcome")
    };
    assert_eq!(
        (
            welcome.job.as_str(),
            welcome.run.as_str(),
            welcome.role.as_str()
        ),
        ("digits", "digits-1", "worker")
    );
    assert_eq!(
        (
            welcome.parameters["rate"].as_str(),
            welcome.refusal.as_str()
        ),
        ("0.1", "")
    );
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    let ended = world.talk.ended().await;
    assert!(ended.was_done && ended.was_ready);
}

async fn publish(talk: &Talk, generation: u64, revision: u64) {
    let cluster = Some(Cluster {
        generation,
        revision,
        ..Cluster::default()
    });
    talk.say(Message::Cluster(ClusterSpec { cluster })).await;
}

async fn the_cluster_its_changes_and_the_stop_reach_the_node() {
    let mut world = World::new().await;
    publish(&world.talk, 1, 0).await;
    world
        .talk
        .run(node(frames(vec![hello(HOST_VERSION)]), ""))
        .await;
    world.talk.until(|talk| heard(&talk.log).len() == 1).await;
    let down::Message::Welcome(welcome) = heard(&world.talk.log).remove(0) else {
        panic!("no welcome")
    };
    assert_eq!(
        welcome.cluster.unwrap().generation,
        1,
        "the agent was told it before the start"
    );
    for revision in 0..2 {
        publish(&world.talk, 1, revision).await;
    }
    world.talk.until(|talk| heard(&talk.log).len() == 2).await;
    let down::Message::ClusterChange(change) = heard(&world.talk.log).remove(1) else {
        panic!("no change")
    };
    assert_eq!(
        change.cluster.unwrap().revision,
        1,
        "what is known already is not told again"
    );
    world.talk.stop("worker:0", 1, Duration::from_mins(1)).await;
    assert_eq!(code(&world.talk.ended().await), Some(4));
}

async fn a_package_of_another_version_is_refused() {
    let mut world = World::new().await;
    let said = vec![hello("0.0.9"), up::Message::Attached(Attached {})];
    world.talk.run(node(frames(said), "")).await;
    world.talk.until(|talk| heard(&talk.log).len() == 1).await;
    let down::Message::Welcome(welcome) = heard(&world.talk.log).remove(0) else {
        panic!("no welcome")
    };
    assert_eq!(
        welcome.refusal,
        format!("the package `forebay` is of version 0.0.9, this host of {HOST_VERSION}")
    );
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    assert!(!world.talk.ended().await.was_ready);
}

async fn nonsense_closes_the_socket_and_nothing_else() {
    for nonsense in [vec![0xff; 100], frames(vec![up::Message::Done(Done {})])] {
        let mut world = World::new().await;
        world.talk.run(node(nonsense, "")).await;
        let ended = world.talk.ended().await;
        assert_eq!(
            (code(&ended), ended.was_done),
            (Some(0), false),
            "it heard the hang-up and went on"
        );
        assert_eq!(ended.last_lines, ["heard "]);
    }
}

async fn a_node_that_is_done_and_stays_is_lingering() {
    let mut world = World::new().await;
    let limits = Some(NodeLimits {
        linger_grace_ms: 50,
        ..NodeLimits::default()
    });
    let said = frames(vec![hello(HOST_VERSION), up::Message::Done(Done {})]);
    world
        .talk
        .run(Start {
            limits,
            ..node(said, "")
        })
        .await;
    let stall = |event: &Event| match event {
        Event::Stalled(stalled) => Some(stalled.kind()),
        _ => None,
    };
    assert_eq!(world.talk.event(stall).await, StallKind::Lingering);
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    let ended = world.talk.ended().await;
    assert_eq!((signal(&ended), ended.was_done), (Some(9), true));
}

async fn what_was_said_before_the_end_is_heard() {
    let mut world = World::new().await;
    let error = ScriptError {
        kind: "ValueError".to_owned(),
        message: "bad".to_owned(),
        traceback: "T".to_owned(),
    };
    let said = vec![
        hello(HOST_VERSION),
        up::Message::Exception(error.clone()),
        up::Message::Done(Done {}),
    ];
    world.talk.run(node(frames(said), "leave")).await;
    let ended = world.talk.ended().await;
    assert_eq!((ended.error, ended.was_done), (Some(error), true));
}

async fn a_node_that_says_more_than_the_outbox_holds_waits_and_nothing_is_lost() {
    const SIGNALS: usize = 14_000;
    let mut world = World::new().await;
    world.talk.acknowledges = false;
    let signal = || up::Message::Signal(Signal::default());
    let said: Vec<up::Message> = std::iter::once(hello(HOST_VERSION))
        .chain(std::iter::repeat_with(signal).take(SIGNALS))
        .chain([up::Message::Done(Done {})])
        .collect();
    let pid = world.talk.run(node(frames(said), "leave")).await;
    let parent = parent_of(pid);
    // The outbox is full, the node is gone, and the rest of what it said is in its socket.
    world.talk.until(|talk| talk.events.len() == 10_000).await;
    until_gone(parent).await;
    world.talk.acknowledges = true;
    let outbox_number = 10_000;
    let acknowledge = Acknowledge { outbox_number };
    world.talk.say(Message::Acknowledge(acknowledge)).await;
    assert!(world.talk.ended().await.was_done);
    let is_signal = |(_, event): &&(u64, Event)| matches!(event, Event::Signal(_));
    let heard = world.talk.events.iter().filter(is_signal).count();
    assert_eq!(heard, SIGNALS);
}
