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
        let answer = timeout(WITHIN, ping(&run, &mut control)).await;
        if answer.unwrap_or(false) {
            (missed, missed_max) = (0, MISSED_MAX);
        } else {
            (control, missed) = (None, missed + 1);
        }
        sleep(EVERY).await;
    }
}

/// Whether somebody is in charge of the run.
pub(crate) async fn answers(run: &RunDirectory) -> bool {
    let answer = timeout(WITHIN, ping(run, &mut None)).await;
    answer.unwrap_or(false)
}

async fn ping(run: &RunDirectory, control: &mut Option<JobControl>) -> bool {
    if control.is_none() {
        *control = connect(run).await.ok();
    }
    match control {
        Some(control) => control.ping(PingRequest {}).await.is_ok(),
        None => false,
    }
}
