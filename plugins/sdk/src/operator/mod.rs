//! What the author of a dataflow operator needs: the trait [`BatchOperator`], the rows that it gets ([`Rows`]), and the
//! columns that it gives ([`Column`], [`Batch`]).
//!
//! An operator is stateful: one value of it lives as long as its task, and the host takes its state at each checkpoint.
//! Columns have Arrow's layout, so nothing here needs an Arrow library. [`log`](crate::log) is its only way out.
//!
//! # A complete operator
//!
//! It keeps the flights that are later than its config says, and counts all of them.
//!
//! ```
//! use forebay_plugin_sdk::operator::{
//!     Batch, BatchOperator, Column, Field, Fields, Kind, OperatorError, Rows, config, take_state,
//! };
//!
//! struct Late {
//!     minutes: f64,
//!     seen: u64,
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     minutes: f64,
//! }
//!
//! impl BatchOperator for Late {
//!     fn open(text: &str, input: &Fields) -> Result<(Self, Vec<Field>), OperatorError> {
//!         let Config { minutes } = config(text)?;
//!         input.find_of("origin", &[Kind::Text])?;
//!         input.find_of("delay", &[Kind::Float64])?;
//!         let output = vec![
//!             Field::new("origin", Kind::Text).nullable(),
//!             Field::new("delay", Kind::Float64),
//!             Field::new("seen", Kind::Int64),
//!         ];
//!         Ok((Self { minutes, seen: 0 }, output))
//!     }
//!
//!     fn process(&mut self, rows: &Rows) -> Result<Vec<Batch>, OperatorError> {
//!         let (origins, delays) = (rows.text("origin")?, rows.float64s("delay")?);
//!         let late: Vec<usize> = (0..rows.len())
//!             .filter(|row| delays.get(*row).is_some_and(|delay| delay > self.minutes))
//!             .collect();
//!         let seen = late.iter().map(|row| self.seen as i64 + *row as i64 + 1);
//!         let columns = vec![
//!             late.iter().map(|row| origins.get(*row)).collect(),
//!             late.iter().map(|row| delays.get(*row)).collect(),
//!             Column::from(seen.collect::<Vec<i64>>()),
//!         ];
//!         self.seen += rows.len() as u64;
//!         Ok(vec![Batch::new(late.len(), columns)])
//!     }
//!
//!     fn snapshot(&mut self) -> Result<Vec<u8>, OperatorError> {
//!         Ok(self.seen.to_le_bytes().to_vec())
//!     }
//!
//!     fn restore(&mut self, state: &[u8]) -> Result<(), OperatorError> {
//!         self.seen = u64::from_le_bytes(take_state(state)?);
//!         Ok(())
//!     }
//! }
//!
//! forebay_plugin_sdk::export!(Late: batch_operator);
//!
//! // A unit test calls it as the host does.
//! let input = Fields::new(vec![
//!     Field::new("origin", Kind::Text).nullable(),
//!     Field::new("delay", Kind::Float64).nullable(),
//! ]);
//! let (mut late, _) = Late::open(r#"{"minutes": 30}"#, &input).unwrap();
//! let columns = vec![
//!     [Some("JFK"), Some("EWR"), None].into_iter().collect(),
//!     [Some(45.0), None, Some(31.0)].into_iter().collect(),
//! ];
//! let answer = late.process(&Rows::new(&input, Batch::new(3, columns))).unwrap();
//! assert_eq!(answer[0].rows, 2);
//! assert_eq!(answer[0].columns[0], [Some("JFK"), None].into_iter().collect());
//! assert_eq!(answer[0].columns[2], Column::from(vec![1_i64, 3]));
//! assert_eq!(late.snapshot().unwrap(), 3_u64.to_le_bytes());
//! ```

mod column;
mod config;
mod fields;
mod rows;
#[cfg(test)]
mod tests;
mod view;

pub use crate::bindings::operator::exports::forebay::operator::operator::{
    Batch, Field, OperatorError,
};
pub use crate::bindings::operator::forebay::operator::types::{Column, Kind, Spans, Values};
pub use config::{config, take_state};
pub use fields::Fields;
pub use rows::Rows;
pub use view::{Bits, Bytes, Cells, Numbers, Text, Vectors, View};

/// Makes rows of rows, batch by batch.
///
/// Calls are never concurrent, and a call that traps ends the task. An error ends the dataflow, with its message.
pub trait BatchOperator: 'static {
    /// Reads its config, looks at the columns that it will get, and answers itself and the columns that it will give. Also
    /// called by `forebay check`, with rows never following.
    fn open(config: &str, input: &Fields) -> Result<(Self, Vec<Field>), OperatorError>
    where
        Self: Sized;

    /// Rows have come. Each batch of the answer has the columns that [`open`](Self::open) announced, in their order.
    fn process(&mut self, rows: &Rows) -> Result<Vec<Batch>, OperatorError>;

    /// Event time, in microseconds, has passed this: emit what was waiting for it. Default: nothing.
    fn watermark(&mut self, event_time: i64) -> Result<Vec<Batch>, OperatorError> {
        let _ = event_time;
        Ok(Vec::new())
    }

    /// The input has ended. Default: nothing is left.
    fn end(&mut self) -> Result<Vec<Batch>, OperatorError> {
        Ok(Vec::new())
    }

    /// All that it has to know to go on from here. Default: nothing.
    fn snapshot(&mut self) -> Result<Vec<u8>, OperatorError> {
        Ok(Vec::new())
    }

    /// After `open`, before all rows: goes on where another one stood. Default: takes only the state of one without state.
    fn restore(&mut self, state: &[u8]) -> Result<(), OperatorError> {
        take_state::<0>(state).map(drop)
    }
}

impl OperatorError {
    /// A refusal with a code for programs and a text for people: what is wrong, on which thing in backticks.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            column: None,
            row: None,
        }
    }

    /// Says which column it is about.
    #[must_use]
    pub fn at_column(self, column: impl Into<String>) -> Self {
        Self {
            column: Some(column.into()),
            ..self
        }
    }

    /// Says which row of the batch it is about, from 0.
    #[must_use]
    pub fn at_row(self, row: usize) -> Self {
        Self {
            row: u32::try_from(row).ok(),
            ..self
        }
    }
}

impl Batch {
    /// So many rows, with these columns.
    pub fn new(rows: usize, columns: Vec<Column>) -> Self {
        Self {
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            columns,
        }
    }
}
