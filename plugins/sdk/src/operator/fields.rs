use std::ops::Deref;

use super::{Field, Kind, OperatorError};

/// The columns that an operator gets, in their order, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields(Vec<Field>);

impl Fields {
    /// Of these fields.
    pub fn new(fields: Vec<Field>) -> Self {
        Self(fields)
    }

    /// The field of this name; an error that names those that there are.
    pub fn find(&self, name: &str) -> Result<&Field, OperatorError> {
        self.position(name).map(|position| &self.0[position])
    }

    /// The field of this name, if it is of one of these kinds.
    pub fn find_of(&self, name: &str, kinds: &[Kind]) -> Result<&Field, OperatorError> {
        let field = self.find(name)?;
        if kinds.contains(&field.kind) {
            return Ok(field);
        }
        let wanted: Vec<_> = kinds.iter().map(ToString::to_string).collect();
        let message = format!(
            "it is {}, but should be {}",
            field.kind,
            wanted.join(" or ")
        );
        Err(OperatorError::new("wrong-kind", message).at_column(name))
    }

    pub(super) fn position(&self, name: &str) -> Result<usize, OperatorError> {
        let position = self.0.iter().position(|field| field.name == name);
        position.ok_or_else(|| {
            let names: Vec<_> = self
                .0
                .iter()
                .map(|field| format!("`{}`", field.name))
                .collect();
            let message = format!("the input has no such column; it has {}", names.join(", "));
            OperatorError::new("no-column", message).at_column(name)
        })
    }
}

impl Deref for Fields {
    type Target = [Field];

    fn deref(&self) -> &[Field] {
        &self.0
    }
}

impl Field {
    /// A column without nulls.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            nullable: false,
        }
    }

    /// The same with nulls.
    #[must_use]
    pub fn nullable(self) -> Self {
        Self {
            nullable: true,
            ..self
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean => f.pad("boolean"),
            Self::Int32 => f.pad("int32"),
            Self::Int64 => f.pad("int64"),
            Self::Float32 => f.pad("float32"),
            Self::Float64 => f.pad("float64"),
            Self::Text => f.pad("text"),
            Self::Bytes => f.pad("bytes"),
            Self::TimestampMicros => f.pad("timestamp-micros"),
            Self::Float32Vector(size) => write!(f, "float32-vector({size})"),
        }
    }
}
