//! Nodes with input: which attempt of the dataflow feeds them, when their input begins again, and how it ends.

use forebay_plugin::{DataflowPhase as Seen, NodePhase, VerdictKind};

use super::bench::{Bench, code, fed_core, fed_job, setting, worker};
use super::native::{Health, prepared_job};
use crate::events::{DataflowEvent, DataflowPhase, JobEvent};
use crate::manager::core::Core;
use crate::manager::effect::{Effect, Input};
use crate::manager::tables::DataflowRecord;
use crate::wire::cluster::manager_message::Message as ToAgent;
use crate::wire::cluster::outbox_entry::Event as Told;
use crate::wire::cluster::{
    AttemptEnded, DataflowEnded, DataflowFailed, DataflowStopped, HeldAttempt, HeldDataflow,
    InputEnded, Inventory, Register, attempt_ended,
};
use crate::wire::{node_id, to_wire};

/// The agent of the engine, with what it holds of the dataflow.
fn join(bench: &mut Bench, link: u64, name: &str, held: Option<(u64, bool)>) {
    let dataflow = held.map(|(attempt, running)| HeldDataflow { attempt, running });
    let nodes = bench.core.tables.nodes();
    let live = nodes.filter(|(_, node)| node.phase.is_live() && node.pid.is_some());
    let attempts = live.map(|(id, node)| HeldAttempt {
        node: Some(to_wire(&id)),
        attempt: node.attempt,
        ..HeldAttempt::default()
    });
    let attempts = attempts.collect();
    let register = Register {
        in_engine: true,
        inventory: Some(Inventory {
            outbox_number: bench.told,
            dataflow,
            attempts,
            ..Inventory::default()
        }),
        ..bench.registration(name, 64)
    };
    bench.input(Input::Joined { link, register });
}

/// Both workers were ordered to start on the engine's agent, link 1.
fn starting(is_endless: bool) -> Bench {
    let mut bench = Bench::of(fed_core(is_endless));
    join(&mut bench, 1, "engine", None);
    bench.grant_all(1);
    bench
}

fn running(is_endless: bool) -> Bench {
    let mut bench = starting(is_endless);
    bench.see_started();
    bench.effects.clear();
    bench
}

/// What went over this link of the dataflow and of starts and stops, in its order.
fn orders(bench: &Bench, link: u64) -> Vec<String> {
    bench.sent(link, |message| match message {
        ToAgent::RunDataflow(run) => Some(format!("run {}", run.attempt)),
        ToAgent::StopDataflow(stop) if stop.drain => Some(format!("drain {}", stop.attempt)),
        ToAgent::StopDataflow(stop) => Some(format!("abort {}", stop.attempt)),
        ToAgent::EndInput(end) => Some(format!("end {} {}", end.attempt, end.roles.join(" "))),
        ToAgent::Start(start) => {
            let id = node_id(start.node.as_ref());
            let fed_by = start
                .fed_by
                .map_or_else(String::new, |by| format!(" fed by {by}"));
            Some(format!("start {id}{fed_by}"))
        }
        ToAgent::Stop(stop) => {
            let id = node_id(stop.nodes[0].node.as_ref());
            Some(format!("stop {id}"))
        }
        _ => None,
    })
}

/// This attempt of a worker ends as it was told.
fn stops(bench: &mut Bench, link: u64, index: u32, attempt: u32) {
    let ended = AttemptEnded {
        node: worker(index),
        attempt,
        stop_was_asked: true,
        ending: Some(attempt_ended::Ending::Signal(15)),
        ..AttemptEnded::default()
    };
    bench.tell(link, Told::AttemptEnded(ended));
}

fn ended(attempt: u64) -> Told {
    Told::DataflowEnded(DataflowEnded {
        attempt,
        ..DataflowEnded::default()
    })
}

fn failed(attempt: u64) -> Told {
    Told::DataflowFailed(DataflowFailed {
        attempt,
        reason: "row 7 is bad".into(),
        ..DataflowFailed::default()
    })
}

fn stopped(attempt: u64) -> Told {
    Told::DataflowStopped(DataflowStopped {
        attempt,
        ..DataflowStopped::default()
    })
}

fn record(bench: &Bench) -> &DataflowRecord {
    bench.core.tables.dataflow.as_ref().unwrap()
}

fn input_ended(bench: &Bench) -> bool {
    bench.core.tables.view().roles[0].input_ended
}

/// As the state machine orders it.
fn rewind(bench: &mut Bench) {
    bench.core.rewind();
    bench.wait(0);
}

fn end_input(bench: &mut Bench, roles: &[&str]) {
    let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
    bench.core.end_input(&roles);
    bench.wait(0);
}

