//! From SQL to nodes: what DataFusion plans, part by part.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::catalog::MemTable;
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Projection, TableScan, lit};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionConfig;
use forebay_dataflow::operators::{IntervalJoinPlan, JoinKind};

use crate::error::{nearest, two_columns};
use crate::interval::{Interval, Times};
use crate::node::{Condition, Kind, Node, unique_names};
use crate::{Error, Relations, evaluate};

/// A query that can run.
pub struct Query {
    pub(crate) root: Node,
    relations: Vec<String>,
}

impl Query {
    /// The columns that come out.
    pub fn schema(&self) -> &SchemaRef {
        &self.root.schema
    }

    /// The column that is the event time of what comes out, if there is one.
    pub fn event_time(&self) -> Option<&str> {
        self.root
            .time
            .map(|time| self.root.schema.field(time).name().as_str())
    }

    /// The relations that it reads, each once, in order.
    pub fn relations(&self) -> &[String] {
        &self.relations
    }
}

pub(crate) fn plan(sql: &str, relations: &Relations) -> Result<Query, Error> {
    let planner = Planner {
        state: session(relations)?,
        relations,
    };
    let plan = planner.parse(sql)?;
    let plan = planner.state.optimize(&plan)?;
    let mut names = BTreeSet::new();
    let root = planner.node(&plan, &mut names)?;
    Ok(Query {
        root: with_plain_names(root, plan.schema())?,
        relations: names.into_iter().collect(),
    })
}

/// DataFusion, knowing the columns of all relations and none of their rows.
fn session(relations: &Relations) -> Result<SessionState, Error> {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.collect_spans = true;
    // What it would compute of no rows is of no use.
    config.options_mut().optimizer.max_passes = 8;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .build();
    let default = state.config_options().catalog.clone();
    let schema = state
        .catalog_list()
        .catalog(&default.default_catalog)
        .and_then(|catalog| catalog.schema(&default.default_schema));
    let schema = schema.ok_or_else(|| Error::new("the catalog has no schema"))?;
    for (name, relation) in relations {
        let table = MemTable::try_new(relation.schema.clone(), vec![vec![]])?;
        schema.register_table(name.clone(), Arc::new(table))?;
    }
    Ok(state)
}

/// The columns under the names that the query gives them.
fn with_plain_names(root: Node, schema: &DFSchema) -> Result<Node, Error> {
    let mut seen = BTreeSet::new();
    if let Some(field) = schema
        .fields()
        .iter()
        .find(|field| !seen.insert(field.name()))
    {
        return Err(two_columns(field.name()));
    }
    let names = schema.fields().iter().map(|field| field.name());
    let fields = root
        .schema
        .fields()
        .iter()
        .zip(names)
        .map(|(field, name)| field.as_ref().clone().with_name(name));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(selected(root, (0..schema.fields().len()).collect(), schema))
}

/// These columns of a node, under this schema.
fn selected(input: Node, positions: Vec<usize>, schema: SchemaRef) -> Node {
    let time = input
        .time
        .and_then(|time| positions.iter().position(|&position| position == time));
    let function = evaluate::columns(positions, schema.clone());
    Node {
        kind: Kind::Each {
            name: "select",
            input: Box::new(input),
            function,
        },
        schema,
        time,
    }
}

struct Planner<'a> {
    state: SessionState,
    relations: &'a Relations,
}

