//! What can go wrong with an operator.

use arrow_schema::DataType;

use crate::error::{InvalidAnswer, trap_text};
use crate::limits::{LimitExceeded, LimitKind};
use crate::types::words;

words! {
    /// A function of the operator interface.
    OperatorCall {
        /// `operator.open`
        Open = "open",
        /// `operator.process`
        Process = "process",
        /// `operator.watermark`
        Watermark = "watermark",
        /// `operator.end`
        End = "end",
        /// `operator.snapshot`
        Snapshot = "snapshot",
        /// `operator.restore`
        Restore = "restore",
    }
}

/// A call of an operator gave no valid answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{call}` of operator `{operator}` failed")]
pub struct OperatorError {
    /// Name of the operator.
    pub operator: String,
    /// What was called.
    pub call: OperatorCall,
    /// Why it failed.
    #[source]
    pub fault: OperatorFault,
}

/// Why a call of an operator failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OperatorFault {
    /// The operator's own, deliberate answer.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It trapped or panicked.
    #[error("{}", trap_text(cause, log))]
    Trap {
        /// What WebAssembly says.
        cause: String,
        /// Its last log lines; a panic's message is the last one.
        log: Vec<String>,
    },
    /// It went beyond a limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// Its answer is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidAnswer),
    /// Its rows have other columns than it announced.
    #[error(transparent)]
    ChangedSchema(#[from] ChangedSchema),
    /// It cannot be given this input.
    #[error(transparent)]
    Input(#[from] InputFault),
    /// It has failed before.
    #[error("it stopped in an earlier call (`{0}`) and cannot be called again")]
    Dead(OperatorCall),
    /// A restore that comes after rows.
    #[error("it has been given rows already, and takes up no other state")]
    Late,
    /// The host itself could not make the call.
    #[error("the host could not call it: {0}")]
    Host(String),
}

/// An operator says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message} (`{code}`)", place(column.as_deref(), *row))]
pub struct Refused {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// The column that it is about.
    pub column: Option<String>,
    /// The row of the batch that it is about, from 0.
    pub row: Option<u32>,
}

fn place(column: Option<&str>, row: Option<u32>) -> String {
    match (column, row) {
        (Some(column), Some(row)) => format!("column `{column}`, row {row} of the batch: "),
        (Some(column), None) => format!("column `{column}`: "),
        (None, Some(row)) => format!("row {row} of the batch: "),
        (None, None) => String::new(),
    }
}

/// How rows differ from what was announced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangedSchema {
    /// A column of another kind.
    #[error(
        "it changes its schema: column `{column}` holds {found}, but `open` announced {announced}"
    )]
    Kind {
        /// Its name.
        column: String,
        /// As the WIT spells it.
        announced: &'static str,
        /// As the WIT spells it.
        found: &'static str,
    },
    /// A column is not there.
    #[error("it changes its schema: column `{column}`, which `open` announced, is missing")]
    Missing {
        /// Its name.
        column: String,
    },
    /// There are more columns.
    #[error(
        "it changes its schema: {found} columns instead of {announced}: more follow behind `{last}`, and `open` announced none"
    )]
    More {
        /// How many there should be.
        announced: usize,
        /// How many there are.
        found: usize,
        /// The last one that was announced.
        last: String,
    },
}

/// What an operator cannot be given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InputFault {
    /// Operators have no kind for it.
    #[error("column `{column}` is of type {data_type}, which operators do not have")]
    Type {
        /// Its name.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// A value does not fit.
    #[error("column `{column}` cannot be given to it: {why}")]
    Values {
        /// Its name.
        column: String,
        /// Why.
        why: String,
    },
    /// Rows with another number of columns than it was opened for.
    #[error("the batch has {given} columns, but it was opened for {opened}")]
    Count {
        /// Of the batch.
        given: usize,
        /// Of the schema.
        opened: usize,
    },
    /// Rows of another schema than it was opened for.
    #[error(
        "the batch has the column `{given}` ({given_type}), but it was opened for `{column}` ({opened})"
    )]
    Other {
        /// Name in the schema.
        column: String,
        /// Type in the schema.
        opened: DataType,
        /// Name in the batch.
        given: String,
        /// Type in the batch.
        given_type: DataType,
    },
    /// More rows at once than it can count.
    #[error("the batch has {0} rows, more than operators can count")]
    Rows(usize),
}

impl OperatorError {
    /// The error of `call` of the operator with this name.
    pub fn new(
        operator: impl Into<String>,
        call: OperatorCall,
        fault: impl Into<OperatorFault>,
    ) -> Self {
        Self {
            operator: operator.into(),
            call,
            fault: fault.into(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match &self.fault {
            OperatorFault::Refused(_) if self.call == OperatorCall::Open => {
                "mend the `config` of the operator, or the columns that it is given"
            }
            OperatorFault::Refused(_) if self.call == OperatorCall::Restore => {
                "take the component and the config with which the state was written, or begin anew"
            }
            OperatorFault::Refused(_) => {
                "mend the rows before the operator, or leave them out in a SQL transform"
            }
            OperatorFault::Limit(exceeded) => return Some(limit_hint(exceeded.limit).to_owned()),
            OperatorFault::Trap { .. }
            | OperatorFault::Invalid(_)
            | OperatorFault::ChangedSchema(_) => {
                "this is a mistake of the operator: report it to its author"
            }
            OperatorFault::Input(fault) => return fault.hint(),
            OperatorFault::Dead(_) => "go on from the last checkpoint, or from the beginning",
            OperatorFault::Late | OperatorFault::Host(_) => return None,
        };
        Some(hint.to_owned())
    }
}

const fn limit_hint(limit: LimitKind) -> &'static str {
    match limit {
        LimitKind::Fuel | LimitKind::DeadlineMs => {
            "give it smaller batches; if it never ends, report it to its author"
        }
        LimitKind::MemoryBytes => "give it smaller batches, or let it keep less between calls",
        LimitKind::OutputBytes => "give it smaller batches, or let it answer in smaller ones",
        LimitKind::OperatorStateBytes => "let it keep less between calls",
        _ => "this is a mistake of the operator: report it to its author",
    }
}

impl InputFault {
    fn hint(&self) -> Option<String> {
        let Self::Type { column, data_type } = self else {
            return None;
        };
        let target = match data_type {
            DataType::UInt64 | DataType::Duration(_) => "BIGINT",
            DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => "DOUBLE",
            DataType::Date32 | DataType::Date64 => "TIMESTAMP",
            DataType::Time32(_) | DataType::Time64(_) | DataType::Interval(_) | DataType::Null => {
                "TEXT"
            }
            _ => {
                return Some(format!(
                    "leave `{column}` out in a SQL transform before the operator"
                ));
            }
        };
        let quoted = column.replace('"', "\"\"");
        Some(format!(
            "convert it in a SQL transform before the operator: `CAST(\"{quoted}\" AS {target}) AS \"{quoted}\"`"
        ))
    }
}
