//! Nothing is left behind, whoever is killed.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use forebay_cluster::agent::{self, Ended, Stop};
use forebay_cluster::connect::ManagerAddress;
use forebay_cluster::token::Token;
use forebay_cluster::wire::cluster::manager_message::Message;
use forebay_cluster::wire::cluster::{JobEnded, Welcome};
use tokio::sync::watch;

use crate::harness::tests;
use crate::manager::Manager;
use crate::world::{
    Talk, World, is_gone, kill, options, parent_of, shell, signal, until_gone, welcome,
};

tests![
    what_a_node_leaves_behind_is_ended_with_it,
    a_killed_parent_takes_the_node_with_it,
    a_killed_agent_takes_its_nodes_with_it,
    a_dropped_agent_takes_its_nodes_with_it,
    the_end_of_the_job_ends_nodes_and_agent,
    the_owner_stops_the_agent_and_the_manager_hears_of_it,
    without_a_manager_nodes_live_for_the_orphan_grace,
];

/// A node with a child, and a grandchild in a session of its own that ignores SIGTERM.
const FAMILY: &str = "sleep 1000 & echo child $!
    setsid sh -c 'trap \"\" TERM; echo grandchild $$; touch up; while :; do sleep 0.05; done' &
    until [ -e up ]; do sleep 0.05; done;";

async fn family(talk: &mut Talk) -> [u32; 2] {
    [
        talk.line("child ").await.parse().unwrap(),
        talk.line("grandchild ").await.parse().unwrap(),
    ]
}

async fn what_a_node_leaves_behind_is_ended_with_it() {
    let mut world = World::new().await;
    world.talk.run(shell(&format!("{FAMILY} exit 5"))).await;
    let family = family(&mut world.talk).await;
    let ended = world.talk.ended().await;
    assert_eq!(crate::world::code(&ended), Some(5));
    assert!(
        family.into_iter().all(is_gone),
        "told after everything is gone"
    );
}

async fn a_killed_parent_takes_the_node_with_it() {
    let mut world = World::new().await;
    let pid = world.talk.run(shell(&format!("{FAMILY} wait"))).await;
    let family = family(&mut world.talk).await;
    kill(parent_of(pid));
    let ended = world.talk.ended().await;
    assert_eq!(signal(&ended), Some(9));
    assert!(
        family.into_iter().chain([pid]).all(is_gone),
        "told after everything is gone"
    );
}

/// `agent FOLDER`: an agent in a process of its own.
pub(crate) fn agent_process(folder: &str) -> ExitCode {
    let folder = Path::new(folder);
    let manager = ManagerAddress::Unix(folder.join("am.sock"));
    let options = options(
        folder,
        manager,
        Token::read_file(&folder.join("token")).unwrap(),
    );
    let (_stop, stopped) = watch::channel(Stop::No);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(agent::run(options, stopped)).unwrap();
    ExitCode::SUCCESS
}

async fn a_killed_agent_takes_its_nodes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager = Manager::listen(folder.path());
    manager
        .token
        .create_file(&folder.path().join("token"))
        .unwrap();
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .arg("agent")
        .arg(folder.path())
        .spawn()
        .unwrap();
    let mut talk = Talk::begin(manager.next().await).await;
    assert_eq!(talk.register.pid, agent.id());
    let pid = talk.run(shell(&format!("{FAMILY} wait"))).await;
    let family = family(&mut talk).await;
    let parent = parent_of(pid);
    agent.kill().unwrap();
    agent.wait().unwrap();
    for process in family.into_iter().chain([pid, parent]) {
        until_gone(process).await;
    }
}

async fn a_dropped_agent_takes_its_nodes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager = Manager::listen(folder.path());
    let (_stop, stopped) = watch::channel(Stop::No);
    let options = options(
        folder.path(),
        manager.address.clone(),
        manager.token.clone(),
    );
    let agent = tokio::spawn(agent::run(options, stopped));
    let mut talk = Talk::begin(manager.next().await).await;
    let pid = talk.run(shell(&format!("{FAMILY} wait"))).await;
    let family = family(&mut talk).await;
    agent.abort();
    for process in family.into_iter().chain([pid]) {
        until_gone(process).await;
    }
}

async fn the_end_of_the_job_ends_nodes_and_agent() {
    let mut world = World::new().await;
    let pid = world.talk.run(shell("sleep 1000")).await;
    world
        .talk
        .say(Message::JobEnded(JobEnded {
            outcome: "succeeded".to_owned(),
        }))
        .await;
    assert_eq!(
        world.end().await.unwrap(),
        Ended::Job {
            outcome: "succeeded".to_owned()
        }
    );
    assert!(is_gone(pid));
}

async fn the_owner_stops_the_agent_and_the_manager_hears_of_it() {
    let mut world = World::new().await;
    let pid = world.talk.run(shell("sleep 1000")).await;
    world
        .stop
        .send(Stop::Within(Duration::from_mins(1)))
        .unwrap();
    let ended = world.talk.ended().await;
    assert_eq!((signal(&ended), ended.stop_was_asked), (Some(15), false));
    assert_eq!(ended.agent_stopped, "the agent is stopped");
    world.talk.whole_log().await;
    assert_eq!(world.end().await.unwrap(), Ended::Stopped);
    assert!(is_gone(pid));
}

async fn without_a_manager_nodes_live_for_the_orphan_grace() {
    let mut world = World::new().await;
    let pid = world.talk.run(shell("sleep 1000")).await;
    world
        .reconnect(Welcome {
            orphan_grace_ms: 300,
            ..welcome()
        })
        .await;
    assert!(!is_gone(pid));
    // One place granted: the agent has taken the welcome.
    world.talk.place("worker:1", &[]).await;
    assert_eq!(world.abandon().await.unwrap(), Ended::Orphaned);
    assert!(is_gone(pid));
}
