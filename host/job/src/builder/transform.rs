//! A transform.

use toml_edit::Value;

use super::entry::{Entry, list};
use super::json::table_of_json;
use crate::model::{OperatorUse, SqlText, Transform, TransformKind};

/// A transform of a job under construction: a query (`sql` or `sql_file`) or a component (`operator`). What is not set has the
/// default of the job file.
#[derive(Clone, Debug)]
#[must_use]
pub struct TransformBuilder {
    entry: Entry,
}

impl TransformBuilder {
    /// A transform of this name, which SQL and inputs call it by.
    pub fn new(name: &str) -> Self {
        Self {
            entry: Entry::new(name),
        }
    }

    /// A query over sources, other transforms and roles with an output.
    pub fn sql(self, query: &str) -> Self {
        self.set("sql", query)
    }

    /// A file with the query, relative to the job's folder and inside it.
    pub fn sql_file(self, path: &str) -> Self {
        self.set("sql_file", path)
    }

    /// A WebAssembly component, by its path, relative to the job's folder.
    pub fn operator(self, path: &str) -> Self {
        self.set("operator", path)
    }

    /// The source, transform or role with an output that feeds the component.
    pub fn input(self, name: &str) -> Self {
        self.set("input", name)
    }

    /// What the component is told: the text of a JSON object, without `null`. Default: an empty one.
    pub fn config(self, json: &str) -> Self {
        let config = table_of_json(json).unwrap_or_else(|| json.into());
        self.set("config", config)
    }

    /// Rows with equal values of these columns go to the same task of the component. Default: none.
    pub fn key<S: Into<String>>(self, columns: impl IntoIterator<Item = S>) -> Self {
        self.set("key", list(columns))
    }

    /// Tasks. Default: as many as [`DataflowSettings::parallelism`](crate::DataflowSettings::parallelism) says.
    pub fn parallelism(self, tasks: u32) -> Self {
        self.set("parallelism", i64::from(tasks))
    }

    fn set(mut self, key: &str, content: impl Into<Value>) -> Self {
        self.entry.set(key, content);
        self
    }

    /// A job file of nothing but this transform.
    pub(super) fn to_toml(&self) -> String {
        self.entry.to_toml("transforms")
    }
}

/// `default`: the tasks that the transform gets when it states none.
pub(super) fn transform_builder(transform: &Transform, default: u32) -> TransformBuilder {
    let builder = TransformBuilder::new(&transform.name);
    let builder = match &transform.kind {
        TransformKind::Sql(SqlText::Inline(query)) => builder.sql(query),
        TransformKind::Sql(SqlText::File(path)) => builder.sql_file(&path.to_string_lossy()),
        TransformKind::Operator(operator) => with_operator(builder, operator),
    };
    if transform.parallelism == default {
        return builder;
    }
    builder.parallelism(transform.parallelism)
}

fn with_operator(builder: TransformBuilder, operator: &OperatorUse) -> TransformBuilder {
    let mut builder = builder
        .operator(&operator.component.to_string_lossy())
        .input(&operator.input);
    if operator.config != "{}" {
        builder = builder.config(&operator.config);
    }
    if !operator.key.is_empty() {
        builder = builder.key(&operator.key);
    }
    builder
}
