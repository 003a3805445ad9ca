//! What is wrong with a query.

use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError, Span};
use datafusion::sql::sqlparser::parser::ParserError;
use forebay_dataflow::GraphError;

/// A place in the text of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

/// Why a query cannot run.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong, on which named thing.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where, if that is known.
    pub place: Option<Place>,
    pub(crate) about: About,
}

/// What an error is about, for what can be told of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// With the name of a relation, where the query gives one.
    MissingColumn((Option<String>, String)),
    AmbiguousColumn(String),
    OrderBy,
    Limit,
    Grouping,
    Over,
    /// A join of relations, by the names that the query gives them.
    Join(Vec<String>),
    /// All of the expression at its place.
    Expression(Span),
    Anything,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            place: None,
            about: About::Anything,
        }
    }

    pub(crate) fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl From<GraphError> for Error {
    fn from(error: GraphError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::Diagnostic(diagnostic, inner) => diagnosed(&diagnostic, *inner),
            DataFusionError::Context(_, inner) => (*inner).into(),
            DataFusionError::Collection(mut errors) if !errors.is_empty() => {
                errors.swap_remove(0).into()
            }
            DataFusionError::SchemaError(error, _) => schema(&error),
            DataFusionError::SQL(error, _) => parser(&error),
            DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => {
                planned(&message)
            }
            other => planned(&other.strip_backtrace()),
        }
    }
}

/// The diagnostic knows the place, the error what it is about.
fn diagnosed(diagnostic: &Diagnostic, inner: DataFusionError) -> Error {
    let place = diagnostic.span.map(|span| Place {
        line: span.start.line,
        column: span.start.column,
    });
    let error: Error = inner.into();
    let about = match (&error.about, diagnostic.span) {
        (About::Anything, Some(span)) => About::Expression(span),
        _ => error.about.clone(),
    };
    Error {
        place,
        about,
        ..error
    }
}

fn schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let missing = Error::new(format!("there is no column `{}`", name(field))).about(
                About::MissingColumn((
                    field
                        .relation
                        .as_ref()
                        .map(|relation| relation.table().to_owned()),
                    field.name.clone(),
                )),
            );
            let names = || valid_fields.iter().map(Column::name);
            let begun = names().find(|name| is_begun_by(name, &field.name));
            match begun.or_else(|| nearest(&field.name, names())) {
                Some(meant) if is_plain(meant) => {
                    missing.with_hint(format!("did you mean `{meant}`?"))
                }
                Some(meant) => missing.with_hint(format!(
                    "did you mean `\"{}\"`? Only names of lower-case letters, digits and `_` go without quotes",
                    meant.replace('"', "\"\"")
                )),
                None => missing,
            }
        }
        SchemaError::AmbiguousReference { field } => Error::new(format!(
            "the column `{}` may be of several relations",
            name(field)
        ))
        .with_hint(format!("name the relation too, as in `a.{}`", field.name))
        .about(About::AmbiguousColumn(field.name.clone())),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => two_columns(name),
    }
}

/// Two columns of one name.
pub(crate) fn two_columns(name: &str) -> Error {
    Error::new(format!("there are two columns `{name}`")).with_hint(format!(
        "give one another name, as in `{name} AS other_{name}`"
    ))
}

/// As one writes it.
pub(crate) fn name(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{relation}.{}", column.name),
        None => column.name.clone(),
    }
}

/// Whether a query that names it without quotes is about this column alone.
fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(is_plain) && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Whether `dep` is what a query is taken to name that has `dep-time` without quotes.
fn is_begun_by(name: &str, part: &str) -> bool {
    let rest = name.to_lowercase();
    let rest = rest.strip_prefix(part);
    rest.and_then(|rest| rest.chars().next())
        .is_some_and(|next| !next.is_alphanumeric() && next != '_')
}

/// The name that is most like this one, if any is.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let like = |other: &str| strsim::normalized_levenshtein(name, other);
    let best = names
        .into_iter()
        .max_by(|one, other| like(one).total_cmp(&like(other)))?;
    (like(best) >= 0.5).then_some(best)
}

/// The parser writes the place at the end of its message.
fn parser(error: &ParserError) -> Error {
    let (ParserError::ParserError(message) | ParserError::TokenizerError(message)) = error else {
        return Error::new("the SQL is nested too deeply");
    };
    let placed = message
        .rsplit_once(" at Line: ")
        .and_then(|(message, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            Some((
                message,
                Place {
                    line: line.parse().ok()?,
                    column: column.trim().parse().ok()?,
                },
            ))
        });
    let (message, place) = match placed {
        Some((message, place)) => (message, Some(place)),
        None => (message.as_str(), None),
    };
    let error = Error {
        place,
        ..Error::new(lower_first(message))
    };
    if message.ends_with("found: -") {
        return error.with_hint("a name with a dash stands in double quotes, as in \"week-days\"");
    }
    error
}

/// A message of DataFusion in our form: one line, no capital at its beginning, no full stop; what it offers is a hint.
fn planned(message: &str) -> Error {
    if let Some(function) = unfit(message) {
        return Error::new(format!(
            "the function '{function}' does not take columns of these types"
        ));
    }
    let mut lines = message.lines();
    let error = Error::new(lower_first(
        lines.next().unwrap_or_default().trim_end_matches('.'),
    ));
    match lines.next() {
        Some(offer) if offer.starts_with("Did you mean") => {
            error.with_hint(lower_first(&offer.replace('\'', "`")))
        }
        _ => error,
    }
}

/// The function that takes no such arguments; DataFusion calls that an internal error, and lists all that it has tried.
fn unfit(message: &str) -> Option<&str> {
    let (before, _) = message.split_once("' failed to match any signature")?;
    before.rsplit('\'').next()
}

fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    match (characters.next(), characters.clone().next()) {
        // Not a word in capitals, as those of SQL are.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => message.to_owned(),
    }
}
