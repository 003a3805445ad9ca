use std::cell::Cell;
use std::sync::Arc;

use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_schema::Schema;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

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

fn bits(bytes: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Buffer> {
    vec(any::<u8>(), bytes).prop_map(Buffer::from_vec)
}

/// Values of so many rows as they should be.
fn right(kind: Kind, rows: usize) -> BoxedStrategy<Values> {
    match kind {
        Kind::Boolean => bits(rows.div_ceil(8)).prop_map(Values::Booleans).boxed(),
        Kind::Int32 => vec(any::<i32>(), rows)
            .prop_map(|values| Values::Int32s(values.into()))
            .boxed(),
        Kind::Int64 => vec(any::<i64>(), rows)
            .prop_map(|values| Values::Int64s(values.into()))
            .boxed(),
        Kind::Float32 => floats(rows),
        Kind::Float32Vector(size) => floats(rows * size.min(4) as usize),
        Kind::Float64 => vec(any::<f64>(), rows)
            .prop_map(|values| Values::Float64s(values.into()))
            .boxed(),
        Kind::TimestampMicros => vec(any::<i64>(), rows)
            .prop_map(|values| Values::Timestamps(values.into()))
            .boxed(),
        Kind::Text => spans(rows).prop_map(Values::Text).boxed(),
        Kind::Bytes => spans(rows).prop_map(Values::Bytes).boxed(),
    }
}

fn floats(count: usize) -> BoxedStrategy<Values> {
    vec(any::<f32>(), count)
        .prop_map(|values| Values::Float32s(values.into()))
        .boxed()
}

/// Right in most cases; else one offset or one byte of the data is anything.
fn spans(rows: usize) -> impl Strategy<Value = Spans> {
    let lengths = vec(0..4_usize, rows);
    let spoilt = (
        any::<prop::sample::Index>(),
        any::<i32>(),
        any::<u8>(),
        0..8_u8,
    );
    (lengths, spoilt).prop_map(|(lengths, (at, offset, byte, what))| {
        let (mut offsets, mut data) = (vec![0], Vec::new());
        for length in lengths {
            data.extend_from_slice(&b"mill"[..length]);
            offsets.push(i32::try_from(data.len()).unwrap_or(0));
        }
        match what {
            0 => *at.get_mut(&mut offsets) = offset,
            1 => *at.get_mut(&mut offsets) = offset % 4,
            2 if !data.is_empty() => *at.get_mut(&mut data) = byte,
            _ => {}
        }
        Spans {
            offsets: ScalarBuffer::from(offsets),
            data: Buffer::from_vec(data),
        }
    })
}

fn column(kind: Kind, rows: usize) -> impl Strategy<Value = Column> {
    let other = (kinds(), 0..6_usize).prop_flat_map(|(kind, rows)| right(kind, rows));
    let values = prop_oneof![12 => right(kind, rows), 1 => other];
    let validity = prop_oneof![
        6 => bits(0),
        6 => bits(rows.div_ceil(8)),
        1 => bits(0..4)
    ];
    (values, validity).prop_map(|(values, validity)| Column { values, validity })
}

/// What was announced, and a batch that is near to it.
fn answers() -> impl Strategy<Value = (Vec<Field>, Batch)> {
    let fields = vec((kinds(), any::<bool>()), 0..4);
    (fields, 0..20_u32).prop_flat_map(|(fields, rows)| {
        let columns: Vec<_> = fields
            .iter()
            .map(|(kind, _)| column(*kind, rows as usize))
            .collect();
        let claimed = prop_oneof![12 => Just(rows), 1 => any::<u32>()];
        let batch = (claimed, columns).prop_map(|(rows, columns)| Batch { rows, columns });
        let field = |(at, (kind, nullable)): (usize, &(Kind, bool))| Field {
            name: format!("c{at}"),
            kind: *kind,
            nullable: *nullable,
        };
        (Just(fields.iter().enumerate().map(field).collect()), batch)
    })
}

/// The batch, if it is not refused: every cell of it can be read.
fn make(fields: &[Field], batch: Batch) -> Option<RecordBatch> {
    let rows = batch.rows as usize;
    let output = OutputColumns::new(fields, &Schema::empty()).ok()?;
    let made = output.batch(0, batch).ok()?;
    assert_eq!(made.num_rows(), rows);
    assert_eq!(&made.schema(), output.schema());
    for column in made.columns() {
        column.to_data().validate_full().expect("it is whole");
    }
    Some(made)
}

/// Refused or whole, and never a panic.
#[test]
fn nothing_that_an_operator_answers_can_harm() {
    let (made, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(4096));
    let run = runner.run(&answers(), |(fields, batch)| {
        let count = if make(&fields, batch).is_some() {
            &made
        } else {
            &refused
        };
        count.set(count.get() + 1);
        Ok(())
    });
    run.expect("no answer does harm");
    let counts = (made.get(), refused.get());
    assert!(
        counts.0 > 400 && counts.1 > 400,
        "{counts:?} is no fair draw"
    );
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
