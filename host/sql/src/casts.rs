//! Texts that a query takes for something else without saying so: such a query fails at the first text that is none.

use std::collections::BTreeSet;
use std::error::Error as StdError;

use arrow_schema::{ArrowError, DataType};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use crate::Error;
use crate::error::{Place, name};

const OF_TEXT: &str = "`TRY_CAST` gives NULL for such texts; `null_values` of the source (`--null` of `forebay sql`) reads texts such as NA \
                       as NULL";
const OF_VALUES: &str = "`TRY_CAST` gives NULL for what does not fit";

/// What of an error of a running query would mend it.
pub fn hint_of(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(ArrowError::CastError(message)) = error.downcast_ref() {
            // In the words of Arrow.
            let is_of_text = message.starts_with("Cannot cast string");
            return Some(if is_of_text { OF_TEXT } else { OF_VALUES });
        }
        cause = error.source();
    }
    None
}

/// The columns of text that a plan takes for something else, where the query, as it was written, does not say so.
pub(crate) fn unwritten(written: &LogicalPlan, coerced: &LogicalPlan) -> Result<Vec<Error>, Error> {
    let written: BTreeSet<String> = casts(written)?.into_iter().map(|cast| cast.text).collect();
    let mut told = BTreeSet::new();
    let casts = casts(coerced)?.into_iter();
    let unwritten =
        casts.filter(|cast| !written.contains(&cast.text) && told.insert(cast.text.clone()));
    Ok(unwritten.map(|cast| cast.warning()).collect())
}

/// A column of text that is made something else. Of other expressions nobody knows which part of them was written.
struct ColumnCast {
    text: String,
    column: Column,
    kind: DataType,
}

fn casts(plan: &LogicalPlan) -> Result<Vec<ColumnCast>, Error> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|part| {
        let schema = merge_schema(&part.inputs());
        part.apply_expressions(|expression| {
            expression.apply(|inner| {
                found.extend(column_cast(inner, &schema));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn column_cast(expression: &Expr, schema: &DFSchema) -> Option<ColumnCast> {
    let Expr::Cast(cast) = expression else {
        return None;
    };
    let Expr::Column(column) = &*cast.expr else {
        return None;
    };
    let kind = cast.field.data_type();
    let may_fail = is_text(&cast.expr.get_type(schema).ok()?) && !takes_any_text(kind);
    may_fail.then(|| ColumnCast {
        text: expression.to_string(),
        column: column.clone(),
        kind: kind.clone(),
    })
}

fn is_text(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn takes_any_text(kind: &DataType) -> bool {
    match kind {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => is_text(values),
        other => is_text(other),
    }
}

impl ColumnCast {
    fn warning(&self) -> Error {
        let message = format!(
            "`{}` is text and is read as {} here; the query fails at the first text that is not one",
            name(&self.column),
            self.kind
        );
        let start = self.column.spans.first().map(|span| span.start);
        Error {
            place: start.map(|start| Place {
                line: start.line,
                column: start.column,
            }),
            ..Error::new(message).with_hint(OF_TEXT)
        }
    }
}
