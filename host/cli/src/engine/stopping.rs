//! From the first Ctrl-C to the last: ask in order, then at once, then give the job up.

use std::time::Duration;

use forebay_cluster::connect::JobControl;
use forebay_cluster::wire::job::StopRequest;
use forebay_job::Job;
use tokio::time::Instant;

/// How long the application manager may take, beyond the deadline of an orderly stop, to end nodes that do not obey.
const BEYOND_DEADLINE: Duration = Duration::from_mins(1);
/// How long one call of the manager may take, and how often it is repeated.
const CALL_WITHIN: Duration = Duration::from_secs(5);
const CALLS_MAX: u32 = 10;
const CALL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the engine does after somebody has asked for something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Waits for the end of the job.
    GoOn,
    /// Ends it by force, for this reason.
    GiveUp(String),
}

/// How far stopping has come.
pub(super) struct Stopping {
    control: JobControl,
    within: Duration,
    force: Force,
    way: Option<Way>,
    give_up_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Orderly,
    Now,
}

/// What force ends, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    Nodes,
    /// The job has nothing else.
    Dataflow,
}

impl Force {
    fn against(job: &Job) -> Self {
        if job.roles.is_empty() {
            Self::Dataflow
        } else {
            Self::Nodes
        }
    }

    fn offered(self) -> &'static str {
        match self {
            Self::Nodes => "kills every node at once",
            Self::Dataflow => "ends the dataflow at once",
        }
    }

    fn used(self) -> &'static str {
        match self {
            Self::Nodes => "killing every node",
            Self::Dataflow => "ending the dataflow",
        }
    }
}

impl Stopping {
    pub(super) fn new(control: JobControl, job: &Job) -> Self {
        Self {
            control,
            within: job.limits.stop_within,
            force: Force::against(job),
            way: None,
            give_up_at: None,
        }
    }

    /// A person asks, once more. Says what happens now.
    pub(super) fn asked(&mut self, reason: &str) -> (Next, String) {
        match self.way {
            None => {
                self.ask(Way::Orderly, reason);
                let seconds = self.within.as_secs();
                (
                    Next::GoOn,
                    format!(
                        "stopping the job, within {seconds} s; Ctrl-C again {}",
                        self.force.offered()
                    ),
                )
            }
            Some(Way::Orderly) => {
                self.ask(Way::Now, reason);
                (
                    Next::GoOn,
                    format!("{}; Ctrl-C again gives the job up", self.force.used()),
                )
            }
            Some(Way::Now) => (Next::GiveUp(reason.into()), "giving the job up".into()),
        }
    }

    /// The same, once, where no person is there to be told.
    pub(super) fn quietly(&mut self, reason: &str) -> Next {
        if self.way.is_none() {
            self.ask(Way::Orderly, reason);
        }
        Next::GoOn
    }

    /// The engine itself cannot go on.
    pub(super) fn broken(&mut self, reason: String) {
        self.give_up_at = Some(Instant::now() + BEYOND_DEADLINE);
        let request = StopRequest {
            request: format!("engine-{}-broken", std::process::id()),
            reason,
            broken: true,
            ..StopRequest::default()
        };
        tokio::spawn(deliver(self.control.clone(), request));
    }

    /// Comes back when the manager has had time enough.
    pub(super) async fn deadline(&self) {
        match self.give_up_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    fn ask(&mut self, way: Way, reason: &str) {
        let within = if way == Way::Orderly {
            self.within
        } else {
            Duration::ZERO
        };
        self.way = Some(way);
        self.give_up_at = Some(Instant::now() + within + BEYOND_DEADLINE);
        let request = StopRequest {
            request: format!("engine-{}-{way:?}", std::process::id()).to_lowercase(),
            now: way == Way::Now,
            deadline_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            reason: reason.into(),
            broken: false,
        };
        tokio::spawn(deliver(self.control.clone(), request));
    }
}

/// Repeats the call until it is answered: the same id acts once.
async fn deliver(mut control: JobControl, request: StopRequest) {
    for _ in 0..CALLS_MAX {
        match tokio::time::timeout(CALL_WITHIN, control.stop(request.clone())).await {
            Ok(Ok(_)) => return,
            Ok(Err(status)) => tracing::warn!(
                "the application manager does not stop the job: {}",
                status.message()
            ),
            Err(_) => tracing::warn!("the application manager does not answer"),
        }
        tokio::time::sleep(CALL_AGAIN_AFTER).await;
    }
}
