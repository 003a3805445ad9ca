//! Operators that know event time: joins and windows. They work on columns by position; expressions are whoever calls them's.

mod each;
mod held;
mod interval_join;
mod keys;
mod table_join;
mod tumbling_window;
mod union;

use arrow_array::{BooleanArray, RecordBatch};

pub use self::each::Each;
pub use self::interval_join::{IntervalJoin, IntervalJoinPlan};
pub use self::table_join::{TableJoin, TableJoinKind, TableJoinPlan};
pub use self::tumbling_window::{Aggregates, Open, TumblingWindow, TumblingWindowPlan, WindowTime};
pub use self::union::Union;

use crate::error::Cause;

/// Which rows of a join of two streams are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Those with a partner.
    Inner,
    /// Those of the left side without one too, with nulls beside them.
    Left,
}

/// What else must hold of two rows that belong together: one answer for each row, null like false.
pub type Condition = Box<dyn Fn(&RecordBatch) -> Result<BooleanArray, Cause> + Send + Sync>;

/// Rows of a batch that a join emits at once, at most.
const ROWS_AT_ONCE: usize = 8192;
