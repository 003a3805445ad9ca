//! A job as a picture: its operators and how they feed each other, the application manager, and the nodes of its roles.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_schema::Field;
use forebay_connectors::type_text;
use forebay_dataflow::{Description, Exchange, Graph, Part, Rest};
use forebay_job::Job;
use serde::Serialize;

use crate::text::{count, neutral};

/// What `--format json` shows.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename = "plan")]
pub(super) struct Drawing {
    job: String,
    operators: Vec<Operator>,
    roles: Vec<Role>,
}

#[derive(Debug, Serialize)]
struct Operator {
    #[serde(rename = "operator")]
    name: String,
    part: &'static str,
    tasks: usize,
    /// Operators of one chain share their tasks.
    chain: usize,
    columns: Option<Vec<Column>>,
    inputs: Vec<Input>,
}

#[derive(Debug, Serialize)]
struct Column {
    column: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Serialize)]
struct Input {
    from: String,
    exchange: &'static str,
    /// Of a hash exchange.
    key: Vec<String>,
    /// Of a batch, where that is part of the dealing.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    is_table: bool,
    /// It needs no queue: both share their tasks.
    is_chained: bool,
}

/// The application manager is one too: an operator of parallelism 1 that nobody feeds.
#[derive(Debug, Serialize)]
struct Role {
    #[serde(rename = "role")]
    name: String,
    nodes: usize,
    input: Option<String>,
}

/// The part of an operator that feeds the nodes of a role.
const ROLE: &str = "role";
/// Not the name of a role: the job file refuses it.
const MANAGER: &str = "am";

impl Drawing {
    pub(super) fn new(job: &Job, graph: Option<&Graph>) -> Self {
        let operators = graph.map(Graph::describe).unwrap_or_default();
        let manager = Role {
            name: MANAGER.to_owned(),
            nodes: 1,
            input: None,
        };
        let roles = job.roles.iter().map(|role| Role {
            name: role.name.clone(),
            nodes: usize::try_from(role.nodes).unwrap_or(usize::MAX),
            input: role.input.clone(),
        });
        Self {
            job: job.name.clone(),
            operators: operators
                .iter()
                .map(|one| operator(one, &operators))
                .collect(),
            roles: std::iter::once(manager).chain(roles).collect(),
        }
    }

    // ------------------------------------------------------------------------------------------------------ text

    pub(super) fn text(&self) -> String {
        let mut trees = Trees {
            drawing: self,
            seen: BTreeSet::new(),
            lines: Vec::new(),
        };
        let sinks = self.operators.iter().filter(|one| one.part == "sink");
        for sink in sinks {
            trees.operator(sink, "", "");
        }
        let fed = self
            .roles
            .iter()
            .filter_map(|role| Some((role, role.input.as_ref()?)));
        for (role, input) in fed {
            match self.feeder_of(&role.name) {
                // Where a sink reads what it answers, it stands there.
                Some(operator) if trees.seen.contains(&*operator.name) => {}
                Some(operator) => trees.operator(operator, "", ""),
                // The dataflow cannot be drawn.
                None => {
                    trees
                        .lines
                        .push((format!("role {}", role.name), nodes(role)));
                    trees.input(input, "one task a node", false, "", true);
                }
            }
        }
        for role in self.roles.iter().filter(|role| role.input.is_none()) {
            let (name, what) = match role.name.as_str() {
                MANAGER => ("application manager".to_owned(), count(1, "task")),
                _ => (format!("role {}", role.name), nodes(role)),
            };
            trees.lines.push((name, what));
        }
        aligned(&trees.lines)
    }

    fn find(&self, name: &str) -> Option<&Operator> {
        self.operators.iter().find(|one| one.name == name)
    }

    /// The operator that feeds this role, where the dataflow can be drawn.
    fn feeder_of(&self, role: &str) -> Option<&Operator> {
        self.find(role).filter(|one| one.part == ROLE)
    }

    /// The operator whose output has this name in the job: a transform of SQL is called like its last operator.
    fn output_of(&self, name: &str) -> Option<&Operator> {
        let of_query = |one: &&Operator| {
            let behind = one.name.strip_prefix(name);
            behind.is_some_and(|rest| rest.starts_with('/'))
        };
        self.find(name)
            .or_else(|| self.operators.iter().rev().find(of_query))
    }

    // ------------------------------------------------------------------------------------------------------- dot

