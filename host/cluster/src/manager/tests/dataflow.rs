//! The dataflow of a job: who runs it, when it begins again, and how it ends with its job.

use forebay_plugin::{DataflowPhase as Seen, Event};

use super::bench::{Bench, START_MS, TWO_WORKERS, code, core_with_dataflow, resumed_with_dataflow};
use crate::events::{DataflowEvent, DataflowPhase, JobEvent, Outcome, Summary};
use crate::manager::effect::{Effect, Input, StopWay};
use crate::manager::tables::Tables;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{
    DataflowEnded, DataflowFailed, DataflowNoted, DataflowProgress, DataflowStarted,
    DataflowStopped, HeldDataflow, Inventory, OperatorProgress, Register,
};

const ORDERLY: StopWay = StopWay::Orderly {
    deadline_ms: Some(20_000),
};

/// A job without roles, whose dataflow was ordered of the agent on link 1.
fn ordered(is_endless: bool) -> Bench {
    let mut bench = Bench::of(core_with_dataflow("", is_endless));
    join(&mut bench, 1, "engine", None);
    bench
}

/// The same, running.
fn running(is_endless: bool) -> Bench {
    let mut bench = ordered(is_endless);
    bench.tell(1, started(1));
    bench
}

/// The agent of an engine; `held`: an attempt, and whether it runs.
fn join(bench: &mut Bench, link: u64, name: &str, held: Option<(u64, bool)>) {
    let dataflow = held.map(|(attempt, running)| HeldDataflow { attempt, running });
    let register = Register {
        in_engine: true,
        inventory: Some(Inventory {
            outbox_number: bench.told,
            dataflow,
            ..Inventory::default()
        }),
        ..bench.registration(name, 64)
    };
    bench.input(Input::Joined { link, register });
}

fn started(attempt: u64) -> Told {
    Told::DataflowStarted(DataflowStarted { attempt })
}

fn ended(attempt: u64, drained: bool) -> Told {
    Told::DataflowEnded(DataflowEnded {
        attempt,
        drained,
        operators: vec![rows(100)],
        running_us: 2_000_000,
        feeds: Vec::new(),
    })
}

fn failed(attempt: u64, engine_failed: bool) -> Told {
    Told::DataflowFailed(DataflowFailed {
        attempt,
        operator: "rows".into(),
        reason: "`rows` failed: row 7 is bad".into(),
        hint: "look at row 7".into(),
        engine_failed,
        ..DataflowFailed::default()
    })
}

fn stopped(attempt: u64) -> Told {
    let attempt = DataflowStopped {
        attempt,
        ..DataflowStopped::default()
    };
    Told::DataflowStopped(attempt)
}

fn rows(rows_in: u64) -> OperatorProgress {
    OperatorProgress {
        operator: "rows".into(),
        tasks: 1,
        rows_in,
        ..OperatorProgress::default()
    }
}

/// `run 1`, `drain 1`, `abort 1`: what went over this link.
fn orders(bench: &Bench, link: u64) -> Vec<String> {
    bench.sent(link, |message| match message {
        ToAgent::RunDataflow(run) => Some(format!("run {}", run.attempt)),
        ToAgent::StopDataflow(stop) if stop.drain => Some(format!("drain {}", stop.attempt)),
        ToAgent::StopDataflow(stop) => Some(format!("abort {}", stop.attempt)),
        _ => None,
    })
}

fn told(bench: &Bench) -> Vec<(u64, DataflowPhase)> {
    let told = bench.effects.iter().filter_map(|effect| match effect {
        Effect::Emit(JobEvent::Dataflow(DataflowEvent { attempt, phase, .. })) => {
            Some((*attempt, *phase))
        }
        _ => None,
    });
    told.collect()
}

fn ends_of_dataflow(bench: &Bench) -> usize {
    let decisions = bench.effects.iter().filter_map(|effect| match effect {
        Effect::Journal(entry) => entry.decision.as_ref(),
        _ => None,
    });
    let events = decisions.flat_map(|decision| &decision.events);
    let is_end = |event: &&Event| matches!(event, Event::DataflowEnded | Event::DataflowFailed(_));
    events.filter(is_end).count()
}

