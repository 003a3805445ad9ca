//! What agents say late, twice, or about what nobody asked for.

use forebay_plugin::NodePhase;

use super::bench::{Bench, code, worker};
use crate::events::Outcome;
use crate::manager::effect::{Effect, Input, Refusal, StopWay};
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{
    AttemptEnded, HeldAttempt, HeldPlace, LogChunk, NodeDone, NodeReport, PlaceRefused, Register,
    attempt_ended,
};
use crate::wire::node::value::Kind;
use crate::wire::node::{Report, Value};

#[test]
fn only_the_log_of_an_attempt_that_was_started_is_taken_and_only_from_an_agent() {
    let bench = Bench::running();
    let chunk = |node, attempt| LogChunk {
        node,
        attempt,
        ..LogChunk::default()
    };
    let outside = Some(crate::wire::node::NodeId {
        role: "/tmp/x".into(),
        index: 0,
    });
    let takes = |link, chunk| bench.core.takes_log(link, &chunk);
    assert!(takes(1, chunk(worker(0), 1)));
    assert!(!takes(2, chunk(worker(0), 1)));
    assert!(!takes(1, chunk(worker(0), 2)));
    assert!(!takes(1, chunk(worker(0), 0)));
    assert!(!takes(1, chunk(outside, 1)));
    assert!(!takes(1, chunk(None, 1)));
}

#[test]
fn the_end_waits_for_logs_while_they_come_and_says_what_is_missing() {
    let mut bench = Bench::running();
    for index in 0..2 {
        bench.tell(
            1,
            Told::AttemptEnded(AttemptEnded {
                node: worker(index),
                attempt: 1,
                ending: Some(code(0)),
                log_bytes: 1_000,
                ..AttemptEnded::default()
            }),
        );
    }
    bench.input(Input::LogClosed {
        link: 1,
        node: "worker:1".into(),
        attempt: 1,
    });
    for length in [200, 400, 600] {
        bench.wait(2_500);
        assert_eq!(bench.summary(), None);
        bench.input(Input::LogGrew {
            link: 1,
            node: "worker:0".into(),
            attempt: 1,
            length,
        });
    }
    bench.wait(3_000);
    assert_eq!(bench.summary().unwrap().outcome, Outcome::Succeeded);
    assert_eq!(
        bench.warnings(),
        ["the log of node `worker:0`, attempt 1, lacks the last 400 bytes"]
    );
}

#[test]
fn a_log_that_is_complete_before_its_attempt_is_known_keeps_nobody_waiting() {
    let mut bench = Bench::new(1);
    bench.join(1, "a", 64);
    bench.grant_all(1);
    for index in 0..2 {
        bench.input(Input::LogClosed {
            link: 1,
            node: format!("worker:{index}"),
            attempt: 1,
        });
    }
    bench.see_started();
    for index in 0..2 {
        bench.tell(
            1,
            Told::AttemptEnded(AttemptEnded {
                node: worker(index),
                attempt: 1,
                ending: Some(code(0)),
                ..AttemptEnded::default()
            }),
        );
    }
    assert_eq!(bench.summary().unwrap().outcome, Outcome::Succeeded);
    assert_eq!(bench.warnings(), Vec::<String>::new());
}

#[test]
fn a_report_that_waited_behind_the_end_counts() {
    let mut bench = Bench::running();
    bench.end(1, code(0));
    let value = Value {
        kind: Some(Kind::Number(0.5)),
    };
    let report = NodeReport {
        node: worker(1),
        attempt: 1,
        report: Some(Report {
            step: Some(7),
            values: [("accuracy".to_owned(), value)].into(),
            time_ms: 0,
        }),
    };
    bench.input(Input::Agent {
        link: 1,
        message: FromAgent::Report(report),
    });
    bench.end(0, attempt_ended::Ending::Signal(15));
    let summary = bench.summary().unwrap();
    assert_eq!(summary.nodes[1].last_report["accuracy"], 0.5);
}

