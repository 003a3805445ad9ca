//! SQL over streams. DataFusion parses, plans, coerces and evaluates expressions; what runs are operators of the dataflow.
//!
//! No plan of DataFusion runs on an unbounded input: [`plan`] turns each part into an operator that works on streams, and refuses by
//! name what would need all rows at once, with a way out. Begin with [`Relation`] (what SQL may read) and [`plan`]; a [`Query`]
//! becomes operators with [`Query::build`].

mod build;
mod error;
mod evaluate;
mod interval;
mod node;
mod planner;

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;

pub use self::error::{Error, Place};
pub use self::planner::Query;

/// Something that SQL may read by name.
#[derive(Debug, Clone)]
pub struct Relation {
    /// Its columns.
    pub schema: SchemaRef,
    /// The column of its event time; `None`: it has none, and cannot be joined as a stream.
    pub event_time: Option<String>,
}

/// All that SQL may read, by name.
pub type Relations = BTreeMap<String, Relation>;

/// Plans one query.
///
/// # Errors
///
/// It is no SQL, it does not fit the relations, or it would need unbounded state.
pub fn plan(sql: &str, relations: &Relations) -> Result<Query, Error> {
    planner::plan(sql, relations)
}