    pub(super) fn dot(&self) -> String {
        let mut text = format!("digraph {} {{\n  rankdir=LR;\n", word(&self.job));
        for operator in &self.operators {
            let shape = match operator.part {
                "source" => "cds",
                "sink" => "note",
                _ => "box",
            };
            let label = format!("{}\n{}", operator.name, count(operator.tasks, "task"));
            line(
                &mut text,
                format_args!(
                    "{} [shape={shape}, label={}];",
                    word(&operator.name),
                    word(&label)
                ),
            );
        }
        for operator in &self.operators {
            for input in &operator.inputs {
                let style = if input.is_chained { ", style=bold" } else { "" };
                line(
                    &mut text,
                    format_args!(
                        "{} -> {} [label={}{style}];",
                        word(&input.from),
                        word(&operator.name),
                        word(&input.label())
                    ),
                );
            }
        }
        for role in &self.roles {
            let label = format!("{}\n{}", role.name, nodes(role));
            line(
                &mut text,
                format_args!(
                    "{} [shape=component, label={}];",
                    word(&format!("role {}", role.name)),
                    word(&label)
                ),
            );
            let feeds =
                |input: &String| self.feeder_of(&role.name).or_else(|| self.output_of(input));
            if let Some(from) = role.input.as_ref().and_then(feeds) {
                line(
                    &mut text,
                    format_args!(
                        "{} -> {};",
                        word(&from.name),
                        word(&format!("role {}", role.name))
                    ),
                );
            }
        }
        text + "}\n"
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "  {content}");
}

/// A quoted identifier of dot.
fn word(text: &str) -> String {
    let escaped = neutral(text).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('␊', "\\n"))
}

fn nodes(role: &Role) -> String {
    match role.name.as_str() {
        MANAGER => count(1, "task"),
        _ => count(role.nodes, "node"),
    }
}

/// Trees of operators, each drawn once.
struct Trees<'a> {
    drawing: &'a Drawing,
    seen: BTreeSet<&'a str>,
    /// What it is, and how many tasks.
    lines: Vec<(String, String)>,
}

impl<'a> Trees<'a> {
    fn operator(&mut self, operator: &'a Operator, lead: &str, below: &str) {
        let name = neutral(&operator.name);
        if !self.seen.insert(&operator.name) {
            self.lines
                .push((format!("{lead}{name}"), "as above".to_owned()));
            return;
        }
        let part = match operator.part {
            "transform" => String::new(),
            part => format!("{part} "),
        };
        let thing = if operator.part == ROLE {
            "node"
        } else {
            "task"
        };
        self.lines
            .push((format!("{lead}{part}{name}"), count(operator.tasks, thing)));
        for (position, input) in operator.inputs.iter().enumerate() {
            let is_last = position + 1 == operator.inputs.len();
            self.input(&input.from, &input.label(), input.is_table, below, is_last);
        }
    }

    fn input(&mut self, from: &str, label: &str, is_table: bool, below: &str, is_last: bool) {
        let Some(operator) = self.drawing.output_of(from) else {
            return;
        };
        let (corner, line) = if is_last {
            ("└─", "   ")
        } else {
            ("├─", "│  ")
        };
        let table = if is_table { "table, " } else { "" };
        let lead = format!("{below}{corner} {table}{label}: ");
        self.operator(operator, &lead, &format!("{below}{line}"));
    }
}

fn aligned(lines: &[(String, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    lines.iter().fold(String::new(), |mut text, (name, what)| {
        let room = width - name.chars().count();
        let _ = writeln!(text, "{name}{}  {what}", " ".repeat(room));
        text
    })
}

impl Input {
    /// For people.
    fn label(&self) -> String {
        let kind = if self.is_chained {
            "chained"
        } else {
            self.exchange
        };
        if let Some(rows) = self.rows {
            return format!("{kind} of {}", count(rows, "row"));
        }
        if self.key.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind} by {}", self.key.join(", "))
        }
    }
}

