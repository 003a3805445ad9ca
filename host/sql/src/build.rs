//! From nodes to operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_dataflow::operators::{
    Each, IntervalJoin, IntervalJoinPlan, TableJoin, TableJoinPlan, TumblingWindow,
    TumblingWindowPlan, Union,
};
use forebay_dataflow::{Exchange, Graph, Stream, TaskContext};

use crate::aggregates::{Aggregate, WindowAggregates};
use crate::evaluate::{Function, holds, in_turn};
use crate::node::{Condition, Kind, Node};
use crate::stage::{Resources, StageOperator, StagePlan, StageSource};
use crate::{Error, Query};

impl Query {
    /// Adds the operators of this query to a graph. They are called like the query, with what they do behind a slash; those
    /// with state have so many tasks, the others as many as what feeds them, and bounded parts one.
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
        resources: &Resources,
    ) -> Result<Stream, Error> {
        Builder {
            graph,
            name,
            streams,
            parallelism,
            resources,
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
    resources: &'a Resources,
    operators: usize,
}

impl Builder<'_> {
    fn build(&mut self, node: &Node) -> Result<Stream, Error> {
        match &node.kind {
            Kind::Scan(relation) => self.stream(relation),
            Kind::Each { .. } => self.each(node),
            Kind::Union(inputs) => self.union(inputs, node),
            Kind::IntervalJoin {
                inputs,
                plan,
                condition,
            } => self.interval_join(inputs, plan, condition.as_ref()),
            Kind::TableJoin {
                inputs,
                plan,
                condition,
            } => self.table_join(inputs, plan, condition.as_ref()),
            Kind::Window {
                input,
                plan,
                aggregates,
            } => self.window(input, plan, aggregates),
            Kind::Stage(plan) => self.stage(plan, node),
        }
    }

    fn stream(&self, relation: &str) -> Result<Stream, Error> {
        let stream = self.streams.get(relation);
        stream
            .cloned()
            .ok_or_else(|| Error::new(format!("there is no stream `{relation}`")))
    }

    /// One operator for all that make one batch of each, one after the other.
    fn each(&mut self, node: &Node) -> Result<Stream, Error> {
        let (mut functions, mut does, mut first): (Vec<Function>, _, _) =
            (Vec::new(), "select", node);
        while let Kind::Each {
            name,
            input,
            function,
        } = &first.kind
        {
            if *name == "filter" {
                does = name;
            }
            functions.push(function.clone());
            first = input;
        }
        functions.reverse();
        let input = self.build(first)?;
        let (name, function) = (self.operator(does), in_turn(functions));
        let operator = self
            .graph
            .operator(&name, input.parallelism())
            .input(&input, Exchange::Forward);
        Ok(operator.build(node.schema.clone(), move |_| {
            let function = function.clone();
            Ok(Each(move |batch| function(batch)))
        })?)
    }

    fn union(&mut self, inputs: &[Node], node: &Node) -> Result<Stream, Error> {
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

    fn interval_join(
        &mut self,
        inputs: &[Node; 2],
        plan: &IntervalJoinPlan,
        condition: Option<&Condition>,
    ) -> Result<Stream, Error> {
        let [left, right] = [self.build(&inputs[0])?, self.build(&inputs[1])?];
        let name = self.operator("join");
        let (plan, condition) = (plan.clone(), condition.cloned());
        let operator = self
            .graph
            .operator(&name, self.parallelism)
            .input(&left, by_key(&left, &plan.keys[0]))
            .input(&right, by_key(&right, &plan.keys[1]));
        Ok(
            operator.build(plan.output.clone(), move |context: TaskContext| {
                IntervalJoin::new(plan.clone(), condition.clone().map(checks), &context)
            })?,
        )
    }

    fn table_join(
        &mut self,
        inputs: &[Node; 2],
        plan: &TableJoinPlan,
        condition: Option<&Condition>,
    ) -> Result<Stream, Error> {
        let [stream, table] = [self.build(&inputs[0])?, self.build(&inputs[1])?];
        let name = self.operator("table join");
        let (plan, condition) = (plan.clone(), condition.cloned());
        // Each task has the whole table, so the stream stays where it is.
        let operator = self
            .graph
            .operator(&name, stream.parallelism())
            .input(&stream, Exchange::Forward)
            .table(&table, Exchange::Broadcast);
        Ok(operator.build(plan.output.clone(), move |_| {
            TableJoin::new(plan.clone(), condition.clone().map(checks))
        })?)
    }

    fn window(
        &mut self,
        input: &Node,
        plan: &TumblingWindowPlan,
        aggregates: &Arc<[Aggregate]>,
    ) -> Result<Stream, Error> {
        let input = self.build(input)?;
        let name = self.operator("window");
        let (plan, aggregates) = (plan.clone(), aggregates.clone());
        let is_one = self.parallelism == 1 && input.parallelism() == 1;
        let exchange = if is_one {
            Exchange::Forward
        } else {
            by_key(&input, &plan.keys)
        };
        let operator = self.graph.operator(&name, self.parallelism);
        let operator = operator.input(&input, exchange);
        Ok(
            operator.build(plan.output.clone(), move |context: TaskContext| {
                let aggregates = aggregates.clone();
                let open = Box::new(move || {
                    Ok(Box::new(WindowAggregates::new(aggregates.clone())?) as Box<_>)
                });
                TumblingWindow::new(plan.clone(), open, &context)
            })?,
        )
    }

    fn stage(&mut self, plan: &StagePlan, node: &Node) -> Result<Stream, Error> {
        let inputs = plan
            .inputs
            .iter()
            .map(|(relation, _)| self.stream(relation))
            .collect::<Result<Vec<_>, _>>()?;
        let (name, schema) = (self.operator("query"), node.schema.clone());
        let (plan, resources) = (plan.clone(), self.resources.clone());
        if inputs.is_empty() {
            let made = schema.clone();
            return Ok(self.graph.source(&name, 1, schema, None, move |_| {
                StageSource::new(&plan, made.clone(), &resources)
            })?);
        }
        let operator = self.graph.operator(&name, 1);
        let operator = inputs.iter().fold(operator, |operator, input| {
            let exchange = if input.parallelism() == 1 {
                Exchange::Forward
            } else {
                Exchange::RoundRobin
            };
            operator.input(input, exchange)
        });
        Ok(operator.build(schema.clone(), move |_| {
            StageOperator::new(&plan, schema.clone(), &resources)
        })?)
    }

    /// A name that no other operator of the query has.
    fn operator(&mut self, does: &str) -> String {
        self.operators += 1;
        format!("{}/{} {does}", self.name, self.operators)
    }
}

fn by_key(stream: &Stream, keys: &[usize]) -> Exchange {
    let name = |&key: &usize| stream.schema().field(key).name().clone();
    Exchange::Hash(keys.iter().map(name).collect())
}

fn checks(
    Condition {
        positions,
        condition,
    }: Condition,
) -> forebay_dataflow::operators::Condition {
    Box::new(move |batch| holds(&*condition, &batch.project(&positions)?))
}
