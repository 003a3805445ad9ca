//! What builders have in common: a table under a name, and keys in it.

use std::time::Duration;

use toml_edit::{Array, DocumentMut, Item, Table, Value, value};

use crate::values::duration_text;

/// One table of a table of tables, such as `[roles.NAME]`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    name: String,
    pub(super) table: Table,
}

impl Entry {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            table: Table::new(),
        }
    }

    pub(super) fn set(&mut self, key: &str, content: impl Into<Value>) {
        self.table[key] = value(content);
    }

    /// A job file of nothing but this, below the table `outer`.
    pub(super) fn to_toml(&self, outer: &str) -> String {
        let mut entries = Table::new();
        entries.set_implicit(true);
        let mut table = self.table.clone();
        table.decor_mut().set_prefix("\n");
        entries.insert(&self.name, Item::Table(table));
        let mut document = DocumentMut::new();
        document.insert(outer, Item::Table(entries));
        document.to_string()
    }
}

/// A list of texts.
pub(super) fn list<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Array {
    texts.into_iter().map(Into::into).collect()
}

/// Names of columns and their types.
pub(super) fn types_table<N: AsRef<str>, T: Into<String>>(
    columns: impl IntoIterator<Item = (N, T)>,
) -> Table {
    let mut table = Table::new();
    for (name, kind) in columns {
        table[name.as_ref()] = value(kind.into());
    }
    table
}

/// TOML has whole numbers up to 2^63 - 1; a larger one counts as that.
pub(super) fn whole(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

/// Sets `outer.name`.
pub(super) fn set_in(table: &mut Table, outer: &str, name: &str, text: &str) {
    let inner = table.entry(outer).or_insert_with(toml_edit::table);
    inner[name] = value(text);
}

pub(super) fn set_duration(table: &mut Table, name: &str, limit: Duration, default: Duration) {
    if limit != default {
        set_in(table, "limits", name, &duration_text(limit));
    }
}
