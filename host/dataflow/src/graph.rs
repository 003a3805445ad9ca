//! A dataflow before it runs: operators, how they feed each other, and what follows from it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};

use crate::description::Part;
use crate::error::{Cause, GraphError};
use crate::event_time::is_time;
use crate::exchange::{Bounds, Exchange, Rest};
use crate::key;
use crate::operator::{EventTime, Operator, Source, TaskContext};

/// The output of an operator, for the inputs of others of the same graph.
#[derive(Debug, Clone)]
pub struct Stream {
    operator: usize,
    parallelism: usize,
    schema: SchemaRef,
}

impl Stream {
    /// The schema of its batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many tasks emit them.
    pub fn parallelism(&self) -> usize {
        self.parallelism
    }
}

/// Makes what runs in a task.
pub(crate) type Make<T> = Box<dyn Fn(TaskContext) -> Result<Box<T>, Cause> + Send + Sync>;

pub(crate) enum Kind {
    Source {
        make: Make<dyn Source>,
        event_time: Option<(EventTime, usize)>,
    },
    Operator {
        make: Make<dyn Operator>,
    },
}

pub(crate) struct Input {
    pub(crate) from: usize,
    pub(crate) exchange: Exchange,
}

pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) parallelism: usize,
    /// `None`: it emits nothing.
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) inputs: Vec<Input>,
    /// The input that it reads to the end before the others.
    pub(crate) table: Option<usize>,
    pub(crate) is_role: bool,
    pub(crate) kind: Kind,
}

impl Node {
    pub(crate) fn part(&self) -> Part {
        match (&self.kind, &self.schema) {
            _ if self.is_role => Part::Role,
            (Kind::Source { .. }, _) => Part::Source,
            (Kind::Operator { .. }, Some(_)) => Part::Transform,
            (Kind::Operator { .. }, None) => Part::Sink,
        }
    }
}

/// Operators and the streams between them. Inputs name operators that are there already, so there are no cycles.
#[derive(Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) bounds: Bounds,
}

impl Graph {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how much each queue between two tasks holds.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Adds a source. `make` is called once for each task, when the dataflow starts.
    ///
    /// # Errors
    ///
    /// The name is taken, there are no tasks, or the event time names no column of timestamps.
    pub fn source<S, F>(
        &mut self,
        name: &str,
        parallelism: usize,
        schema: SchemaRef,
        event_time: Option<EventTime>,
        make: F,
    ) -> Result<Stream, GraphError>
    where
        S: Source + 'static,
        F: Fn(TaskContext) -> Result<S, Cause> + Send + Sync + 'static,
    {
        let event_time = event_time
            .map(|event_time| {
                let column =
                    typed_column(name, &schema, &event_time.column, "an event time", is_time)?;
                Ok((event_time, column))
            })
            .transpose()?;
        let make: Make<dyn Source> = Box::new(move |context| Ok(Box::new(make(context)?)));
        self.add(Node {
            name: name.into(),
            parallelism,
            schema: Some(schema.clone()),
            inputs: Vec::new(),
            table: None,
            is_role: false,
            kind: Kind::Source { make, event_time },
        })
        .map(|operator| Stream {
            operator,
            parallelism,
            schema,
        })
    }

