use std::sync::Arc;

use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_schema::Schema;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Batch, Column, Field, InputColumns, Kind, OutputColumns, Spans, Values};

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Boolean),
        Just(Kind::Int32),
        Just(Kind::Int64),
        Just(Kind::Float32),
        Just(Kind::Float64),
        Just(Kind::Text),
        Just(Kind::Bytes),
        Just(Kind::TimestampMicros),
        (0..4_u32).prop_map(Kind::Float32Vector),
        Just(Kind::Float32Vector(u32::MAX)),
    ]
}

fn bits() -> impl Strategy<Value = Buffer> {
    vec(any::<u8>(), 0..3).prop_map(Buffer::from_vec)
}

/// Mostly near to what is right, sometimes far.
fn spans() -> impl Strategy<Value = Spans> {
    let offset = prop_oneof![8 => 0..6_i32, 1 => any::<i32>()];
    let offsets = (vec(offset, 0..6), any::<bool>()).prop_map(|(mut offsets, sorted)| {
        if sorted {
            offsets.sort_unstable();
        }
        offsets
    });
    (
        offsets,
        vec(prop_oneof![4 => 32..127_u8, 1 => any::<u8>()], 0..8),
    )
        .prop_map(|(offsets, data)| Spans {
            offsets: ScalarBuffer::from(offsets),
            data: Buffer::from_vec(data),
        })
}

fn values() -> impl Strategy<Value = Values> {
    prop_oneof![
        bits().prop_map(Values::Booleans),
        vec(any::<i32>(), 0..6).prop_map(|values| Values::Int32s(values.into())),
        vec(any::<i64>(), 0..6).prop_map(|values| Values::Int64s(values.into())),
        vec(any::<f32>(), 0..12).prop_map(|values| Values::Float32s(values.into())),
        vec(any::<f64>(), 0..6).prop_map(|values| Values::Float64s(values.into())),
        spans().prop_map(Values::Text),
        spans().prop_map(Values::Bytes),
        vec(any::<i64>(), 0..6).prop_map(|values| Values::Timestamps(values.into())),
    ]
}

fn batches() -> impl Strategy<Value = Batch> {
    let column = (values(), bits()).prop_map(|(values, validity)| Column { values, validity });
    let rows = prop_oneof![12 => 0..6_u32, 1 => any::<u32>()];
    (rows, vec(column, 0..3)).prop_map(|(rows, columns)| Batch { rows, columns })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Refused or whole, and never a panic: every cell of a batch that was made can be read.
    #[test]
    fn nothing_that_an_operator_answers_can_harm(
        fields in vec((kinds(), any::<bool>()), 0..3),
        batch in batches(),
    ) {
        let field = |(at, (kind, nullable)): (usize, &(Kind, bool))| Field {
            name: format!("c{at}"),
            kind: *kind,
            nullable: *nullable,
        };
        let fields: Vec<_> = fields.iter().enumerate().map(field).collect();
        let rows = batch.rows as usize;
        if let Ok(output) = OutputColumns::new(&fields, &Schema::empty())
            && let Ok(made) = output.batch(0, batch)
        {
            prop_assert_eq!(made.num_rows(), rows);
            prop_assert_eq!(&made.schema(), output.schema());
            for column in made.columns() {
                prop_assert!(column.to_data().validate_full().is_ok());
            }
        }
    }
}

/// What a slice begins with is no part of what an operator gets.
#[test]
fn a_slice_begins_at_offset_0() {
    let texts: StringArray = (0..100)
        .map(|n| (n % 7 > 0).then(|| "x".repeat(n)))
        .collect();
    let numbers: Int64Array = (0..100).collect();
    let rows = RecordBatch::try_from_iter([
        ("texts", Arc::new(texts) as Arc<dyn Array>),
        ("numbers", Arc::new(numbers)),
    ]);
    let rows = rows.expect("they are of one length").slice(13, 3);
    let input = InputColumns::new(rows.schema()).expect("operators have both");
    let batch = input.columns(&rows).expect("they fit");

    let Values::Text(spans) = &batch.columns[0].values else {
        panic!("{batch:?}");
    };
    assert_eq!(&*spans.offsets, [0, 13, 13, 28]);
    assert_eq!(spans.data.len(), 28);
    assert_eq!(batch.columns[0].validity[0] & 0b111, 0b101);
    let Values::Int64s(numbers) = &batch.columns[1].values else {
        panic!("{batch:?}");
    };
    assert_eq!(&**numbers, [13, 14, 15]);
    assert!(batch.columns[1].validity.is_empty());
}
