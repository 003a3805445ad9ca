//! What more can be said of an error: its place in the query, and where the columns that it is about come from.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectName, Query, Select, Spanned, Statement, TableFactor, Visit,
    Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::error::{About, Place};
use crate::lineage::{Origin, origin};
use crate::{Error, Relations};

/// The error with all that the query and its relations tell of it. What is not certain is not told.
pub(crate) fn explained(mut error: Error, query: &Statement, relations: &Relations) -> Error {
    let reading = Reading::of(query);
    let (concerned, columns) = Concerned::by(&error, query);
    error.place = error
        .place
        .or_else(|| place(&error.about, &reading))
        .or_else(|| start(concerned?));
    // Within a query in a query a name may mean something else.
    if reading.selects.len() == 1 {
        let better = match &error.about {
            About::MissingColumn(missing) => left_out(missing, &reading, relations),
            About::AmbiguousColumn(column) => ways_to_name(column, &reading, relations),
            _ if is_about_types(&error) => types(&columns, &reading, relations),
            _ => None,
        };
        error.hint = better.or(error.hint);
    }
    error
}

/// In the words of DataFusion.
fn is_about_types(error: &Error) -> bool {
    let words = ["coerce", "No function matches", "boolean", "of these types"];
    error.hint.is_none() && words.iter().any(|word| error.message.contains(word))
}

/// The place of the one part of a query that this can be about; with several, nobody knows which one it is.
fn place(about: &About, reading: &Reading) -> Option<Place> {
    let of_names: Vec<Span>;
    let parts = match about {
        About::OrderBy => &reading.orders,
        About::Limit => &reading.limits,
        About::Over => &reading.overs,
        About::Join(names) => {
            of_names = reading.joins_of(names);
            &of_names
        }
        // Of several queries each may have groups, if only those of DISTINCT or UNION.
        About::Grouping if reading.selects.len() > 1 => return None,
        About::Grouping if reading.groupings.is_empty() => &reading.selects,
        About::Grouping => &reading.groupings,
        About::MissingColumn(_)
        | About::AmbiguousColumn(_)
        | About::Expression(_)
        | About::Anything => return None,
    };
    match parts[..] {
        [one] => start(one),
        _ => None,
    }
}

fn start(span: Span) -> Option<Place> {
    let place = Place {
        line: span.start.line,
        column: span.start.column,
    };
    (place.line > 0).then_some(place)
}

/// A column that is missing may be one that a transform before this one does not pass on.
fn left_out(missing: &ColumnName, reading: &Reading, relations: &Relations) -> Option<String> {
    let (alias, column) = missing;
    let tables = reading.tables.iter();
    let named = tables.filter(|(known, _)| alias.as_ref().is_none_or(|alias| alias == known));
    let mut before: Vec<(&str, &str)> = Vec::new();
    for (_, relation) in named {
        before.extend(reads_of(relation, relations));
    }
    let mut seen = BTreeSet::new();
    while let Some((by, relation)) = before.pop() {
        let known = relations.get(relation)?;
        if known.schema.column_with_name(column).is_some() {
            let made = origin(relation, column, relations);
            let renamed = reading.column_of(&made, relations);
            return Some(renamed.map_or_else(
                || format!("`{relation}` has `{column}`, but `{by}` does not pass it on"),
                |name| format!("`{column}` of `{relation}` is `{name}` here"),
            ));
        }
        if seen.insert(relation) {
            before.extend(reads_of(relation, relations));
        }
    }
    None
}

/// A relation with each that it is made of.
fn reads_of<'a>(
    relation: &'a str,
    relations: &'a Relations,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let known = relations.get(relation).into_iter();
    known
        .flat_map(|known| &known.lineage.reads)
        .map(move |read| (relation, read.as_str()))
}

fn ways_to_name(column: &str, reading: &Reading, relations: &Relations) -> Option<String> {
    let has = |relation: &String| {
        let known = relations.get(relation);
        known.is_some_and(|known| known.schema.column_with_name(column).is_some())
    };
    let tables = reading.tables.iter();
    let names: Vec<String> = tables
        .filter(|(_, relation)| has(relation))
        .map(|(alias, _)| format!("`{alias}.{column}`"))
        .collect();
    (names.len() > 1).then(|| format!("name the relation too: {}", names.join(" or ")))
}

/// The types of these columns, and where each comes from.
fn types(columns: &[ColumnName], reading: &Reading, relations: &Relations) -> Option<String> {
    let mut told = Vec::new();
    for (alias, column) in columns {
        let tables = reading.tables.iter();
        let mut tables = tables.filter(|(known, relation)| {
            let has = |known: &crate::Relation| known.schema.column_with_name(column).is_some();
            alias.as_ref().is_none_or(|alias| alias == known)
                && relations.get(relation).is_some_and(has)
        });
        let (Some((_, relation)), None) = (tables.next(), tables.next()) else {
            continue;
        };
        let (_, field) = relations[relation].schema.column_with_name(column)?;
        let made = origin(relation, column, relations);
        let of = if made.column == *column {
            format!("`{}`", made.relation)
        } else {
            format!("`{}` of `{}`", made.column, made.relation)
        };
        let text = format!("`{column}` is {}, from {of}", field.data_type());
        if !told.contains(&text) {
            told.push(text);
        }
    }
    (!told.is_empty()).then(|| told.join("; "))
}

