//! From SQL to nodes: what DataFusion plans, part by part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, TableScan, lit};
use datafusion::optimizer::Optimizer;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as AstStatement;

use crate::durations::with_durations;
use crate::error::two_columns;
use crate::explain::explained;
use crate::in_turn::ReadInTurn;
use crate::lineage::{self, Lineage};
use crate::node::{Kind, Node, fresh_name, unique_names};
use crate::refusal::{needs_all_rows, no_relation, only_queries};
use crate::stage::{RelationTable, StagePlan};
use crate::window::Pieces;
use crate::{Error, Relation, Relations, casts, depth, evaluate};

/// A query that can run.
pub struct Query {
    pub(crate) root: Node,
    reads: Reads,
    is_bounded: bool,
    lineage: Lineage,
    warnings: Vec<Error>,
}

/// The columns of each relation that a query reads.
pub type Reads = BTreeMap<String, BTreeSet<String>>;

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

    /// The relations that it reads, and what of each: its stream needs no other columns.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Whether all that it reads has an end, so that what comes out is bounded too.
    pub fn is_bounded(&self) -> bool {
        self.is_bounded
    }

    /// Where the columns that come out come from.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// What may fail while it runs.
    pub fn warnings(&self) -> &[Error] {
        &self.warnings
    }
}

pub(crate) fn plan(sql: &str, relations: &Relations) -> Result<Query, Error> {
    on_a_large_stack(|| plan_here(sql, relations))
}

pub(crate) fn relations_of(sql: &str) -> Result<Vec<String>, Error> {
    on_a_large_stack(|| {
        let state = session(&Relations::new())?;
        let query = Statement::Statement(parsed(&state, sql)?);
        let references = state.resolve_table_references(&query)?;
        let names = references
            .into_iter()
            .map(|reference| reference.table().to_owned());
        let once: BTreeSet<String> = names.collect();
        Ok(once.into_iter().collect())
    })
}

/// On a thread whose stack holds what the recursion of parser and planner needs for the largest job file.
fn on_a_large_stack<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let planning = thread::Builder::new()
            .name("forebay-sql".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::new(format!("no thread can be started: {error}")))?;
        planning
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Of address space; only what is used takes memory.
const STACK_BYTES: usize = 512 << 20;

fn plan_here(sql: &str, relations: &Relations) -> Result<Query, Error> {
    let mut planner = Planner {
        state: session(relations)?,
        relations,
        reads: Reads::new(),
    };
    let query = parsed(&planner.state, sql)?;
    let answer = planner.query(Statement::Statement(query.clone()));
    answer.map_err(|error| explained(error, &query, relations))
}

/// The plan that sorts the rows of a relation called `rows`.
pub(crate) fn sort(schema: SchemaRef, column: &str) -> Result<StagePlan, Error> {
    let relation = Relation {
        schema,
        event_time: None,
        is_bounded: true,
        bytes: None,
        lineage: Lineage::default(),
    };
    let relations = Relations::from([(ROWS.to_owned(), relation)]);
    let state = session(&relations)?;
    let column = column.replace('"', "\"\"");
    let sql = format!("SELECT * FROM {ROWS} ORDER BY \"{column}\" ASC NULLS LAST");
    let plan = futures_executor::block_on(state.create_logical_plan(&sql))?;
    StagePlan::new(&state, &state.optimize(&plan)?, &relations)
}

const ROWS: &str = "rows";

