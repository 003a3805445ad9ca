//! SQL over streams. DataFusion parses, plans, coerces and evaluates expressions; what runs are operators of the dataflow.
//!
//! No plan of DataFusion runs on an unbounded input: [`plan`] turns each part into an operator that works on streams, and refuses by
//! name what would need all rows at once, with a way out. A part that reads bounded relations alone is DataFusion's as a whole. Begin with [`Relation`] (what SQL may read) and [`plan`]; a [`Query`]
//! becomes operators with [`Query::build`].

mod aggregates;
mod build;
mod casts;
mod depth;
mod durations;
mod error;
mod evaluate;
mod explain;
mod in_turn;
mod interval;
mod join;
mod lineage;
mod node;
mod planner;
mod refusal;
mod stage;
mod window;

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use forebay_dataflow::{Cause, Source};

pub use self::casts::hint_of;
pub use self::error::{Error, Place};
pub use self::lineage::{Lineage, Origin};
pub use self::planner::{Query, Reads};
pub use self::stage::{Resources, Sorted};

/// Something that SQL may read by name.
#[derive(Debug, Clone)]
pub struct Relation {
    /// Its columns.
    pub schema: SchemaRef,
    /// The column of its event time; `None`: it has none, and cannot be joined as a stream.
    pub event_time: Option<String>,
    /// Whether it has an end that a query may wait for. What reads bounded relations alone is left to DataFusion as a whole.
    pub is_bounded: bool,
    /// About how many bytes it has, where that is known: a join of two bounded relations remembers the smaller one.
    pub bytes: Option<u64>,
    /// Where its columns come from, which messages name.
    pub lineage: Lineage,
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

/// The names of the relations that a query reads, before anything is known of them: each once.
///
/// # Errors
///
/// It is no SQL, or no query.
pub fn relations_of(sql: &str) -> Result<Vec<String>, Error> {
    planner::relations_of(sql)
}

/// The rows of a source with an end, in the order of one of its columns.
///
/// # Errors
///
/// There is no such column, or it has no order; DataFusion cannot begin.
pub fn sorted(
    source: Box<dyn Source>,
    schema: &SchemaRef,
    column: &str,
    resources: &Resources,
) -> Result<Sorted, Cause> {
    let plan = planner::sort(schema.clone(), column)?;
    Sorted::new(source, &plan, schema.clone(), resources)
}
