use super::{Batch, Column, Field, Fields, Kind, OperatorError, Rows, Values, config, take_state};

fn rows(fields: &Fields) -> Rows<'_> {
    let nullable = [Some(1.5), None, Some(-2.0)];
    let columns = vec![
        [Some("Ça"), None, Some("")].into_iter().collect(),
        nullable.into_iter().collect(),
        [Some(true), None, Some(false)].into_iter().collect(),
        Column::from(vec![1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]).with_nulls(3, |row| row == 1),
        Column::timestamps([Some(1), Some(2), None]),
    ];
    Rows::new(fields, Batch::new(3, columns))
}

fn fields() -> Fields {
    let kinds = [
        ("text", Kind::Text),
        ("number", Kind::Float64),
        ("flag", Kind::Boolean),
        ("vector", Kind::Float32Vector(2)),
        ("time", Kind::TimestampMicros),
    ];
    let field = |(name, kind): (&str, Kind)| Field::new(name, kind).nullable();
    Fields::new(kinds.into_iter().map(field).collect())
}

#[test]
fn what_is_collected_is_what_is_read() -> Result<(), OperatorError> {
    let fields = fields();
    let rows = rows(&fields);
    let texts: Vec<_> = rows.text("text")?.iter().collect();
    assert_eq!(texts, [Some("Ça"), None, Some("")]);
    let numbers: Vec<_> = rows.float64s("number")?.iter().collect();
    assert_eq!(numbers, [Some(1.5), None, Some(-2.0)]);
    let flags: Vec<_> = rows.booleans("flag")?.iter().collect();
    assert_eq!(flags, [Some(true), None, Some(false)]);
    let vectors: Vec<_> = rows.vectors("vector")?.iter().collect();
    assert_eq!(vectors, [Some(&[1.0, 2.0][..]), None, Some(&[5.0, 6.0])]);
    let times: Vec<_> = rows.timestamps("time")?.iter().collect();
    assert_eq!(times, [Some(1), Some(2), None]);
    Ok(())
}

#[test]
fn numbers_are_of_any_kind() -> Result<(), OperatorError> {
    let fields = fields();
    let rows = rows(&fields);
    let flags: Vec<_> = rows.numbers("flag")?.iter().collect();
    assert_eq!(flags, [Some(1.0), None, Some(0.0)]);
    assert!(rows.numbers("text").is_err());
    assert!(rows.numbers("vector").is_err());
    Ok(())
}

#[test]
fn a_bitmap_goes_on_after_eight_rows() {
    let cells = (0..11).map(|row| (row != 9).then_some(row % 3 == 0));
    let column: Column = cells.collect();
    assert_eq!(
        column.values,
        Values::Booleans(vec![0b0100_1001, 0b0000_0000])
    );
    assert_eq!(column.validity, [0b1111_1111, 0b0000_0101]);
    let whole: Column = (0..11).map(Some).collect();
    assert_eq!(whole, Column::from((0..11).collect::<Vec<i32>>()));
}

#[track_caller]
fn check<T>(answer: Result<T, OperatorError>, code: &str, column: Option<&str>, says: &str) {
    let error = answer.err().expect("it is refused");
    assert_eq!(
        (error.code.as_str(), error.column.as_deref()),
        (code, column)
    );
    assert!(error.message.contains(says), "{}", error.message);
}

#[test]
fn a_column_that_is_not_there_or_of_another_kind_is_named() {
    let fields = fields();
    let rows = rows(&fields);
    check(
        rows.text("txet"),
        "no-column",
        Some("txet"),
        "`text`, `number`",
    );
    check(
        rows.text("number"),
        "wrong-kind",
        Some("number"),
        "float64, but should be text",
    );
    check(
        rows.float32s("vector"),
        "wrong-kind",
        Some("vector"),
        "float32-vector(2), but should be float32",
    );
    check(
        fields.find_of("time", &[Kind::Int64, Kind::Int32]),
        "wrong-kind",
        Some("time"),
        "timestamp-micros, but should be int64 or int32",
    );
}

#[test]
fn a_config_or_state_that_cannot_be_read_is_told() {
    check(
        config::<[u8; 2]>("[1,"),
        "bad-config",
        None,
        "line 1 column 3",
    );
    check(take_state::<4>(b"abc"), "bad-state", None, "4 bytes");
    assert_eq!(take_state(b"abcd").ok(), Some(*b"abcd"));
}