/// DataFusion, knowing the columns of all relations and none of their rows.
fn session(relations: &Relations) -> Result<SessionState, Error> {
    // One partition: a stage is one task, and DataFusion starts no others for it.
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.collect_spans = true;
    // As connectors read them, and as components and nodes take them: a view would be copied on its way.
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    config.options_mut().optimizer.max_passes = 8;
    let mut rules = Optimizer::new().rules;
    // A window has aggregates for DISTINCT; as groups of groups it would not be seen.
    rules.retain(|rule| rule.name() != "single_distinct_aggregation_to_group_by");
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rule(Arc::new(ReadInTurn))
        .build();
    // What `now()` says: the time of planning.
    state.mark_start_execution();
    let default = state.config_options().catalog.clone();
    let schema = state
        .catalog_list()
        .catalog(&default.default_catalog)
        .and_then(|catalog| catalog.schema(&default.default_schema));
    let schema = schema.ok_or_else(|| Error::new("the catalog has no schema"))?;
    for (name, relation) in relations {
        let table = RelationTable {
            name: name.clone(),
            schema: relation.schema.clone(),
            bytes: relation.bytes,
        };
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
pub(crate) fn selected(input: Node, positions: Vec<usize>, schema: SchemaRef) -> Node {
    let time = input
        .time
        .and_then(|time| positions.iter().position(|&position| position == time));
    let windows = windows_at(&input, positions.iter().map(|&position| Some(position)));
    let function = evaluate::columns(positions, schema.clone());
    Node {
        kind: Kind::Each {
            name: "select",
            input: Box::new(input),
            function,
        },
        schema,
        time,
        windows,
    }
}

/// The windows of a node, where its columns go on at these positions.
fn windows_at(
    input: &Node,
    positions: impl Iterator<Item = Option<usize>>,
) -> BTreeMap<usize, Pieces> {
    let of = |(after, before): (usize, Option<usize>)| Some((after, *input.windows.get(&before?)?));
    positions.enumerate().filter_map(of).collect()
}

/// A query, parsed.
fn parsed(state: &SessionState, sql: &str) -> Result<Box<AstStatement>, Error> {
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect)?;
    let Statement::Statement(query) = statement else {
        return Err(only_queries());
    };
    if !matches!(*query, AstStatement::Query(_)) {
        return Err(only_queries());
    }
    depth::check(&query)?;
    Ok(query)
}

pub(crate) struct Planner<'a> {
    pub(crate) state: SessionState,
    pub(crate) relations: &'a Relations,
    reads: Reads,
}

