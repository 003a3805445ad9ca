//! Operators that have enough: what feeds nobody else ends with them.

use arrow_array::RecordBatch;
use async_trait::async_trait;
use forebay_dataflow::{Bounds, Cause, Exchange, Graph, Operator, Output, Stream};

use super::support::{
    Event, Note, Pass, Seen, checkpoint_after, counting, note, of, run, schema, scripts, simulate,
    simulate_from,
};

const ROWS: i64 = 2000;

/// Hands on so many rows, and no more. Its state is how many are left.
struct Take(usize);

#[async_trait]
impl Operator for Take {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let taken = self.0.min(batch.num_rows());
        self.0 -= taken;
        output.emit(batch.slice(0, taken)).await
    }

    fn has_enough(&self) -> bool {
        self.0 == 0
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(self.0.to_le_bytes().to_vec())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.0 = usize::from_le_bytes(state.try_into()?);
        Ok(())
    }
}

/// Hands on what comes; its end is an error.
struct Needed;

#[async_trait]
impl Operator for Needed {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        output.emit(batch).await
    }

    async fn end(&mut self, _: &mut Output<'_>) -> Result<(), Cause> {
        Err("it was told an end that nobody waits for".into())
    }
}

/// Rows through two operators, each a task of its own or all in one, of which the last takes ten.
fn taken(graph: &mut Graph, exchange: &Exchange, rows: &Stream) -> Seen {
    let needed = graph.operator("needed", 1).input(rows, exchange.clone());
    let needed = needed.build(schema(), |_| Ok(Needed)).expect("it is good");
    let take = graph.operator("take", 1).input(&needed, exchange.clone());
    let take = take.build(schema(), |_| Ok(Take(10))).expect("it is good");
    note(graph, &take, 1, exchange.clone())
}

fn graph() -> Graph {
    Graph::new().with_bounds(Bounds {
        rows: 20,
        bytes: 1 << 20,
    })
}

#[track_caller]
fn assert_ten(seen: &Seen, what: &str) {
    assert_eq!(seen.sorted_rows().len(), 10, "{what}");
    let ends = seen
        .events()
        .into_iter()
        .filter(|event| *event == Event::End);
    assert_eq!(ends.count(), 1, "{what}");
}

#[test]
fn what_feeds_it_is_read_no_further() {
    for exchange in [Exchange::RoundRobin, Exchange::Forward] {
        for seed in 0..100 {
            let mut graph = graph();
            let rows = scripts(&mut graph, "source", vec![counting(ROWS, 3)], None);
            let seen = taken(&mut graph, &exchange, &rows);
            let progress = simulate(&graph, seed);
            assert_ten(&seen, &format!("{exchange}, seed {seed}"));
            let read = of(&progress, "source").rows_in;
            // Ten, two full queues, and a batch in each hand.
            assert!(read <= 10 + 2 * 20 + 3 * 3, "seed {seed}: {read} rows read");
        }
    }
    let mut graph = graph();
    let rows = scripts(&mut graph, "source", vec![counting(ROWS, 3)], None);
    let seen = taken(&mut graph, &Exchange::RoundRobin, &rows);
    let progress = run(&graph, 2);
    assert_ten(&seen, "threads");
    let read = of(&progress, "source").rows_in;
    assert!(read < 100, "{read} rows read");
}

#[test]
fn other_readers_get_all_rows() {
    for seed in 0..100 {
        let mut graph = graph();
        let rows = scripts(&mut graph, "source", vec![counting(ROWS, 3)], None);
        let pass = graph.operator("pass", 1).input(&rows, Exchange::Forward);
        let pass = pass.build(schema(), |_| Ok(Pass)).expect("it is good");
        let seen = taken(&mut graph, &Exchange::RoundRobin, &pass);
        let all = Seen::default();
        let into = all.clone();
        let other = graph
            .operator("other", 1)
            .input(&pass, Exchange::RoundRobin);
        let other = other.sink(move |_| {
            Ok(Note {
                seen: into.clone(),
                task: 0,
            })
        });
        other.expect("it is good");
        simulate(&graph, seed);
        assert_ten(&seen, &format!("seed {seed}"));
        let rows = all.sorted_rows().len();
        assert_eq!(
            rows,
            usize::try_from(ROWS).expect("it is small"),
            "seed {seed}"
        );
    }
}

#[test]
fn one_that_has_enough_needs_nothing_after_a_restore() {
    for seed in 0..100 {
        let make = || {
            let mut graph = graph();
            let rows = scripts(&mut graph, "source", vec![counting(ROWS, 3)], None);
            let seen = taken(&mut graph, &Exchange::RoundRobin, &rows);
            (graph, seen)
        };
        let (first, before) = make();
        let steps = usize::try_from(seed).expect("it is small") % 40;
        let checkpoint = checkpoint_after(&first, seed, steps);
        let rows_before = before.sorted_rows().len();
        let (second, after) = make();
        simulate_from(&second, seed, Some(&checkpoint));
        let rows = rows_before + after.sorted_rows().len();
        assert_eq!(rows, 10, "seed {seed}, {steps} steps");
    }
}
