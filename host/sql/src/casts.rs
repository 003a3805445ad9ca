//! Texts that a query takes for something else without saying so: such a query fails at the first text that is none.

use std::collections::BTreeSet;
use std::error::Error as StdError;

use arrow_schema::{ArrowError, DataType};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Spans};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan};

use crate::Error;
use crate::error::{Place, name};

const HINT: &str = "`TRY_CAST` gives NULL where a text is none; `null_values` of the source (`--null` of `forebay sql`) takes texts such as \
                    NA for NULL";

/// What of an error of a running query would mend it.
pub fn hint_of(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(ArrowError::CastError(_)) = error.downcast_ref() {
            return Some(HINT);
        }
        cause = error.source();
    }
    None
}

/// The casts of a plan that the query, as it was written, does not have.
pub(crate) fn unwritten(written: &LogicalPlan, coerced: &LogicalPlan) -> Result<Vec<Error>, Error> {
    let written: BTreeSet<String> = casts(written)?
        .into_iter()
        .map(|cast| cast.to_string())
        .collect();
    let mut told = BTreeSet::new();
    let casts = casts(coerced)?.into_iter().filter(|cast| {
        let text = cast.to_string();
        !written.contains(&text) && told.insert(text)
    });
    Ok(casts.filter_map(|cast| warning(&cast)).collect())
}

/// Everything of a plan that makes something else of texts.
fn casts(plan: &LogicalPlan) -> Result<Vec<Expr>, Error> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|part| {
        let schema = merge_schema(&part.inputs());
        part.apply_expressions(|expression| {
            expression.apply(|inner| {
                if matches!(inner, Expr::Cast(cast) if reads_text(cast, &schema)) {
                    found.push(inner.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// What is written as a text is made into something else before the query runs.
fn reads_text(cast: &Cast, schema: &DFSchema) -> bool {
    let is_text = |kind: &DataType| {
        matches!(
            kind,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        )
    };
    let kind = cast.expr.get_type(schema);
    !matches!(*cast.expr, Expr::Literal(..))
        && kind.is_ok_and(|kind| is_text(&kind))
        && !is_text(cast.field.data_type())
}

fn warning(cast: &Expr) -> Option<Error> {
    let Expr::Cast(cast) = cast else {
        return None;
    };
    let (what, spans) = match &*cast.expr {
        Expr::Column(column) => (name(column), Some(&column.spans)),
        other => (other.to_string(), None),
    };
    let kind = cast.field.data_type();
    let message = format!(
        "`{what}` is text, and is taken for {kind}: the first one that is none fails the query"
    );
    let start = spans.and_then(Spans::first).map(|span| span.start);
    Some(Error {
        place: start.map(|start| Place {
            line: start.line,
            column: start.column,
        }),
        ..Error::new(message).with_hint(HINT)
    })
}
