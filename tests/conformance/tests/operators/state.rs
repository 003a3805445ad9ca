//! Operators keep what they know between calls, and go on from a snapshot.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use forebay_plugin::{BatchOperator, Limits, OperatorFault};

use crate::support::{batch, faults, flights, open, shown};

const COUNT: &str = r#"{"count": true}"#;

fn rows(count: i64) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    batch(vec![("n", column)])
}

/// The column `seen` of the answer.
fn seen(operator: &mut BatchOperator, count: i64) -> Vec<i64> {
    let answer = operator.process(&rows(count)).unwrap();
    let seen = answer
        .iter()
        .map(|batch| batch["seen"].as_primitive::<Int64Type>().values().to_vec());
    seen.collect::<Vec<_>>().concat()
}

#[test]
fn an_operator_knows_what_came_before() {
    let mut operator = open(&faults(Limits::default()), COUNT, &rows(0)).unwrap();
    assert_eq!(seen(&mut operator, 2), [1, 2]);
    assert_eq!(seen(&mut operator, 0), [0; 0]);
    assert_eq!(seen(&mut operator, 3), [3, 4, 5]);
}

#[test]
fn tasks_know_nothing_of_each_other() {
    let component = faults(Limits::default());
    let mut one = open(&component, COUNT, &rows(0)).unwrap();
    let mut other = open(&component, COUNT, &rows(0)).unwrap();
    assert_eq!(seen(&mut one, 2), [1, 2]);
    assert_eq!(seen(&mut other, 1), [1]);
}

#[test]
fn another_one_goes_on_from_a_snapshot() {
    let component = faults(Limits::default());
    let mut first = open(&component, COUNT, &rows(0)).unwrap();
    seen(&mut first, 5);
    let state = first.snapshot().unwrap();
    let undisturbed = seen(&mut first, 2);

    let mut second = open(&component, COUNT, &rows(0)).unwrap();
    second.restore(&state).unwrap();
    assert_eq!(seen(&mut second, 2), undisturbed);
    assert_eq!(undisturbed, [6, 7]);
}

#[test]
fn a_state_that_cannot_be_read_is_refused() {
    let mut operator = open(&faults(Limits::default()), COUNT, &rows(0)).unwrap();
    let error = operator.restore(b"other").unwrap_err();
    insta::assert_snapshot!(shown(&error), @r"
    `restore` of operator `mill` failed: a state has 8 bytes, and this one has 5 (`bad-state`)
    hint: take the component and the config with which the state was written, or begin anew
    ");
}

#[test]
fn a_state_comes_before_rows() {
    let mut operator = open(&faults(Limits::default()), COUNT, &rows(0)).unwrap();
    let state = operator.snapshot().unwrap();
    seen(&mut operator, 1);
    let error = operator.restore(&state).unwrap_err();
    assert_eq!(error.fault, OperatorFault::Late);
}

#[test]
fn rows_may_wait_for_event_time_and_for_the_end() {
    let config = r#"{"hold": true}"#;
    let mut operator = open(&faults(Limits::default()), config, &flights()).unwrap();
    assert_eq!(operator.process(&flights()).unwrap(), []);
    assert_eq!(operator.watermark(i64::MIN).unwrap(), [flights()]);
    assert_eq!(operator.watermark(i64::MAX).unwrap(), []);
    operator.process(&flights()).unwrap();
    operator.process(&flights()).unwrap();
    assert_eq!(operator.end().unwrap(), [flights(), flights()]);
}

/// A task moves from thread to thread between its calls.
#[test]
fn it_moves_between_threads() {
    let mut operator = open(&faults(Limits::default()), COUNT, &rows(0)).unwrap();
    for round in 0..3 {
        operator = std::thread::spawn(move || {
            assert_eq!(seen(&mut operator, 1), [round + 1]);
            operator
        })
        .join()
        .unwrap();
    }
}
