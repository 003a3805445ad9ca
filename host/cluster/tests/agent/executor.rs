//! An executor that does what a test wants.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use forebay_cluster::agent::{
    DataflowEnd, DataflowExecutor, DataflowTeller, DataflowWay, FedAttempt, FeedState, HowFar,
};
use tokio::sync::mpsc;

use crate::world::World;

/// What an executor was told.
#[derive(Debug, PartialEq)]
pub(crate) enum Call {
    Run(u64),
    Stop(u64, DataflowWay),
    Feed(FedAttempt),
    FeedEnded(FedAttempt),
    EndInput(u64, Vec<String>),
}

/// Does what the test wants.
#[derive(Debug)]
pub(crate) struct Executor {
    calls: mpsc::UnboundedSender<Call>,
    tellers: Mutex<Vec<DataflowTeller>>,
    /// What the next node inherits, or why none is fed.
    pub(crate) channel: Mutex<Result<Vec<OwnedFd>, String>>,
    pub(crate) state: Mutex<FeedState>,
    pub(crate) input_left: AtomicBool,
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
        std::mem::replace(&mut *self.channel.lock().unwrap(), Ok(Vec::new()))
    }

    fn feed_state(&self, _: &FedAttempt) -> FeedState {
        *self.state.lock().unwrap()
    }

    fn feed_ended(&self, fed: &FedAttempt) -> bool {
        self.calls.send(Call::FeedEnded(fed.clone())).unwrap();
        self.input_left.load(Ordering::Relaxed)
    }

    fn end_input(&self, attempt: u64, roles: &[String]) {
        self.calls
            .send(Call::EndInput(attempt, roles.to_vec()))
            .unwrap();
    }
}

impl Executor {
    /// The newest attempt that has not ended.
    pub(crate) fn teller(&self) -> DataflowTeller {
        self.tellers.lock().unwrap().pop().unwrap()
    }

    pub(crate) fn end(&self, end: DataflowEnd) {
        self.teller().ended(end, HowFar::default());
    }
}

/// An agent with an executor, and what that is told.
pub(crate) async fn world() -> (World, Arc<Executor>, mpsc::UnboundedReceiver<Call>) {
    let (calls, called) = mpsc::unbounded_channel();
    let executor = Arc::new(Executor {
        calls,
        tellers: Mutex::default(),
        channel: Mutex::new(Ok(Vec::new())),
        state: Mutex::default(),
        input_left: AtomicBool::new(false),
    });
    let world = World::with_dataflow(executor.clone()).await;
    (world, executor, called)
}
