//! Calls of people's commands to the application manager of a run.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use forebay_cluster::connect::{JobControl, Status, job_control};
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::token::Token;

use crate::failure::Failure;
use crate::runs::{self, State};

/// How long an answer may take.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The run, if its job has not ended.
pub(crate) fn running(run: Option<&Path>) -> Result<RunDirectory, Failure> {
    let run = runs::find(run)?;
    let (state, _) = runs::state_of(&run);
    if state == State::Running {
        return Ok(run);
    }
    Err(Failure::input(format!(
        "the run `{}` is not running: it is {}",
        run.name(),
        state.word()
    )))
}

/// An id that no other request has.
pub(crate) fn request_id(verb: &str) -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    format!("{verb}-{}-{now}", std::process::id())
}

/// Connects to a manager that should be there.
pub(crate) async fn connect(run: &RunDirectory) -> Result<JobControl, Failure> {
    let token = Token::read_file(&run.token_file()).map_err(|error| Failure::from_input(&error))?;
    job_control(&run.address(), &token)
        .await
        .map_err(|error| unreachable_manager(run).caused_by(Some(&error)))
}

fn unreachable_manager(run: &RunDirectory) -> Failure {
    Failure::engine(format!(
        "cannot reach the application manager of `{}`",
        run.name()
    ))
}

/// The answer of the manager of this run, if it comes in time.
pub(crate) async fn within<A>(
    run: &RunDirectory,
    limit: Duration,
    call: impl Future<Output = Result<A, Status>>,
) -> Result<A, Failure> {
    let silent = |_| {
        Failure::engine(format!(
            "the application manager of `{}` has not answered for {} s",
            run.name(),
            limit.as_secs()
        ))
        .with_hint(
            "ask again: `forebay run` replaces one that stands still; where that stands still too, end it, and go on with `forebay run --continue`",
        )
    };
    let answer = tokio::time::timeout(limit, call).await.map_err(silent)?;
    answer.map_err(|status| {
        // It has one where the connection broke, and not where somebody answered.
        if let Some(broken) = status.source() {
            return unreachable_manager(run).caused_by(Some(broken));
        }
        Failure::engine(format!(
            "the application manager refuses: {}",
            status.message()
        ))
    })
}
