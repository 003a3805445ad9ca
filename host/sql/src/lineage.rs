//! Where columns come from, seen through all queries that only pass them on.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, TableScan};

use crate::planner::position;
use crate::{Error, Relations};

/// Where the columns of a relation come from. That of a source is the default: it reads nothing, and makes all columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The relations that it is made of.
    pub reads: BTreeSet<String>,
    /// The columns that it only passes on. All others it makes itself.
    pub passed_on: BTreeMap<String, Origin>,
}

/// A column where it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source that has it, or the transform that computes it.
    pub relation: String,
    /// Its name there.
    pub column: String,
}

/// Where a column of a relation was made.
pub(crate) fn origin(relation: &str, column: &str, relations: &Relations) -> Origin {
    let lineage = relations.get(relation).map(|known| &known.lineage);
    let passed_on = lineage.and_then(|lineage| lineage.passed_on.get(column));
    passed_on.cloned().unwrap_or_else(|| Origin {
        relation: relation.to_owned(),
        column: column.to_owned(),
    })
}

/// The lineage of what comes out of a query.
pub(crate) fn of_query(plan: &LogicalPlan, relations: &Relations) -> Result<Lineage, Error> {
    let mut reads = BTreeSet::new();
    plan.apply_with_subqueries(|part| {
        if let LogicalPlan::TableScan(scan) = part {
            reads.extend(relation_of(scan, relations).map(str::to_owned));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let names = plan.schema().fields().iter().map(|field| field.name());
    let columns = columns(plan, relations);
    let passed_on = names
        .zip(columns)
        .filter_map(|(name, origin)| Some((name.clone(), origin?)));
    Ok(Lineage {
        reads,
        passed_on: passed_on.collect(),
    })
}

/// A table that a function makes, or a recursive query, is no relation.
fn relation_of<'a>(scan: &'a TableScan, relations: &Relations) -> Option<&'a str> {
    let name = scan.table_name.table();
    relations.contains_key(name).then_some(name)
}

/// The origin of each column of a plan; `None`: it is made here.
fn columns(plan: &LogicalPlan, relations: &Relations) -> Vec<Option<Origin>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let relation = relation_of(scan, relations);
            let fields = scan.projected_schema.fields().iter();
            fields
                .map(|field| Some(origin(relation?, field.name(), relations)))
                .collect()
        }
        LogicalPlan::SubqueryAlias(alias) => columns(&alias.input, relations),
        LogicalPlan::Projection(projection) => {
            let input = columns(&projection.input, relations);
            let schema = projection.input.schema();
            let of = |expression: &Expr| input.get(position(expression, schema)?)?.clone();
            projection.expr.iter().map(of).collect()
        }
        // Several columns become one, or others than a column of the same name.
        LogicalPlan::Union(_)
        | LogicalPlan::RecursiveQuery(_)
        | LogicalPlan::Distinct(Distinct::On(_)) => vec![None; plan.schema().fields().len()],
        other => by_name(other, relations),
    }
}

/// All other plans keep the names of what they pass on.
fn by_name(plan: &LogicalPlan, relations: &Relations) -> Vec<Option<Origin>> {
    let inputs = plan.inputs().into_iter();
    let inputs: Vec<_> = inputs
        .map(|input| (input.schema(), columns(input, relations)))
        .collect();
    let of = |column| {
        let mut found = inputs.iter();
        found.find_map(|(schema, origins)| origins[schema.maybe_index_of_column(&column)?].clone())
    };
    plan.schema().columns().into_iter().map(of).collect()
}
