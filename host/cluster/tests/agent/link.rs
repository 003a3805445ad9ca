//! The connection: registration, reconnects, fencing, refusals.

use std::time::Duration;

use forebay_cluster::agent::{self, AgentError, Stop};
use forebay_cluster::connect::ManagerAddress;
use forebay_cluster::farewell;
use forebay_cluster::token::Token;
use forebay_cluster::wire::cluster::manager_message::Message;
use forebay_cluster::wire::cluster::outbox_entry::Event;
use forebay_cluster::wire::cluster::{HeldAttempt, LogAcknowledge, Place, Release, Welcome};
use forebay_cluster::wire::{cluster, node};
use tokio::sync::watch;
use tonic::Status;

use crate::harness::tests;
use crate::manager::Manager;
use crate::world::{
    TERM, Talk, World, is_gone, node_id, options, place_node, shell, signal, welcome,
};

tests![
    a_registration_says_who_it_is,
    an_action_is_carried_out_once,
    after_a_reconnect_the_outbox_is_sent_again,
    after_a_reconnect_a_log_goes_on_where_it_was,
    a_command_of_another_term_is_ignored,
    attempts_that_the_manager_does_not_know_are_ended,
    an_order_that_does_not_fit_is_refused_with_the_reason,
    a_wrong_token_is_refused_by_name,
    a_refusal_after_the_welcome_ends_the_nodes,
    whoever_holds_the_listener_of_a_dead_manager_can_dismiss_its_agents,
    a_taken_usual_name_is_made_unique,
    an_absent_manager_is_named,
];

async fn a_registration_says_who_it_is() {
    let world = World::new().await;
    let register = &world.talk.register;
    assert_eq!(
        (register.name.as_str(), register.address.as_str()),
        ("here", "127.0.0.1")
    );
    assert_eq!(
        (
            register.interface.as_str(),
            register.term,
            register.in_engine
        ),
        ("lo", 0, false)
    );
    assert_eq!(register.version, forebay_cluster::submission::HOST_VERSION);
    assert_eq!(register.resources.as_ref().unwrap().slots, 8);
    assert_eq!(register.inventory.as_ref().unwrap().outbox_number, 0);
}

async fn an_action_is_carried_out_once() {
    let mut world = World::new().await;
    let place = Place {
        action: Some(Talk::action()),
        nodes: vec![place_node("worker:0", &["grpc"])],
    };
    let start = cluster::Start {
        action: Some(Talk::action()),
        ..shell("sleep 0.2")
    };
    for _twice in 0..2 {
        world.talk.say(Message::Place(place.clone())).await;
        world.talk.say(Message::Start(start.clone())).await;
    }
    world.talk.ended().await;
    world.talk.place("worker:1", &[]).await;
    let count = |wanted: fn(&Event) -> bool| {
        world
            .talk
            .events
            .iter()
            .filter(|(_, event)| wanted(event))
            .count()
    };
    assert_eq!(count(|event| matches!(event, Event::PlaceGranted(_))), 2);
    assert_eq!(count(|event| matches!(event, Event::AttemptStarted(_))), 1);
    assert_eq!(count(|event| matches!(event, Event::AttemptEnded(_))), 1);
}

