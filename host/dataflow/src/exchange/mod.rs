//! How the tasks of one operator feed those of the next.

mod channel;
mod deal;
mod fan;
mod rounds;

pub use self::channel::Bounds;
pub(crate) use self::channel::{Gauge, Receiver, Sender, Weight, channel};
pub(crate) use self::deal::Deal;
pub(crate) use self::fan::{Edge, Fan};
pub(crate) use self::rounds::Rounds;
pub use self::rounds::padding_of;

/// How rows find their task. Watermarks, barriers and ends go to every task, in the order in which they came between the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// From each task to the one of the same number; operators that are joined like this share a task where they can.
    Forward,
    /// Rows with equal values in these columns to the same task.
    Hash(Vec<String>),
    /// Every row to every task.
    Broadcast,
    /// One batch to each task in turn.
    RoundRobin,
    /// Batches of so many rows at most, each to a task that has none waiting: who is faster gets more.
    Credit {
        /// Rows of a batch, at least 1.
        rows: usize,
    },
    /// Batches of exactly so many rows, as many to every task: what synchronous training needs. Each task before the exchange deals
    /// rounds of its own. Rows wait here until there is a batch for everybody.
    Rounds {
        /// Rows of a batch, at least 1.
        rows: usize,
        /// What becomes of the rows that fill no round when the input ends.
        rest: Rest,
    },
}

/// What becomes of an incomplete last round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// It is dropped and counted (`Progress::dropped`).
    Drop,
    /// It is filled up with copies of the last row whose weight is 0.
    Pad {
        /// The numeric column of the weight.
        weight: String,
    },
}

impl std::fmt::Display for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forward => f.write_str("forward"),
            Self::Hash(columns) => write!(f, "hash({})", columns.join(", ")),
            Self::Broadcast => f.write_str("broadcast"),
            Self::RoundRobin => f.write_str("round robin"),
            Self::Credit { rows } => write!(f, "credit({rows})"),
            Self::Rounds {
                rows,
                rest: Rest::Drop,
            } => write!(f, "rounds({rows})"),
            Self::Rounds {
                rows,
                rest: Rest::Pad { weight },
            } => write!(f, "rounds({rows}, padded by {weight})"),
        }
    }
}
