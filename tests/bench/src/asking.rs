//! Questions to an application manager, as `forebay status` puts them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use forebay_cluster::connect;
use forebay_cluster::run_directory::RunDirectory;
use forebay_cluster::token::Token;
use forebay_cluster::wire::job::DescribeRequest;
use serde_json::Value;
use tokio::time::sleep;

/// The answer is awaited so long.
const WITHIN: Duration = Duration::from_mins(1);
/// Between two questions.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Asks until the answer is the awaited one; that nobody answers is none.
pub(crate) async fn until(run: &RunDirectory, awaited: impl Fn(&Value) -> bool) -> Result<()> {
    let given_up = Instant::now() + WITHIN;
    while !awaited(&describe(run).await.unwrap_or_default()) {
        ensure!(
            Instant::now() < given_up,
            "the application manager never gave the awaited answer"
        );
        sleep(ASK_AGAIN_AFTER).await;
    }
    Ok(())
}

/// Whether the answer has things of this name, and all of them are so.
pub(crate) fn all(answer: &Value, name: &str, are: impl Fn(&Value) -> bool) -> bool {
    let things = answer[name].as_array();
    things.is_some_and(|things| !things.is_empty() && things.iter().all(are))
}

async fn describe(run: &RunDirectory) -> Result<Value> {
    let token = Token::read_file(&run.token_file())?;
    let mut control = connect::job_control(&run.address(), &token).await?;
    let description = control.describe(DescribeRequest {}).await?;
    Ok(serde_json::from_str(&description.into_inner().json)?)
}