const STARTS_AGAIN: [&str; 3] = [
    "run 2",
    "start worker:0 fed by 2",
    "start worker:1 fed by 2",
];

#[test]
fn a_start_says_which_attempt_of_the_dataflow_feeds_its_node() {
    let bench = starting(true);
    let starts = ["start worker:0 fed by 1", "start worker:1 fed by 1"];
    assert_eq!(orders(&bench, 1), starts);
}

#[test]
fn the_input_begins_again_before_its_nodes_do() {
    let mut bench = running(true);
    bench.signal("halt all");
    for index in 0..2 {
        stops(&mut bench, 1, index, 1);
    }
    let stops = ["stop worker:0", "stop worker:1"];
    assert_eq!(orders(&bench, 1), [&stops[..], &STARTS_AGAIN].concat());
    let told = bench.effects.iter().find_map(|effect| match effect {
        Effect::Emit(JobEvent::Dataflow(event)) => Some(event.clone()),
        _ => None,
    });
    let DataflowEvent {
        attempt,
        phase,
        reason,
        ..
    } = told.unwrap();
    assert_eq!((attempt, phase), (1, DataflowPhase::Stopped));
    assert_eq!(reason.as_deref(), Some("its input begins again"));
}

#[test]
fn what_is_told_of_the_attempt_before_is_stale() {
    for last in [ended(1), failed(1), stopped(1)] {
        let mut bench = running(true);
        rewind(&mut bench);
        bench.tell(1, last);
        assert_eq!(record(&bench).attempt, 2);
        assert_eq!(record(&bench).phase, DataflowPhase::Running);
        assert_eq!(bench.summary(), None);
        bench.tell(1, ended(2));
        assert_eq!(bench.core.tables.view().dataflow, Seen::Ended);
    }
}

#[test]
fn a_node_that_starts_once_it_has_ended_is_fed_by_the_newest_attempt() {
    let mut bench = running(true);
    bench.signal("all anew");
    let stops_and_run = ["stop worker:0", "stop worker:1", "run 2"];
    assert_eq!(orders(&bench, 1), stops_and_run);
    bench.effects.clear();
    for index in 0..2 {
        stops(&mut bench, 1, index, 1);
    }
    assert_eq!(orders(&bench, 1), STARTS_AGAIN[1..]);
}

#[test]
fn an_agent_that_was_away_hears_of_the_new_attempt_before_it_starts_nodes() {
    let mut bench = running(true);
    bench.signal("halt all");
    stops(&mut bench, 1, 0, 1);
    bench.input(Input::Gone { link: 1 });
    bench.effects.clear();
    rewind(&mut bench);
    assert_eq!(orders(&bench, 1), Vec::<String>::new());
    join(&mut bench, 2, "engine", Some((1, true)));
    assert_eq!(orders(&bench, 2), ["run 2", "abort 1", "stop worker:1"]);
    bench.effects.clear();
    stops(&mut bench, 2, 1, 1);
    bench.input(Input::Gone { link: 2 });
    bench.effects.clear();
    join(&mut bench, 3, "engine", Some((3, true)));
    let starts = ["start worker:0 fed by 3", "start worker:1 fed by 3"];
    assert_eq!(orders(&bench, 3), [&["run 3"], &starts[..]].concat());
}

#[test]
fn a_start_is_repeated_as_it_was() {
    let mut bench = starting(true);
    bench.tell(1, stopped(1));
    assert_eq!(record(&bench).phase, DataflowPhase::Waiting);
    bench.input(Input::Gone { link: 1 });
    join(&mut bench, 2, "engine", Some((1, false)));
    let fed = orders(&bench, 2).into_iter();
    let fed: Vec<String> = fed.filter(|order| order.starts_with("start")).collect();
    assert_eq!(fed, ["start worker:0 fed by 1", "start worker:1 fed by 1"]);
}

#[test]
fn the_others_learn_that_a_node_has_not_finished_any_more() {
    let mut bench = running(true);
    for node in bench.core.tables.nodes_mut() {
        (node.phase, node.last) = (NodePhase::Exited, Some(VerdictKind::Finished));
    }
    bench.core.launch((99, 0), &["worker:0".parse().unwrap()]);
    bench.wait(0);
    let told = bench.sent(1, |message| match message {
        ToAgent::Cluster(spec) => {
            let members = &spec.cluster.as_ref().unwrap().members;
            let finished = members.iter().map(|member| member.finished);
            Some(format!("{:?}", finished.collect::<Vec<_>>()))
        }
        ToAgent::Start(_) => Some("start".to_owned()),
        _ => None,
    });
    assert_eq!(told, ["[false, true]", "start"]);
}