#[test]
fn a_newer_term_and_an_unprintable_name_are_refused() {
    let mut bench = Bench::new(1);
    let newer = Register {
        term: 2,
        ..bench.registration("a", 1)
    };
    let bell = bench.registration("a\u{7}", 1);
    for register in [newer, bell] {
        bench.input(Input::Joined { link: 1, register });
    }
    let refusals = bench.effects.iter().filter_map(|effect| match effect {
        Effect::Close { refusal, .. } => Some(format!("{refusal:?}")),
        _ => None,
    });
    insta::assert_snapshot!(refusals.collect::<Vec<_>>().join("\n"), @r#"
    Overtaken(2)
    Unfit("an agent's name is 1 to 128 bytes without control characters: give it another one with `--name`")
    "#);
}

#[test]
fn a_returning_agent_may_forget_only_what_is_journaled() {
    let mut bench = Bench::running();
    bench.wait(1_000);
    let journaled = bench.told;
    bench.tell(
        1,
        Told::Done(NodeDone {
            node: worker(0),
            attempt: 1,
        }),
    );
    bench.input(Input::Gone { link: 1 });
    bench.effects.clear();
    bench.join(2, "a", 64);
    let welcomes = bench.sent(2, |message| match message {
        ToAgent::Welcome(welcome) => Some(welcome.outbox_number),
        _ => None,
    });
    assert_eq!(welcomes, [journaled]);
}

#[test]
fn places_that_a_returning_agent_holds_for_nobody_are_taken_back() {
    let mut bench = Bench::running();
    bench.input(Input::Gone { link: 1 });
    let mut register = bench.registration("a", 64);
    let held = |index| HeldPlace {
        node: worker(index),
        ..HeldPlace::default()
    };
    let inventory = register.inventory.as_mut().unwrap();
    inventory.places = vec![held(0), held(7)];
    inventory.attempts = (0..2)
        .map(|index| HeldAttempt {
            node: worker(index),
            attempt: 1,
            ..HeldAttempt::default()
        })
        .collect();
    bench.effects.clear();
    bench.input(Input::Joined { link: 2, register });
    assert_eq!(bench.released(2), ["worker:7"]);
}

#[test]
fn a_node_that_its_agent_ended_is_not_one_that_was_told_to_stop() {
    let mut bench = Bench::running();
    let ended = AttemptEnded {
        node: worker(0),
        attempt: 1,
        ending: Some(attempt_ended::Ending::Signal(15)),
        agent_stopped: "the agent is stopped".into(),
        ..AttemptEnded::default()
    };
    bench.tell(1, Told::AttemptEnded(ended));
    bench.end(1, attempt_ended::Ending::Signal(15));
    bench.input(Input::LogClosed {
        link: 1,
        node: "worker:0".into(),
        attempt: 1,
    });
    let summary = bench.summary().unwrap();
    assert_eq!(summary.reason, "its agent ended it: the agent is stopped");
    assert_eq!(summary.nodes[0].attempts[0].verdict, "retry");
}

#[test]
fn an_agent_that_says_nothing_any_more_is_lost_though_its_stream_stands() {
    let mut bench = Bench::running();
    bench.wait(2_000);
    bench.heartbeat(1);
    bench.effects.clear();
    bench.wait(2_999);
    assert_eq!(bench.refused(1), None);
    bench.wait(1);
    assert_eq!(bench.refused(1), Some(Refusal::Silent));
    assert_eq!(bench.phase("worker:0"), NodePhase::Absent);
    let register = bench.registration("a", 64);
    bench.input(Input::Joined { link: 2, register });
    assert!(matches!(bench.refused(2), Some(Refusal::Unfit(_))));
}

#[test]
fn an_application_manager_that_stood_still_itself_blames_nobody() {
    let mut bench = Bench::running();
    bench.effects.clear();
    bench.wait(60_000);
    assert_eq!(bench.refused(1), None);
    bench.wait(3_000);
    assert_eq!(bench.refused(1), Some(Refusal::Silent));
}

#[test]
fn the_agent_of_the_engine_ends_with_it_and_needs_no_heartbeat() {
    let mut bench = Bench::new(1);
    let register = bench.registration("a", 64);
    bench.input(Input::Joined {
        link: 1,
        register: Register {
            in_engine: true,
            ..register
        },
    });
    for _ in 0..10 {
        bench.wait(1_000);
    }
    assert_eq!(bench.refused(1), None);
}

#[test]
fn a_registration_that_a_newer_one_has_overtaken_changes_nothing() {
    let mut bench = Bench::new(1);
    let registration = |bench: &Bench, stream| Register {
        stream,
        ..bench.registration("a", 64)
    };
    let outdated = registration(&bench, 1);
    let register = registration(&bench, 2);
    bench.input(Input::Joined { link: 1, register });
    bench.grant_all(1);
    bench.see_started();
    bench.effects.clear();
    bench.input(Input::Joined {
        link: 2,
        register: outdated,
    });
    bench.input(Input::Gone { link: 2 });
    bench.wait(10_000);
    let closed = bench.effects.iter().filter_map(|effect| match effect {
        Effect::Close { link, refusal } => Some((*link, refusal.clone())),
        _ => None,
    });
    assert_eq!(closed.collect::<Vec<_>>(), [(2, Refusal::Outdated)]);
    assert_eq!(bench.phase("worker:0"), NodePhase::Ready);
    bench.stop("now", StopWay::Now);
    assert_eq!(bench.stopped(1).len(), 2, "orders go to the newer stream");
}

#[test]
fn a_place_is_given_back_only_once_the_journal_says_so() {
    let mut bench = Bench::new(2);
    bench.join(1, "a", 1);
    bench.join(2, "b", 1);
    bench.grant_all(1);
    bench.input(Input::Gone { link: 2 });
    bench.effects.clear();
    bench.wait_with(1);
    assert_eq!(bench.released(1), ["worker:0"], "there is no room any more");
    let is_release = |effect: &Effect| {
        matches!(
            effect,
            Effect::Send {
                message: ToAgent::Release(_),
                ..
            }
        )
    };
    let has_no_place = |effect: &Effect| {
        matches!(effect, Effect::Journal(entry)
            if entry.tables.nodes_where(|node| node.place.is_some()).is_empty())
    };
    let journal = bench.effects.iter().position(has_no_place);
    assert!(journal.unwrap() < bench.effects.iter().position(is_release).unwrap());
}

#[test]
fn what_an_agent_had_granted_before_it_refused_the_rest_is_given_back() {
    let mut bench = Bench::new(2);
    bench.join(1, "a", 2);
    bench.join(2, "b", 2);
    bench.grant_all(1);
    bench.input(Input::Gone { link: 2 });
    bench.wait_with(1);
    let more = bench.orders(1).pop().unwrap();
    bench.effects.clear();
    let refused = PlaceRefused {
        action: more.action,
        reason: "no port".into(),
    };
    bench.tell(1, Told::PlaceRefused(refused));
    assert_eq!(bench.released(1), ["worker:0", "worker:1"]);
}
