//! The core against a native state machine and a native node runner: inputs in, effects out, no process and no socket.

mod agents;
mod bench;
mod dataflow;
mod failover;
mod feeding;
mod native;
mod quarantine;
mod simulation;

use forebay_plugin::{CustomEvent, Event, NodePhase};

use self::bench::{Bench, code, core, worker};
use crate::events::Outcome;
use crate::manager::effect::{Effect, Input, StopWay};
use crate::submission::HOST_VERSION;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{AttemptEnded, NodeDone, PlaceRefused, Register, attempt_ended};

#[test]
fn a_job_is_placed_started_and_ends_with_its_work() {
    let mut bench = Bench::running();
    assert_eq!(bench.phase("worker:1"), NodePhase::Ready);
    let starts = bench.starts(1);
    assert_eq!(starts.len(), 2);
    assert_ne!(
        starts[0].action, starts[1].action,
        "each order has an identity of its own"
    );
    assert_eq!(starts[1].arguments, ["[20001]"]);

    bench.end(0, code(0));
    assert_eq!(bench.stopped(1), [("worker:1".to_owned(), 10_000)]);
    assert_eq!(bench.summary(), None, "a node still runs");
    bench.end(1, attempt_ended::Ending::Signal(15));
    let summary = bench.summary().unwrap();
    assert_eq!(summary.outcome, Outcome::Succeeded);
    assert_eq!(summary.nodes[1].attempts[0].verdict, "stopped");
    assert!(matches!(
        bench.effects.last(),
        Some(Effect::Ended(Outcome::Succeeded))
    ));
}

#[test]
fn orders_of_one_action_differ_over_roles_too() {
    let mut bench = Bench::of(core(
        "[roles.a]\ncommand = [\"true\"]\n[roles.b]\ncommand = [\"true\"]\n",
        1,
    ));
    bench.join(1, "a", 64);
    bench.grant_all(1);
    let starts = bench.starts(1);
    assert_eq!(starts.len(), 2);
    assert_ne!(starts[0].action, starts[1].action);
}

#[test]
fn a_decision_is_journaled_before_any_of_it_is_told() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 64);
    bench.grant_all(1);
    let journal = bench
        .effects
        .iter()
        .position(|effect| matches!(effect, Effect::Journal(_)));
    let start = bench.effects.iter().position(|effect| {
        matches!(
            effect,
            Effect::Send {
                message: ToAgent::Start(_),
                ..
            }
        )
    });
    assert!(journal.unwrap() < start.unwrap());
}

#[test]
fn what_an_agent_told_is_acknowledged_once_it_is_journaled() {
    let mut bench = Bench::running();
    bench.effects.clear();
    bench.tell(
        1,
        Told::Done(NodeDone {
            node: worker(0),
            attempt: 1,
        }),
    );
    let acknowledged = |bench: &Bench| {
        bench.sent(1, |message| match message {
            ToAgent::Acknowledge(acknowledge) => Some(acknowledge.outbox_number),
            _ => None,
        })
    };
    assert_eq!(acknowledged(&bench), Vec::<u64>::new());
    assert!(bench.core.next_wake_ms().is_some());
    bench.wait(1_000);
    assert_eq!(acknowledged(&bench), [bench.told]);
}

#[test]
fn an_event_that_is_told_twice_counts_once() {
    let mut bench = Bench::running();
    bench.told -= 1;
    bench.effects.clear();
    bench.end(0, code(1));
    assert!(bench.effects.is_empty(), "{:?}", bench.effects);
}

#[test]
fn a_failed_node_is_the_named_cause() {
    let mut bench = Bench::running();
    bench.end(1, code(3));
    bench.end(0, attempt_ended::Ending::Signal(15));
    let summary = bench.summary().unwrap();
    assert_eq!(
        (summary.outcome, summary.engine_failed),
        (Outcome::Failed, false)
    );
    assert_eq!(summary.cause.unwrap().ending, "exit code 3");
    assert_eq!(summary.hint.as_deref(), Some("look at it"));
}

#[test]
fn without_room_the_job_fails_and_says_what_is_missing() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 1);
    let summary = bench.summary().unwrap();
    assert_eq!(summary.outcome, Outcome::Failed);
    assert!(
        summary.reason.contains("no room for node `worker:1`"),
        "{}",
        summary.reason
    );
}

