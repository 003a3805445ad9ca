//! Transforms: queries, and components as operators.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};
use forebay_dataflow::{Cause, Exchange, Graph, Stream, sentence};
use forebay_job::{Diagnostic, OperatorUse, SqlText, Transform, TransformKind};
use forebay_plugin::{OperatorComponent, OperatorHost};
use forebay_sql::{Lineage, Place, Query, Relation, Relations, Resources};

use crate::operator::ComponentOperator;
use crate::problem::{Problem, Spot, code, column_hint, hinted, problem, unreadable};
use crate::sources::count;

/// A transform that can run.
pub(crate) struct Planned {
    pub(crate) name: String,
    parallelism: usize,
    kind: Kind,
}

enum Kind {
    Query(Box<Query>),
    Component(Box<Component>),
}

/// A component that has announced its columns.
struct Component {
    loaded: OperatorComponent,
    input: String,
    config: String,
    key: Vec<String>,
    schema: SchemaRef,
}

/// The text of a query.
pub(crate) struct Sql {
    pub(crate) text: String,
    /// Where it was read, as the job names it.
    pub(crate) file: Option<PathBuf>,
}

impl Sql {
    /// Reads it, where it stands in a file of its own.
    pub(crate) fn read(name: &str, text: &SqlText, base: &Path) -> Result<Self, Problem> {
        match text {
            SqlText::Inline(text) => Ok(Self {
                text: text.clone(),
                file: None,
            }),
            SqlText::File(file) => Self::read_file(name, file, base),
        }
    }

    fn read_file(name: &str, file: &Path, base: &Path) -> Result<Self, Problem> {
        let text = std::fs::read_to_string(base.join(file)).map_err(|error| {
            let key = format!("transforms.{name}.sql_file");
            unreadable(code::SQL_FILE, key, ("the query in", file), &error)
        })?;
        Ok(Self {
            text,
            file: Some(file.to_owned()),
        })
    }

    /// The relations that it reads.
    pub(crate) fn reads(&self, name: &str) -> Result<Vec<String>, Problem> {
        forebay_sql::relations_of(&self.text).map_err(|error| self.problem(name, &error))
    }

    fn problem(&self, name: &str, error: &forebay_sql::Error) -> Problem {
        let found = problem(code::SQL, self.key(name), error, error.hint.clone());
        self.placed(found, error)
    }

    fn warning(&self, name: &str, warning: &forebay_sql::Error) -> Problem {
        let found = Diagnostic::warning(code::CAST, self.key(name), warning.to_string());
        self.placed(hinted(found, warning.hint.clone()), warning)
    }

    fn key(&self, name: &str) -> String {
        let key = match self.file {
            Some(_) => "sql_file",
            None => "sql",
        };
        format!("transforms.{name}.{key}")
    }

    fn placed(&self, problem: Problem, error: &forebay_sql::Error) -> Problem {
        // Of a query with a file of its own that is better than the key in the job file.
        let whole = self.file.as_ref().map(|_| Place { line: 1, column: 1 });
        let spot = error.place.or(whole).map(|place| Spot {
            file: self.file.clone(),
            place,
        });
        Problem { spot, ..problem }
    }
}

/// Plans a query over relations that are known; what may fail while it runs is told.
pub(crate) fn plan_query(
    transform: &Transform,
    sql: &Sql,
    relations: &Relations,
    problems: &mut Vec<Problem>,
) -> Result<(Planned, Relation), Problem> {
    let query = forebay_sql::plan(&sql.text, relations)
        .map_err(|error| sql.problem(&transform.name, &error))?;
    let warnings = query.warnings().iter();
    problems.extend(warnings.map(|warning| sql.warning(&transform.name, warning)));
    let relation = Relation {
        schema: query.schema().clone(),
        event_time: query.event_time().map(str::to_owned),
        is_bounded: query.is_bounded(),
        bytes: bytes_read(&query, relations),
        lineage: query.lineage().clone(),
    };
    let planned = Planned {
        name: transform.name.clone(),
        parallelism: count(transform.parallelism),
        kind: Kind::Query(Box::new(query)),
    };
    Ok((planned, relation))
}

/// What comes out is taken to be as much as goes in, where all of that is known.
fn bytes_read(query: &Query, relations: &Relations) -> Option<u64> {
    let read = query.reads();
    // It makes its rows itself.
    if read.is_empty() {
        return None;
    }
    read.keys().map(|name| relations.get(name)?.bytes).sum()
}

