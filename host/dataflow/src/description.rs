//! What a graph is made of, for people and programs that draw it.

use std::sync::Arc;

use arrow_schema::SchemaRef;

use crate::exchange::Exchange;
use crate::graph::Graph;

/// What an operator is in a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It reads from outside.
    Source,
    /// It makes rows of rows.
    Transform,
    /// It gives rows away.
    Sink,
    /// It hands rows to somebody else, and takes answers.
    Role,
}

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: Arc<str>,
    /// What it is.
    pub part: Part,
    /// How many tasks it has.
    pub parallelism: usize,
    /// The columns that it emits; `None`: it is a sink.
    pub schema: Option<SchemaRef>,
    /// What feeds it.
    pub inputs: Vec<InputDescription>,
    /// Operators with the same number share their tasks.
    pub chain: usize,
}

/// One input of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputDescription {
    /// Position of the operator that feeds it.
    pub from: usize,
    /// How rows find their task.
    pub exchange: Exchange,
    /// It is read to its end before the others.
    pub is_table: bool,
}

impl Graph {
    /// Its operators, in the order in which they were added.
    pub fn describe(&self) -> Vec<Description> {
        let chains = self.chains();
        let chain_of = |operator| chains.iter().position(|chain| chain.contains(&operator));
        let nodes = self.nodes.iter().enumerate();
        nodes
            .map(|(operator, node)| Description {
                name: node.name.clone(),
                part: node.part(),
                parallelism: node.parallelism,
                schema: node.schema.clone(),
                inputs: node
                    .inputs
                    .iter()
                    .enumerate()
                    .map(|(position, input)| InputDescription {
                        from: input.from,
                        exchange: input.exchange.clone(),
                        is_table: node.table == Some(position),
                    })
                    .collect(),
                chain: chain_of(operator).unwrap_or(operator),
            })
            .collect()
    }
}