#[test]
fn agents_are_awaited_until_the_deadline() {
    let mut bench = Bench::new(2);
    bench.join(1, "a", 64);
    assert_eq!(bench.summary(), None);
    bench.wait(60_000);
    assert_eq!(bench.summary().unwrap().reason, "1 of 2 agents have joined");
}

#[test]
fn a_refused_place_goes_to_another_agent() {
    let mut bench = Bench::new(2);
    bench.join(1, "a", 64);
    bench.join(2, "b", 64);
    let orders = |message: &ToAgent| match message {
        ToAgent::Place(order) => Some(order.clone()),
        _ => None,
    };
    let refused = PlaceRefused {
        action: bench.sent(1, orders)[0].action,
        reason: "no port".into(),
    };
    let first = bench.sent(2, orders);
    bench.tell(1, Told::PlaceRefused(refused));
    bench.grant_all(2);
    let second = bench.sent(2, orders);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first[0].action, second[0].action);
}

#[test]
fn an_orderly_stop_asks_the_machine_and_its_deadline_kills() {
    let mut bench = Bench::running();
    bench.effects.clear();
    bench.stop(
        "one",
        StopWay::Orderly {
            deadline_ms: Some(30_000),
        },
    );
    assert_eq!(bench.stopped(1).len(), 2);
    let journal = bench
        .effects
        .iter()
        .position(|effect| matches!(effect, Effect::Journal(_)));
    let answer = bench
        .effects
        .iter()
        .position(|effect| matches!(effect, Effect::Answer { .. }));
    assert!(
        journal.unwrap() < answer.unwrap(),
        "the answer comes when the event is journaled"
    );
    bench.effects.clear();
    bench.wait(30_000);
    assert_eq!(
        bench.stopped(1),
        [("worker:0".to_owned(), 0), ("worker:1".to_owned(), 0)]
    );
}

#[test]
fn a_request_that_is_made_twice_acts_once() {
    let mut bench = Bench::running();
    bench.stop(
        "one",
        StopWay::Orderly {
            deadline_ms: Some(30_000),
        },
    );
    bench.effects.clear();
    bench.stop(
        "one",
        StopWay::Orderly {
            deadline_ms: Some(30_000),
        },
    );
    assert_eq!(bench.stopped(1), []);
    assert!(
        bench
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Answer { ticket: 7, .. }))
    );
}

#[test]
fn a_stop_now_asks_nobody() {
    let mut bench = Bench::running();
    bench.effects.clear();
    bench.stop("now", StopWay::Now);
    assert_eq!(
        bench.stopped(1),
        [("worker:0".to_owned(), 0), ("worker:1".to_owned(), 0)]
    );
    bench.end(0, attempt_ended::Ending::Signal(9));
    bench.end(1, attempt_ended::Ending::Signal(9));
    assert_eq!(bench.summary().unwrap().outcome, Outcome::Stopped);
}

#[test]
fn what_the_host_cannot_do_is_refused_by_name() {
    let mut bench = Bench::running();
    bench.signal("rewind");
    assert!(bench.quarantine().unwrap().contains("`rewind`"));
    bench.wait(3_600_000);
    bench.end(0, attempt_ended::Ending::Signal(15));
    bench.end(1, attempt_ended::Ending::Signal(15));
    let summary = bench.summary().unwrap();
    assert!(summary.engine_failed);
    assert!(summary.reason.contains("`rewind`"), "{}", summary.reason);
}

#[test]
fn a_broken_stream_may_come_back_and_nothing_is_lost() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 64);
    bench.input(Input::Gone { link: 1 });
    bench.wait(2_000);
    bench.effects.clear();
    bench.join(2, "a", 64);
    bench.grant_all(2);
    assert_eq!(bench.starts(2).len(), 2, "the place was asked for again");
    assert_eq!(bench.summary(), None);
}

#[test]
fn an_agent_that_stays_away_takes_its_nodes_with_it() {
    let mut bench = Bench::running();
    bench.input(Input::Gone { link: 1 });
    bench.wait(3_000);
    let summary = bench.summary().unwrap();
    assert_eq!(summary.reason, "lost");
    assert_eq!(summary.nodes[0].attempts[0].ending, "lost with its machine");
}

