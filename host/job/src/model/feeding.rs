//! How the dataflow feeds the nodes of a role.

use serde::{Deserialize, Serialize};

/// How the nodes of a role are fed, and what they answer. Means nothing without [`Role::input`](super::Role::input).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Feeding {
    /// Which node gets which rows. Default: batches of at most 1024 rows, to whoever has room.
    pub dealing: Dealing,
    /// How often bounded data is run over. Default: 1. Never above that with an [`output`](Self::output).
    pub passes: u32,
    /// What nodes see, by name, in the order of the job file. Default: empty, they see the columns of the input.
    pub tensors: Vec<(String, Tensor)>,
    /// The columns that each node answers every row with, in the order of the job file, each with its type as `docs/job-file.md`
    /// lists them. Default: empty, nodes answer nothing.
    pub output: Vec<(String, String)>,
    /// Bytes of shared memory for what a node is fed, a multiple of 4096. Default: 16 MiB.
    pub input_ring_bytes: u64,
    /// Bytes of shared memory for what a node answers, a multiple of 4096. Default: 4 MiB. Means nothing without an
    /// [`output`](Self::output).
    pub output_ring_bytes: u64,
}

impl Default for Feeding {
    fn default() -> Self {
        Self {
            dealing: Dealing::default(),
            passes: 1,
            tensors: Vec::new(),
            output: Vec::new(),
            input_ring_bytes: 16 << 20,
            output_ring_bytes: 4 << 20,
        }
    }
}

/// Which node of a role gets which rows (`dealing`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dealing {
    /// As many batches to every node.
    Rounds {
        /// Rows of each batch, exactly (`rounds`).
        rows: u32,
        /// The column that is 0 in the copies which fill up the last round (`pad`). `None`: rows that fill no round are dropped
        /// and counted.
        pad: Option<String>,
    },
    /// Rows with equal values always to the same node, in their order.
    Key {
        /// Whose values these are; never empty, no name twice (`key`).
        columns: Vec<String>,
        /// The most rows of a batch. Default: 1024.
        rows: u32,
    },
    /// Batches to whoever has room.
    Credit {
        /// The most rows of a batch (`credit`). Default: 1024.
        rows: u32,
    },
}

impl Dealing {
    /// Rows of a batch unless the job file says otherwise.
    pub(crate) const ROWS: u32 = 1024;
}

impl Default for Dealing {
    fn default() -> Self {
        Self::Credit { rows: Self::ROWS }
    }
}

/// One thing that nodes see of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tensor {
    /// These columns packed into one float32 matrix; never empty.
    Matrix(Vec<String>),
    /// A column as it is.
    Column(String),
}
