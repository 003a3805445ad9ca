//! Leased ports beside programs that know nothing of leases, and beside another job.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};

use forebay_cluster::agent::PortRange;
use forebay_cluster::wire::cluster::manager_message::Message;
use forebay_cluster::wire::cluster::program::Kind;
use forebay_cluster::wire::cluster::{AttemptEnded, CommandProgram, Release, Start, attempt_ended};

use crate::harness::tests;
use crate::world::{Talk, World, code, node_id, program};

tests![
    two_thousand_launches_do_not_notice_a_stranger_outside_the_range,
    a_stranger_inside_the_range_costs_nothing_but_another_port,
    two_jobs_at_once_never_share_a_port,
];

/// Few, so that a stranger meets a leased one soon.
const NARROW: RangeInclusive<u16> = 21_000..=21_063;
/// Beside the range of any agent here.
const OUTSIDE: RangeInclusive<u16> = 40_000..=40_063;
/// As many nodes as an agent of these tests has room for.
const NODES: u32 = 8;

/// Takes each port in turn and lets go of it again.
const STRANGER: &str = "
import socket, sys
print('begins', flush=True)
while True:
    for port in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
        with socket.socket() as taken:
            try:
                taken.bind(('', port))
                taken.listen()
            except OSError:
                pass
";

/// A process that runs [`STRANGER`].
struct Stranger(Child);

impl Stranger {
    fn on(ports: &RangeInclusive<u16>) -> Self {
        let ports = [ports.start(), ports.end()].map(ToString::to_string);
        let mut command = Command::new("python3");
        command.args(["-c", STRANGER]).args(ports);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert_eq!(output.lines().next().unwrap().unwrap(), "begins");
        Self(child)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn narrow() -> PortRange {
    PortRange::new(*NARROW.start(), *NARROW.end()).unwrap()
}

/// Not `worker:0`, whose log a talk wants in one piece.
fn names() -> impl Iterator<Item = String> {
    (1..=NODES).map(|index| format!("worker:{index}"))
}

/// Places every node with a port; which ports those are.
async fn place_all(talk: &mut Talk) -> Vec<u16> {
    let mut ports = Vec::new();
    for name in names() {
        ports.extend(talk.place(&name, &["http"]).await);
    }
    ports
}

async fn release_all(talk: &Talk) {
    let action = Some(Talk::action());
    let nodes = names().map(|name| node_id(&name)).collect();
    talk.say(Message::Release(Release { action, nodes })).await;
}

/// Places every node, runs this attempt of each to its end, and gives the places back.
async fn launch_all(talk: &mut Talk, attempt: u32) -> Vec<AttemptEnded> {
    place_all(talk).await;
    for name in names() {
        let words = vec!["true".to_owned()];
        let start = program(Kind::Command(CommandProgram { words }));
        let node = Some(node_id(&name));
        talk.start(Start {
            node,
            attempt,
            ..start
        })
        .await;
    }
    let mut ended = Vec::new();
    for _ in names() {
        ended.push(talk.ended().await);
    }
    release_all(talk).await;
    ended
}

async fn two_thousand_launches_do_not_notice_a_stranger_outside_the_range() {
    let mut world = World::with_ports(narrow()).await;
    let _stranger = Stranger::on(&OUTSIDE);
    for attempt in 1..=2_000 / NODES {
        for ended in launch_all(&mut world.talk, attempt).await {
            assert_eq!(code(&ended), Some(0), "{ended:?}");
        }
    }
}

/// `retry-elsewhere` is what every node runner makes of this code, and it uses up no restart.
async fn a_stranger_inside_the_range_costs_nothing_but_another_port() {
    let mut world = World::with_ports(narrow()).await;
    let _stranger = Stranger::on(&NARROW);
    let (mut ran, mut refused) = (0, 0);
    let mut attempt = 0;
    while ran < 200 || refused == 0 {
        attempt += 1;
        for ended in launch_all(&mut world.talk, attempt).await {
            match ended.ending.as_ref().unwrap() {
                attempt_ended::Ending::NotStarted(why) if why.code == "port-taken" => refused += 1,
                _ => {
                    assert_eq!(code(&ended), Some(0), "{ended:?}");
                    ran += 1;
                }
            }
        }
    }
}

async fn two_jobs_at_once_never_share_a_port() {
    let mut one = World::with_ports(narrow()).await;
    let mut other = World::with_ports(narrow()).await;
    for _round in 0..100 {
        let (mut ports, others) =
            tokio::join!(place_all(&mut one.talk), place_all(&mut other.talk));
        ports.extend(others);
        let different: BTreeSet<u16> = ports.iter().copied().collect();
        assert_eq!(different.len(), ports.len(), "{ports:?}");
        tokio::join!(release_all(&one.talk), release_all(&other.talk));
    }
}
