//! Joins: of two streams, and of a stream with a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Join, LogicalPlan};
use forebay_dataflow::operators::{IntervalJoinPlan, JoinKind, TableJoinKind, TableJoinPlan};

use crate::interval::{Interval, Times};
use crate::node::{Condition, Kind, Node, unique_names};
use crate::planner::{Planner, selected};
use crate::refusal::{joined, unknown_join, unknown_table_join};
use crate::{Error, Relations};

/// The two inputs of a join, with the values of its keys among their columns.
struct Sides {
    nodes: [Node; 2],
    keys: [Vec<usize>; 2],
    /// How many columns left and right have of their own.
    widths: [usize; 2],
    /// The columns that the sides have of their own, in both together, in the order of the plan.
    own: Vec<usize>,
}

impl Planner<'_> {
    pub(crate) fn join(&mut self, join: &Join) -> Result<Node, Error> {
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(Error::new("a join of streams cannot hold nulls for equal")
                .with_hint("join with `=`")
                .about(joined(join)));
        }
        match (
            join.join_type,
            self.is_bounded(&join.left)?,
            self.is_bounded(&join.right)?,
        ) {
            (JoinType::Inner, false, true) => self.table_join(join, TableJoinKind::Inner, 0),
            (JoinType::Inner, true, false) => self.table_join(join, TableJoinKind::Inner, 1),
            (JoinType::Left, false, true) => self.table_join(join, TableJoinKind::Left, 0),
            (JoinType::Right, true, false) => self.table_join(join, TableJoinKind::Left, 1),
            (JoinType::LeftSemi, false, true) => self.table_join(join, TableJoinKind::Semi, 0),
            (JoinType::RightSemi, true, false) => self.table_join(join, TableJoinKind::Semi, 1),
            (JoinType::LeftAnti, false, true) if !join.null_aware => {
                self.table_join(join, TableJoinKind::Anti, 0)
            }
            (JoinType::RightAnti, true, false) if !join.null_aware => {
                self.table_join(join, TableJoinKind::Anti, 1)
            }
            (_, true, false) | (_, false, true) => Err(unknown_table_join(join)),
            (JoinType::Inner, ..) => self.interval_join(join, JoinKind::Inner),
            (JoinType::Left, false, false) => self.interval_join(join, JoinKind::Left),
            _ => Err(unknown_join(join)),
        }
    }

    /// Both sides, the one at this position first.
    fn sides(&mut self, join: &Join, first: usize) -> Result<Sides, Error> {
        let nodes = [self.node(&join.left)?, self.node(&join.right)?];
        let widths = nodes.each_ref().map(|node| node.schema.fields().len());
        let [left, right] = nodes;
        let (left, left_keys) =
            self.keyed(left, &join.left, join.on.iter().map(|(left, _)| left))?;
        let (right, right_keys) =
            self.keyed(right, &join.right, join.on.iter().map(|(_, right)| right))?;
        let all = [left.schema.fields().len(), right.schema.fields().len()];
        let offsets = if first == 0 { [0, all[0]] } else { [all[1], 0] };
        let own = (offsets[0]..offsets[0] + widths[0]).chain(offsets[1]..offsets[1] + widths[1]);
        let own = own.collect();
        let (mut nodes, mut keys) = ([left, right], [left_keys, right_keys]);
        nodes.rotate_left(first);
        keys.rotate_left(first);
        Ok(Sides {
            nodes,
            keys,
            widths,
            own,
        })
    }

    fn condition(
        &self,
        join: &Join,
        schema: &DFSchema,
        own: &[usize],
    ) -> Result<Option<Condition>, Error> {
        let condition = join
            .filter
            .as_ref()
            .map(|filter| self.expression(filter, schema))
            .transpose()?;
        Ok(condition.map(|condition| Condition {
            positions: own.to_vec(),
            condition,
        }))
    }

    /// The stream is the side at this position.
    fn table_join(
        &mut self,
        join: &Join,
        kind: TableJoinKind,
        stream: usize,
    ) -> Result<Node, Error> {
        let Sides {
            nodes,
            keys,
            widths,
            own,
        } = self.sides(join, stream)?;
        let schema = unique_names(&join.schema);
        let (output, of_output, filtered) = match kind {
            TableJoinKind::Inner => (
                beside(&nodes[0].schema, &nodes[1].schema, JoinKind::Inner),
                own.clone(),
                (*join.schema).clone(),
            ),
            TableJoinKind::Left => (
                beside(&nodes[0].schema, &nodes[1].schema, JoinKind::Left),
                own.clone(),
                (*join.schema).clone(),
            ),
            TableJoinKind::Semi | TableJoinKind::Anti => (
                nodes[0].schema.clone(),
                (0..widths[stream]).collect(),
                join.left.schema().join(join.right.schema())?,
            ),
        };
        let condition = self.condition(join, &filtered, &own)?;
        let plan = TableJoinPlan {
            schemas: nodes.each_ref().map(|node| node.schema.clone()),
            keys,
            kind,
            output,
        };
        let joined = Node {
            schema: plan.output.clone(),
            time: nodes[0].time,
            windows: nodes[0].windows.clone(),
            kind: Kind::TableJoin {
                inputs: Box::new(nodes),
                plan,
                condition,
            },
        };
        Ok(selected(joined, of_output, schema))
    }

    fn interval_join(&mut self, join: &Join, kind: JoinKind) -> Result<Node, Error> {
        let Sides {
            nodes, keys, own, ..
        } = self.sides(join, 0)?;
        let interval = interval(join, &nodes[0], &nodes[1], self.relations)?;
        let condition = self.condition(join, &join.schema, &own)?;
        let plan = IntervalJoinPlan {
            schemas: nodes.each_ref().map(|node| node.schema.clone()),
            times: nodes.each_ref().map(|node| node.time.unwrap_or_default()),
            keys,
            from: interval.0,
            to: interval.1,
            kind,
            output: beside(&nodes[0].schema, &nodes[1].schema, kind),
            time_of: 0,
        };
        let joined = Node {
            schema: plan.output.clone(),
            time: nodes[0].time,
            windows: BTreeMap::new(),
            kind: Kind::IntervalJoin {
                inputs: Box::new(nodes),
                plan,
                condition,
            },
        };
        Ok(selected(joined, own, unique_names(&join.schema)))
    }
}

