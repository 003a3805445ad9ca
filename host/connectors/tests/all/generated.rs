//! Rows that are made up.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use async_trait::async_trait;
use forebay_connectors::{
    Column, Generator, GeneratorOptions, SinkConnector, SourceConnector, Values,
};
use forebay_dataflow::{Cause, Clock, Exchange, Operator, Output, TaskContext};

use crate::support::{Kept, graph, lines, read, run, text, whole};

fn column(name: &str, values: Values) -> Column {
    Column {
        name: name.into(),
        values,
    }
}

fn options(rows: Option<u64>) -> GeneratorOptions {
    let (least, most) = (-3, 3);
    let start = 1_357_000_000_000_000;
    GeneratorOptions {
        columns: vec![
            column("number", Values::Sequence),
            column("integer", Values::Integers { least, most }),
            column(
                "float",
                Values::Floats {
                    least: 1.0,
                    most: 2.0,
                },
            ),
            column(
                "normal",
                Values::Normal {
                    mean: 10.0,
                    deviation: 2.0,
                },
            ),
            column("text", Values::Choice(vec!["a".into(), "b".into()])),
            column("boolean", Values::Booleans { share: 0.25 }),
            column("time", Values::EventTime { start, step: None }),
        ],
        seed: 7,
        rows,
        batch_rows: 1000,
        ..GeneratorOptions::new(Vec::new())
    }
}

fn rows(options: GeneratorOptions, tasks: usize) -> RecordBatch {
    let generator = Generator::new(options).unwrap();
    let schema = generator.schema();
    whole(&schema, &read(generator, tasks).unwrap())
}

#[test]
fn values_are_as_they_were_asked_for() {
    let rows = rows(options(Some(20_000)), 1);
    assert_eq!(rows.num_rows(), 20_000);
    let numbers = rows.column(0).as_primitive::<Int64Type>().values();
    assert!(numbers.iter().copied().eq(0..20_000));
    let integers: HashSet<i64> = rows
        .column(1)
        .as_primitive::<Int64Type>()
        .values()
        .iter()
        .copied()
        .collect();
    assert_eq!(integers, (-3..=3).collect());
    let floats = rows.column(2).as_primitive::<Float64Type>().values();
    assert!(floats.iter().all(|value| (1.0..2.0).contains(value)));
    let normal = rows.column(3).as_primitive::<Float64Type>().values();
    let mean = normal.iter().sum::<f64>() / 20_000.0;
    let variance = normal
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / 20_000.0;
    assert!((mean - 10.0).abs() < 0.1, "{mean}");
    assert!((variance - 4.0).abs() < 0.2, "{variance}");
    let share = rows.column(5).as_boolean().true_count();
    assert!((4500..5500).contains(&share), "{share}");
    let times = rows
        .column(6)
        .as_primitive::<TimestampMicrosecondType>()
        .values();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1000));
    assert_eq!(rows.column(6).null_count(), 0);
}

#[test]
fn the_seed_decides_and_the_batches_do_not() {
    let small = GeneratorOptions {
        batch_rows: 17,
        ..options(Some(3000))
    };
    let other = GeneratorOptions {
        seed: 8,
        ..options(Some(3000))
    };
    let first = rows(options(Some(3000)), 1);
    assert_eq!(first, rows(small, 1));
    assert_ne!(first, rows(other, 1));
}

#[test]
fn tasks_make_different_rows_and_all_of_them() {
    let rows = rows(options(Some(3001)), 3);
    let mut numbers = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..3001));
    let floats = rows.column(2).as_primitive::<Float64Type>().values().iter();
    let floats: HashSet<u64> = floats.map(|value| value.to_bits()).collect();
    assert!(floats.len() > 2990);
}

/// Notes when rows come, and cuts behind the first batch.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<(usize, Duration)>>>);

struct NotingTask(Noting, Clock);

impl SinkConnector for Noting {
    fn open(&self, context: TaskContext) -> Result<Box<dyn Operator>, Cause> {
        Ok(Box::new(NotingTask(self.clone(), context.clock)))
    }
}

#[async_trait]
impl Operator for NotingTask {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let mut noted = self.0.0.lock().unwrap();
        noted.push((batch.num_rows(), self.1.now()));
        Ok(())
    }
}

