//! What a query over streams cannot have, and the way out.

use datafusion::common::JoinType;
use datafusion::logical_expr::{Join, LogicalPlan};

use crate::error::{About, nearest};
use crate::join::relation_of;
use crate::{Error, Relations};

pub(crate) fn no_relation(name: &str, relations: &Relations) -> Error {
    let missing = Error::new(format!("there is no source or transform `{name}`"));
    match nearest(name, relations.keys().map(String::as_str)) {
        Some(nearest) => missing.with_hint(format!("did you mean `{nearest}`?")),
        None => missing,
    }
}

pub(crate) fn unknown_join(join: &Join) -> Error {
    let (what, hint) = match join.join_type {
        JoinType::Right => ("RIGHT JOIN", "write it the other way round, as a LEFT JOIN"),
        JoinType::Full => ("FULL JOIN", "INNER JOIN and LEFT JOIN are"),
        JoinType::LeftAnti | JoinType::RightAnti => (
            "NOT IN and NOT EXISTS",
            "use a LEFT JOIN, and WHERE a column IS NULL",
        ),
        _ => (
            "IN and EXISTS with a query",
            "use a JOIN with a bound on event time",
        ),
    };
    Error::new(format!("{what} of streams is not known"))
        .with_hint(hint)
        .about(joined(join))
}

/// Rows of the table that have no partner are known when the stream has ended, and not before.
pub(crate) fn unknown_table_join(join: &Join) -> Error {
    let error = match join.join_type {
        JoinType::Left | JoinType::Right | JoinType::Full => Error::new(format!(
            "{} JOIN asks for rows of a table that no row of a stream belongs to, and a stream has no last row",
            join.join_type.to_string().to_uppercase()
        ))
        .with_hint("keep all rows of the stream instead: stream LEFT JOIN table"),
        JoinType::LeftAnti | JoinType::RightAnti => {
            Error::new("NOT IN of a stream and a table is not known, because of its nulls")
                .with_hint("use NOT EXISTS, or a LEFT JOIN and WHERE a column IS NULL")
        }
        _ => Error::new("this join of a stream and a table is not known")
            .with_hint("use JOIN or LEFT JOIN, with the stream on the left side"),
    };
    error.about(joined(join))
}

/// The relations of a join, as the query calls them.
pub(crate) fn joined(join: &Join) -> About {
    let sides = [&join.right, &join.left];
    About::Join(sides.iter().filter_map(|side| relation_of(side)).collect())
}

/// What would have to see all rows before its first answer, or keep them for ever.
pub(crate) fn needs_all_rows(plan: &LogicalPlan) -> Error {
    match plan {
        LogicalPlan::Sort(_) => Error::new("ORDER BY needs all rows, and a stream has no last one")
            .with_hint("sort what comes out of the job")
            .about(About::OrderBy),
        LogicalPlan::Limit(_) => Error::new("LIMIT of a stream is not known")
            .with_hint("choose rows with WHERE")
            .about(About::Limit),
        LogicalPlan::Distinct(_) | LogicalPlan::Aggregate(_) => Error::new(
            "unbounded state: nothing bounds how many groups GROUP BY or DISTINCT has to remember",
        )
        .about(About::Grouping),
        LogicalPlan::Window(_) => {
            Error::new("unbounded state: OVER remembers all rows of a partition")
                .with_hint("group by a window of the event time instead")
                .about(About::Over)
        }
        LogicalPlan::RecursiveQuery(_) => Error::new("WITH RECURSIVE over a stream is not known"),
        other => Error::new(format!(
            "this is not known over streams: {}",
            other.display()
        )),
    }
}

pub(crate) fn only_queries() -> Error {
    Error::new("only queries are known").with_hint("begin with SELECT or WITH")
}
