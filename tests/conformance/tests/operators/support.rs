use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use forebay_plugin::{BatchOperator, Limits, OperatorComponent, OperatorError, OperatorHost};
use forebay_test_conformance::{OPERATOR_FAULTS, chain};

/// The guest that fails on purpose, under limits.
pub(crate) fn faults(limits: Limits) -> OperatorComponent {
    let host = OperatorHost::with_limits(None, limits).unwrap();
    host.load(OPERATOR_FAULTS).unwrap()
}

/// Columns that may be null exactly where one is.
pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Three flights.
pub(crate) fn flights() -> RecordBatch {
    batch(vec![
        (
            "origin",
            Arc::new(StringArray::from(vec!["JFK", "Ça", "EWR"])),
        ),
        (
            "carrier",
            Arc::new(StringArray::from(vec![Some("UA"), None, Some("B6")])),
        ),
        ("flight", Arc::new(Int64Array::from(vec![1545, 1714, 725]))),
        (
            "temp",
            Arc::new(Float64Array::from(vec![Some(39.0), None, Some(57.0)])),
        ),
    ])
}

/// Opens the guest called `mill` for these rows, with this config.
pub(crate) fn open(
    component: &OperatorComponent,
    config: &str,
    rows: &RecordBatch,
) -> Result<BatchOperator, OperatorError> {
    component.open("mill", config, &rows.schema())
}

/// What a user sees of an error.
pub(crate) fn shown(error: &OperatorError) -> String {
    let hint = error.hint();
    let hint = hint.map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    format!("{}{hint}", chain(error))
}
