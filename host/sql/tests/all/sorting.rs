//! A source in the order of one of its columns.

use std::future::poll_fn;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_select::concat::concat_batches;
use forebay_dataflow::Source;
use forebay_sql::{Resources, Sorted, sorted};

use super::support::{Batches, flights, resources, shuffled};

const WATCHDOG: Duration = Duration::from_mins(1);

fn open(batches: &[RecordBatch], resources: &Resources) -> Sorted {
    let source = Box::new(Batches::new(batches.to_vec()));
    sorted(source, &flights(), "time_hour", resources).expect("it is good")
}

/// The next batches, at most so many.
fn next(source: &mut Sorted, batches: usize, resources: &Resources) -> Vec<RecordBatch> {
    let all = async {
        let mut came = Vec::new();
        while came.len() < batches
            && let Some(batch) = poll_fn(|context| source.poll_next(context))
                .await
                .expect("it goes well")
        {
            came.push(batch);
        }
        came
    };
    let in_time = async { tokio::time::timeout(WATCHDOG, all).await };
    resources
        .runtime
        .block_on(in_time)
        .expect("it comes in time")
}

/// Each row as its time and its number.
fn rows(batches: &[RecordBatch]) -> Vec<(i64, i64)> {
    let whole = concat_batches(&flights(), batches).expect("they are alike");
    let times = whole.column(0).as_primitive::<TimestampMicrosecondType>();
    let numbers = whole.column(2).as_primitive::<Int64Type>();
    times
        .values()
        .iter()
        .copied()
        .zip(numbers.values().iter().copied())
        .collect()
}

fn check(batches: &[RecordBatch], resources: &Resources) {
    let came = next(&mut open(batches, resources), usize::MAX, resources);
    let mut came = rows(&came);
    assert!(came.is_sorted_by_key(|(time, _)| *time));
    let mut expected = rows(batches);
    came.sort_unstable();
    expected.sort_unstable();
    assert_eq!(came, expected);
}

#[test]
fn rows_come_in_order() {
    for seed in 0..50 {
        check(&shuffled(seed, 40), &resources());
    }
}

#[test]
fn what_does_not_fit_into_memory_goes_to_files() {
    let folder = tempfile::tempdir().expect("there is room");
    let little = Resources {
        memory: Some(30_000_000),
        spill: Some(folder.path().to_owned()),
        ..resources()
    };
    let batches = shuffled(7, 40_000);
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    assert!(bytes > 60_000_000, "{bytes}");
    check(&batches, &little);
    let left = std::fs::read_dir(folder.path()).expect("it is there");
    assert_eq!(left.count(), 0, "files are left behind");
}

#[test]
fn it_goes_on_where_another_one_stood() {
    for seed in 0..20 {
        let batches = shuffled(seed, 1_000);
        let whole = next(&mut open(&batches, &resources()), usize::MAX, &resources());
        let mut first = open(&batches, &resources());
        let mut came = next(&mut first, 1, &resources());
        let state = first.snapshot().expect("it has one");
        let mut second = open(&batches, &resources());
        second.restore(&state).expect("it takes it");
        assert_eq!(second.snapshot().expect("it has one"), state);
        came.extend(next(&mut second, usize::MAX, &resources()));
        assert_eq!(rows(&came), rows(&whole), "seed {seed}");
    }
}
