//! The dataflow: what the agent of an engine does with the orders of a manager, and what it tells.

use std::time::Duration;

use forebay_cluster::agent::{DataflowEnd, DataflowFault, DataflowWay, HowFar, Stop};
use forebay_cluster::wire::cluster::manager_message::Message;
use forebay_cluster::wire::cluster::outbox_entry::Event;
use forebay_cluster::wire::cluster::{
    EndInput, HeldDataflow, JobEnded, OperatorProgress, RunDataflow, StopDataflow,
};

use crate::executor::{Call, world};
use crate::harness::tests;
use crate::world::{Talk, World, welcome};

tests![
    an_attempt_runs_once_and_its_end_is_told,
    without_an_executor_an_order_fails,
    an_attempt_that_never_ran_counts_as_stopped_and_does_not_begin,
    orders_for_older_attempts_are_ignored,
    a_newer_attempt_waits_for_the_end_of_the_one_before,
    what_waits_for_its_turn_is_drained_when_it_has_come,
    what_waits_for_its_turn_is_left_out_when_nobody_wants_it,
    the_end_of_an_input_is_passed_on_and_told,
    the_inventory_has_the_attempt,
    progress_comes_once_a_second_at_most,
    an_executor_that_breaks_is_a_failure_of_the_engine,
    the_end_of_the_job_ends_the_dataflow_first,
    a_dataflow_that_does_not_end_keeps_no_agent_for_ever,
];

fn run(attempt: u64) -> Message {
    Message::RunDataflow(RunDataflow {
        attempt,
        checkpoint: None,
    })
}

fn stop(attempt: u64, drain: bool) -> Message {
    Message::StopDataflow(StopDataflow {
        attempt,
        drain,
        reason: "the test wants it".into(),
    })
}

/// `ended 1`, `failed 1: why`: what the agent tells next of the dataflow.
async fn told(talk: &mut Talk) -> String {
    let word = |event: &Event| match event {
        Event::DataflowStarted(started) => Some(format!("started {}", started.attempt)),
        Event::DataflowEnded(ended) if ended.drained => Some(format!("drained {}", ended.attempt)),
        Event::DataflowEnded(ended) => Some(format!("ended {}", ended.attempt)),
        Event::DataflowStopped(stopped) => Some(format!("stopped {}", stopped.attempt)),
        Event::DataflowFailed(failed) => {
            let whose = if failed.engine_failed {
                ", the engine's"
            } else {
                ""
            };
            Some(format!(
                "failed {}{whose}: {}",
                failed.attempt, failed.reason
            ))
        }
        _ => None,
    };
    talk.event(word).await
}

async fn an_attempt_runs_once_and_its_end_is_told() {
    let (mut world, executor, mut called) = world().await;
    for _twice in 0..2 {
        world.talk.say(run(1)).await;
    }
    assert_eq!(called.recv().await, Some(Call::Run(1)));
    let teller = executor.teller();
    teller.started();
    assert_eq!(told(&mut world.talk).await, "started 1");
    for drain in [true, false] {
        world.talk.say(stop(1, drain)).await;
    }
    assert_eq!(called.recv().await, Some(Call::Stop(1, DataflowWay::Drain)));
    assert_eq!(called.recv().await, Some(Call::Stop(1, DataflowWay::Abort)));
    teller.ended(DataflowEnd::Ended { drained: true }, HowFar::default());
    assert_eq!(told(&mut world.talk).await, "drained 1");
    for order in [run(1), stop(1, false), stop(2, false)] {
        world.talk.say(order).await;
    }
    assert_eq!(
        told(&mut world.talk).await,
        "stopped 2",
        "only what never ran"
    );
    assert!(called.try_recv().is_err());
}

async fn without_an_executor_an_order_fails() {
    let mut world = World::new().await;
    world.talk.say(run(1)).await;
    assert_eq!(
        told(&mut world.talk).await,
        "failed 1, the engine's: this agent runs no dataflow: only that of the engine does"
    );
}

async fn an_attempt_that_never_ran_counts_as_stopped_and_does_not_begin() {
    let (mut world, _executor, mut called) = world().await;
    for order in [stop(1, true), run(1), run(2)] {
        world.talk.say(order).await;
    }
    assert_eq!(told(&mut world.talk).await, "stopped 1");
    assert_eq!(called.recv().await, Some(Call::Run(2)));
}

async fn orders_for_older_attempts_are_ignored() {
    let (world, _executor, mut called) = world().await;
    for order in [run(5), run(4), stop(4, false), stop(5, false)] {
        world.talk.say(order).await;
    }
    assert_eq!(called.recv().await, Some(Call::Run(5)));
    assert_eq!(called.recv().await, Some(Call::Stop(5, DataflowWay::Abort)));
}

async fn a_newer_attempt_waits_for_the_end_of_the_one_before() {
    let (mut world, executor, mut called) = world().await;
    for order in [run(1), run(2), run(3)] {
        world.talk.say(order).await;
    }
    assert_eq!(called.recv().await, Some(Call::Run(1)));
    let aborted = Some(Call::Stop(1, DataflowWay::Abort));
    assert_eq!(called.recv().await, aborted);
    assert_eq!(called.recv().await, aborted);
    assert_eq!(told(&mut world.talk).await, "stopped 2");
    assert!(called.try_recv().is_err(), "there are never two at once");
    executor.end(DataflowEnd::Stopped);
    assert_eq!(told(&mut world.talk).await, "stopped 1");
    assert_eq!(called.recv().await, Some(Call::Run(3)));
}

fn end_input(attempt: u64) -> Message {
    let roles = vec!["worker".to_owned()];
    Message::EndInput(EndInput { attempt, roles })
}