    /// Begins an operator with so many tasks.
    pub fn operator(&mut self, name: &str, parallelism: usize) -> Building<'_> {
        Building {
            graph: self,
            name: name.into(),
            parallelism,
            inputs: Vec::new(),
            table: None,
            is_role: false,
        }
    }

    fn add(&mut self, node: Node) -> Result<usize, GraphError> {
        let name = || node.name.to_string();
        if self.nodes.iter().any(|other| other.name == node.name) {
            return Err(GraphError::NameTaken(name()));
        }
        if node.parallelism == 0 {
            return Err(GraphError::NoTasks(name()));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// All sources that feed this operator; itself, if it is one.
    pub(crate) fn sources_of(&self, operator: usize) -> BTreeSet<usize> {
        let inputs = &self.nodes[operator].inputs;
        if inputs.is_empty() {
            return BTreeSet::from([operator]);
        }
        inputs
            .iter()
            .flat_map(|input| self.sources_of(input.from))
            .collect()
    }

    /// The sources whose rows come out of this operator as a stream: those of its tables have gone by then.
    fn streaming_sources_of(&self, operator: usize) -> BTreeSet<usize> {
        let node = &self.nodes[operator];
        if node.inputs.is_empty() {
            return BTreeSet::from([operator]);
        }
        let streams = node.inputs.iter().enumerate();
        streams
            .filter(|(input, _)| node.table != Some(*input))
            .flat_map(|(_, input)| self.streaming_sources_of(input.from))
            .collect()
    }

    /// Whether this operator must take rows as they come, whichever input it would like to read first: the queue of another one
    /// may hold up what feeds that input, here or at another reader. A declared table was checked for that.
    pub(crate) fn must_not_choose(&self, operator: usize) -> bool {
        self.nodes[operator].table.is_none()
            && (self.shares_sources(operator) || self.forks_before(operator))
    }

    /// Whether something that feeds this operator, by whatever ways, has other readers too.
    fn forks_before(&self, operator: usize) -> bool {
        let readers = |of: usize| {
            let inputs = self.nodes.iter().flat_map(|node| &node.inputs);
            inputs.filter(|input| input.from == of).count()
        };
        let mut inputs = self.nodes[operator].inputs.iter();
        inputs.any(|input| readers(input.from) > 1 || self.forks_before(input.from))
    }

    /// Whether one source feeds several inputs of this operator.
    pub(crate) fn shares_sources(&self, operator: usize) -> bool {
        let mut seen = HashSet::new();
        let mut sources = self.nodes[operator]
            .inputs
            .iter()
            .flat_map(|input| self.sources_of(input.from));
        !sources.all(|source| seen.insert(source))
    }

    /// The operators that share their tasks, one list for each, upstream first.
    pub(crate) fn chains(&self) -> Vec<Vec<usize>> {
        let mut chains: Vec<Vec<usize>> = Vec::new();
        for operator in 0..self.nodes.len() {
            let before = self.chained_behind(operator);
            match chains
                .iter_mut()
                .find(|chain| before.is_some() && chain.last().copied() == before)
            {
                Some(chain) => chain.push(operator),
                None => chains.push(vec![operator]),
            }
        }
        chains
    }

    /// The operator whose tasks this one shares.
    fn chained_behind(&self, operator: usize) -> Option<usize> {
        let [
            Input {
                from,
                exchange: Exchange::Forward,
            },
        ] = self.nodes[operator].inputs.as_slice()
        else {
            return None;
        };
        let readers = self
            .nodes
            .iter()
            .flat_map(|node| &node.inputs)
            .filter(|input| input.from == *from);
        (readers.count() == 1).then_some(*from)
    }
}

/// An operator that is not complete yet.
#[must_use]
pub struct Building<'a> {
    graph: &'a mut Graph,
    name: String,
    parallelism: usize,
    inputs: Vec<Input>,
    table: Option<usize>,
    is_role: bool,
}