#[track_caller]
fn summary(bench: &Bench) -> Summary {
    bench.summary().expect("the job has ended")
}

#[test]
fn the_engine_runs_the_dataflow_and_the_job_ends_with_it() {
    let mut bench = running(false);
    assert_eq!(orders(&bench, 1), ["run 1"]);
    assert_eq!(bench.core.tables.view().dataflow, Seen::Running);
    assert_eq!(bench.summary(), None);
    bench.tell(1, ended(1, false));
    bench.tell(1, ended(1, false));
    let phases = [DataflowPhase::Running, DataflowPhase::Ended];
    assert_eq!(told(&bench), phases.map(|phase| (1, phase)));
    assert_eq!(ends_of_dataflow(&bench), 1);
    let summary = summary(&bench);
    assert_eq!(summary.outcome, Outcome::Succeeded);
    let dataflow = summary.dataflow.unwrap();
    assert_eq!(
        (dataflow.attempts, dataflow.phase),
        (1, DataflowPhase::Ended)
    );
    assert!((dataflow.operators[0].rows_per_second - 50.0).abs() < 1e-9);
}

#[test]
fn what_a_person_should_know_is_a_warning_while_the_attempt_runs() {
    let noted = |attempt| {
        Told::DataflowNoted(DataflowNoted {
            attempt,
            operator: "flights".into(),
            message: "left out flights.csv, line 3".into(),
        })
    };
    let mut bench = running(false);
    bench.tell(1, noted(2));
    bench.tell(1, noted(1));
    assert_eq!(
        bench.warnings(),
        ["`flights`: left out flights.csv, line 3"]
    );
}

#[test]
fn the_order_is_in_the_journal_before_it_goes_out() {
    let bench = ordered(false);
    let is_order = |effect: &Effect| {
        let message = ToAgent::RunDataflow(crate::wire::cluster::RunDataflow {
            attempt: 1,
            checkpoint: None,
        });
        matches!(effect, Effect::Send { message: sent, .. } if *sent == message)
    };
    let order = bench.effects.iter().position(is_order).unwrap();
    let entry = bench.effects[..order]
        .iter()
        .rev()
        .find_map(|effect| match effect {
            Effect::Journal(entry) => Some(entry),
            _ => None,
        });
    assert!(entry.unwrap().tables.dataflow.as_ref().unwrap().runs());
}

#[test]
fn agents_that_are_not_the_engine_run_none() {
    let mut bench = Bench::of(core_with_dataflow("", false));
    bench.join(1, "a", 64);
    assert_eq!(orders(&bench, 1), Vec::<String>::new());
    assert_eq!(bench.core.tables.view().dataflow, Seen::Running);
    join(&mut bench, 2, "engine", None);
    assert_eq!(orders(&bench, 2), ["run 1"]);
    bench.tell(1, ended(1, false));
    assert_eq!(
        ends_of_dataflow(&bench),
        0,
        "it is not the one that runs it"
    );
}

#[test]
fn an_agent_that_comes_back_goes_on_with_its_attempt() {
    for held in [None, Some((1, true))] {
        let mut bench = ordered(false);
        bench.input(Input::Gone { link: 1 });
        join(&mut bench, 2, "engine", held);
        assert_eq!(orders(&bench, 2), ["run 1"], "it may have missed it");
        bench.tell(2, ended(1, false));
        assert_eq!(summary(&bench).outcome, Outcome::Succeeded);
    }
}

#[test]
fn the_next_application_manager_goes_on_with_the_attempt() {
    let bench = ordered(false);
    let entry = bench.last_entry();
    let mut bench = Bench {
        core: resumed_with_dataflow("", false, entry),
        effects: Vec::new(),
        ..bench
    };
    bench.input(Input::Recovered);
    join(&mut bench, 1, "engine", Some((1, true)));
    assert_eq!(orders(&bench, 1), ["run 1"]);
    bench.tell(1, ended(1, false));
    assert_eq!(summary(&bench).dataflow.unwrap().attempts, 1);
}