#[test]
fn a_rate_is_kept_over_all_tasks() {
    for tasks in [1, 2] {
        for rate in [0.5, 10.0, 5000.0] {
            let generator = GeneratorOptions {
                rate: Some(rate),
                rows: Some(600),
                ..options(None)
            };
            let noting = Noting::default();
            let generator = Generator::new(generator).unwrap();
            let graph = graph(generator, noting.clone(), tasks, Exchange::Forward);
            graph.simulate(1, None).unwrap().run().unwrap();
            let noted = noting.0.lock().unwrap();
            let last = noted
                .iter()
                .map(|(_, time)| time.as_secs_f64())
                .fold(0.0, f64::max);
            let expected = 600.0 / rate;
            assert!(
                (last - expected).abs() <= 2.0 / rate + 0.003,
                "{last} for {expected}"
            );
            assert_eq!(noted.iter().map(|(rows, _)| rows).sum::<usize>(), 600);
        }
    }
}

#[test]
fn it_goes_on_where_it_was() {
    let generator = Generator::new(GeneratorOptions {
        rate: Some(100.0),
        ..options(Some(500))
    })
    .unwrap();
    let kept = Kept::default();
    let first = graph(generator.clone(), kept.clone(), 1, Exchange::Forward);
    let mut simulation = first.simulate(3, None).unwrap();
    let handle = simulation.handle();
    let mut all = Vec::new();
    while all.len() < 100 {
        assert!(simulation.step());
        all = kept.batches();
    }
    handle.trigger(1);
    let checkpoint = loop {
        if let Some(checkpoint) = handle.checkpoint(1) {
            break checkpoint;
        }
        assert!(simulation.step());
    };
    let schema = generator.schema();
    let before = whole(&schema, &kept.batches());
    let rest = Kept::default();
    let second = graph(generator.clone(), rest.clone(), 1, Exchange::Forward);
    second
        .simulate(4, Some(&checkpoint))
        .unwrap()
        .run()
        .unwrap();
    let joined = [lines(&before), lines(&whole(&schema, &rest.batches()))].concat();
    let undisturbed = whole(&schema, &read(generator, 1).unwrap());
    assert_eq!(joined, lines(&undisturbed));
}

#[test]
fn without_a_limit_it_is_endless() {
    let generator = Generator::new(options(None)).unwrap();
    assert!(!generator.is_bounded());
    let graph = graph(generator, Kept::default(), 1, Exchange::Forward);
    let mut simulation = graph.simulate(1, None).unwrap();
    assert!((0..100).all(|_| simulation.step()));
    assert!(Generator::new(options(Some(1))).unwrap().is_bounded());
}

#[test]
fn no_rows_at_all() {
    let generator = Generator::new(options(Some(0))).unwrap();
    assert_eq!(
        run(&graph(generator, Kept::default(), 2, Exchange::Forward)).unwrap()[0].rows_out,
        0
    );
}

#[track_caller]
fn check_refused(values: Values, expected: &str) {
    let options = GeneratorOptions {
        columns: vec![column("c", values)],
        ..options(None)
    };
    let error = Generator::new(options).unwrap_err();
    assert_eq!(text(&error), expected);
}

#[test]
fn settings_that_cannot_be() {
    check_refused(
        Values::Integers { least: 2, most: 1 },
        "column `c`: `least` is above `most`",
    );
    check_refused(
        Values::Floats {
            least: 1.0,
            most: 1.0,
        },
        "column `c`: `least` must be below `most`",
    );
    check_refused(
        Values::Choice(Vec::new()),
        "column `c`: there is nothing to choose from",
    );
    check_refused(
        Values::Booleans { share: 1.5 },
        "column `c`: the share is a number from 0 to 1",
    );
    check_refused(
        Values::Normal {
            mean: 0.0,
            deviation: -1.0,
        },
        "column `c`: the mean is a number, and the deviation one that is not negative",
    );
    let twice = GeneratorOptions {
        columns: vec![column("c", Values::Sequence), column("c", Values::Sequence)],
        ..options(None)
    };
    let error = Generator::new(twice).unwrap_err();
    assert_eq!(text(&error), "two columns are named `c`; rename one");
    let stopped = GeneratorOptions {
        rate: Some(0.0),
        ..options(None)
    };
    let error = Generator::new(stopped).unwrap_err();
    assert_eq!(text(&error), "the rate of a generator is a number above 0");
}