#[test]
fn a_dataflow_that_waits_for_an_engine_begins_with_it() {
    let mut bench = Bench::of(fed_core(true));
    rewind(&mut bench);
    assert_eq!(record(&bench).phase, DataflowPhase::Waiting);
    join(&mut bench, 1, "engine", None);
    bench.grant_all(1);
    assert_eq!(record(&bench).attempt, 1);
    assert_eq!(bench.starts(1)[0].fed_by, Some(1));
}

#[test]
fn what_has_ended_or_failed_begins_again() {
    for last in [ended(1), stopped(1)] {
        let mut bench = running(true);
        bench.tell(1, last);
        rewind(&mut bench);
        assert_eq!(orders(&bench, 1), ["run 2"]);
        assert_eq!(bench.core.tables.view().dataflow, Seen::Running);
    }
    let mut bench = running(true);
    let dataflow = bench.core.tables.dataflow.as_mut().unwrap();
    dataflow.phase = DataflowPhase::Failed;
    dataflow.failure = Some(crate::manager::tables::DataflowFault {
        operator: None,
        reason: "row 7 is bad".into(),
        hint: None,
        engine_failed: false,
    });
    rewind(&mut bench);
    assert_eq!(orders(&bench, 1), ["run 2"]);
    assert_eq!(record(&bench).failure, None);
}

#[test]
fn nothing_begins_again_once_the_job_ends() {
    let mut bench = running(true);
    bench.end(0, code(3));
    bench.effects.clear();
    rewind(&mut bench);
    assert_eq!(orders(&bench, 1), Vec::<String>::new());
}

#[test]
fn the_input_of_a_stream_ends_by_draining_it() {
    let mut bench = running(true);
    end_input(&mut bench, &["worker"]);
    end_input(&mut bench, &["worker"]);
    assert_eq!(orders(&bench, 1), ["drain 1"]);
    assert!(bench.core.tables.end.is_none());
}

#[test]
fn the_input_of_a_table_ends_without_an_end_of_the_table() {
    let mut bench = running(false);
    end_input(&mut bench, &["worker"]);
    assert_eq!(orders(&bench, 1), ["end 1 worker"]);
    bench.input(Input::Gone { link: 1 });
    join(&mut bench, 2, "engine", Some((1, true)));
    assert_eq!(orders(&bench, 2), ["run 1", "end 1 worker"]);
}

#[test]
fn a_stream_that_feeds_another_role_goes_on_for_that_one() {
    let mut job = fed_job(true);
    let other = forebay_job::Role {
        name: "scorer".into(),
        ..job.roles[0].clone()
    };
    job.roles.push(other);
    let (prepared, plugins) = prepared_job(&job, Health::Whole);
    let mut bench = Bench::of(Core::new(setting(1, 1), prepared, plugins));
    join(&mut bench, 1, "engine", None);
    end_input(&mut bench, &["worker"]);
    end_input(&mut bench, &["scorer"]);
    assert_eq!(orders(&bench, 1), ["run 1", "end 1 worker", "drain 1"]);
}

#[test]
fn an_end_of_input_that_overtakes_the_order_to_begin_does_not_take_its_place() {
    let mut bench = running(true);
    rewind(&mut bench);
    bench.input(Input::Gone { link: 1 });
    end_input(&mut bench, &["worker"]);
    for (link, held, expected) in [
        (
            2,
            (1, true),
            vec!["run 2", "drain 2", "end 2 worker", "abort 1"],
        ),
        (3, (2, true), vec!["drain 2", "end 2 worker"]),
    ] {
        join(&mut bench, link, "engine", Some(held));
        assert_eq!(orders(&bench, link), expected);
        bench.input(Input::Gone { link });
    }
}

#[test]
fn the_end_of_an_input_is_of_one_attempt_of_the_dataflow() {
    let input = |attempt| {
        Told::InputEnded(InputEnded {
            attempt,
            role: "worker".into(),
        })
    };
    let mut bench = running(false);
    bench.tell(1, input(7));
    assert!(!input_ended(&bench));
    bench.tell(1, input(1));
    assert!(input_ended(&bench));
    rewind(&mut bench);
    assert!(!input_ended(&bench));
    bench.tell(1, ended(2));
    assert!(input_ended(&bench), "all of it has been read");
}

#[test]
fn fed_nodes_are_placed_beside_the_dataflow_and_wait_for_it() {
    let mut bench = Bench::of(fed_core(true));
    bench.join(1, "a", 64);
    assert_eq!(bench.orders(1), []);
    assert_eq!(bench.phase("worker:0"), NodePhase::Waiting);
    join(&mut bench, 2, "engine", None);
    assert_eq!(bench.orders(1), []);
    assert_eq!(bench.orders(2)[0].nodes.len(), 2);
}