#[test]
fn another_engine_begins_the_input_again() {
    let mut bench = running(false);
    bench.input(Input::Gone { link: 1 });
    join(&mut bench, 2, "next", None);
    assert_eq!(orders(&bench, 2), ["run 2"]);
    let phases = [(1, DataflowPhase::Running), (1, DataflowPhase::Stopped)];
    assert_eq!(told(&bench), phases);
    assert_eq!(ends_of_dataflow(&bench), 0);
    bench.told = 0;
    bench.tell(2, ended(1, false));
    assert_eq!(bench.summary(), None, "that attempt is nobody's any more");
    bench.tell(2, ended(2, false));
    assert_eq!(summary(&bench).dataflow.unwrap().attempts, 2);
}

#[test]
fn what_has_ended_does_not_begin_again_for_another_engine() {
    let mut bench = Bench::of(core_with_dataflow(TWO_WORKERS, false));
    join(&mut bench, 1, "engine", None);
    bench.tell(1, ended(1, false));
    assert_eq!(bench.core.tables.view().dataflow, Seen::Ended);
    bench.input(Input::Gone { link: 1 });
    join(&mut bench, 2, "next", None);
    assert_eq!(orders(&bench, 2), Vec::<String>::new());
}

#[test]
fn an_attempt_that_nobody_knows_is_ended() {
    let mut bench = Bench::of(core_with_dataflow("", false));
    join(&mut bench, 1, "engine", Some((7, true)));
    assert_eq!(orders(&bench, 1), ["abort 7", "run 1"]);
}

#[test]
fn a_job_fails_for_the_reason_of_its_dataflow() {
    for engine_failed in [false, true] {
        let mut bench = running(false);
        bench.tell(1, failed(1, engine_failed));
        let summary = summary(&bench);
        assert_eq!(summary.outcome, Outcome::Failed);
        assert_eq!(summary.reason, "`rows` failed: row 7 is bad");
        assert_eq!(summary.hint.as_deref(), Some("look at row 7"));
        assert_eq!(summary.engine_failed, engine_failed);
        assert_eq!(summary.dataflow.unwrap().phase, DataflowPhase::Failed);
        assert_eq!(ends_of_dataflow(&bench), 1);
    }
}

#[test]
fn a_failed_node_has_its_own_hint_and_ends_the_dataflow() {
    let mut bench = Bench::of(core_with_dataflow(TWO_WORKERS, true));
    join(&mut bench, 1, "engine", None);
    bench.grant_all(1);
    bench.see_started();
    bench.end(1, code(3));
    bench.end(0, code(0));
    assert_eq!(orders(&bench, 1).last().unwrap(), "abort 1");
    assert_eq!(bench.summary(), None, "the dataflow still runs");
    bench.tell(1, stopped(1));
    let summary = summary(&bench);
    assert_eq!(summary.hint.as_deref(), Some("look at it"));
    assert_eq!(summary.dataflow.unwrap().phase, DataflowPhase::Stopped);
}

#[test]
fn a_stream_is_drained_when_its_job_is_stopped() {
    let mut bench = running(true);
    bench.stop("one", ORDERLY);
    assert_eq!(orders(&bench, 1), ["run 1", "drain 1"]);
    bench.wait(10_000);
    assert_eq!(bench.summary(), None);
    bench.tell(1, ended(1, true));
    let summary = summary(&bench);
    assert_eq!(summary.outcome, Outcome::Stopped);
    assert_eq!(summary.dataflow.unwrap().phase, DataflowPhase::Drained);
    assert_eq!(ends_of_dataflow(&bench), 0, "nobody is asked any more");
}

#[test]
fn what_ends_by_itself_is_not_cut_short_so_that_it_looks_whole() {
    let mut bench = running(false);
    bench.stop("one", ORDERLY);
    assert_eq!(orders(&bench, 1), ["run 1", "abort 1"]);
}

#[test]
fn a_drain_that_takes_too_long_is_ended_and_then_given_up() {
    let mut bench = running(true);
    bench.stop("one", ORDERLY);
    bench.wait(20_000);
    assert_eq!(orders(&bench, 1), ["run 1", "drain 1", "abort 1"]);
    bench.wait(29_999);
    assert_eq!(bench.summary(), None);
    bench.wait(1);
    assert_eq!(
        summary(&bench).dataflow.unwrap().phase,
        DataflowPhase::Stopped
    );
    assert_eq!(
        bench.warnings(),
        ["the dataflow does not end: it is left as it is"]
    );
}

