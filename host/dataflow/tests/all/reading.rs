//! Which input a task reads, and that it never waits for itself.

use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use forebay_dataflow::{
    Bounds, Cause, EventTime, Exchange, Graph, GraphError, Operator, Output, Reads,
};

use super::support::{
    Act, Event, Pass, checkpoint, counting, event_time, note, of, row, schema, scripts, simulate,
};

/// Hands on what comes, and reads as it is told.
struct Reader(Reads);

#[async_trait]
impl Operator for Reader {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        output.emit(batch).await
    }

    fn reads(&self) -> Reads {
        self.0
    }
}

/// Emits rows ten seconds of event time after they came, as a join does.
#[derive(Default)]
struct Late(Vec<RecordBatch>);

#[async_trait]
impl Operator for Late {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        self.0.push(batch);
        Ok(())
    }

    async fn watermark(&mut self, at: i64, output: &mut Output<'_>) -> Result<i64, Cause> {
        if at == i64::MAX {
            for batch in self.0.drain(..) {
                output.emit(batch).await?;
            }
        }
        Ok(at.saturating_sub(10_000_000))
    }
}

fn slow(rows: i64) -> Vec<Act> {
    let one = |number| {
        [
            Act::Silence(Duration::from_secs(1)),
            Act::Rows(vec![row("slow", number, number)]),
        ]
    };
    (0..rows).flat_map(one).collect()
}

#[test]
fn a_fast_source_waits_for_the_event_time_of_a_slow_one() {
    for seed in 0..50 {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 10,
            bytes: 1 << 20,
        });
        let fast = scripts(
            &mut graph,
            "fast",
            vec![counting(200, 5)],
            Some(event_time(0)),
        );
        let slow = scripts(&mut graph, "slow", vec![slow(20)], Some(event_time(0)));
        let both = graph
            .operator("both", 2)
            .input(&fast, Exchange::RoundRobin)
            .input(&slow, Exchange::RoundRobin);
        let both = both
            .build(schema(), |_| Ok(Reader(Reads::Lagging)))
            .expect("it is good");
        let seen = note(&mut graph, &both, 1, Exchange::RoundRobin);
        simulate(&graph, seed);
        // When a row of the slow source comes, the fast one has come no further than a batch beyond it.
        let events = seen.events();
        let mut furthest = 0;
        for event in &events {
            match event {
                Event::Row((key, number, _)) if key == "slow" => {
                    assert!(
                        furthest <= number + 40,
                        "seed {seed}: the fast source is at {furthest} beside {number}"
                    );
                }
                Event::Row((_, number, _)) => furthest = *number,
                _ => {}
            }
        }
        assert_eq!(seen.sorted_rows().len(), 220, "seed {seed}");
    }
}

#[test]
fn tasks_that_wait_for_different_sides_do_not_wait_for_each_other() {
    for seed in 0..200 {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 4,
            bytes: 1 << 20,
        });
        let left = scripts(
            &mut graph,
            "left",
            vec![counting(100, 3), counting(90, 4)],
            Some(event_time(2)),
        );
        let right = scripts(
            &mut graph,
            "right",
            vec![counting(120, 2), counting(70, 5)],
            Some(event_time(5)),
        );
        let by_key = || Exchange::Hash(vec!["key".into()]);
        let both = graph
            .operator("both", 3)
            .input(&left, by_key())
            .input(&right, by_key());
        let both = both
            .build(schema(), |_| Ok(Reader(Reads::Lagging)))
            .expect("it is good");
        let seen = note(&mut graph, &both, 2, Exchange::RoundRobin);
        simulate(&graph, seed);
        assert_eq!(seen.sorted_rows().len(), 380, "seed {seed}");
    }
}

#[test]
fn a_source_that_comes_by_two_ways_does_not_wait_for_itself() {
    for seed in 0..100 {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 4,
            bytes: 1 << 20,
        });
        let source = scripts(
            &mut graph,
            "source",
            vec![counting(100, 3)],
            Some(event_time(0)),
        );
        // This way lags ten seconds for ever: many times what fits into the queues.
        let late = graph
            .operator("late", 1)
            .input(&source, Exchange::RoundRobin);
        let late = late
            .build(schema(), |_| Ok(Late::default()))
            .expect("it is good");
        let both = graph
            .operator("both", 1)
            .input(&late, Exchange::RoundRobin)
            .input(&source, Exchange::RoundRobin);
        let both = both
            .build(schema(), |_| Ok(Reader(Reads::Lagging)))
            .expect("it is good");
        let seen = note(&mut graph, &both, 1, Exchange::RoundRobin);
        simulate(&graph, seed);
        assert_eq!(seen.sorted_rows().len(), 200, "seed {seed}");
    }
}

#[test]
fn a_table_is_read_to_its_end_first() {
    for seed in 0..50 {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 4,
            bytes: 1 << 20,
        });
        let stream = scripts(
            &mut graph,
            "stream",
            vec![counting(50, 3)],
            Some(event_time(0)),
        );
        let table = scripts(&mut graph, "table", vec![slow(9)], None);
        let both = graph
            .operator("both", 1)
            .input(&stream, Exchange::RoundRobin)
            .table(&table, Exchange::Broadcast);
        let both = both
            .build(schema(), |_| Ok(Reader(Reads::First(1))))
            .expect("it is good");
        let seen = note(&mut graph, &both, 1, Exchange::RoundRobin);
        let progress = simulate(&graph, seed);
        let rows: Vec<_> = seen.rows_of(0);
        assert!(
            rows[..9].iter().all(|(key, _, _)| key == "slow"),
            "seed {seed}: {rows:?}"
        );
        assert_eq!(of(&progress, "both").rows_in, 59);
    }
}

