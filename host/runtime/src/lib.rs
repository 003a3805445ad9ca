//! Makes a dataflow of what a job says: sources, transforms and sinks become operators of one graph.
//!
//! It finds everything that is wrong with them before anything runs ([`plan`]), and pins what was found: the columns of files, the text
//! of queries, the components of operators. It does not know processes, nodes or the application manager.
//!
//! Begin with [`plan`]; a [`Plan`] gives as many [`Graph`](forebay_dataflow::Graph)s as a job has attempts.

mod operator;
mod order;
mod plan;
mod problem;
mod role;
mod sinks;
mod sources;
mod step;
mod time;
mod transforms;

pub use self::plan::{Plan, Planned, Setting, plan};
pub use self::problem::{Problem, Spot, code};
pub use self::role::{FeedError, FeedReading, Feeds};
