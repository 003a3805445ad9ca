//! The stream of events from the application manager to the view.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay_cluster::connect::{JobControl, job_control};
use forebay_cluster::events::{JobEvent, Summary};
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::token::Token;
use forebay_cluster::wire::job::WatchRequest;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::renderer::Queue;
use crate::failure::Failure;
use crate::view::Received;

/// Between two tries to watch a manager that is alive but whose stream broke.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Connects to the manager of a run. The engine has bound the socket: the call waits until the manager serves it.
pub(super) async fn connect(run: &RunDirectory) -> Result<JobControl, Failure> {
    let token =
        Token::read_file(&run.token_file()).map_err(|error| Failure::from_engine(&error))?;
    job_control(&run.address(), &token).await.map_err(|error| {
        Failure::engine("cannot reach the application manager").caused_by(Some(&error))
    })
}

/// Watches until the summary, or until the stream breaks.
pub(super) struct Watching {
    control: JobControl,
    queue: Queue,
    task: JoinHandle<Option<Summary>>,
    seen: Arc<AtomicU64>,
    begun: Arc<Notify>,
}

impl Watching {
    pub(super) fn start(control: JobControl, queue: Queue) -> Self {
        let (seen, begun) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let watching = watch(control.clone(), queue.clone(), seen.clone(), begun.clone());
        let task = tokio::spawn(watching);
        Self {
            control,
            queue,
            task,
            seen,
            begun,
        }
    }

    /// The summary, or nothing where the stream broke before it.
    pub(super) async fn ended(&mut self) -> Option<Summary> {
        (&mut self.task).await.ok().flatten()
    }

    /// Goes on behind the last event that came.
    pub(super) fn again(&mut self) {
        let (control, queue) = (self.control.clone(), self.queue.clone());
        let (seen, begun) = (self.seen.clone(), self.begun.clone());
        self.task = tokio::spawn(async move {
            tokio::time::sleep(AGAIN_AFTER).await;
            watch(control, queue, seen, begun).await
        });
    }

    /// Told when from then on nothing is missed.
    pub(super) fn begun(&self) -> Arc<Notify> {
        self.begun.clone()
    }

    /// Number of the last event that came.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// Watches no more; when this returns, nothing is passed on any more.
    pub(super) async fn cut(&mut self) {
        self.task.abort();
        // It was cut, or had come to its end.
        let _ = (&mut self.task).await;
    }

    /// Watches no more.
    pub(super) fn give_up(&self) {
        self.task.abort();
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.give_up();
    }
}

async fn watch(
    mut control: JobControl,
    queue: Queue,
    seen: Arc<AtomicU64>,
    begun: Arc<Notify>,
) -> Option<Summary> {
    let after = seen.load(Ordering::Acquire);
    let mut events = match control.watch(WatchRequest { after }).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            tracing::warn!("cannot watch the job: {}", status.message());
            return None;
        }
    };
    begun.notify_one();
    while let Ok(Some(event)) = events.message().await {
        let Ok(received) = Received::parse(event.json) else {
            tracing::warn!(
                "event {} is not one that this version knows",
                event.sequence
            );
            continue;
        };
        let summary = match received.event() {
            JobEvent::Summary(summary) => Some(summary.clone()),
            _ => None,
        };
        queue.put(received).await;
        seen.fetch_max(event.sequence, Ordering::AcqRel);
        if summary.is_some() {
            return summary;
        }
    }
    None
}
