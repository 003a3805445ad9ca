//! A stream and a table against nested loops.

use std::sync::{Arc, Mutex};

use fastrand::Rng;
use forebay_dataflow::operators::{JoinKind, TableJoin, TableJoinKind, TableJoinPlan};
use forebay_dataflow::{Bounds, Exchange, Graph};

use super::joins::{
    DISORDER, Pair, collect, condition, nested_loop, output_schema, sorted, stream, two_tasks,
};
use super::support::{
    Act, Row, checkpoint_after, event_time, schema, scripts, simulate, simulate_from,
};

/// A stream that is joined with a table.
struct TableCase {
    kind: TableJoinKind,
    with_condition: bool,
    broadcast: bool,
    tasks: usize,
    stream: Vec<Vec<Act>>,
    table: Vec<Vec<Act>>,
}

impl TableCase {
    fn graph(&self) -> (Graph, Arc<Mutex<Vec<Pair>>>) {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 10,
            bytes: 1 << 20,
        });
        let stream = scripts(
            &mut graph,
            "stream",
            self.stream.clone(),
            Some(event_time(DISORDER)),
        );
        let table = scripts(&mut graph, "table", self.table.clone(), None);
        let by_key = || Exchange::Hash(vec!["key".into()]);
        let (of_stream, of_table) = if self.broadcast {
            (Exchange::RoundRobin, Exchange::Broadcast)
        } else {
            (by_key(), by_key())
        };
        let (kind, with_condition) = (self.kind, self.with_condition);
        let schemas = [schema(), schema()];
        let plan = TableJoinPlan {
            schemas,
            keys: [vec![0], vec![0]],
            kind,
            output: output_schema(),
        };
        let joined = graph
            .operator("joined", self.tasks)
            .input(&stream, of_stream)
            .table(&table, of_table);
        let make = move |_| TableJoin::new(plan.clone(), with_condition.then(condition));
        let joined = joined.build(output_schema(), make).expect("it is good");
        let collected = collect(&mut graph, &joined);
        (graph, collected)
    }
}

#[test]
fn rows_keep_their_order_with_a_partner_or_without() {
    for seed in 0..50 {
        let mut rng = Rng::with_seed(seed);
        let (left, right) = (stream(&mut rng, 100), stream(&mut rng, 4));
        let case = TableCase {
            kind: TableJoinKind::Left,
            with_condition: false,
            broadcast: rng.bool(),
            tasks: 1,
            stream: vec![vec![Act::Rows(left.clone())]],
            table: two_tasks(&mut rng, &right),
        };
        let (graph, collected) = case.graph();
        simulate(&graph, seed);
        let collected = collected.lock().expect("nobody panics with it");
        let mut joined: Vec<_> = collected.iter().map(|(left, _)| left.clone()).collect();
        joined.dedup();
        assert_eq!(joined, left, "seed {seed}");
    }
}

#[test]
fn a_stream_is_joined_with_a_table_like_nested_loops() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let (most, least) = (rng.i64(1..150), rng.i64(0..80));
        let (left, right) = (stream(&mut rng, most), stream(&mut rng, least));
        let case = TableCase {
            kind: if rng.bool() {
                TableJoinKind::Left
            } else {
                TableJoinKind::Inner
            },
            with_condition: rng.bool(),
            broadcast: rng.bool(),
            tasks: 3,
            stream: two_tasks(&mut rng, &left),
            table: two_tasks(&mut rng, &right),
        };
        let belongs = |left: &Row, right: &Row| !case.with_condition || left.1 % 2 == right.1 % 2;
        let expected = match case.kind {
            TableJoinKind::Left => nested_loop(&left, &right, JoinKind::Left, belongs),
            _ => nested_loop(&left, &right, JoinKind::Inner, belongs),
        };
        let (graph, collected) = case.graph();
        simulate(&graph, seed);
        assert_eq!(sorted(&collected), expected, "seed {seed}");
        // The same with a barrier that may come while the table is read.
        let (graph, before) = case.graph();
        let checkpoint = checkpoint_after(&graph, seed, rng.usize(..60));
        let (graph, after) = case.graph();
        simulate_from(&graph, seed + 1, Some(&checkpoint));
        let mut both = [sorted(&before), sorted(&after)].concat();
        both.sort();
        both.dedup();
        assert_eq!(both, expected, "seed {seed}: interrupted");
    }
}
