//! A planned query: what its operators will be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::physical_plan::PhysicalExpr;
use forebay_dataflow::operators::{IntervalJoinPlan, TableJoinPlan, TumblingWindowPlan};

use crate::aggregates::Aggregate;
use crate::evaluate::Function;
use crate::stage::StagePlan;
use crate::window::Pieces;

/// One operator and what feeds it.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Its columns, whose names are unique: with the relation where they have one.
    pub(crate) schema: SchemaRef,
    /// The position of the event time.
    pub(crate) time: Option<usize>,
    /// The columns that say in which piece of event time a row is.
    pub(crate) windows: BTreeMap<usize, Pieces>,
}

pub(crate) enum Kind {
    /// The relation as it is.
    Scan(String),
    /// One batch of each batch.
    Each {
        name: &'static str,
        input: Box<Node>,
        function: Function,
    },
    Union(Vec<Node>),
    IntervalJoin {
        inputs: Box<[Node; 2]>,
        plan: IntervalJoinPlan,
        condition: Option<Condition>,
    },
    /// The stream, then the table.
    TableJoin {
        inputs: Box<[Node; 2]>,
        plan: TableJoinPlan,
        condition: Option<Condition>,
    },
    Window {
        input: Box<Node>,
        plan: TumblingWindowPlan,
        aggregates: Arc<[Aggregate]>,
    },
    /// DataFusion runs it whole.
    Stage(StagePlan),
}

/// What else must hold of two joined rows.
#[derive(Clone)]
pub(crate) struct Condition {
    /// The columns that it sees: those of both sides without the keys that were added.
    pub(crate) positions: Vec<usize>,
    pub(crate) condition: Arc<dyn PhysicalExpr>,
}

/// The columns of a plan under unique names: with their relation, where they have one.
pub(crate) fn unique_names(schema: &DFSchema) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::new();
    for (relation, field) in schema.iter() {
        let name = relation.map_or_else(
            || field.name().clone(),
            |relation| format!("{relation}.{}", field.name()),
        );
        let name = fresh_name(&name, fields.iter().map(|field| field.name().as_str()));
        fields.push(field.as_ref().clone().with_name(name));
    }
    Arc::new(Schema::new(fields))
}

/// This name, or one like it that nobody has.
pub(crate) fn fresh_name<'a>(name: &str, taken: impl Iterator<Item = &'a str>) -> String {
    let taken: BTreeSet<&str> = taken.collect();
    let mut fresh = name.to_owned();
    while taken.contains(fresh.as_str()) {
        fresh.push('\'');
    }
    fresh
}