#[test]
fn another_version_and_a_taken_name_are_refused() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 64);
    let other = Register {
        agent_id: "other".into(),
        name: "a".into(),
        version: HOST_VERSION.into(),
        ..Register::default()
    };
    bench.input(Input::Joined {
        link: 2,
        register: other.clone(),
    });
    let old = Register {
        name: "b".into(),
        version: "0.0.1".into(),
        ..other
    };
    bench.input(Input::Joined {
        link: 3,
        register: old,
    });
    let closed: Vec<String> = bench
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Close { link, refusal } => Some(format!("{link}: {refusal:?}")),
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(closed.join("\n"), @r#"
    2: Unfit("another agent is called `a`: give this one a name of its own with `--name`")
    3: Unfit("agent `b` is Forebay 0.0.1, the application manager is 0.1.0: install the same version on both")
    "#);
}

#[test]
fn messages_of_an_older_attempt_are_stale() {
    let mut bench = Bench::running();
    bench.effects.clear();
    let old = AttemptEnded {
        node: worker(0),
        attempt: 0,
        ending: Some(code(1)),
        ..AttemptEnded::default()
    };
    bench.tell(1, Told::AttemptEnded(old));
    assert_eq!(bench.phase("worker:0"), NodePhase::Ready);
}

#[test]
fn an_orderly_stop_without_a_deadline_has_that_of_the_job() {
    let roles = format!("{}[limits]\nstop_within = \"2 min\"\n", bench::TWO_WORKERS);
    let mut bench = Bench::of(core(&roles, 1));
    bench.run_on_one_agent();
    bench.effects.clear();
    bench.stop("one", StopWay::Orderly { deadline_ms: None });
    bench.effects.clear();
    bench.wait(119_999);
    assert_eq!(bench.stopped(1), []);
    bench.wait(1);
    assert_eq!(bench.stopped(1).len(), 2);
}

#[test]
fn an_engine_that_cannot_go_on_is_a_failure_and_no_stop() {
    let mut bench = Bench::running();
    bench.stop("broken", StopWay::Broken);
    bench.end(0, attempt_ended::Ending::Signal(15));
    bench.end(1, attempt_ended::Ending::Signal(15));
    let summary = bench.summary().unwrap();
    assert_eq!(
        (summary.outcome, summary.engine_failed),
        (Outcome::Failed, true)
    );
    assert_eq!(summary.reason, "test");
}

#[test]
fn no_node_is_stopped_before_the_journal_says_why() {
    let mut bench = Bench::running();
    bench.effects.clear();
    bench.stop("now", StopWay::Now);
    let position = |wanted: fn(&Effect) -> bool| bench.effects.iter().position(wanted);
    let journal = position(|effect| matches!(effect, Effect::Journal(_)));
    let stop = position(|effect| {
        matches!(
            effect,
            Effect::Send {
                message: ToAgent::Stop(_),
                ..
            }
        )
    });
    assert!(journal.unwrap() < stop.unwrap());
}

#[test]
fn a_place_that_is_released_before_it_is_granted_is_handed_back() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 64);
    let orders = bench.orders(1);
    bench.core.happened(Event::Custom(CustomEvent {
        name: "release".into(),
        node: None,
        payload: String::new(),
    }));
    bench.wait(1);
    assert_eq!(bench.phase("worker:0"), NodePhase::Absent);
    bench.effects.clear();
    bench.grant(1, orders);
    assert_eq!(bench.released(1), ["worker:0", "worker:1"]);
    assert_eq!(bench.starts(1).len(), 0);
}

#[test]
fn what_a_lost_agent_had_granted_is_placed_elsewhere() {
    let mut bench = Bench::new(2);
    bench.join(1, "a", 64);
    bench.join(2, "b", 64);
    let of_b = bench.orders(2);
    bench.grant_all(1);
    bench.input(Input::Gone { link: 1 });
    bench.wait_with(2);
    bench.grant(2, of_b);
    assert_eq!(bench.starts(2).len(), 0, "one has no place yet");
    bench.grant_all(2);
    assert_eq!(bench.starts(2).len(), 2);
    assert_eq!(bench.summary(), None);
}

#[test]
fn a_machine_that_sets_timers_over_and_over_decides_ten_times_a_second() {
    let mut bench = Bench::running();
    bench.signal("again");
    bench.effects.clear();
    for _ in 0..1_000 {
        bench.wait(1);
    }
    let is_entry = |effect: &&Effect| matches!(effect, Effect::Journal(_));
    assert_eq!(bench.effects.iter().filter(is_entry).count(), 10);
}
