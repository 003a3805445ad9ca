//! Answers that are not as they should be.

use forebay_plugin_sdk::operator::{Batch, Column, Field, Fields, Kind, Spans, Values};

/// Columns that nobody may announce.
pub(crate) fn fields(fault: &str, output: &mut Vec<Field>) {
    match fault {
        "no-columns" => output.clear(),
        "same-name" => output.push(output[0].clone()),
        "no-name" => output.push(Field::new("", Kind::Text)),
        "control-name" => output.push(Field::new("a\nb", Kind::Text)),
        "empty-vectors" => output.push(Field::new("vectors", Kind::Float32Vector(0))),
        "long-vectors" => output.push(Field::new("vectors", Kind::Float32Vector(u32::MAX))),
        _ => {}
    }
}

/// Rows that are not what was announced, or no rows at all.
pub(crate) fn batch(fault: &str, fields: &Fields, batch: &mut Batch) {
    match fault {
        "fewer-columns" => drop(batch.columns.pop()),
        "more-columns" => batch.columns.push(batch.columns[0].clone()),
        "other-kind" => {
            let rows = batch.rows as usize;
            batch.columns[0] = Column::from(vec![0_i32; rows]);
        }
        "rows-max" => batch.rows = u32::MAX,
        "row-more" => batch.rows += 1,
        "row-fewer" => batch.rows -= 1,
        _ => {
            for (field, column) in fields.iter().zip(&mut batch.columns) {
                self::column(fault, field, column);
            }
        }
    }
}

fn column(fault: &str, field: &Field, column: &mut Column) {
    match (fault, &mut column.values) {
        ("short-validity", _) => column.validity = vec![255; 1],
        ("long-validity", _) => column.validity = vec![255; 1_000],
        ("null", _) if !field.nullable => column.validity = vec![0b1111_1011; column_bytes(column)],
        ("short-values", values) => shorten(values),
        ("long-booleans", Values::Booleans(bits)) => bits.push(0),
        (fault, Values::Text(spans) | Values::Bytes(spans)) => spoil_spans(fault, spans),
        _ => {}
    }
}

/// Bytes of a bitmap for its offsets or numbers.
fn column_bytes(column: &Column) -> usize {
    let rows = match &column.values {
        Values::Text(spans) | Values::Bytes(spans) => spans.offsets.len() - 1,
        Values::Int32s(values) => values.len(),
        Values::Int64s(values) | Values::Timestamps(values) => values.len(),
        Values::Float64s(values) => values.len(),
        Values::Booleans(_) | Values::Float32s(_) => 8,
    };
    rows.div_ceil(8)
}

fn shorten(values: &mut Values) {
    match values {
        Values::Booleans(bits) => drop(bits.pop()),
        Values::Int32s(values) => drop(values.pop()),
        Values::Int64s(values) | Values::Timestamps(values) => drop(values.pop()),
        Values::Float32s(values) => drop(values.pop()),
        Values::Float64s(values) => drop(values.pop()),
        Values::Text(spans) | Values::Bytes(spans) => drop(spans.offsets.pop()),
    }
}

fn spoil_spans(fault: &str, spans: &mut Spans) {
    let last = spans.offsets.len() - 1;
    match fault {
        "offsets-back" => spans.offsets[1] = spans.offsets[last] + 1,
        "offsets-behind" => spans.offsets[last] += 1,
        "offsets-negative" => spans.offsets[0] = -1,
        "no-offsets" => spans.offsets.clear(),
        "bad-text" => spans.data[0] = 0xff,
        "split-text" => {
            // Two bytes of one character in different rows.
            spans.data = "é".repeat(4).into_bytes();
            spans.offsets = (0..=last)
                .map(|row| i32::try_from(row).unwrap_or(0))
                .collect();
        }
        "loose-text" => spans.data.push(0xff),
        _ => {}
    }
}