impl Planner<'_> {
    fn parse(&self, sql: &str) -> Result<LogicalPlan, Error> {
        let dialect = self.state.config_options().sql_parser.dialect;
        let statement = self.state.sql_to_statement(sql, &dialect)?;
        let named = self.state.resolve_table_references(&statement)?;
        let missing = named
            .into_iter()
            .find(|name| !self.relations.contains_key(name.table()));
        let planned = futures_executor::block_on(self.state.statement_to_plan(statement));
        planned.map_err(|error| {
            let error = Error::from(error);
            match missing {
                Some(name) => Error {
                    place: error.place,
                    ..no_relation(name.table(), self.relations)
                },
                None => error,
            }
        })
    }

    fn node(&self, plan: &LogicalPlan, names: &mut BTreeSet<String>) -> Result<Node, Error> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan, names),
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.node(&alias.input, names)?;
                Ok(selected(
                    input,
                    (0..alias.schema.fields().len()).collect(),
                    unique_names(&alias.schema),
                ))
            }
            LogicalPlan::Projection(projection) => self.projection(projection, names),
            LogicalPlan::Filter(filter) => {
                let input = self.node(&filter.input, names)?;
                let predicate = self.expression(&filter.predicate, filter.input.schema())?;
                let (schema, time) = (input.schema.clone(), input.time);
                let kind = Kind::Each {
                    name: "filter",
                    input: Box::new(input),
                    function: evaluate::filter(predicate),
                };
                Ok(Node { kind, schema, time })
            }
            LogicalPlan::Union(union) => {
                let inputs = union
                    .inputs
                    .iter()
                    .map(|input| self.node(input, names))
                    .collect::<Result<Vec<_>, _>>()?;
                let time = inputs[0]
                    .time
                    .filter(|_| inputs.iter().all(|input| input.time == inputs[0].time));
                Ok(Node {
                    kind: Kind::Union(inputs),
                    schema: unique_names(&union.schema),
                    time,
                })
            }
            LogicalPlan::Join(join) => self.join(join, names),
            other => Err(needs_all_rows(other)),
        }
    }

    fn scan(&self, scan: &TableScan, names: &mut BTreeSet<String>) -> Result<Node, Error> {
        let name = scan.table_name.table();
        let relation = self
            .relations
            .get(name)
            .ok_or_else(|| no_relation(name, self.relations))?;
        names.insert(name.to_owned());
        let time = relation
            .event_time
            .as_ref()
            .map(|time| relation.schema.index_of(time));
        let time = time
            .transpose()
            .map_err(|_| Error::new(format!("`{name}` has no column for its event time")))?;
        let whole = Node {
            kind: Kind::Scan(name.to_owned()),
            schema: relation.schema.clone(),
            time,
        };
        let all = || (0..relation.schema.fields().len()).collect();
        let positions = scan.projection.clone().unwrap_or_else(all);
        Ok(selected(
            whole,
            positions,
            unique_names(&scan.projected_schema),
        ))
    }

    fn projection(
        &self,
        projection: &Projection,
        names: &mut BTreeSet<String>,
    ) -> Result<Node, Error> {
        let input = self.node(&projection.input, names)?;
        let before = projection.input.schema();
        let expressions = projection
            .expr
            .iter()
            .map(|expression| self.expression(expression, before));
        let schema = unique_names(&projection.schema);
        let function = evaluate::projection(expressions.collect::<Result<_, _>>()?, schema.clone());
        let is_time = |expression: &Expr| {
            position(expression, before).is_some_and(|position| Some(position) == input.time)
        };
        let time = projection.expr.iter().position(is_time);
        Ok(Node {
            kind: Kind::Each {
                name: "project",
                input: Box::new(input),
                function,
            },
            schema,
            time,
        })
    }

    fn expression(
        &self,
        expression: &Expr,
        schema: &DFSchema,
    ) -> Result<Arc<dyn PhysicalExpr>, Error> {
        Ok(self
            .state
            .create_physical_expr(expression.clone(), schema)?)
    }

    fn join(&self, join: &Join, names: &mut BTreeSet<String>) -> Result<Node, Error> {
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            other => return Err(unknown_join(other)),
        };
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(Error::new("a join of streams cannot hold nulls for equal")
                .with_hint("join with `=`"));
        }
        let (left, right) = (
            self.node(&join.left, names)?,
            self.node(&join.right, names)?,
        );
        let interval = interval(join, &left, &right, self.relations)?;
        let widths = [left.schema.fields().len(), right.schema.fields().len()];
        let (left, left_keys) =
            self.keyed(left, &join.left, join.on.iter().map(|(left, _)| left))?;
        let (right, right_keys) =
            self.keyed(right, &join.right, join.on.iter().map(|(_, right)| right))?;
        let condition = join
            .filter
            .as_ref()
            .map(|filter| self.expression(filter, &join.schema))
            .transpose()?;
        let plan = IntervalJoinPlan {
            schemas: [left.schema.clone(), right.schema.clone()],
            times: [left.time, right.time].map(Option::unwrap_or_default),
            keys: [left_keys, right_keys],
            from: interval.0,
            to: interval.1,
            kind,
            output: beside(&left.schema, &right.schema, kind),
            time_of: 0,
        };
        let (first_right, time, schema) =
            (left.schema.fields().len(), left.time, plan.output.clone());
        let own = (0..widths[0])
            .chain(first_right..first_right + widths[1])
            .collect::<Vec<_>>();
        let condition = condition.map(|condition| Condition {
            positions: own.clone(),
            condition,
        });
        let joined = Node {
            kind: Kind::IntervalJoin {
                inputs: Box::new([left, right]),
                plan,
                condition,
            },
            schema,
            time,
        };
        Ok(selected(joined, own, unique_names(&join.schema)))
    }

    /// A node with the values of these expressions as columns, and the positions of those.
    fn keyed<'e>(
        &self,
        node: Node,
        plan: &LogicalPlan,
        keys: impl Iterator<Item = &'e Expr>,
    ) -> Result<(Node, Vec<usize>), Error> {
        let schema = plan.schema();
        let keys: Vec<_> = keys.cloned().collect();
        // All rows are of one key where none is given.
        let keys = if keys.is_empty() {
            vec![lit(0_i64)]
        } else {
            keys
        };
        let own = schema.columns().into_iter().map(Expr::Column);
        let mut expressions = own
            .map(|column| self.expression(&column, schema))
            .collect::<Result<Vec<_>, _>>()?;
        let mut fields: Vec<_> = node
            .schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let mut positions = Vec::new();
        for key in &keys {
            if let Some(position) = position(key, schema) {
                positions.push(position);
                continue;
            }
            let expression = self.expression(key, schema)?;
            let kind = expression.data_type(schema.as_arrow())?;
            positions.push(fields.len());
            fields.push(Field::new(format!("key {}", positions.len()), kind, true));
            expressions.push(expression);
        }
        if fields.len() == node.schema.fields().len() {
            return Ok((node, positions));
        }
        let extended = Arc::new(Schema::new(fields));
        let (time, function) = (
            node.time,
            evaluate::projection(expressions, extended.clone()),
        );
        let kind = Kind::Each {
            name: "keys",
            input: Box::new(node),
            function,
        };
        Ok((
            Node {
                kind,
                schema: extended,
                time,
            },
            positions,
        ))
    }
}

