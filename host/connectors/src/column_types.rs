//! The types of columns as people write them, in job files and messages.

use arrow_schema::{DataType, TimeUnit};

/// Short names; any other type is written as Arrow writes it.
fn short_names() -> [(&'static str, DataType); 16] {
    [
        ("boolean", DataType::Boolean),
        ("int8", DataType::Int8),
        ("int16", DataType::Int16),
        ("int32", DataType::Int32),
        ("int64", DataType::Int64),
        ("uint8", DataType::UInt8),
        ("uint16", DataType::UInt16),
        ("uint32", DataType::UInt32),
        ("uint64", DataType::UInt64),
        ("float32", DataType::Float32),
        ("float64", DataType::Float64),
        ("string", DataType::Utf8),
        ("binary", DataType::Binary),
        ("date", DataType::Date32),
        (
            "timestamp",
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
        (
            "timestamp-utc",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ),
    ]
}

/// The text of a type.
pub fn type_text(kind: &DataType) -> String {
    let short = short_names().into_iter().find(|(_, known)| known == kind);
    short.map_or_else(|| kind.to_string(), |(name, _)| name.to_owned())
}

/// The type that a text means, which may be one of [`type_text`].
///
/// # Errors
///
/// It means none; the names that it could have been.
pub fn type_of(text: &str) -> Result<DataType, String> {
    if let Some((_, kind)) = short_names().into_iter().find(|(name, _)| *name == text) {
        return Ok(kind);
    }
    text.parse().map_err(|_| {
        let names: Vec<_> = short_names().iter().map(|(name, _)| *name).collect();
        format!(
            "give one of {}, or a type as Arrow writes it, such as `Decimal128(10, 2)`",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::Field;

    use super::*;

    #[test]
    fn what_is_pinned_is_read_back() {
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let fields = vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b c", DataType::Utf8, false),
        ];
        let others = [
            DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into())),
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Decimal128(10, 2),
            DataType::Date64,
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Duration(TimeUnit::Millisecond),
            DataType::LargeUtf8,
            DataType::FixedSizeBinary(16),
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            DataType::List(item.clone()),
            DataType::FixedSizeList(item, 8),
            DataType::Struct(fields.into()),
        ];
        let short = short_names().into_iter().map(|(_, kind)| kind);
        for kind in short.chain(others) {
            assert_eq!(type_of(&type_text(&kind)), Ok(kind.clone()), "{kind}");
        }
    }

    #[test]
    fn what_is_no_type_is_told() {
        let hint = type_of("integer").unwrap_err();
        assert!(hint.contains("int64"), "{hint}");
    }
}
