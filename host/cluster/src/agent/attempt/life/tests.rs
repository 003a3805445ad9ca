//! Lives without processes.

use std::time::{Duration, Instant};

use super::*;
use crate::agent::attempt::Run;
use crate::wire::cluster::{self, Readiness as WireReadiness};
use crate::wire::node::{Attached, Done, Hello, ScriptError, Signal, up};

/// `worker:0` that is ready when attached, with these limits.
fn life(limits: NodeLimits) -> Life {
    let start = Start {
        node: Some(NodeId {
            role: "worker".to_owned(),
            index: 0,
        }),
        attempt: 1,
        readiness: Some(WireReadiness {
            kind: Some(Readiness::Attached(cluster::Attached {})),
        }),
        limits: Some(limits),
        ..Start::default()
    };
    let mut life = Life::new(&start, &Run::default(), "/output", Cluster::default());
    life.take(Input::Status(Status::Started { pid: 7 }), Instant::now());
    life
}

fn say(life: &mut Life, message: up::Message) -> Vec<Effect> {
    let up = Up {
        message: Some(message),
    };
    life.take(Input::Up(up), Instant::now())
}

fn hello() -> up::Message {
    up::Message::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        package_version: HOST_VERSION.to_owned(),
        ..Hello::default()
    })
}

fn stop(life: &mut Life, grace: Duration) -> Vec<Effect> {
    let reason = String::new();
    life.take(
        Input::Order(Order::Stop {
            by: Asker::Manager,
            grace,
            reason,
        }),
        Instant::now(),
    )
}

#[test]
fn a_grace_that_no_clock_reaches_is_none() {
    let limits = NodeLimits {
        start_within_ms: u64::MAX,
        linger_grace_ms: u64::MAX,
        ..NodeLimits::default()
    };
    let mut life = life(limits);
    assert_eq!(
        stop(&mut life, Duration::MAX),
        [Effect::Press(exec::Order::Terminate)]
    );
}

#[test]
fn a_shorter_grace_counts_and_a_longer_one_does_not() {
    let mut life = life(NodeLimits::default());
    let now = Instant::now();
    stop(&mut life, Duration::from_secs(10));
    stop(&mut life, Duration::from_secs(1));
    stop(&mut life, Duration::from_secs(20));
    let due = life.timers.take_due(now + Duration::from_secs(2));
    assert_eq!(due, Some(Timer::Kill));
    assert_eq!(
        life.take(Input::Due(Timer::Kill), now),
        [Effect::Press(exec::Order::Kill)]
    );
}

#[test]
fn a_parent_that_does_not_kill_is_killed() {
    let mut life = life(NodeLimits::default());
    stop(&mut life, Duration::ZERO);
    let later = Instant::now() + 2 * GIVE_UP_AFTER;
    assert_eq!(life.timers.take_due(later), Some(Timer::GiveUp));
    assert_eq!(
        life.take(Input::Due(Timer::GiveUp), later),
        [Effect::KillParent]
    );
}

#[test]
fn nothing_is_said_twice() {
    let mut life = life(NodeLimits::default());
    say(&mut life, hello());
    for message in [
        up::Message::Attached(Attached {}),
        up::Message::Done(Done {}),
    ] {
        assert_eq!(say(&mut life, message.clone()).len(), 1);
        assert_eq!(say(&mut life, message), []);
    }
}

#[test]
fn every_interpreter_of_a_node_is_welcomed_and_the_last_one_counts() {
    let mut life = life(NodeLimits::default());
    let welcomed = say(&mut life, hello());
    assert_eq!(welcomed.len(), 2);
    assert_eq!(say(&mut life, hello()), welcomed);
    let old = up::Message::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        package_version: "0.0.9".to_owned(),
        ..Hello::default()
    });
    assert_ne!(say(&mut life, old)[1], welcomed[1]);
    assert_eq!(say(&mut life, up::Message::Done(Done {})), []);
    assert_eq!(say(&mut life, hello()), welcomed);
    assert_eq!(life.finish(false).refusal, "");
}

