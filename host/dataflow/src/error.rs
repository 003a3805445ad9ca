//! What can go wrong.

use std::sync::{Arc, OnceLock};

use arrow_schema::DataType;

/// Why an operator could not go on; its own words.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a running dataflow ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operator said so.
    #[error("`{operator}` failed")]
    Operator {
        /// Its name.
        operator: Arc<str>,
        /// Which of its tasks, from 0.
        task: usize,
        /// What it said.
        source: Cause,
    },
    /// A bug of an operator.
    #[error("`{operator}` panicked: {message}")]
    Panicked {
        /// The operators of the task.
        operator: String,
        /// Which of their tasks, from 0.
        task: usize,
        /// What the panic said.
        message: String,
    },
    /// A batch that does not fit the schema that was announced.
    #[error("`{operator}` emitted a batch of another schema than it announced: {difference}")]
    Schema {
        /// Who emitted it.
        operator: Arc<str>,
        /// The first difference, in words.
        difference: String,
    },
    /// A row without event time.
    #[error("`{operator}`: the event time `{column}` is null in row {row}")]
    EventTimeIsNull {
        /// The source.
        operator: Arc<str>,
        /// The column.
        column: String,
        /// Counted from 1 over all rows of the task.
        row: u64,
    },
    /// The state of another dataflow, or of another build.
    #[error("`{operator}` cannot take up the state of checkpoint {checkpoint}: {reason}")]
    Restore {
        /// Who refused it.
        operator: String,
        /// Its number.
        checkpoint: u64,
        /// Why.
        reason: String,
    },
    /// Nobody can go on and nothing is awaited: only a simulation can know that.
    #[error("the dataflow stands still: {}", .waiting.join("; "))]
    Stalled {
        /// What each task waits for.
        waiting: Vec<String>,
    },
    /// The machine gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// It was stopped from outside.
    #[error("the dataflow was stopped")]
    Stopped,
}

/// Why a dataflow has failed, once it has. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Failure(Arc<OnceLock<String>>);

impl Failure {
    /// The error with all its causes; `None`: there was none so far, or the dataflow was only stopped.
    pub fn text(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    pub(crate) fn note(&self, error: &Error) {
        if matches!(error, Error::Stopped) {
            return;
        }
        // The first one counts.
        let _ = self.0.set(sentence(error));
    }
}

/// An error with all its causes, in one line, each said once: some errors repeat their cause in their own text.
pub fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    texts.join(": ")
}

/// Why a graph cannot run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    /// Two operators of one name.
    #[error("there are two operators `{0}`")]
    NameTaken(String),
    /// No task at all.
    #[error("`{0}` has a parallelism of 0")]
    NoTasks(String),
    /// An operator that nobody feeds.
    #[error("`{0}` has no input")]
    NoInput(String),
    /// Tasks cannot be paired.
    #[error(
        "`{to}` ({to_tasks} tasks) cannot be fed forward by `{from}` ({from_tasks} tasks): both need the same parallelism"
    )]
    Forward {
        /// The operator before.
        from: String,
        /// Its parallelism.
        from_tasks: usize,
        /// The operator behind.
        to: String,
        /// Its parallelism.
        to_tasks: usize,
    },
    /// A column that an exchange or an event time names.
    #[error("`{operator}` has no column `{column}`")]
    NoColumn {
        /// Whose output.
        operator: String,
        /// What was asked for.
        column: String,
    },
    /// A column of a type that does not serve.
    #[error("column `{column}` of `{operator}` is {kind} and cannot be {purpose}")]
    Kind {
        /// Whose output.
        operator: String,
        /// The column.
        column: String,
        /// What it is.
        kind: Box<DataType>,
        /// What it was to be.
        purpose: &'static str,
    },
    /// A table that is read to its end first, while its own source waits for the reader of the other input.
    #[error(
        "`{operator}` reads `{table}` to its end first, but source `{shared}` feeds its other input too and would wait for ever; give the table a source of its own"
    )]
    SharedSource {
        /// The operator with both inputs.
        operator: String,
        /// The input that is read first.
        table: String,
        /// The source of both.
        shared: String,
    },
    /// A key without columns.
    #[error("the key by which `{0}` is fed has no columns")]
    EmptyKey(String),
    /// A round without rows.
    #[error("the rounds of `{0}` have no rows")]
    EmptyRounds(String),
}