/// What stands where in a query.
#[derive(Default)]
struct Reading {
    /// Names within the query, and the relations that they mean.
    tables: Vec<(String, String)>,
    orders: Vec<Span>,
    limits: Vec<Span>,
    /// With the name of what is joined, where it has one.
    joins: Vec<(Option<String>, Span)>,
    overs: Vec<Span>,
    groupings: Vec<Span>,
    selects: Vec<Span>,
}

impl Reading {
    fn of(query: &Statement) -> Self {
        let mut reading = Self::default();
        let _ = query.visit(&mut reading);
        reading
    }

    /// The joins with something of such a name; if the query has only one, that.
    fn joins_of(&self, names: &[String]) -> Vec<Span> {
        let is_only = self.selects.len() == 1 && self.joins.len() == 1;
        let is_meant =
            |name: &Option<String>| name.as_ref().is_some_and(|name| names.contains(name));
        let meant = self
            .joins
            .iter()
            .filter(|(name, _)| is_only || is_meant(name));
        meant.map(|(_, span)| *span).collect()
    }

    /// What a column that was made there is called in the relations of this query.
    fn column_of<'a>(&self, made: &Origin, relations: &'a Relations) -> Option<&'a str> {
        let known = self
            .tables
            .iter()
            .filter_map(|(_, relation)| relations.get(relation));
        let mut passed_on = known.flat_map(|known| &known.lineage.passed_on);
        let found = passed_on.find(|(_, origin)| *origin == made)?;
        Some(found.0)
    }
}

impl Visitor for Reading {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.orders
            .extend(query.order_by.as_ref().map(Spanned::span));
        let limit = query.limit_clause.as_ref().map(Spanned::span);
        let fetch = query.fetch.as_ref().map(Spanned::span);
        self.limits.extend(limit.into_iter().chain(fetch));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.selects.push(select.select_token.0.span);
        let is_grouped =
            !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
        self.groupings
            .extend(is_grouped.then(|| select.group_by.span()));
        let joins = select.from.iter().flat_map(|table| &table.joins);
        let joined = joins.map(|join| &join.relation);
        // A comma joins, too.
        let listed = select.from.iter().skip(1).map(|table| &table.relation);
        let all = joined.chain(listed);
        self.joins
            .extend(all.map(|table| (name_of(table), table.span())));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = table
            && let (Some(alias), Some(relation)) = (name_of(table), last(name))
        {
            self.tables.push((alias, relation));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expression
            && function.over.is_some()
        {
            self.overs.push(function.span());
        }
        ControlFlow::Continue(())
    }
}

/// What the query calls it.
fn name_of(table: &TableFactor) -> Option<String> {
    match table {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(normal(&alias.name)),
            None => last(name),
        },
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|alias| normal(&alias.name)),
        _ => None,
    }
}

/// The name of a relation, where one stands there, and that of a column.
type ColumnName = (Option<String>, String);

/// The expressions that an error is about.
struct Concerned<'a> {
    error: &'a Error,
    /// How many of them are around the current one.
    inside: usize,
    /// How many of them are in no other.
    outermost: usize,
    /// The first of them.
    first: Option<Span>,
    columns: Vec<ColumnName>,
}

impl<'a> Concerned<'a> {
    /// Where it is, and all its columns; nothing where it may be one of several.
    fn by(error: &'a Error, query: &Statement) -> (Option<Span>, Vec<ColumnName>) {
        let mut concerned = Self {
            error,
            inside: 0,
            outermost: 0,
            first: None,
            columns: Vec::new(),
        };
        let _ = query.visit(&mut concerned);
        match concerned.outermost {
            1 => (concerned.first, concerned.columns),
            _ => (None, Vec::new()),
        }
    }

    /// By its place; where the planner gives none, by what it quotes.
    fn is_about(&self, expression: &Expr) -> bool {
        if let About::Expression(span) = self.error.about {
            return common::Span::try_from_sqlparser_span(expression.span()) == Some(span);
        }
        let says = |quoted: String| self.error.message.contains(&quoted);
        if let Expr::Function(function) = expression {
            let name = last(&function.name);
            return name
                .is_some_and(|name| says(format!("'{name}(")) || says(format!("'{name}' ")));
        }
        column(expression).is_some_and(|(relation, name)| match relation {
            Some(relation) => says(format!("'{relation}.{name}'")),
            None => says(format!(".{name}'")),
        })
    }
}

impl Visitor for Concerned<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if self.inside > 0 || self.is_about(expression) {
            self.outermost += usize::from(self.inside == 0);
            self.inside += 1;
            self.first.get_or_insert(expression.span());
            self.columns.extend(column(expression));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.inside = self.inside.saturating_sub(1);
        ControlFlow::Continue(())
    }
}

fn column(expression: &Expr) -> Option<ColumnName> {
    match expression {
        Expr::Identifier(name) => Some((None, normal(name))),
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [relation, name] => Some((Some(normal(relation)), normal(name))),
            _ => None,
        },
        _ => None,
    }
}

fn last(name: &ObjectName) -> Option<String> {
    Some(normal(name.0.last()?.as_ident()?))
}

/// As the planner reads it: without quotes it has no capitals.
fn normal(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}