impl Building<'_> {
    /// It hands rows to somebody else, and takes answers: it is shown as that.
    pub fn role(self) -> Self {
        Self {
            is_role: true,
            ..self
        }
    }

    /// Its next input.
    pub fn input(mut self, stream: &Stream, exchange: Exchange) -> Self {
        self.inputs.push(Input {
            from: stream.operator,
            exchange,
        });
        self
    }

    /// Its next input, which it reads to the end before the others (see [`Reads::First`](crate::Reads::First)).
    pub fn table(mut self, stream: &Stream, exchange: Exchange) -> Self {
        self.table = Some(self.inputs.len());
        self.input(stream, exchange)
    }

    /// Completes an operator that emits batches of this schema. `make` is called once for each task, when the dataflow starts.
    ///
    /// # Errors
    ///
    /// The graph would not run; which input is to blame.
    pub fn build<O, F>(self, schema: SchemaRef, make: F) -> Result<Stream, GraphError>
    where
        O: Operator + 'static,
        F: Fn(TaskContext) -> Result<O, Cause> + Send + Sync + 'static,
    {
        let parallelism = self.parallelism;
        let operator = self.add(Some(schema.clone()), make)?;
        Ok(Stream {
            operator,
            parallelism,
            schema,
        })
    }

    /// Completes an operator that emits nothing.
    ///
    /// # Errors
    ///
    /// The graph would not run; which input is to blame.
    pub fn sink<O, F>(self, make: F) -> Result<(), GraphError>
    where
        O: Operator + 'static,
        F: Fn(TaskContext) -> Result<O, Cause> + Send + Sync + 'static,
    {
        self.add(None, make).map(|_| ())
    }

    fn add<O, F>(self, schema: Option<SchemaRef>, make: F) -> Result<usize, GraphError>
    where
        O: Operator + 'static,
        F: Fn(TaskContext) -> Result<O, Cause> + Send + Sync + 'static,
    {
        let Self {
            graph,
            name,
            parallelism,
            inputs,
            table,
            is_role,
        } = self;
        if inputs.is_empty() {
            return Err(GraphError::NoInput(name));
        }
        for input in &inputs {
            check_exchange(
                &graph.nodes[input.from],
                &name,
                parallelism,
                &input.exchange,
            )?;
        }
        if let Some(table) = table {
            check_table(graph, &name, &inputs, table)?;
        }
        let make: Make<dyn Operator> = Box::new(move |context| Ok(Box::new(make(context)?)));
        graph.add(Node {
            name: name.into(),
            parallelism,
            schema,
            inputs,
            table,
            is_role,
            kind: Kind::Operator { make },
        })
    }
}

fn check_exchange(
    from: &Node,
    to: &str,
    to_tasks: usize,
    exchange: &Exchange,
) -> Result<(), GraphError> {
    let schema = from
        .schema
        .as_ref()
        .expect("only an operator that emits has a stream");
    match exchange {
        Exchange::Forward if from.parallelism != to_tasks => Err(GraphError::Forward {
            from: from.name.to_string(),
            from_tasks: from.parallelism,
            to: to.to_owned(),
            to_tasks,
        }),
        Exchange::Hash(columns) if columns.is_empty() => Err(GraphError::EmptyKey(to.to_owned())),
        Exchange::Hash(columns) => columns.iter().try_for_each(|column| {
            typed_column(&from.name, schema, column, "a key", key::is_hashable).map(|_| ())
        }),
        Exchange::Rounds { rows: 0, .. } | Exchange::Credit { rows: 0 } => {
            Err(GraphError::EmptyRounds(to.to_owned()))
        }
        Exchange::Rounds {
            rest: Rest::Pad { weight },
            ..
        } => typed_column(&from.name, schema, weight, "a weight", DataType::is_numeric).map(|_| ()),
        Exchange::Forward
        | Exchange::Broadcast
        | Exchange::RoundRobin
        | Exchange::Credit { .. }
        | Exchange::Rounds { .. } => Ok(()),
    }
}

fn check_table(
    graph: &Graph,
    name: &str,
    inputs: &[Input],
    table: usize,
) -> Result<(), GraphError> {
    let of_table = graph.sources_of(inputs[table].from);
    let others = inputs
        .iter()
        .enumerate()
        .filter(|(input, _)| *input != table);
    let of_others: BTreeSet<_> = others
        .flat_map(|(_, input)| graph.streaming_sources_of(input.from))
        .collect();
    match of_table.intersection(&of_others).next() {
        None => Ok(()),
        Some(&shared) => Err(GraphError::SharedSource {
            operator: name.to_owned(),
            table: graph.nodes[inputs[table].from].name.to_string(),
            shared: graph.nodes[shared].name.to_string(),
        }),
    }
}

/// The position of a column that must be of a certain type.
fn typed_column(
    operator: &str,
    schema: &SchemaRef,
    column: &str,
    purpose: &'static str,
    serves: impl Fn(&DataType) -> bool,
) -> Result<usize, GraphError> {
    let (operator, column) = (operator.to_owned(), column.to_owned());
    let Some((position, field)) = schema.column_with_name(&column) else {
        return Err(GraphError::NoColumn { operator, column });
    };
    if serves(field.data_type()) {
        return Ok(position);
    }
    Err(GraphError::Kind {
        operator,
        column,
        kind: Box::new(field.data_type().clone()),
        purpose,
    })
}
