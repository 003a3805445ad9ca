//! From nodes to operators.

use std::collections::BTreeMap;

use forebay_dataflow::operators::{Each, IntervalJoin, Union};
use forebay_dataflow::{Exchange, Graph, Stream, TaskContext};

use crate::evaluate::holds;
use crate::node::{Condition, Kind, Node};
use crate::{Error, Query};

impl Query {
    /// Adds the operators of this query to a graph. They are called like the query, with what they do behind a slash; those
    /// with state have so many tasks, the others as many as what feeds them.
    ///
    /// # Errors
    ///
    /// A relation is not among the streams, or the graph refuses an operator.
    pub fn build(
        &self,
        graph: &mut Graph,
        name: &str,
        streams: &BTreeMap<String, Stream>,
        parallelism: usize,
    ) -> Result<Stream, Error> {
        Builder {
            graph,
            name,
            streams,
            parallelism,
            operators: 0,
        }
        .build(&self.root)
    }
}

struct Builder<'a> {
    graph: &'a mut Graph,
    name: &'a str,
    streams: &'a BTreeMap<String, Stream>,
    parallelism: usize,
    operators: usize,
}

impl Builder<'_> {
    fn build(&mut self, node: &Node) -> Result<Stream, Error> {
        match &node.kind {
            Kind::Scan(relation) => {
                let stream = self.streams.get(relation);
                stream
                    .cloned()
                    .ok_or_else(|| Error::new(format!("there is no stream `{relation}`")))
            }
            Kind::Each {
                name,
                input,
                function,
            } => {
                let input = self.build(input)?;
                let (name, function) = (self.operator(name), function.clone());
                let operator = self
                    .graph
                    .operator(&name, input.parallelism())
                    .input(&input, Exchange::Forward);
                Ok(operator.build(node.schema.clone(), move |_| {
                    let function = function.clone();
                    Ok(Each(move |batch| function(batch)))
                })?)
            }
            Kind::Union(inputs) => {
                let inputs = inputs
                    .iter()
                    .map(|input| self.build(input))
                    .collect::<Result<Vec<_>, _>>()?;
                let (name, schema) = (self.operator("union"), node.schema.clone());
                let operator = self.graph.operator(&name, self.parallelism);
                let operator = inputs.iter().fold(operator, |operator, input| {
                    operator.input(input, Exchange::RoundRobin)
                });
                Ok(operator.build(schema.clone(), move |_| Ok(Union(schema.clone())))?)
            }
            Kind::IntervalJoin {
                inputs,
                plan,
                condition,
            } => {
                let [left, right] = &**inputs;
                let (left, right) = (self.build(left)?, self.build(right)?);
                let by_key = |stream: &Stream, keys: &[usize]| {
                    let name = |&key: &usize| stream.schema().field(key).name().clone();
                    Exchange::Hash(keys.iter().map(name).collect())
                };
                let (name, plan, condition) =
                    (self.operator("join"), plan.clone(), condition.clone());
                let (of_left, of_right) =
                    (by_key(&left, &plan.keys[0]), by_key(&right, &plan.keys[1]));
                let operator = self
                    .graph
                    .operator(&name, self.parallelism)
                    .input(&left, of_left)
                    .input(&right, of_right);
                Ok(
                    operator.build(node.schema.clone(), move |context: TaskContext| {
                        IntervalJoin::new(plan.clone(), condition.clone().map(checks), &context)
                    })?,
                )
            }
        }
    }

    /// A name that no other operator of the query has.
    fn operator(&mut self, does: &str) -> String {
        self.operators += 1;
        format!("{}/{} {does}", self.name, self.operators)
    }
}

fn checks(
    Condition {
        positions,
        condition,
    }: Condition,
) -> forebay_dataflow::operators::Condition {
    Box::new(move |batch| holds(&*condition, &batch.project(&positions)?))
}