/// The columns of both sides; those of the right one may be missing in a left join.
fn beside(left: &Schema, right: &Schema, kind: JoinKind) -> SchemaRef {
    let of_left = left.fields().iter().map(|field| {
        field
            .as_ref()
            .clone()
            .with_name(format!("left {}", field.name()))
    });
    let of_right = right.fields().iter().map(|field| {
        let nullable = field.is_nullable() || kind == JoinKind::Left;
        field
            .as_ref()
            .clone()
            .with_name(format!("right {}", field.name()))
            .with_nullable(nullable)
    });
    Arc::new(Schema::new(of_left.chain(of_right).collect::<Vec<_>>()))
}

/// How far the event times of two rows may lie from each other.
fn interval(
    join: &Join,
    left: &Node,
    right: &Node,
    relations: &Relations,
) -> Result<(i64, i64), Error> {
    let names = [&join.left, &join.right].map(|side| time_of(side, relations));
    for side in [&join.left, &join.right] {
        if let (None, Some(relation)) = (any_time_of(side, relations), relation_of(side)) {
            return Err(Error::new(format!(
                "`{relation}` has no event time, and cannot be joined as a stream"
            ))
            .with_hint("name its event time where the source is declared")
            .about(joined(join)));
        }
    }
    let column =
        |node: &Node, plan: &LogicalPlan| Some(plan.schema().columns().swap_remove(node.time?));
    let interval = match (column(left, &join.left), column(right, &join.right)) {
        (Some(left), Some(right)) => {
            let equal = join
                .on
                .iter()
                .map(|(one, other)| one.clone().eq(other.clone()));
            let all = conjunction(equal.chain(join.filter.clone()));
            Interval::of(
                all.iter(),
                Times {
                    left: &left,
                    right: &right,
                    schema: &join.schema,
                },
            )
        }
        // A time that the query does not use is not even read.
        _ => Interval::ANY,
    };
    let from_where = match interval {
        Interval {
            from: Some(from),
            to: Some(to),
        } => return Ok((from, to)),
        Interval {
            from: None,
            to: None,
        } => "",
        Interval { from: Some(_), .. } => " from above",
        Interval { to: Some(_), .. } => " from below",
    };
    let [left, right] =
        names.map(|name| name.unwrap_or_else(|| "the event time of the other side".to_owned()));
    Err(Error::new(format!("unbounded state: nothing bounds{from_where} how far `{right}` may lie from `{left}`")).with_hint(format!(
        "add a bound on event time to the join, as in `{right} BETWEEN {left} - INTERVAL '1 hour' AND {left}`"
    )).about(joined(join)))
}

/// The first event time of this part of a plan.
pub(crate) fn any_time_of(plan: &LogicalPlan, relations: &Relations) -> Option<String> {
    match plan {
        LogicalPlan::TableScan(scan) => relations.get(scan.table_name.table())?.event_time.clone(),
        _ => plan
            .inputs()
            .iter()
            .find_map(|input| any_time_of(input, relations)),
    }
}

/// The event time of a part of a plan, as one writes it; of a join that of its first stream.
fn time_of(plan: &LogicalPlan, relations: &Relations) -> Option<String> {
    let time = any_time_of(plan, relations)?;
    match plan {
        LogicalPlan::TableScan(scan) => Some(format!("{}.{time}", scan.table_name)),
        LogicalPlan::SubqueryAlias(alias) => Some(format!("{}.{time}", alias.alias)),
        _ => {
            let inputs = plan.inputs();
            inputs.iter().find_map(|input| time_of(input, relations))
        }
    }
}

/// The name by which the query knows a part of a plan, if it has one.
pub(crate) fn relation_of(plan: &LogicalPlan) -> Option<String> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan.table_name.to_string()),
        LogicalPlan::SubqueryAlias(alias) => Some(alias.alias.to_string()),
        _ => match plan.inputs().as_slice() {
            [input] => relation_of(input),
            _ => None,
        },
    }
}
