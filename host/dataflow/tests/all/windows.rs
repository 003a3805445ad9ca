//! Tumbling windows against sums over all rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use fastrand::Rng;
use forebay_dataflow::operators::{
    Aggregates, Each, Open, TumblingWindow, TumblingWindowPlan, WindowTime,
};
use forebay_dataflow::{Bounds, Cause, Exchange, Graph, TaskContext};

use super::support::{
    Act, Event, Row, Seen, batch, checkpoint_after, event_time, note, of, row, schema, scripts,
    simulate, simulate_from,
};

const SIZE: i64 = 10;

/// Sum and count of the numbers of each group.
#[derive(Default)]
struct Sums(Vec<i64>, Vec<i64>);

impl Aggregates for Sums {
    fn update(&mut self, rows: &RecordBatch, groups: &[usize], count: usize) -> Result<(), Cause> {
        self.0.resize(count, 0);
        self.1.resize(count, 0);
        for (number, &group) in rows
            .column(1)
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .zip(groups)
        {
            self.0[group] += number;
            self.1[group] += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, Cause> {
        Ok(vec![
            Arc::new(Int64Array::from(self.0.clone())),
            Arc::new(Int64Array::from(self.1.clone())),
        ])
    }

    fn snapshot(&mut self) -> Result<RecordBatch, Cause> {
        let [sums, counts]: [ArrayRef; 2] = self.finish()?.try_into().map_err(|_| "two columns")?;
        Ok(RecordBatch::try_from_iter([
            ("sum", sums),
            ("count", counts),
        ])?)
    }

    fn restore(&mut self, state: &RecordBatch) -> Result<(), Cause> {
        let numbers = |column: usize| {
            state
                .column(column)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        };
        (self.0, self.1) = (numbers(0), numbers(1));
        Ok(())
    }
}

fn output(with_key: bool) -> SchemaRef {
    let time = |name| {
        Field::new(
            name,
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            false,
        )
    };
    let key = with_key.then(|| Field::new("key", DataType::Utf8, true));
    let numbers = ["sum", "count"].map(|name| Field::new(name, DataType::Int64, false));
    Arc::new(Schema::new(
        [time("start"), time("end")]
            .into_iter()
            .chain(key)
            .chain(numbers)
            .collect::<Vec<_>>(),
    ))
}

/// Of each answer a row: key, sum * 1000 + count, the start of the window.
fn told_of(answer: &RecordBatch, with_key: bool) -> RecordBatch {
    let times = |column: usize| {
        answer
            .column(column)
            .as_primitive::<TimestampMicrosecondType>()
            .values()
    };
    let numbers = |column: usize| answer.column(column).as_primitive::<Int64Type>().values();
    let told = (0..answer.num_rows()).map(|at| {
        assert_eq!(times(1)[at] - times(0)[at], SIZE * 1_000_000);
        let key = if with_key {
            answer.column(2).as_string::<i32>().value(at)
        } else {
            ""
        };
        let first = if with_key { 3 } else { 2 };
        row(
            key,
            numbers(first)[at] * 1000 + numbers(first + 1)[at],
            times(0)[at] / 1_000_000,
        )
    });
    batch(&told.collect::<Vec<_>>())
}

/// Windows over a stream; of each answer a row: key, sum * 1000 + count, the start of the window.
fn windows(
    acts: Vec<Vec<Act>>,
    (with_key, offset): (bool, i64),
    tasks: usize,
    event_time_of: WindowTime,
) -> (Graph, Seen) {
    let mut graph = Graph::new().with_bounds(Bounds {
        rows: 10,
        bytes: 1 << 20,
    });
    let source = scripts(&mut graph, "source", acts, Some(event_time(5)));
    let plan = TumblingWindowPlan {
        input: schema(),
        time: 2,
        keys: if with_key { vec![0] } else { vec![] },
        size: SIZE * 1_000_000,
        offset: offset * 1_000_000,
        output: output(with_key),
        event_time: event_time_of,
    };
    let open = || -> Open { Box::new(|| Ok(Box::<Sums>::default())) };
    let windows = graph
        .operator("windows", tasks)
        .input(&source, Exchange::Hash(vec!["key".into()]));
    let make = move |context: TaskContext| TumblingWindow::new(plan.clone(), open(), &context);
    let windows = windows.build(output(with_key), make).expect("it is good");
    let told = graph
        .operator("told", tasks)
        .input(&windows, Exchange::Forward)
        .build(schema(), move |_| {
            Ok(Each(move |answer| Ok(told_of(&answer, with_key))))
        });
    let seen = note(
        &mut graph,
        &told.expect("it is good"),
        1,
        Exchange::RoundRobin,
    );
    (graph, seen)
}

fn random(rng: &mut Rng) -> Vec<Row> {
    let mut time = -50;
    let rows = rng.i64(1..200);
    let one = |number| {
        time += rng.i64(0..3);
        row(
            ["", "a", "b", "c"][rng.usize(..4)],
            number,
            time - rng.i64(0..5),
        )
    };
    (1..=rows).map(one).collect()
}

fn acts(rng: &mut Rng, rows: &[Row]) -> Vec<Act> {
    rows.chunks(rng.usize(1..20))
        .map(|rows| Act::Rows(rows.to_vec()))
        .collect()
}

fn expected(rows: &[Row], (with_key, offset): (bool, i64)) -> Vec<Row> {
    let mut windows: BTreeMap<(i64, &str), (i64, i64)> = BTreeMap::new();
    for (key, number, time) in rows {
        let (sum, count) = windows
            .entry((
                (time - offset).div_euclid(SIZE) * SIZE + offset,
                if with_key { key } else { "" },
            ))
            .or_default();
        (*sum, *count) = (*sum + number, *count + 1);
    }
    let mut rows: Vec<_> = windows
        .into_iter()
        .map(|((start, key), (sum, count))| row(key, sum * 1000 + count, start))
        .collect();
    rows.sort();
    rows
}

#[test]
fn every_row_is_in_the_window_of_its_time() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let (rows, with_key, offset) = (random(&mut rng), rng.bool(), rng.i64(-15..15));
        let (graph, seen) = windows(
            vec![acts(&mut rng, &rows)],
            (with_key, offset),
            if with_key { rng.usize(1..4) } else { 1 },
            WindowTime::End,
        );
        let progress = simulate(&graph, seed);
        assert_eq!(of(&progress, "windows").late, 0, "seed {seed}");
        assert_eq!(
            seen.sorted_rows(),
            expected(&rows, (with_key, offset)),
            "seed {seed}"
        );
    }
}