#[test]
fn a_signal_that_is_too_long_ends_the_conversation() {
    let mut life = life(NodeLimits::default());
    say(&mut life, hello());
    let signal = |length| {
        up::Message::Signal(Signal {
            name: "x".to_owned(),
            payload: "y".repeat(length),
        })
    };
    assert_eq!(say(&mut life, signal(1000)).len(), 1);
    let effects = say(&mut life, signal(65_537));
    assert!(matches!(effects[..], [Effect::HangUp(_)]), "{effects:?}");
}

#[test]
fn a_script_has_so_long_to_ask_for_its_node() {
    let asked_for = || {
        let mut life = life(NodeLimits {
            attach_within_ms: 5_000,
            ..NodeLimits::default()
        });
        say(&mut life, hello());
        life
    };
    let mut life = asked_for();
    assert!(due_soon(&life));
    say(&mut life, up::Message::Attached(Attached {}));
    assert!(!due_soon(&life));
    let mut life = asked_for();
    let effects = life.take(Input::Due(Timer::NotAttached), Instant::now());
    assert!(matches!(effects[..], [Effect::Stalled(_)]), "{effects:?}");
}

/// What is due in the next ten seconds.
fn due_soon(life: &Life) -> bool {
    let soon = Instant::now() + Duration::from_secs(10);
    life.timers.next().is_some_and(|at| at < soon)
}

#[test]
fn a_process_stays_for_a_while_after_an_exception_and_another_interpreter_makes_up_for_it() {
    let mut life = life(NodeLimits {
        linger_grace_ms: 5_000,
        ..NodeLimits::default()
    });
    say(&mut life, hello());
    assert!(!due_soon(&life));
    say(&mut life, up::Message::Exception(ScriptError::default()));
    assert!(due_soon(&life));
    say(&mut life, hello());
    assert!(!due_soon(&life));
    say(&mut life, up::Message::Exception(ScriptError::default()));
    life.take(Input::SpeakerGone, Instant::now());
    assert!(!due_soon(&life));
    assert!(life.finish(false).error.is_some());
}

/// `worker:0`, which is fed and ready; it lingers after 30 s and is killed after 60 s of standing still.
fn fed() -> Life {
    let mut life = life(NodeLimits {
        linger_grace_ms: 3_000,
        stall_kill_ms: 60_000,
        report_within_ms: 1_000,
        ..NodeLimits::default()
    });
    life.is_fed = true;
    say(&mut life, hello());
    say(&mut life, up::Message::Attached(Attached {}));
    life
}

fn waiting(progress: u64) -> FeedState {
    FeedState {
        read_all: false,
        waits_with_input: true,
        progress,
    }
}

/// What is told of it when it is looked at once a second for so long, and nothing changes.
fn look(life: &mut Life, state: FeedState, from: Instant, seconds: u64) -> Vec<(StallKind, u64)> {
    let seconds = (0..=seconds).map(|second| from + Duration::from_secs(second));
    let mut effects = Vec::new();
    for now in seconds {
        while let Some(timer) = life.timers.take_due(now) {
            effects.extend(life.take(Input::Due(timer), now));
        }
        effects.extend(life.take(Input::Feed(state), now));
    }
    let stalls = effects.into_iter().map(|effect| match effect {
        Effect::Stalled(stalled) => (stalled.kind(), stalled.for_ms),
        other => panic!("{other:?}"),
    });
    stalls.collect()
}

fn report() -> up::Message {
    up::Message::Report(Report::default())
}