/// Loads a component and asks it for its columns.
pub(crate) fn plan_operator(
    transform: &Transform,
    operator: &OperatorUse,
    component: &[u8],
    input: &Relation,
    host: &OperatorHost,
) -> Result<(Planned, Relation), Vec<Problem>> {
    let key = format!("transforms.{}", transform.name);
    let loaded = host.load(component).map_err(|error| {
        let path = operator.component.display();
        let message = format!(
            "the component `{path}` cannot be used: {}",
            sentence(&error)
        );
        let found = Diagnostic::error(code::OPERATOR, format!("{key}.operator"), message);
        vec![hinted(found, error.hint().map(str::to_owned))]
    })?;
    check_key(&key, operator, &input.schema)?;
    let opened = loaded
        .open(&transform.name, &operator.config, &input.schema)
        .map_err(|error| {
            let hint = error.hint();
            let place = format!("{key}.config");
            vec![problem(code::OPERATOR_REFUSED, place, &error, hint)]
        })?;
    let schema = opened.output_schema().clone();
    let is_time = |column: &String| {
        let field = schema.column_with_name(column);
        field.is_some_and(|(_, field)| matches!(field.data_type(), DataType::Timestamp(..)))
    };
    let relation = Relation {
        event_time: input.event_time.clone().filter(is_time),
        is_bounded: input.is_bounded,
        bytes: input.bytes,
        schema: schema.clone(),
        // What it does with them only the component knows.
        lineage: Lineage {
            reads: [operator.input.clone()].into(),
            ..Lineage::default()
        },
    };
    let component = Component {
        loaded,
        input: operator.input.clone(),
        config: operator.config.clone(),
        key: operator.key.clone(),
        schema,
    };
    let planned = Planned {
        name: transform.name.clone(),
        parallelism: count(transform.parallelism),
        kind: Kind::Component(Box::new(component)),
    };
    Ok((planned, relation))
}

fn check_key(key: &str, operator: &OperatorUse, schema: &SchemaRef) -> Result<(), Vec<Problem>> {
    let is_missing = |column: &&String| schema.column_with_name(column).is_none();
    let missing = operator.key.iter().filter(is_missing);
    let problems: Vec<Problem> = missing
        .map(|column| {
            let message = format!("`{}` has no column `{column}`", operator.input);
            Diagnostic::error(code::OPERATOR, format!("{key}.key"), message)
                .with_hint(column_hint(column, schema))
                .into()
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

impl Planned {
    /// What it reads of each relation; `None`: all columns.
    pub(crate) fn reads(&self) -> Vec<(&String, Option<&BTreeSet<String>>)> {
        match &self.kind {
            Kind::Query(query) => query
                .reads()
                .iter()
                .map(|(name, columns)| (name, Some(columns)))
                .collect(),
            Kind::Component(component) => vec![(&component.input, None)],
        }
    }

    /// Adds its operators to a graph.
    pub(crate) fn add(
        &self,
        graph: &mut Graph,
        streams: &BTreeMap<String, Stream>,
        resources: &Resources,
    ) -> Result<Stream, Cause> {
        match &self.kind {
            Kind::Query(query) => {
                Ok(query.build(graph, &self.name, streams, self.parallelism, resources)?)
            }
            Kind::Component(component) => self.add_component(component, graph, streams),
        }
    }

    fn add_component(
        &self,
        component: &Component,
        graph: &mut Graph,
        streams: &BTreeMap<String, Stream>,
    ) -> Result<Stream, Cause> {
        let input = streams
            .get(&component.input)
            .ok_or_else(|| format!("there is no stream `{}`", component.input))?;
        let exchange = if component.key.is_empty() {
            dealt(input, self.parallelism)
        } else {
            Exchange::Hash(component.key.clone())
        };
        let operator = graph.operator(&self.name, self.parallelism);
        let operator = operator.input(input, exchange);
        let (loaded, config) = (component.loaded.clone(), component.config.clone());
        let (name, columns) = (self.name.clone(), Arc::clone(input.schema()));
        Ok(operator.build(component.schema.clone(), move |_| {
            let opened = loaded.open(&name, &config, &columns)?;
            Ok(ComponentOperator(opened))
        })?)
    }
}

/// Rows stay with the task that they come from, where there are as many.
pub(crate) fn dealt(input: &Stream, tasks: usize) -> Exchange {
    if input.parallelism() == tasks {
        Exchange::Forward
    } else {
        Exchange::RoundRobin
    }
}

/// The names that a transform reads, if that can be told before it is planned.
pub(crate) fn inputs_of(transform: &Transform, sql: Option<&Sql>) -> Result<Vec<String>, Problem> {
    match (&transform.kind, sql) {
        (TransformKind::Sql(_), Some(sql)) => sql.reads(&transform.name),
        (TransformKind::Sql(_), None) => Ok(Vec::new()),
        (TransformKind::Operator(operator), _) => Ok(vec![operator.input.clone()]),
    }
}
