use std::collections::BTreeMap;

use forebay_dataflow::{Bounds, Exchange, Graph, GraphError, Rest};
use proptest::prelude::*;

use super::support::{Act, Pass, Row, counting, note, of, row, run, schema, scripts, simulate};

/// All rows of so many sources, through an exchange, to so many tasks.
fn through(exchange: Exchange, sources: usize, targets: usize, seed: u64) -> Vec<Vec<Row>> {
    let mut graph = Graph::new().with_bounds(Bounds {
        rows: 20,
        bytes: 1 << 20,
    });
    let source = scripts(&mut graph, "source", vec![counting(100, 8); sources], None);
    let noted = note(&mut graph, &source, targets, exchange);
    simulate(&graph, seed);
    (0..targets).map(|task| noted.rows_of(task)).collect()
}

fn sorted(tasks: &[Vec<Row>]) -> Vec<Row> {
    let mut rows: Vec<_> = tasks.concat();
    rows.sort();
    rows
}

fn all(copies: usize) -> Vec<Row> {
    let mut rows: Vec<_> = (0..100)
        .map(|number| row(number % 7, number, number))
        .collect();
    rows = rows
        .iter()
        .cycle()
        .take(rows.len() * copies)
        .cloned()
        .collect();
    rows.sort();
    rows
}

#[test]
fn forward_keeps_tasks_apart() {
    for tasks in through(Exchange::Forward, 3, 3, 1) {
        assert_eq!(tasks, through(Exchange::Forward, 1, 1, 2).concat());
    }
}

#[test]
fn hash_brings_equal_keys_together_and_keeps_their_order() {
    for seed in 0..50 {
        let tasks = through(Exchange::Hash(vec!["key".into()]), 1, 4, seed);
        assert_eq!(sorted(&tasks), all(1), "seed {seed}");
        let mut task_of = BTreeMap::new();
        for (task, rows) in tasks.iter().enumerate() {
            assert!(
                rows.is_sorted_by_key(|(_, number, _)| *number),
                "seed {seed}"
            );
            for (key, _, _) in rows {
                assert_eq!(
                    *task_of.entry(key).or_insert(task),
                    task,
                    "seed {seed}, key {key}"
                );
            }
        }
        assert!(
            task_of
                .values()
                .any(|task| Some(task) != task_of.values().next()),
            "all keys are in one task"
        );
    }
}

#[test]
fn broadcast_gives_everything_to_everybody() {
    for tasks in through(Exchange::Broadcast, 1, 3, 5) {
        assert_eq!(sorted(&[tasks]), all(1));
    }
}

#[test]
fn round_robin_deals_batches_in_turn() {
    let tasks = through(Exchange::RoundRobin, 1, 4, 6);
    assert_eq!(sorted(&tasks), all(1));
    // Thirteen batches: the last one has four rows.
    assert_eq!(
        tasks.iter().map(Vec::len).collect::<Vec<_>>(),
        [28, 24, 24, 24]
    );
}

#[test]
fn several_tasks_feed_several() {
    for exchange in [Exchange::RoundRobin, Exchange::Hash(vec!["number".into()])] {
        assert_eq!(sorted(&through(exchange, 3, 2, 7)), all(3));
    }
}

fn rounds(rows: usize, rest: Rest, targets: usize) -> (Vec<Vec<Row>>, u64) {
    let mut graph = Graph::new();
    let source = scripts(&mut graph, "source", vec![counting(100, 9)], None);
    let seen = note(
        &mut graph,
        &source,
        targets,
        Exchange::Rounds { rows, rest },
    );
    let progress = simulate(&graph, 8);
    (
        (0..targets).map(|task| seen.rows_of(task)).collect(),
        of(&progress, "source").dropped,
    )
}

#[test]
fn rounds_give_everybody_as_much_and_drop_the_rest() {
    let (tasks, dropped) = rounds(8, Rest::Drop, 3);
    assert_eq!(tasks.iter().map(Vec::len).collect::<Vec<_>>(), [32, 32, 32]);
    assert_eq!(dropped, 4);
    // The first batch of the second task begins with the ninth row.
    assert_eq!(tasks[1][0], row(8 % 7, 8, 8));
}

#[test]
fn rounds_are_filled_up_with_rows_without_weight() {
    let (tasks, dropped) = rounds(
        8,
        Rest::Pad {
            weight: "number".into(),
        },
        3,
    );
    assert_eq!(tasks.iter().map(Vec::len).collect::<Vec<_>>(), [40, 40, 40]);
    assert_eq!(dropped, 0);
    let padding = row(99 % 7, 0, 99);
    assert_eq!(
        &tasks[0][32..],
        [
            &[96, 97, 98, 99].map(|number| row(number % 7, number, number))[..],
            &vec![padding.clone(); 4]
        ]
        .concat()
    );
    assert_eq!(tasks[2][32..], vec![padding; 8]);
}

