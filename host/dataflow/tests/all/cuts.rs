//! Barriers: what is taken up again goes on as if nothing had been.

use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use fastrand::Rng;
use forebay_dataflow::{
    Bounds, Cause, Exchange, Graph, Operator, Output, Rest, TaskContext, batch_bytes,
    batch_of_bytes,
};

use super::support::{
    Act, Event, Pass, Row, Seen, Sum, batch, checkpoint, checkpoint_after, counting, event_time,
    note, of, row, rows, schema, scripts, simulate, simulate_from, start,
};

/// A sink whose rows are its state: what it shows at the end is what it had before the barrier and what came after it.
struct Keep {
    rows: Vec<Row>,
    seen: Seen,
    task: usize,
}

#[async_trait]
impl Operator for Keep {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        self.rows.extend(rows(&batch));
        Ok(())
    }

    async fn end(&mut self, _: &mut Output<'_>) -> Result<(), Cause> {
        for row in &self.rows {
            self.seen.push(self.task, Event::Row(row.clone()));
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        batch_bytes(&batch(&self.rows))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.rows = rows(&batch_of_bytes(state)?);
        Ok(())
    }
}

/// The rows of one source task, with keys that no other has.
fn own(prefix: &str) -> Vec<Act> {
    let own = |act| match act {
        Act::Rows(rows) => Act::Rows(
            rows.into_iter()
                .map(|(key, n, t)| row(format!("{prefix}{key}"), n, t))
                .collect(),
        ),
        other => other,
    };
    counting(60, 7).into_iter().map(own).collect()
}

/// Two sources of two tasks, a chain, sums by key, rounds with rows that wait: everything that has a state.
fn graph() -> (Graph, Seen) {
    let by_key = || Exchange::Hash(vec!["key".into()]);
    let mut graph = Graph::new().with_bounds(Bounds {
        rows: 16,
        bytes: 1 << 20,
    });
    let left = scripts(
        &mut graph,
        "left",
        vec![own("a"), own("b")],
        Some(event_time(3)),
    );
    let right = scripts(&mut graph, "right", vec![own("c"), own("d")], None);
    let both = graph
        .operator("both", 2)
        .input(&left, by_key())
        .input(&right, by_key());
    let both = both.build(schema(), |_| Ok(Pass)).expect("it is good");
    let again = graph.operator("again", 2).input(&both, Exchange::Forward);
    let again = again
        .build(schema(), |_| Ok(Sum::default()))
        .expect("it is good");
    let sums = graph.operator("sums", 3).input(&again, by_key());
    let sums = sums
        .build(schema(), |_| Ok(Sum::default()))
        .expect("it is good");
    let seen = Seen::default();
    let kept = seen.clone();
    graph
        .operator("sink", 2)
        .input(
            &sums,
            Exchange::Rounds {
                rows: 5,
                rest: Rest::Pad {
                    weight: "number".into(),
                },
            },
        )
        .sink(move |context| {
            Ok(Keep {
                rows: Vec::new(),
                seen: kept.clone(),
                task: context.task,
            })
        })
        .expect("it is good");
    (graph, seen)
}

/// All rows in order, without those that only fill the last round.
fn output(seen: &Seen) -> Vec<Row> {
    seen.sorted_rows()
        .into_iter()
        .filter(|(_, number, _)| *number != 0)
        .collect()
}

#[test]
fn a_snapshot_at_any_moment_goes_on_to_the_same_output() {
    let (undisturbed, seen) = graph();
    simulate(&undisturbed, 0);
    let expected = output(&seen);
    // Of 60 rows of four tasks each key begins with 0 once, at the key 0.
    assert_eq!(expected.len(), 4 * 60 - 4);
    let (mut at_once, mut in_between) = (0, 0);
    for seed in 0..300 {
        let (first, _) = graph();
        let mut simulation = first.simulate(seed, None).expect("it starts");
        let steps = Rng::with_seed(seed).usize(..250);
        let stepped = (0..steps).take_while(|_| simulation.step()).count();
        let has_ended = simulation
            .handle()
            .progress()
            .iter()
            .all(|one| one.ended == one.tasks);
        if has_ended {
            at_once += 1;
        } else {
            in_between += 1;
        }
        let checkpoint = checkpoint(&mut simulation);
        let (second, seen) = graph();
        simulate_from(&second, seed + 1000, Some(&checkpoint));
        assert_eq!(
            output(&seen),
            expected,
            "seed {seed}, barrier after {stepped} steps"
        );
    }
    assert!(
        in_between > 100,
        "{in_between} barriers met a running dataflow, {at_once} one that had ended"
    );
}