/// The position of a column, if the expression is nothing else.
fn position(expression: &Expr, schema: &DFSchema) -> Option<usize> {
    match expression {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Alias(alias) => position(&alias.expr, schema),
        _ => None,
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
    for (name, side) in names.iter().zip([&join.left, &join.right]) {
        if name.is_none() && side.inputs().len() < 2 {
            return Err(Error::new(format!(
                "`{}` has no event time, and cannot be joined as a stream",
                relation_of(side).unwrap_or_default()
            ))
            .with_hint("name its event time where the source is declared"));
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
    )))
}

/// The event time of a part of a plan, as one writes it, if that part comes of one relation.
fn time_of(plan: &LogicalPlan, relations: &Relations) -> Option<String> {
    let time = |plan: &LogicalPlan| match plan {
        LogicalPlan::TableScan(scan) => relations.get(scan.table_name.table())?.event_time.clone(),
        _ => None,
    };
    let mut scan = plan;
    while let [input] = scan.inputs().as_slice() {
        scan = input;
    }
    Some(match relation_of(plan) {
        Some(relation) => format!("{relation}.{}", time(scan)?),
        None => time(scan)?,
    })
}

/// The name by which the query knows a part of a plan, if it has one.
fn relation_of(plan: &LogicalPlan) -> Option<String> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan.table_name.to_string()),
        LogicalPlan::SubqueryAlias(alias) => Some(alias.alias.to_string()),
        _ => match plan.inputs().as_slice() {
            [input] => relation_of(input),
            _ => None,
        },
    }
}

fn no_relation(name: &str, relations: &Relations) -> Error {
    let missing = Error::new(format!("there is no source or transform `{name}`"));
    match nearest(name, relations.keys().map(String::as_str)) {
        Some(nearest) => missing.with_hint(format!("did you mean `{nearest}`?")),
        None => missing,
    }
}

fn unknown_join(kind: JoinType) -> Error {
    let (what, hint) = match kind {
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
    Error::new(format!("{what} of streams is not known")).with_hint(hint)
}

/// What would have to see all rows before its first answer, or keep them for ever.
fn needs_all_rows(plan: &LogicalPlan) -> Error {
    match plan {
        LogicalPlan::Sort(_) => Error::new("ORDER BY needs all rows, and a stream has no last one"),
        LogicalPlan::Limit(_) => {
            Error::new("LIMIT of a stream is not known").with_hint("choose rows with WHERE")
        }
        LogicalPlan::Distinct(_) | LogicalPlan::Aggregate(_) => Error::new(
            "unbounded state: nothing bounds how many groups GROUP BY or DISTINCT has to remember",
        ),
        LogicalPlan::Window(_) => {
            Error::new("unbounded state: OVER remembers all rows of a partition")
        }
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
            Error::new("a query over streams reads a source or a transform")
                .with_hint("name one behind FROM")
        }
        LogicalPlan::Ddl(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Copy(_)
        | LogicalPlan::Statement(_) => {
            Error::new("only queries are known").with_hint("begin with SELECT or WITH")
        }
        other => Error::new(format!(
            "this is not known over streams: {}",
            other.display()
        )),
    }
}