#[test]
fn a_batch_beyond_the_bounds_passes_alone() {
    let mut graph = Graph::new().with_bounds(Bounds {
        rows: 5,
        bytes: 100,
    });
    let source = scripts(&mut graph, "source", vec![counting(100, 30)], None);
    let seen = note(&mut graph, &source, 2, Exchange::RoundRobin);
    simulate(&graph, 9);
    assert_eq!(seen.sorted_rows(), all(1));
}

#[test]
fn the_same_in_threads() {
    for threads in [1, 2, 4] {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 20,
            bytes: 1 << 20,
        });
        let source = scripts(&mut graph, "source", vec![counting(1000, 8); 3], None);
        let passed = graph
            .operator("pass", 4)
            .input(&source, Exchange::RoundRobin)
            .build(schema(), |_| Ok(Pass));
        let passed = passed.expect("it is a good operator");
        let seen = note(&mut graph, &passed, 2, Exchange::Hash(vec!["key".into()]));
        let progress = run(&graph, threads);
        assert_eq!(seen.sorted_rows().len(), 3000);
        assert_eq!(
            (
                of(&progress, "pass").rows_in,
                of(&progress, "pass").rows_out
            ),
            (3000, 3000)
        );
        assert_eq!(
            (of(&progress, "sink").rows_in, of(&progress, "sink").ended),
            (3000, 2)
        );
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_the_sizes(
        sizes in prop::collection::vec(0_i64..40, 0..20), sources in 1_usize..4, targets in 1_usize..5, bound in 1_usize..50, seed: u64,
    ) {
        let acts: Vec<_> = sizes.iter().map(|&size| Act::Rows((0..size).map(|number| row(number % 3, number, 0)).collect())).collect();
        let mut graph = Graph::new().with_bounds(Bounds { rows: bound, bytes: 4096 });
        let source = scripts(&mut graph, "source", vec![acts; sources], None);
        let passed = graph.operator("pass", sources).input(&source, Exchange::Forward).build(schema(), |_| Ok(Pass)).expect("it is good");
        let seen = note(&mut graph, &passed, targets, Exchange::Hash(vec!["key".into(), "number".into()]));
        simulate(&graph, seed);
        prop_assert_eq!(seen.sorted_rows().len(), usize::try_from(sizes.iter().sum::<i64>()).expect("it is positive") * sources);
    }
}

#[test]
fn an_exchange_that_cannot_be_is_refused() {
    let mut graph = Graph::new();
    let source = scripts(&mut graph, "source", vec![counting(1, 1); 2], None);
    let mut refused = |exchange| {
        graph
            .operator("next", 3)
            .input(&source, exchange)
            .build(schema(), |_| Ok(Pass))
            .expect_err("it cannot be")
            .to_string()
    };
    assert_eq!(
        refused(Exchange::Forward),
        "`next` (3 tasks) cannot be fed forward by `source` (2 tasks): both need the same parallelism"
    );
    assert_eq!(
        refused(Exchange::Hash(vec!["kye".into()])),
        "`source` has no column `kye`"
    );
    assert_eq!(
        refused(Exchange::Rounds {
            rows: 4,
            rest: Rest::Pad {
                weight: "key".into()
            }
        }),
        "column `key` of `source` is Utf8 and cannot be a weight"
    );
    assert_eq!(
        refused(Exchange::Rounds {
            rows: 0,
            rest: Rest::Drop
        }),
        "the rounds of `next` have no rows"
    );
    assert_eq!(
        refused(Exchange::Hash(vec![])),
        "the key by which `next` is fed has no columns"
    );
    let none = graph
        .operator("next", 0)
        .input(&source, Exchange::Broadcast)
        .build(schema(), |_| Ok(Pass));
    assert_eq!(none.err(), Some(GraphError::NoTasks("next".into())));
    let taken = graph
        .operator("source", 1)
        .input(&source, Exchange::Broadcast)
        .build(schema(), |_| Ok(Pass));
    assert_eq!(taken.err(), Some(GraphError::NameTaken("source".into())));
    assert_eq!(
        graph.operator("next", 1).sink(|_| Ok(Pass)).err(),
        Some(GraphError::NoInput("next".into()))
    );
}

#[test]
fn credit_cuts_batches_and_gives_each_to_one() {
    for seed in 0..100 {
        for (sources, targets) in [(1, 1), (1, 4), (3, 2)] {
            let tasks = through(Exchange::Credit { rows: 3 }, sources, targets, seed);
            assert_eq!(sorted(&tasks), all(sources), "seed {seed}");
        }
    }
}

#[test]
fn credit_needs_rows() {
    let mut graph = Graph::new();
    let source = scripts(&mut graph, "source", vec![counting(1, 1)], None);
    let operator = graph.operator("sink", 1);
    let operator = operator.input(&source, Exchange::Credit { rows: 0 });
    let refused = operator.build(schema(), |_| Ok(Pass));
    assert!(matches!(refused, Err(GraphError::EmptyRounds(_))));
}
