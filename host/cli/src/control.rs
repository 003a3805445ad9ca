//! Calls of people's commands to the application manager of a run.

use std::time::Duration;

use forebay_cluster::connect::{JobControl, job_control};
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::token::Token;

use crate::failure::Failure;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Connects to a manager that should be there.
pub(crate) async fn connect(run: &RunDirectory) -> Result<JobControl, Failure> {
    let token = Token::read_file(&run.token_file()).map_err(|error| Failure::from_input(&error))?;
    job_control(&run.address(), &token).await.map_err(|error| {
        Failure::engine(format!(
            "cannot reach the application manager of `{}`",
            run.name()
        ))
        .caused_by(Some(&error))
    })
}

/// The answer of the manager of this run, if it comes in time.
pub(crate) async fn within<A, E: std::fmt::Display>(
    run: &RunDirectory,
    call: impl Future<Output = Result<A, E>>,
) -> Result<A, Failure> {
    let silent = |_| {
        Failure::engine(format!(
            "the application manager of `{}` has not answered for {} s",
            run.name(),
            ANSWER_WITHIN.as_secs()
        ))
        .with_hint(
            "where it stands still, Ctrl-C at `forebay run`, pressed three times, ends the run without it",
        )
    };
    let answer = tokio::time::timeout(ANSWER_WITHIN, call)
        .await
        .map_err(silent)?;
    answer.map_err(|status| Failure::engine(format!("the application manager refuses: {status}")))
}