#[test]
fn barriers_may_follow_each_other_closely() {
    let (graph, _) = graph();
    let simulation = graph.simulate(4, None).expect("it starts");
    let handle = simulation.handle();
    (1..=5).for_each(|barrier| handle.trigger(barrier));
    handle.give_up(3);
    simulation.run().expect("it ends");
    let came: Vec<_> = (1..=6)
        .filter(|&barrier| handle.checkpoint(barrier).is_some())
        .collect();
    assert_eq!(came, [1, 2, 4, 5]);
}

#[test]
fn a_barrier_finds_sources_that_are_silent_and_tasks_in_threads() {
    let mut graph = Graph::new();
    let source = scripts(
        &mut graph,
        "source",
        vec![counting(10, 5), vec![Act::Forever]],
        None,
    );
    let passed = graph
        .operator("pass", 2)
        .input(&source, Exchange::RoundRobin)
        .build(schema(), |_| Ok(Pass));
    note(
        &mut graph,
        &passed.expect("it is good"),
        1,
        Exchange::RoundRobin,
    );
    let running = start(&graph, 2);
    let handle = running.handle();
    handle.trigger(7);
    assert_eq!(
        handle
            .wait_for_checkpoint(7)
            .expect("it comes through")
            .barrier,
        7
    );
    handle.end_sources();
    running.wait().expect("it ends");
    assert_eq!(handle.wait_for_checkpoint(8), None);
}

#[test]
fn the_state_of_another_dataflow_is_refused() {
    let of = |name: &'static str, tasks: usize| {
        let mut graph = Graph::new();
        let source = scripts(&mut graph, name, vec![vec![]], None);
        note(&mut graph, &source, tasks, Exchange::RoundRobin);
        graph
    };
    let two = checkpoint_after(&of("source", 2), 1, 0);
    let refused = |graph: &Graph| {
        graph
            .simulate(1, Some(&two))
            .expect_err("it is another")
            .to_string()
    };
    assert_eq!(
        refused(&of("other", 2)),
        "`other` cannot take up the state of checkpoint 1: there is none of this task"
    );
    assert_eq!(
        refused(&of("source", 3)),
        "`sink` cannot take up the state of checkpoint 1: there is none of this task"
    );
    assert_eq!(
        refused(&of("source", 1)),
        "`sink` cannot take up the state of checkpoint 1: there is no task 1 any more"
    );
}

/// Runs until the sink has this many rows, takes a checkpoint there, and runs another dataflow of the same form on from it.
fn interrupted(
    make: impl Fn() -> (Graph, Seen),
    rows: u64,
) -> (Seen, Seen, Vec<forebay_dataflow::Progress>) {
    let (first, before) = make();
    let mut simulation = first.simulate(1, None).expect("it starts");
    let handle = simulation.handle();
    while of(&handle.progress(), "sink").rows_in < rows {
        assert!(simulation.step());
    }
    let checkpoint = checkpoint(&mut simulation);
    let (second, after) = make();
    let progress = simulate_from(&second, 2, Some(&checkpoint));
    (before, after, progress)
}

#[test]
fn dealing_goes_on_with_the_next_target() {
    let make = || {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 1,
            bytes: 1 << 20,
        });
        let source = scripts(&mut graph, "source", vec![counting(30, 1)], None);
        let seen = Seen::default();
        let kept = seen.clone();
        let sink = graph
            .operator("sink", 3)
            .input(&source, Exchange::RoundRobin);
        let keep = move |context: TaskContext| {
            Ok(Keep {
                rows: Vec::new(),
                seen: kept.clone(),
                task: context.task,
            })
        };
        sink.sink(keep).expect("it is good");
        (graph, seen)
    };
    for rows in 1..7 {
        let (_, after, _) = interrupted(make, rows);
        assert_eq!(
            [0, 1, 2].map(|task| after.rows_of(task).len()),
            [10; 3],
            "after {rows} rows"
        );
    }
}

#[test]
fn event_time_goes_on_where_it_was() {
    let make = || {
        let mut graph = Graph::new();
        let times =
            |times: &[i64]| Act::Rows(times.iter().map(|&time| row("a", time, time)).collect());
        let acts = vec![
            times(&[10, 20]),
            Act::Silence(Duration::from_secs(1)),
            times(&[15, 19]),
            times(&[30]),
        ];
        let source = scripts(&mut graph, "source", vec![acts], Some(event_time(0)));
        let seen = note(&mut graph, &source, 1, Exchange::RoundRobin);
        (graph, seen)
    };
    let (before, after, progress) = interrupted(make, 2);
    assert_eq!(before.events().last(), Some(&Event::Watermark(20)));
    let row_at = |time| Event::Row(row("a", time, time));
    let expected = [
        row_at(15),
        row_at(19),
        row_at(30),
        Event::Watermark(30),
        Event::Watermark(i64::MAX),
        Event::End,
    ];
    assert_eq!(after.events(), expected);
    assert_eq!(of(&progress, "source").late, 2);
}