#[test]
fn whoever_asks_again_does_not_wait_for_a_drain() {
    let mut bench = running(true);
    bench.stop("one", ORDERLY);
    bench.stop("two", StopWay::Now);
    assert_eq!(orders(&bench, 1), ["run 1", "drain 1", "abort 1"]);
    bench.tell(1, stopped(1));
    assert_eq!(summary(&bench).outcome, Outcome::Stopped);
}

#[test]
fn a_drain_that_fails_is_no_orderly_stop() {
    let mut bench = running(true);
    bench.stop("one", ORDERLY);
    bench.tell(1, failed(1, false));
    let summary = summary(&bench);
    assert_eq!(summary.outcome, Outcome::Failed);
    assert_eq!(summary.reason, "`rows` failed: row 7 is bad");
    assert_eq!(summary.hint.as_deref(), Some("look at row 7"));
}

#[test]
fn a_stop_that_was_ordered_is_ordered_again_of_an_agent_that_comes_back() {
    let mut bench = running(true);
    bench.stop("one", ORDERLY);
    bench.input(Input::Gone { link: 1 });
    join(&mut bench, 2, "engine", Some((1, true)));
    assert_eq!(orders(&bench, 2), ["drain 1"]);
}

#[test]
fn a_dataflow_that_never_began_keeps_no_end_waiting() {
    let mut bench = Bench::of(core_with_dataflow("", true));
    bench.stop("one", StopWay::Now);
    let dataflow = summary(&bench).dataflow.unwrap();
    assert_eq!(
        (dataflow.attempts, dataflow.phase),
        (0, DataflowPhase::Stopped)
    );
}

#[test]
fn progress_goes_to_those_who_watch_and_now_and_then_to_all() {
    let mut bench = running(true);
    bench.effects.clear();
    for second in 1..=11_u32 {
        bench.now_ms = START_MS + u64::from(second) * 1_000;
        let progress = DataflowProgress {
            attempt: 1,
            operators: vec![rows(u64::from(second) * 50)],
            running_us: u64::from(second) * 1_000_000,
            feeds: Vec::new(),
        };
        let message = FromAgent::Dataflow(progress);
        bench.input(Input::Agent { link: 1, message });
    }
    let rates = bench.effects.iter().filter_map(|effect| match effect {
        Effect::Show(JobEvent::Progress(event)) => Some((false, event)),
        Effect::Emit(JobEvent::Progress(event)) => Some((true, event)),
        _ => None,
    });
    let rates: Vec<_> = rates.collect();
    let kept = rates.iter().filter(|(is_kept, _)| *is_kept).count();
    assert_eq!((rates.len(), kept), (11, 1));
    for (_, event) in rates {
        assert!((event.operators[0].rows_per_second - 50.0).abs() < 1e-9);
    }
    let status = bench.core.describe();
    assert_eq!(status["dataflow"]["phase"], "running");
    assert_eq!(status["dataflow"]["operators"][0]["rows_in"], 550);
}

#[test]
fn progress_of_an_attempt_that_is_over_is_stale() {
    let mut bench = running(true);
    bench.stop("one", ORDERLY);
    bench.tell(1, ended(1, true));
    bench.effects.clear();
    let message = FromAgent::Dataflow(DataflowProgress {
        attempt: 1,
        running_us: 9_000_000,
        operators: Vec::new(),
        feeds: Vec::new(),
    });
    bench.input(Input::Agent { link: 1, message });
    assert!(bench.effects.is_empty(), "{:?}", bench.effects);
}

#[test]
fn a_journal_from_before_there_were_dataflows_is_read() {
    let tables = Bench::running().core.tables;
    let mut json = serde_json::to_value(&tables).unwrap();
    json.as_object_mut().unwrap().remove("dataflow").unwrap();
    let read: Tables = serde_json::from_value(json).unwrap();
    assert_eq!(read, tables);
    assert_eq!(read.view().dataflow, Seen::None);
}
