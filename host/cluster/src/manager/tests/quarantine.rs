//! A plugin that fails: nodes are left alone, nothing is forgotten, and a mended one goes on.

use forebay_plugin::{NodePhase, VerdictKind};

use super::bench::{Bench, code, core_with, worker};
use super::native::Health;
use crate::events::Outcome;
use crate::manager::effect::{Input, StopWay};
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{AttemptStarted, attempt_ended};

fn running(health: Health) -> Bench {
    let mut bench = Bench::of(core_with(health));
    bench.run_on_one_agent();
    bench.effects.clear();
    bench
}

/// Worker 0 is stopped for a second attempt, which has no plan.
fn without_a_plan() -> Bench {
    let mut bench = running(Health::NoPlan);
    bench.signal("anew");
    end(&mut bench, 0, attempt_ended::Ending::Signal(15));
    bench
}

fn end(bench: &mut Bench, index: u32, ending: attempt_ended::Ending) {
    bench.end_attempt(index, 1, ending);
}

fn close_logs(bench: &mut Bench) {
    for index in 0..2 {
        bench.input(Input::LogClosed {
            link: 1,
            node: format!("worker:{index}"),
            attempt: 1,
        });
    }
}

#[test]
fn nodes_are_left_alone_and_a_mended_plugin_hears_what_happened() {
    let mut bench = running(Health::Whole);
    bench.signal("break");
    assert_eq!(
        bench.quarantine().unwrap(),
        "`decide` of plugin `native` failed: it is broken (`broken`)"
    );
    end(&mut bench, 0, code(0));
    bench.wait(3_599_999);
    assert_eq!((bench.stopped(1), bench.summary()), (vec![], None));
    assert_eq!(bench.phase("worker:1"), NodePhase::Ready);

    bench.resume("one", Health::Mended).unwrap();
    assert_eq!(bench.quarantine(), None);
    assert_eq!(bench.core.state, b"mended", "the state was migrated");
    assert_eq!(
        bench.stopped(1),
        [("worker:1".to_owned(), 10_000)],
        "the end of worker 0, which ends the job, was not forgotten"
    );
    end(&mut bench, 1, attempt_ended::Ending::Signal(15));
    close_logs(&mut bench);
    assert_eq!(bench.summary().unwrap().outcome, Outcome::Succeeded);
}

#[test]
fn a_plugin_that_fails_again_is_quarantined_again() {
    let mut bench = running(Health::Whole);
    bench.signal("break");
    bench.resume("one", Health::Whole).unwrap();
    assert!(bench.quarantine().is_some());
    bench.resume("two", Health::Mended).unwrap();
    assert!(bench.quarantine().is_none());
}

#[test]
fn a_request_acts_once() {
    let mut bench = running(Health::Whole);
    bench.signal("break");
    let number = bench.resume("one", Health::Mended).unwrap();
    assert_eq!(bench.resume("one", Health::Mended).unwrap(), number);
    let why = bench.resume("two", Health::Mended).unwrap_err();
    assert_eq!(why, "the job is not quarantined");
}

#[test]
fn a_plugin_that_does_not_know_the_state_is_not_taken() {
    let mut bench = running(Health::Whole);
    bench.signal("break");
    bench.core.state = b"foreign".to_vec();
    let why = bench.resume("one", Health::Mended).unwrap_err();
    assert!(why.contains("`migrate`"), "{why}");
    assert!(bench.quarantine().is_some());
    assert_eq!(bench.core.state, b"foreign");
}

#[test]
fn a_start_without_a_plan_is_made_when_there_is_one() {
    let mut bench = without_a_plan();
    assert!(bench.quarantine().unwrap().contains("`plan`"));
    assert!(bench.starts(1).is_empty());
    bench.resume("one", Health::Mended).unwrap();
    let starts = bench.starts(1);
    assert_eq!((starts.len(), starts[0].attempt), (1, 2));
}

#[test]
fn what_was_decided_behind_a_start_without_a_plan_is_done() {
    let mut bench = running(Health::NoPlan);
    bench.signal("halt");
    end(&mut bench, 0, attempt_ended::Ending::Signal(15));
    bench.signal_of(1, "anew");
    assert!(bench.quarantine().is_some());
    assert!(bench.core.tables.timers.contains_key("later"));
    assert!(bench.starts(1).is_empty());
    bench.resume("one", Health::Mended).unwrap();
    assert_eq!(bench.starts(1)[0].attempt, 2);
}