impl Planner<'_> {
    fn query(&mut self, statement: Statement) -> Result<Query, Error> {
        let plan = self.plan(statement)?;
        let lineage = lineage::of_query(&plan, self.relations)?;
        let warnings = casts::unwritten(&plan, &self.coerced(&plan)?)?;
        let plan = self.state.optimize(&plan)?;
        let is_bounded = self.is_bounded(&plan)?;
        let root = self.node(&plan)?;
        Ok(Query {
            root: with_plain_names(root, plan.schema())?,
            reads: std::mem::take(&mut self.reads),
            is_bounded,
            lineage,
            warnings,
        })
    }

    /// With all that types which differ make necessary.
    fn coerced(&self, plan: &LogicalPlan) -> Result<LogicalPlan, Error> {
        let options = self.state.config_options();
        let analyzer = self.state.analyzer();
        Ok(analyzer.execute_and_check(plan.clone(), options, |_, _| {})?)
    }

    fn plan(&self, statement: Statement) -> Result<LogicalPlan, Error> {
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

    /// Whether all relations of a part of a plan have an end.
    pub(crate) fn is_bounded(&self, plan: &LogicalPlan) -> Result<bool, Error> {
        let mut is_bounded = true;
        plan.apply_with_subqueries(|part| {
            if let LogicalPlan::TableScan(scan) = part {
                let relation = self.relations.get(scan.table_name.table());
                // Another table is one that a function makes, or that a recursive query refers to itself by.
                is_bounded &= relation.is_none_or(|relation| relation.is_bounded);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(is_bounded)
    }

    /// A part that DataFusion runs whole.
    fn stage(&mut self, plan: &LogicalPlan) -> Result<Node, Error> {
        plan.apply_with_subqueries(|part| {
            if let LogicalPlan::TableScan(scan) = part {
                self.note_columns(scan);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Node {
            kind: Kind::Stage(StagePlan::new(&self.state, plan, self.relations)?),
            schema: unique_names(plan.schema()),
            time: None,
            windows: BTreeMap::new(),
        })
    }

    fn note_columns(&mut self, scan: &TableScan) {
        let columns = scan.projected_schema.fields().iter();
        let name = scan.table_name.table().to_owned();
        if !self.relations.contains_key(&name) {
            return;
        }
        let reads = self.reads.entry(name).or_default();
        reads.extend(columns.map(|field| field.name().clone()));
    }

    pub(crate) fn node(&mut self, plan: &LogicalPlan) -> Result<Node, Error> {
        if self.is_bounded(plan)? {
            return self.stage(plan);
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.node(&alias.input)?;
                Ok(selected(
                    input,
                    (0..alias.schema.fields().len()).collect(),
                    unique_names(&alias.schema),
                ))
            }
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                let input = self.node(&filter.input)?;
                let predicate = self.expression(&filter.predicate, filter.input.schema())?;
                let (schema, time, windows) =
                    (input.schema.clone(), input.time, input.windows.clone());
                let kind = Kind::Each {
                    name: "filter",
                    input: Box::new(input),
                    function: evaluate::filter(predicate),
                };
                Ok(Node {
                    kind,
                    schema,
                    time,
                    windows,
                })
            }
            LogicalPlan::Union(union) => {
                let inputs = union
                    .inputs
                    .iter()
                    .map(|input| self.node(input))
                    .collect::<Result<Vec<_>, _>>()?;
                let time = inputs[0]
                    .time
                    .filter(|_| inputs.iter().all(|input| input.time == inputs[0].time));
                Ok(Node {
                    kind: Kind::Union(inputs),
                    schema: unique_names(&union.schema),
                    time,
                    windows: BTreeMap::new(),
                })
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.window(aggregate),
            other => Err(needs_all_rows(other)),
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Result<Node, Error> {
        let name = scan.table_name.table();
        let relation = self
            .relations
            .get(name)
            .ok_or_else(|| no_relation(name, self.relations))?;
        if let Some(time) = &relation.event_time {
            relation
                .schema
                .index_of(time)
                .map_err(|_| Error::new(format!("`{name}` has no column for its event time")))?;
        }
        let columns = scan.projected_schema.fields();
        self.note_columns(scan);
        let is_time = |field: &Arc<Field>| Some(field.name()) == relation.event_time.as_ref();
        let schema = unique_names(&scan.projected_schema);
        let whole = Node {
            kind: Kind::Scan(name.to_owned()),
            schema: relation.schema.clone(),
            time: None,
            windows: BTreeMap::new(),
        };
        let named = scan.projected_schema.as_arrow().clone();
        Ok(Node {
            kind: Kind::Each {
                name: "select",
                input: Box::new(whole),
                function: evaluate::scan(Arc::new(named), schema.clone()),
            },
            schema,
            time: columns.iter().position(is_time),
            windows: BTreeMap::new(),
        })
    }

    fn projection(&mut self, projection: &Projection) -> Result<Node, Error> {
        let input = self.node(&projection.input)?;
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
        let windows = projection.expr.iter().enumerate();
        let windows = windows
            .filter_map(|(at, expression)| Some((at, Pieces::of(expression, &input, before)?)));
        let windows = windows.collect();
        Ok(Node {
            kind: Kind::Each {
                name: "project",
                input: Box::new(input),
                function,
            },
            schema,
            time,
            windows,
        })
    }

    pub(crate) fn expression(
        &self,
        expression: &Expr,
        schema: &DFSchema,
    ) -> Result<Arc<dyn PhysicalExpr>, Error> {
        if expression.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_))))? {
            return Err(
                Error::new("a query as a value beside a stream is not known")
                    .with_hint("join with it, as in FROM stream CROSS JOIN (SELECT ...) AS value"),
            );
        }
        let expression = with_durations(expression.clone(), schema)?;
        Ok(self.state.create_physical_expr(expression, schema)?)
    }

    /// A node with the values of these expressions as columns, and the positions of those.
    pub(crate) fn keyed<'e>(
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
            let taken = fields.iter().map(|field| field.name().as_str());
            let name = fresh_name(&format!("key {}", positions.len()), taken);
            fields.push(Field::new(name, kind, true));
            expressions.push(expression);
        }
        if fields.len() == node.schema.fields().len() {
            return Ok((node, positions));
        }
        let extended = Arc::new(Schema::new(fields));
        let (time, windows) = (node.time, node.windows.clone());
        let function = evaluate::projection(expressions, extended.clone());
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
                windows,
            },
            positions,
        ))
    }
}

/// The position of a column, if the expression is nothing else.
pub(crate) fn position(expression: &Expr, schema: &DFSchema) -> Option<usize> {
    match expression {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Alias(alias) => position(&alias.expr, schema),
        _ => None,
    }
}
