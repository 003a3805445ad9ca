//! Whether an application manager still lives: a process that is stopped, or whose machine swaps, has not died, and yet
//! nobody is in charge.

use std::time::Duration;

use forebay_cluster::connect::JobControl;
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::wire::job::PingRequest;
use tokio::time::{sleep, timeout};

use super::watching::connect;

/// Between an answer and the next question.
const EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer is none. It needs no disk, no plugin and no network.
const WITHIN: Duration = Duration::from_secs(2);
/// So many missing answers in a row are silence.
const MISSED_MAX: u32 = 4;
/// The same before the first answer: plugins have to be compiled first.
const MISSED_AT_START_MAX: u32 = 30;

/// Comes back when the application manager of the run does not answer any more. Time in which this process itself stood
/// still does not count.
pub(super) async fn until_silent(run: RunDirectory) {
    let (mut control, mut missed, mut missed_max) = (None, 0, MISSED_AT_START_MAX);
    while missed < missed_max {
        match timeout(WITHIN, ping(&run, &mut control)).await {
            Ok(Answer::Here) => (missed, missed_max) = (0, MISSED_MAX),
            Ok(Answer::Unasked) => {}
            Ok(Answer::Missing) | Err(_) => (control, missed) = (None, missed + 1),
        }
        sleep(EVERY).await;
    }
}

enum Answer {
    Here,
    Missing,
    /// The question could not be put, which says nothing of the other side: a file is missing, or there is no descriptor.
    Unasked,
}

async fn ping(run: &RunDirectory, control: &mut Option<JobControl>) -> Answer {
    if control.is_none() {
        match connect(run).await {
            Ok(connected) => *control = Some(connected),
            Err(_) => return Answer::Unasked,
        }
    }
    match control {
        Some(control) => match control.ping(PingRequest {}).await {
            Ok(_) => Answer::Here,
            Err(_) => Answer::Missing,
        },
        None => Answer::Unasked,
    }
}
