//! The operator of the example `flights-features`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Float64Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::DataType;
use forebay_plugin::{BatchOperator, OperatorError, OperatorHost};
use forebay_test_conformance::FEATURES;

use crate::support::{batch, shown};

const CONFIG: &str = r#"{
    "categories": ["carrier", "origin"],
    "numbers": {"temp": {"mean": 55.0, "scale": 18.0}, "seats": {"mean": 100, "scale": 50}},
    "buckets": 4, "keep": ["time_hour"], "into": "features"
}"#;

fn rows() -> RecordBatch {
    batch(vec![
        (
            "time_hour",
            Arc::new(TimestampMillisecondArray::from(vec![0, 3_600_000]).with_timezone("UTC")),
        ),
        (
            "carrier",
            Arc::new(StringArray::from(vec![Some("UA"), None])),
        ),
        ("origin", Arc::new(StringArray::from(vec!["JFK", "EWR"]))),
        ("temp", Arc::new(Float64Array::from(vec![Some(73.0), None]))),
        ("seats", Arc::new(Int32Array::from(vec![150, 75]))),
    ])
}

fn open(config: &str) -> Result<BatchOperator, OperatorError> {
    let component = OperatorHost::new(None).unwrap().load(FEATURES).unwrap();
    component.open("features", config, &rows().schema())
}

/// As Python would: `h = (h ^ byte) * 0x100000001b3 % 2**64`.
fn bucket(text: &str) -> usize {
    let mut hash: u128 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u128::from(byte)) * 0x0100_0000_01b3 % (1 << 64);
    }
    usize::try_from(hash % 4).unwrap()
}

#[test]
fn categories_and_numbers_become_one_vector() {
    let mut operator = open(CONFIG).unwrap();
    let answer = operator.process(&rows()).unwrap().remove(0);
    let time = answer.column_by_name("time_hour").unwrap();
    let utc = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(time.data_type(), &utc);

    let vectors = answer["features"].as_fixed_size_list();
    assert_eq!(vectors.value_length(), 2 * 4 + 2 * 2);
    let vector = |row| {
        vectors
            .value(row)
            .as_primitive::<Float32Type>()
            .values()
            .to_vec()
    };
    let mut first = [0.0; 12];
    first[bucket("UA")] = 1.0;
    first[4 + bucket("JFK")] = 1.0;
    first[8..].copy_from_slice(&[1.0, 0.0, 1.0, 0.0]);
    assert_eq!(vector(0), first);
    let mut second = [0.0; 12];
    second[4 + bucket("EWR")] = 1.0;
    second[8..].copy_from_slice(&[-0.5, 0.0, 0.0, 1.0]);
    assert_eq!(vector(1), second);
}

/// Buckets that Python has found for 64 of them.
#[test]
fn the_hash_is_that_of_other_languages() {
    let fnv = [("", 0x25), ("a", 0x0c)];
    for (text, expected) in fnv {
        let column = Arc::new(StringArray::from(vec![text]));
        let rows = batch(vec![("x", column)]);
        let component = OperatorHost::new(None).unwrap().load(FEATURES).unwrap();
        let config = r#"{"categories": ["x"], "into": "features"}"#;
        let mut operator = component.open("features", config, &rows.schema()).unwrap();
        let answer = operator.process(&rows).unwrap().remove(0);
        let vector = answer["features"].as_fixed_size_list().value(0);
        let at = vector
            .as_primitive::<Float32Type>()
            .values()
            .iter()
            .position(|one| *one > 0.0);
        assert_eq!(at, Some(expected), "{text:?}");
    }
}

#[test]
fn a_wrong_config_is_named() {
    let said = |config: &str| shown(&open(config).unwrap_err());
    insta::assert_snapshot!(said(r#"{"categories": ["airline"], "into": "features"}"#), @r"
    `open` of operator `features` failed: column `airline`: the input has no such column; it has `time_hour`, `carrier`, `origin`, `temp`, `seats` (`no-column`)
    hint: mend the `config` of the operator, or the columns that it is given
    ");
    insta::assert_snapshot!(said(r#"{"categories": ["temp"], "into": "features"}"#), @r"
    `open` of operator `features` failed: column `temp`: it is float64, but should be text (`wrong-kind`)
    hint: mend the `config` of the operator, or the columns that it is given
    ");
    insta::assert_snapshot!(said(r#"{"numbers": {"temp": {"mean": 1, "scale": 0}}, "into": "features"}"#), @r"
    `open` of operator `features` failed: column `temp`: its `scale` is 0 (`bad-config`)
    hint: mend the `config` of the operator, or the columns that it is given
    ");
    insta::assert_snapshot!(said(r#"{"keep": ["temp"], "into": "features"}"#), @r"
    `open` of operator `features` failed: there are no features: name `categories` (with `buckets`) or `numbers` (`bad-config`)
    hint: mend the `config` of the operator, or the columns that it is given
    ");
    insta::assert_snapshot!(said(r#"{"categories": ["origin"], "buckets": 0, "into": "features"}"#), @r"
    `open` of operator `features` failed: its config is wrong: invalid value: integer `0`, expected a nonzero u16 at line 1 column 39 (`bad-config`)
    hint: mend the `config` of the operator, or the columns that it is given
    ");
}