#[test]
fn input_that_waits_while_nothing_moves_is_told_of_and_again_when_the_time_has_doubled() {
    for has_reported in [false, true] {
        let mut life = fed();
        if has_reported {
            say(&mut life, report());
        }
        let begin = Instant::now();
        assert_eq!(look(&mut life, waiting(7), begin, 30), []);
        let once = [(StallKind::NoProgress, 30_000)];
        assert_eq!(look(&mut life, waiting(7), begin, 59), once);
        let later = begin + Duration::from_mins(1);
        let twice = [(StallKind::NoProgress, 60_000)];
        assert_eq!(look(&mut life, waiting(7), later, 20), twice);
    }
}

#[test]
fn who_moves_or_has_nothing_to_read_does_not_stand_still() {
    let idle = FeedState::default();
    let begin = Instant::now();
    let late = begin + Duration::from_secs(29);
    for moved in [
        Some(waiting(8)),
        Some(FeedState {
            progress: 7,
            ..idle
        }),
        None,
    ] {
        let mut life = fed();
        assert_eq!(look(&mut life, waiting(7), begin, 29), []);
        let message = Some(report());
        let input = moved.map_or(Input::Up(Up { message }), Input::Feed);
        let told = life.take(input, late);
        let is_report = matches!(told[..], [Effect::Report(_)]);
        assert!(told.is_empty() || is_report, "{told:?}");
        let progress = moved.map_or(7, |state| state.progress);
        assert_eq!(look(&mut life, waiting(progress), late, 29), []);
        assert_eq!(look(&mut life, idle, late, 600), [], "nothing to read");
    }
}

#[test]
fn who_stands_still_for_too_long_is_killed_unless_it_moves_again() {
    let begin = Instant::now();
    let much_later = begin + Duration::from_mins(2);
    for moves in [false, true] {
        let mut life = fed();
        look(&mut life, waiting(7), begin, 40);
        if moves {
            life.take(Input::Feed(waiting(8)), begin + Duration::from_secs(41));
        }
        let is_killed = std::iter::from_fn(|| life.timers.take_due(much_later))
            .any(|timer| timer == Timer::KillStalled);
        assert_eq!(is_killed, !moves);
    }
}

#[test]
fn who_is_not_ready_yet_has_another_limit() {
    let mut life = life(NodeLimits::default());
    life.is_fed = true;
    assert_eq!(look(&mut life, waiting(0), Instant::now(), 100), []);
}

#[test]
fn who_has_read_all_lingers_ten_times_longer_than_who_is_done_and_after_its_last_word() {
    let read_all = |progress| FeedState {
        read_all: true,
        waits_with_input: false,
        progress,
    };
    let mut life = fed();
    let begin = Instant::now();
    assert_eq!(look(&mut life, read_all(7), begin, 29), []);
    let late = begin + Duration::from_secs(29);
    let message = Some(report());
    life.take(Input::Up(Up { message }), late);
    assert_eq!(look(&mut life, read_all(7), late, 29), []);
    let lingers = |seconds: u64| (StallKind::Lingering, seconds * 1_000);
    assert_eq!(look(&mut life, read_all(7), late, 59), [lingers(30)]);
    let later = late + Duration::from_mins(1);
    assert_eq!(look(&mut life, read_all(7), later, 10), [lingers(60)]);
    say(&mut life, up::Message::Done(Done {}));
    let done = Instant::now();
    let soon = life.timers.take_due(done + Duration::from_secs(3));
    assert_eq!(soon, Some(Timer::Lingering));
}

#[test]
fn who_is_told_to_stop_neither_stands_still_nor_lingers() {
    let read_all = FeedState {
        read_all: true,
        ..FeedState::default()
    };
    for state in [waiting(7), read_all] {
        let mut life = fed();
        look(&mut life, state, Instant::now(), 1);
        stop(&mut life, Duration::MAX);
        assert_eq!(look(&mut life, state, Instant::now(), 600), []);
    }
}

#[test]
fn a_killed_parent_leaves_a_killed_node() {
    let ended = life(NodeLimits::default()).finish(false);
    assert_eq!(ended.ending, Some(attempt_ended::Ending::Signal(9)));
}