fn operator(one: &Description, all: &[Description]) -> Operator {
    Operator {
        name: one.name.to_string(),
        part: match one.part {
            Part::Source => "source",
            Part::Transform => "transform",
            Part::Sink => "sink",
            Part::Role => ROLE,
        },
        tasks: one.parallelism,
        chain: one.chain,
        columns: one.schema.as_ref().map(|schema| {
            let fields = schema.fields().iter();
            let column = |field: &Arc<Field>| Column {
                column: field.name().clone(),
                kind: type_text(field.data_type()),
            };
            fields.map(column).collect()
        }),
        inputs: one
            .inputs
            .iter()
            .map(|input| Input {
                from: all[input.from].name.to_string(),
                exchange: exchange_word(&input.exchange),
                key: match &input.exchange {
                    Exchange::Hash(columns) => columns.clone(),
                    _ => Vec::new(),
                },
                rows: match &input.exchange {
                    Exchange::Credit { rows } | Exchange::Rounds { rows, .. } => Some(*rows),
                    _ => None,
                },
                is_table: input.is_table,
                is_chained: all[input.from].chain == one.chain,
            })
            .collect(),
    }
}

fn exchange_word(exchange: &Exchange) -> &'static str {
    match exchange {
        Exchange::Forward => "forward",
        Exchange::Hash(_) => "hash",
        Exchange::Broadcast => "broadcast",
        Exchange::RoundRobin => "round robin",
        Exchange::Credit { .. } => "credit",
        Exchange::Rounds {
            rest: Rest::Drop, ..
        } => "rounds",
        Exchange::Rounds {
            rest: Rest::Pad { .. },
            ..
        } => "padded rounds",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(
        name: &str,
        part: &'static str,
        tasks: usize,
        chain: usize,
        inputs: Vec<Input>,
    ) -> Operator {
        Operator {
            name: name.to_owned(),
            part,
            tasks,
            chain,
            columns: None,
            inputs,
        }
    }

    fn input(from: &str, exchange: &'static str, key: &[&str], is_chained: bool) -> Input {
        Input {
            from: from.to_owned(),
            exchange,
            key: key.iter().map(|&key| key.to_owned()).collect(),
            rows: None,
            is_table: exchange == "broadcast",
            is_chained,
        }
    }

    fn role(name: &str, nodes: usize, input: Option<&str>) -> Role {
        Role {
            name: name.to_owned(),
            nodes,
            input: input.map(str::to_owned),
        }
    }

    fn drawing() -> Drawing {
        let streams = vec![
            input("flights", "hash", &["origin"], false),
            input("weather", "hash", &["origin"], false),
        ];
        let table = vec![
            input("joined/1 join", "forward", &[], false),
            input("planes", "broadcast", &[], false),
        ];
        let joined =
            |exchange, is_chained| vec![input("joined/2 table join", exchange, &[], is_chained)];
        let selected = |exchange| vec![input("joined/3 select", exchange, &[], false)];
        Drawing {
            job: "flights".to_owned(),
            operators: vec![
                operator("flights", "source", 1, 0, vec![]),
                operator("weather", "source", 1, 1, vec![]),
                operator("planes", "source", 1, 2, vec![]),
                operator("joined/1 join", "transform", 2, 3, streams),
                operator("joined/2 table join", "transform", 2, 4, table),
                operator(
                    "joined/3 select",
                    "transform",
                    2,
                    4,
                    joined("forward", true),
                ),
                operator("train", "sink", 1, 5, selected("round robin")),
                operator("test", "sink", 2, 6, selected("forward")),
            ],
            roles: vec![
                role("am", 1, None),
                role("worker", 2, Some("joined")),
                role("ps", 1, None),
            ],
        }
    }

    #[test]
    fn sinks_and_roles_stand_above_what_feeds_them() {
        insta::assert_snapshot!(drawing().text());
    }

    #[test]
    fn a_role_that_is_fed_says_how() {
        let mut drawing = drawing();
        let mut dealt = input("joined/3 select", "rounds", &[], false);
        dealt.rows = Some(256);
        let fed = operator("worker", ROLE, 2, 7, vec![dealt]);
        drawing.operators.push(fed);
        let text = drawing.text();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.contains("─ ") || line.contains("rounds"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        sink train                                  1 task
        sink test                                   2 tasks
        role worker                                 2 nodes
        └─ rounds of 256 rows: joined/3 select      as above
        application manager                         1 task
        role ps                                     1 node
        ");
    }

    #[test]
    fn dot_has_every_operator_and_role() {
        insta::assert_snapshot!(drawing().dot());
    }

    #[test]
    fn programs_get_one_object() {
        insta::assert_snapshot!(serde_json::to_string(&drawing()).unwrap());
    }
}