async fn after_a_reconnect_the_outbox_is_sent_again() {
    let mut world = World::new().await;
    world.talk.acknowledges = false;
    let pid = world.talk.run(shell("sleep 1000")).await;
    world.talk.ready().await;
    let (before, ports) = (world.talk.events.clone(), 0);
    assert_eq!(
        before.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    world
        .reconnect(Welcome {
            outbox_number: 1,
            ..welcome()
        })
        .await;
    let register = world.talk.register.clone();
    assert_eq!((register.term, register.stream), (TERM, 2));
    let inventory = register.inventory.unwrap();
    assert_eq!(
        (
            inventory.places.len(),
            inventory.places[0].ports.len(),
            inventory.outbox_number
        ),
        (1, ports, 3)
    );
    let [held] = inventory.attempts.as_slice() else {
        panic!("{:?}", inventory.attempts)
    };
    assert_eq!(
        (held.attempt, held.pid, held.ready, held.stopping),
        (1, pid, true, false)
    );
    world.talk.until(|talk| talk.events.len() == 2).await;
    assert_eq!(world.talk.events, before[1..]);
    assert!(!is_gone(pid));
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    world.talk.ended().await;
}

async fn after_a_reconnect_a_log_goes_on_where_it_was() {
    let mut world = World::new().await;
    world.talk.run(shell("echo one; sleep 1000")).await;
    world.talk.line("one").await;
    let node = Some(node_id("worker:0"));
    let held = LogAcknowledge {
        node,
        attempt: 1,
        offset: 2,
    };
    world.talk.hang_up();
    world.talk = Talk::begin_with(
        world.manager.next().await,
        TERM,
        Welcome {
            logs: vec![held],
            ..welcome()
        },
    )
    .await;
    world.talk.log = b"on".to_vec();
    world.talk.until(|talk| talk.log == b"one\n").await;
    world.talk.stop("worker:0", 1, Duration::ZERO).await;
    world.talk.ended().await;
}

async fn a_command_of_another_term_is_ignored() {
    let mut world = World::new().await;
    for term in [TERM - 1, TERM + 1] {
        let place = Place {
            action: Some(Talk::action()),
            nodes: vec![place_node("worker:0", &[])],
        };
        world.talk.say_as(term, Message::Place(place)).await;
    }
    world.talk.place("worker:1", &[]).await;
    assert_eq!(
        world.talk.events.len(),
        1,
        "no answer but the last: {:?}",
        world.talk.events
    );
}

async fn attempts_that_the_manager_does_not_know_are_ended() {
    let mut world = World::new().await;
    world.talk.run(shell("sleep 1000")).await;
    let unknown = HeldAttempt {
        node: Some(node_id("worker:0")),
        attempt: 1,
        ..HeldAttempt::default()
    };
    world
        .reconnect(Welcome {
            unknown: vec![unknown],
            outbox_number: 3,
            ..welcome()
        })
        .await;
    assert_eq!(signal(&world.talk.ended().await), Some(15));
}

async fn an_order_that_does_not_fit_is_refused_with_the_reason() {
    let mut world = World::new().await;
    let nodes = (0..9)
        .map(|index| place_node(&format!("worker:{index}"), &[]))
        .collect();
    let place = Place {
        action: Some(Talk::action()),
        nodes,
    };
    world.talk.say(Message::Place(place)).await;
    let reason = world.talk.event(|event| match event {
        Event::PlaceRefused(refused) => Some(refused.reason.clone()),
        _ => None,
    });
    assert_eq!(
        reason.await,
        "9 more nodes do not fit: 0 of 8 slots are held"
    );
    let before = world.talk.place("worker:0", &["a"]).await;
    let release = Release {
        action: Some(Talk::action()),
        nodes: vec![node::NodeId {
            role: "worker".into(),
            index: 0,
        }],
    };
    world.talk.say(Message::Release(release)).await;
    let after = world.talk.place("worker:0", &["a", "b"]).await;
    assert!(before.len() == 1 && after.len() == 2);
}

async fn a_wrong_token_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::listen(folder.path());
    let (_stop, stopped) = watch::channel(Stop::No);
    let options = options(folder.path(), manager.address.clone(), Token::generate());
    let error = agent::run(options, stopped).await.unwrap_err();
    assert!(matches!(error, AgentError::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("the job token is another run's"),
        "{error}"
    );
}

async fn a_refusal_after_the_welcome_ends_the_nodes() {
    let mut world = World::new().await;
    let pid = world.talk.run(shell("sleep 1000")).await;
    world.talk.hang_up();
    let again = world.manager.next().await;
    let refusal = Status::failed_precondition("its nodes were given up");
    again.outbound.send(Err(refusal)).await.unwrap();
    drop(again);
    let error = world.end().await.unwrap_err().to_string();
    assert!(error.contains("its nodes were given up"), "{error}");
    assert!(is_gone(pid));
}

async fn whoever_holds_the_listener_of_a_dead_manager_can_dismiss_its_agents() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ManagerAddress::Tcp(listener.local_addr().unwrap());
    let (right, wrong) = (Token::generate(), Token::generate());
    let service = right.clone();
    let farewell =
        tokio::spawn(
            async move { farewell::say(listener, &service, Duration::from_hours(1)).await },
        );
    let mut answers = Vec::new();
    for token in [right, wrong] {
        let folder = tempfile::tempdir().unwrap();
        let (_stop, stopped) = watch::channel(Stop::No);
        let options = options(folder.path(), address.clone(), token);
        answers.push(agent::run(options, stopped).await.unwrap_err().to_string());
    }
    farewell.abort();
    assert!(answers[0].contains("the job is over"), "{answers:?}");
    assert!(answers[1].contains("another run's"), "{answers:?}");
}

async fn a_taken_usual_name_is_made_unique() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager = Manager::listen(folder.path());
    let (_stop, stopped) = watch::channel(Stop::No);
    let options = agent::Options {
        name: None,
        ..options(
            folder.path(),
            manager.address.clone(),
            manager.token.clone(),
        )
    };
    let _agent = tokio::spawn(agent::run(options, stopped));
    let mut first = manager.next().await;
    let usual = first.inbound.message().await.unwrap();
    first
        .outbound
        .send(Err(Status::failed_precondition(
            "another agent of that name is alive",
        )))
        .await
        .unwrap();
    drop((first, usual));
    let talk = Talk::begin(manager.next().await).await;
    assert!(
        talk.register
            .name
            .ends_with(&format!("-{}", std::process::id())),
        "{}",
        talk.register.name
    );
}

async fn an_absent_manager_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let address = forebay_cluster::connect::ManagerAddress::Unix(folder.path().join("am.sock"));
    let (_stop, stopped) = watch::channel(Stop::No);
    let options = agent::Options {
        connect_within: Duration::from_millis(500),
        ..options(folder.path(), address, Token::generate())
    };
    let error = agent::run(options, stopped).await.unwrap_err().to_string();
    assert!(
        error.contains("no application manager answers at `") && error.contains("No such file"),
        "{error}"
    );
}