#[test]
fn a_table_that_shares_a_source_with_the_stream_is_refused() {
    let mut graph = Graph::new();
    let source = scripts(&mut graph, "source", vec![counting(50, 3)], None);
    let table = graph
        .operator("table", 1)
        .input(&source, Exchange::Forward)
        .build(schema(), |_| Ok(Pass))
        .expect("it is good");
    let both = graph
        .operator("both", 1)
        .input(&source, Exchange::Broadcast)
        .table(&table, Exchange::Broadcast);
    let refused = both.build(schema(), |_| Ok(Pass)).err();
    let (operator, table, shared) = ("both".into(), "table".into(), "source".into());
    assert_eq!(
        refused,
        Some(GraphError::SharedSource {
            operator,
            table,
            shared
        })
    );
}

#[test]
fn an_operator_hears_which_input_has_ended() {
    let mut graph = Graph::new();
    let short = scripts(&mut graph, "short", vec![counting(3, 3); 2], None);
    let long = scripts(&mut graph, "long", vec![slow(5)], None);
    let seen = super::support::Seen::default();
    let noted = seen.clone();
    graph
        .operator("sink", 1)
        .input(&long, Exchange::RoundRobin)
        .input(&short, Exchange::RoundRobin)
        .sink(move |context| {
            Ok(super::support::Note {
                seen: noted.clone(),
                task: context.task,
            })
        })
        .expect("it is good");
    simulate(&graph, 11);
    let events = seen.events();
    let marks: Vec<_> = events
        .iter()
        .filter(|event| !matches!(event, Event::Row(_)))
        .cloned()
        .collect();
    assert_eq!(
        marks,
        [
            Event::InputEnded(1),
            Event::InputEnded(0),
            Event::Watermark(i64::MAX),
            Event::End
        ]
    );
    let ended = events
        .iter()
        .position(|event| *event == Event::InputEnded(1));
    assert!(
        ended
            < events
                .iter()
                .position(|event| *event == Event::Row(row("slow", 0, 0)))
    );
}

#[test]
fn a_barrier_does_not_wait_for_a_table() {
    for seed in 0..50 {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 4,
            bytes: 1 << 20,
        });
        let stream = scripts(
            &mut graph,
            "stream",
            vec![counting(50, 3)],
            Some(event_time(0)),
        );
        let table = [slow(3), vec![Act::Forever]].concat();
        let table = scripts(&mut graph, "table", vec![table], None);
        let both = graph
            .operator("both", 1)
            .input(&stream, Exchange::RoundRobin)
            .table(&table, Exchange::Broadcast);
        let both = both
            .build(schema(), |_| Ok(Reader(Reads::First(1))))
            .expect("it is good");
        note(&mut graph, &both, 1, Exchange::RoundRobin);
        let mut simulation = graph.simulate(seed, None).expect("it starts");
        let handle = simulation.handle();
        while of(&handle.progress(), "both").rows_in == 0 {
            assert!(simulation.step(), "seed {seed}");
        }
        checkpoint(&mut simulation);
    }
}

#[test]
fn an_idle_input_is_heard_beside_one_that_lags() {
    let idle_after = Some(Duration::from_secs(1));
    let idle = EventTime {
        idle_after,
        ..event_time(0)
    };
    let mut graph = Graph::new();
    let silent = scripts(
        &mut graph,
        "silent",
        vec![[counting(3, 3), vec![Act::Forever]].concat()],
        Some(event_time(0)),
    );
    let speaks = [vec![Act::Silence(Duration::from_secs(5))], counting(2, 1)].concat();
    let speaks = scripts(&mut graph, "speaks", vec![speaks], Some(idle));
    let both = graph
        .operator("both", 1)
        .input(&silent, Exchange::RoundRobin)
        .input(&speaks, Exchange::RoundRobin);
    let both = both
        .build(schema(), |_| Ok(Reader(Reads::Lagging)))
        .expect("it is good");
    let seen = note(&mut graph, &both, 1, Exchange::RoundRobin);
    let mut simulation = graph.simulate(12, None).expect("it starts");
    while simulation.step() {}
    assert_eq!(seen.rows_of(0).len(), 5);
}

#[test]
fn each_input_has_its_turn() {
    for seed in 0..20 {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 100,
            bytes: 1 << 20,
        });
        let rows = |name| {
            (0..100)
                .map(|number| Act::Rows(vec![row(name, number, number)]))
                .collect()
        };
        let source = scripts(&mut graph, "source", vec![rows("one"), rows("two")], None);
        let seen = note(&mut graph, &source, 1, Exchange::RoundRobin);
        simulate(&graph, seed);
        let rows = seen.rows_of(0);
        let ones = rows[..100]
            .iter()
            .filter(|(key, _, _)| key == "one")
            .count();
        assert!(
            (25..=75).contains(&ones),
            "seed {seed}: {ones} of the first 100 rows are of the first task"
        );
    }
}