#[test]
fn windows_that_were_interrupted_go_on_to_the_same_output() {
    for seed in 0..100 {
        let mut rng = Rng::with_seed(seed);
        let (rows, with_key, offset) = (random(&mut rng), rng.bool(), rng.i64(-15..15));
        let script = acts(&mut rng, &rows);
        let make = || {
            windows(
                vec![script.clone()],
                (with_key, offset),
                if with_key { 2 } else { 1 },
                WindowTime::Start,
            )
        };
        let (first, before) = make();
        let checkpoint = checkpoint_after(&first, seed, rng.usize(..100));
        let (second, after) = make();
        simulate_from(&second, seed, Some(&checkpoint));
        let mut both = [before.sorted_rows(), after.sorted_rows()].concat();
        both.sort();
        both.dedup();
        assert_eq!(both, expected(&rows, (with_key, offset)), "seed {seed}");
    }
}

#[test]
fn an_answer_comes_when_the_watermark_passes_the_end_and_later_rows_are_late() {
    let rows = |times: &[i64]| Act::Rows(times.iter().map(|&time| row("a", 1, time)).collect());
    // The watermark is five behind: 14 closes nothing, 15 closes the window from 0 to 10.
    let script = vec![
        rows(&[3, 14]),
        rows(&[4]),
        rows(&[15]),
        rows(&[5, 16]),
        rows(&[40]),
    ];
    for (time, expected) in [
        (WindowTime::End, [9, 10, 11, 35, i64::MAX]),
        (WindowTime::Start, [0, 10, 30, i64::MAX, i64::MAX]),
    ] {
        let (graph, seen) = windows(vec![script.clone()], (true, 0), 1, time);
        let progress = simulate(&graph, 1);
        assert_eq!(of(&progress, "windows").late, 1);
        let events = seen.events();
        let watermarks: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Watermark(at) => Some(*at),
                _ => None,
            })
            .collect();
        let mut expected = expected.to_vec();
        expected.dedup();
        assert_eq!(watermarks, expected);
        let rows: Vec<_> = events.iter().filter_map(Event::row).collect();
        assert_eq!(
            rows,
            [row("a", 2002, 0), row("a", 3003, 10), row("a", 1001, 40)]
        );
        let first = events
            .iter()
            .position(|event| *event == Event::Row(row("a", 2002, 0)));
        assert!(
            first
                < events
                    .iter()
                    .position(|event| *event == Event::Watermark(10))
        );
    }
}
