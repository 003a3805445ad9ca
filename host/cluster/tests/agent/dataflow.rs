//! The dataflow: what the agent of an engine does with the orders of a manager, and what it tells.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay_cluster::agent::{
    DataflowEnd, DataflowExecutor, DataflowFault, DataflowTeller, DataflowWay, FedAttempt, HowFar,
    Stop,
};
use forebay_cluster::wire::cluster::manager_message::Message;
use forebay_cluster::wire::cluster::outbox_entry::Event;
use forebay_cluster::wire::cluster::{
    HeldDataflow, JobEnded, OperatorProgress, RunDataflow, StopDataflow,
};
use tokio::sync::mpsc;

use crate::harness::tests;
use crate::world::{Talk, World, welcome};

tests![
    an_attempt_runs_once_and_its_end_is_told,
    without_an_executor_an_order_fails,
    an_attempt_that_never_ran_counts_as_stopped_and_does_not_begin,
    orders_for_older_attempts_are_ignored,
    a_newer_attempt_waits_for_the_end_of_the_one_before,
    the_inventory_has_the_attempt,
    progress_comes_once_a_second_at_most,
    an_executor_that_breaks_is_a_failure_of_the_engine,
    the_end_of_the_job_ends_the_dataflow_first,
    a_dataflow_that_does_not_end_keeps_no_agent_for_ever,
];

/// What an executor was told.
#[derive(Debug, PartialEq)]
enum Call {
    Run(u64),
    Stop(u64, DataflowWay),
    Feed(FedAttempt),
    FeedEnded(FedAttempt),
    EndInput(u64, Vec<String>),
}

/// Does what the test wants.
#[derive(Debug)]
struct Executor {
    calls: mpsc::UnboundedSender<Call>,
    tellers: Mutex<Vec<DataflowTeller>>,
}

impl DataflowExecutor for Executor {
    fn run(&self, attempt: u64, _checkpoint: Option<u64>, teller: DataflowTeller) {
        self.tellers.lock().unwrap().push(teller);
        self.calls.send(Call::Run(attempt)).unwrap();
    }

    fn stop(&self, attempt: u64, way: DataflowWay) {
        self.calls.send(Call::Stop(attempt, way)).unwrap();
    }

    fn feed(&self, fed: &FedAttempt) -> Result<Vec<OwnedFd>, String> {
        self.calls.send(Call::Feed(fed.clone())).unwrap();
        Ok(Vec::new())
    }

    fn feed_ended(&self, fed: &FedAttempt) -> bool {
        self.calls.send(Call::FeedEnded(fed.clone())).unwrap();
        false
    }

    fn end_input(&self, attempt: u64, roles: &[String]) {
        self.calls
            .send(Call::EndInput(attempt, roles.to_vec()))
            .unwrap();
    }
}

impl Executor {
    /// The newest attempt that has not ended.
    fn teller(&self) -> DataflowTeller {
        self.tellers.lock().unwrap().pop().unwrap()
    }

    fn end(&self, end: DataflowEnd) {
        self.teller().ended(end, HowFar::default());
    }
}

/// An agent with an executor, and what that is told.
async fn world() -> (World, Arc<Executor>, mpsc::UnboundedReceiver<Call>) {
    let (calls, called) = mpsc::unbounded_channel();
    let tellers = Mutex::default();
    let executor = Arc::new(Executor { calls, tellers });
    let world = World::with_dataflow(executor.clone()).await;
    (world, executor, called)
}

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