async fn what_waits_for_its_turn_is_drained_when_it_has_come() {
    let (mut world, executor, mut called) = world().await;
    for order in [run(1), run(2), end_input(2), stop(2, true)] {
        world.talk.say(order).await;
    }
    assert_eq!(called.recv().await, Some(Call::Run(1)));
    assert_eq!(called.recv().await, Some(Call::Stop(1, DataflowWay::Abort)));
    // An answer shows that all of it was heard.
    world.talk.place("worker:0", &[]).await;
    assert!(called.try_recv().is_err(), "not before its turn");
    executor.end(DataflowEnd::Stopped);
    assert_eq!(told(&mut world.talk).await, "stopped 1");
    assert_eq!(called.recv().await, Some(Call::Run(2)));
    assert_eq!(called.recv().await, Some(Call::Stop(2, DataflowWay::Drain)));
    let ended = Call::EndInput(2, vec!["worker".to_owned()]);
    assert_eq!(called.recv().await, Some(ended));
}

async fn what_waits_for_its_turn_is_left_out_when_nobody_wants_it() {
    let (mut world, executor, mut called) = world().await;
    for order in [run(1), run(2), stop(2, true), stop(2, false)] {
        world.talk.say(order).await;
    }
    assert_eq!(called.recv().await, Some(Call::Run(1)));
    assert_eq!(called.recv().await, Some(Call::Stop(1, DataflowWay::Abort)));
    world.talk.place("worker:0", &[]).await;
    executor.end(DataflowEnd::Stopped);
    assert_eq!(told(&mut world.talk).await, "stopped 1");
    assert_eq!(told(&mut world.talk).await, "stopped 2", "and not before");
    assert!(called.try_recv().is_err());
}

async fn the_end_of_an_input_is_passed_on_and_told() {
    let (mut world, executor, mut called) = world().await;
    for order in [run(3), end_input(2), end_input(3)] {
        world.talk.say(order).await;
    }
    assert_eq!(called.recv().await, Some(Call::Run(3)));
    let ended = Call::EndInput(3, vec!["worker".to_owned()]);
    assert_eq!(called.recv().await, Some(ended));
    executor.teller().input_ended("worker".to_owned());
    let ended = world.talk.event(|event| match event {
        Event::InputEnded(ended) => Some((ended.attempt, ended.role.clone())),
        _ => None,
    });
    assert_eq!(ended.await, (3, "worker".to_owned()));
}

async fn the_inventory_has_the_attempt() {
    let (mut world, executor, mut called) = world().await;
    assert_eq!(
        world.talk.register.inventory.as_ref().unwrap().dataflow,
        None
    );
    world.talk.say(run(3)).await;
    called.recv().await.unwrap();
    for running in [true, false] {
        if !running {
            executor.end(DataflowEnd::Ended { drained: false });
            assert_eq!(told(&mut world.talk).await, "ended 3");
        }
        world.reconnect(welcome()).await;
        let inventory = world.talk.register.inventory.clone().unwrap();
        let held = HeldDataflow {
            attempt: 3,
            running,
        };
        assert_eq!(inventory.dataflow, Some(held));
    }
}

async fn progress_comes_once_a_second_at_most() {
    let (mut world, executor, mut called) = world().await;
    world.talk.say(run(1)).await;
    called.recv().await.unwrap();
    let teller = executor.teller();
    let how_far = |rows_in| HowFar {
        running: Duration::from_millis(rows_in),
        operators: vec![OperatorProgress {
            operator: "rows".into(),
            rows_in,
            ..OperatorProgress::default()
        }],
        feeds: Vec::new(),
    };
    for rows in 1..100 {
        teller.progress(how_far(rows));
    }
    teller.ended(DataflowEnd::Ended { drained: false }, how_far(100));
    let rows = world.talk.event(|event| match event {
        Event::DataflowEnded(ended) => Some((ended.operators[0].rows_in, ended.running_us)),
        _ => None,
    });
    assert_eq!(rows.await, (100, 100_000), "the end has the last values");
    let before = world.talk.progress.len();
    assert!(before <= 1, "{before} in no time");
}

async fn an_executor_that_breaks_is_a_failure_of_the_engine() {
    let (mut world, executor, mut called) = world().await;
    world.talk.say(run(1)).await;
    called.recv().await.unwrap();
    drop(executor.teller());
    assert_eq!(
        told(&mut world.talk).await,
        "failed 1, the engine's: the engine broke while it ran the dataflow"
    );
    world.talk.say(run(2)).await;
    called.recv().await.unwrap();
    executor.end(DataflowEnd::Failed(DataflowFault {
        reason: "`rows` failed".into(),
        ..DataflowFault::default()
    }));
    assert_eq!(told(&mut world.talk).await, "failed 2: `rows` failed");
}

async fn the_end_of_the_job_ends_the_dataflow_first() {
    let (world, executor, mut called) = world().await;
    world.talk.say(run(1)).await;
    assert_eq!(called.recv().await, Some(Call::Run(1)));
    let outcome = "stopped".to_owned();
    world
        .talk
        .say(Message::JobEnded(JobEnded { outcome }))
        .await;
    assert_eq!(called.recv().await, Some(Call::Stop(1, DataflowWay::Abort)));
    assert!(!world.has_ended(), "the dataflow has not");
    executor.end(DataflowEnd::Stopped);
    world.end().await.unwrap();
}

async fn a_dataflow_that_does_not_end_keeps_no_agent_for_ever() {
    let (world, _executor, mut called) = world().await;
    world.talk.say(run(1)).await;
    assert_eq!(called.recv().await, Some(Call::Run(1)));
    world.stop.send(Stop::Now).unwrap();
    assert_eq!(called.recv().await, Some(Call::Stop(1, DataflowWay::Abort)));
    world.end().await.unwrap();
}