#[test]
fn an_end_that_nobody_could_judge_is_judged_when_somebody_can() {
    let mut bench = running(Health::NoJudgement);
    end(&mut bench, 0, code(0));
    assert!(bench.quarantine().unwrap().contains("`interpret-exit`"));
    end(&mut bench, 1, code(0));
    assert_eq!(bench.phase("worker:1"), NodePhase::Exited);
    bench.resume("one", Health::Mended).unwrap();
    close_logs(&mut bench);
    let summary = bench.summary().unwrap();
    assert_eq!(summary.outcome, Outcome::Succeeded);
    for node in &summary.nodes {
        let verdict = &node.attempts[0].verdict;
        assert_eq!(*verdict, VerdictKind::Finished.to_string());
    }
}

#[test]
fn ends_that_nobody_could_judge_are_bad_when_nobody_resumes() {
    let mut bench = running(Health::NoJudgement);
    end(&mut bench, 0, code(0));
    end(&mut bench, 1, code(0));
    bench.wait(3_600_000);
    close_logs(&mut bench);
    let summary = bench.summary().unwrap();
    assert_eq!(summary.outcome, Outcome::Failed);
    assert!(summary.engine_failed);
    assert_eq!(summary.nodes[1].attempts[0].verdict, "fatal");
}

#[test]
fn a_stop_needs_no_plugin() {
    let mut bench = running(Health::Whole);
    bench.signal("break");
    bench.stop("stop", StopWay::Orderly { deadline_ms: None });
    let graces = bench.stopped(1);
    assert_eq!(graces.len(), 2);
    assert!(graces.iter().all(|(_, grace_ms)| *grace_ms == 10_000));
    for index in 0..2 {
        end(&mut bench, index, attempt_ended::Ending::Signal(15));
    }
    close_logs(&mut bench);
    assert_eq!(bench.summary().unwrap().outcome, Outcome::Stopped);
}

#[test]
fn the_next_application_manager_keeps_the_quarantine_and_what_waits() {
    let mut bench = without_a_plan();
    bench.signal("lost-on-the-way");
    end(&mut bench, 1, code(0));
    bench.wait(15_000);
    let mut next = bench.next_term();
    assert!(next.quarantine().is_some());
    next.join(1, "a", 64);
    assert!(next.starts(1).is_empty(), "nothing while quarantined");
    next.resume("one", Health::Mended).unwrap();
    assert_eq!(next.quarantine(), None);
    assert_eq!(next.starts(1)[0].attempt, 2);
    next.tell(
        1,
        Told::AttemptStarted(AttemptStarted {
            node: worker(0),
            attempt: 2,
            pid: 200,
        }),
    );
    let exit = &next.core.tables.roles[0].nodes[1].last;
    assert_eq!(*exit, Some(VerdictKind::Finished));
    assert_eq!(
        next.stopped(1),
        [("worker:0".to_owned(), 10_000)],
        "worker 1 has finished, which ends the job"
    );
}

#[test]
fn signals_do_not_pile_up_without_end() {
    let mut bench = running(Health::Whole);
    bench.signal("break");
    for _ in 0..10_010 {
        bench.signal("more");
    }
    assert_eq!(
        bench.core.tables.undecided.len(),
        10_001,
        "with the one that broke it"
    );
    assert_eq!(bench.warnings().len(), 1);
    bench.join(2, "b", 64);
    assert_eq!(bench.core.tables.undecided.len(), 10_002);
}

#[test]
fn a_machine_that_starts_a_node_over_and_over_is_held_up() {
    let mut bench = running(Health::Whole);
    for attempt in 1..1_000 {
        bench.signal_of(1, "anew");
        bench.end_attempt(0, attempt, attempt_ended::Ending::Signal(15));
        bench.wait(200);
        bench.heartbeat(1);
    }
    assert_eq!(bench.quarantine(), None);
    bench.signal_of(1, "anew");
    bench.end_attempt(0, 1_000, attempt_ended::Ending::Signal(15));
    let reason = bench.quarantine().unwrap();
    assert!(
        reason.contains("more than 1000 times within an hour"),
        "{reason}"
    );
    bench.effects.clear();
    bench.resume("one", Health::Whole).unwrap();
    assert_eq!(
        (bench.quarantine(), bench.starts(1)[0].attempt),
        (None, 1_001)
    );
}
