//! The dataflow as a whole: its settings, and whether its parts fit together.

use super::{check_name, check_number, sinks, sources, targets, transforms};
use crate::diagnostic::{Diagnostic, code};
use crate::model::{Dataflow, DataflowSettings, Transform, TransformKind};
use crate::read::{Field, Findings, Section, listed};
use crate::schema::{self, nearest};
use crate::values;

/// Most sources, most transforms and most sinks of one job.
pub const RELATIONS_MAX: usize = 256;
/// Most tasks of one operator, and most threads.
pub const PARALLELISM_MAX: u32 = 1024;
/// Most rows that a source hands on together.
pub const BATCH_ROWS_MAX: u32 = 1 << 20;

const MEMORY_BYTES_MIN: u64 = 16 << 20;
const QUEUE_ROWS_MAX: u32 = 1 << 24;
const QUEUE_BYTES_MIN: u64 = 1 << 10;

pub(super) fn dataflow(root: &Section, names: &Names, findings: &mut Findings) -> Dataflow {
    let settings = settings(&root.section("dataflow", findings), findings);
    let sources = relations(root, Kind::Source, findings, sources::source);
    let transforms = relations(root, Kind::Transform, findings, |field, findings| {
        transforms::transform(field, settings.parallelism, names, findings)
    });
    let sinks = relations(root, Kind::Sink, findings, |field, findings| {
        sinks::sink(field, names, findings)
    });
    names.check_unique(findings);
    names.check_use(root, findings);
    targets::check(root, findings);
    names.check_circles(&transforms, findings);
    Dataflow {
        sources,
        transforms,
        sinks,
        settings,
    }
}

fn settings(section: &Section, findings: &mut Findings) -> DataflowSettings {
    section.check_keys(&schema::DATAFLOW, findings);
    let default = DataflowSettings::default();
    let parallelism = parallelism(section, findings);
    let queue_rows = section.integer("queue_rows", 1..=QUEUE_ROWS_MAX, findings);
    let memory = section.size_from("memory", MEMORY_BYTES_MIN, findings);
    let queue_bytes = section.size_from("queue_bytes", QUEUE_BYTES_MIN, findings);
    DataflowSettings {
        parallelism: parallelism.unwrap_or(default.parallelism),
        threads: section.integer("threads", 1..=PARALLELISM_MAX, findings),
        memory_bytes: memory.unwrap_or(default.memory_bytes),
        queue_rows: queue_rows.unwrap_or(default.queue_rows),
        queue_bytes: queue_bytes.unwrap_or(default.queue_bytes),
    }
}

/// `parallelism`
pub(super) fn parallelism(section: &Section, findings: &mut Findings) -> Option<u32> {
    section.integer("parallelism", 1..=PARALLELISM_MAX, findings)
}

/// Reads one table of tables; those without a usable name are left out.
fn relations<'a, T>(
    root: &Section<'a>,
    kind: Kind,
    findings: &mut Findings,
    mut read: impl FnMut(&Field<'a>, &mut Findings) -> Option<T>,
) -> Vec<T> {
    let table = root.section(kind.key(), findings);
    let fields: Vec<_> = table.fields().collect();
    check_number(kind.key(), &fields, RELATIONS_MAX, findings);
    let mut relation = |field: &Field<'a>| {
        let naming = &values::DATAFLOW_NAMES;
        let is_named = check_name(kind.word(), naming, field.name, field, findings);
        read(field, findings).filter(|_| is_named)
    };
    fields.iter().filter_map(&mut relation).collect()
}

/// What has a name in the dataflow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Source,
    Transform,
    Sink,
    Role,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Source, Self::Transform, Self::Sink, Self::Role];

    fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
            Self::Role => "role",
        }
    }

    /// The key of their tables.
    fn key(self) -> &'static str {
        match self {
            Self::Source => "sources",
            Self::Transform => "transforms",
            Self::Sink => "sinks",
            Self::Role => "roles",
        }
    }
}

/// The tables of the dataflow and the roles, whatever is in them, so that a mistake in one is not taken for its absence.
pub(super) struct Names<'a>(Vec<(Kind, Field<'a>)>);

impl<'a> Names<'a> {
    pub(super) fn of(root: &Section<'a>) -> Self {
        let of_kind = |kind: Kind| {
            let fields = root.fields_of(kind.key());
            fields.into_iter().map(move |field| (kind, field))
        };
        Self(Kind::ALL.into_iter().flat_map(of_kind).collect())
    }

    /// Whether there is no dataflow.
    pub(super) fn is_empty(&self) -> bool {
        self.first_relation().is_none()
    }

    /// The first of what is no role.
    fn first_relation(&self) -> Option<&Field<'a>> {
        let mut relations = self.0.iter().filter(|(kind, _)| *kind != Kind::Role);
        relations.next().map(|(_, field)| field)
    }

    /// The value of `input`; reports one that names nothing which gives rows.
    pub(super) fn input(&self, section: &Section, findings: &mut Findings) -> Option<String> {
        let field = section.field("input")?;
        let text = field.text(findings)?;
        if !self.givers().any(|giver| giver.name == text) {
            let message = self.input_complaint(&text);
            let hint = self.input_hint(&text, &field);
            field.error(code::UNKNOWN_INPUT, message, hint, findings);
        }
        Some(text)
    }

    /// Reports that a transform or a sink takes no rows.
    pub(super) fn report_missing_input(
        &self,
        what: &str,
        relation: &Field,
        findings: &mut Findings,
    ) {
        let message = format!("the {what} has no `input`");
        let others = self.givers().filter(|giver| giver.path != relation.path);
        let others: Vec<_> = others.map(|giver| giver.name).collect();
        let hint = match others.as_slice() {
            [] => "add `input`, the name of a source or a transform".to_owned(),
            givers => format!("add `input`, one of {}", listed(givers)),
        };
        relation.error(code::MISSING_KEY, message, hint, findings);
    }

    fn input_complaint(&self, text: &str) -> String {
        if self.of_kind(Kind::Sink, text).is_some() {
            return format!("`input` is `{text}`, a sink, which gives no rows");
        }
        if self.of_kind(Kind::Role, text).is_some() {
            return format!("`input` is `{text}`, a role without an `output`, which gives no rows");
        }
        let complaint =
            format!("`input` is {text:?}, which names neither a source nor a transform");
        let has_answers = self.0.iter().any(|(kind, field)| answers(*kind, field));
        let roles = if has_answers {
            " nor a role with an `output`"
        } else {
            ""
        };
        complaint + roles
    }

    /// `asking`: the `input` that is wrong.
    fn input_hint(&self, text: &str, asking: &Field) -> String {
        if let Some(input) = self.of_kind(Kind::Sink, text).and_then(input_of) {
            return format!("the sink takes the rows of `{input}`; take them, too");
        }
        let is_other = |giver: &Field| format!("{}.input", giver.path) != asking.path;
        if self.of_kind(Kind::Role, text).is_some_and(is_other) {
            let hint = "give that role an `output`, such as `output = { score = \"float64\" }`";
            return hint.to_owned();
        }
        let others = self.givers().filter(|giver| is_other(giver));
        let givers: Vec<_> = others.map(|giver| giver.name).collect();
        if let Some(meant) = nearest(text, &givers) {
            return format!("did you mean `{meant}`?");
        }
        match givers.as_slice() {
            [] => "add `[sources.NAME]` with a `path`; the job has no sources yet".to_owned(),
            givers => format!("one of {}", listed(givers)),
        }
    }

    /// Sources, transforms and roles with an output.
    fn givers(&self) -> impl Iterator<Item = &Field<'a>> {
        let gives = |(kind, field): &&(Kind, Field)| match kind {
            Kind::Source | Kind::Transform => true,
            Kind::Sink => false,
            Kind::Role => answers(*kind, field),
        };
        self.0.iter().filter(gives).map(|(_, field)| field)
    }

    fn of_kind(&self, kind: Kind, name: &str) -> Option<&Field<'a>> {
        let mut fields = self.0.iter().filter(|(other, _)| *other == kind);
        let (_, field) = fields.find(|(_, field)| field.name == name)?;
        Some(field)
    }

    fn check_unique(&self, findings: &mut Findings) {
        let shares = |(kind, field): &&(Kind, Field)| *kind != Kind::Role || answers(*kind, field);
        let sharing: Vec<_> = self.0.iter().filter(shares).collect();
        for (index, (kind, field)) in sharing.iter().enumerate() {
            let namesake = |(_, other): &&&(Kind, Field)| other.name == field.name;
            if let Some((other, first)) = sharing[..index].iter().find(namesake) {
                let message = format!(
                    "the {} `{}` has the name of the {} `{}`",
                    kind.word(),
                    field.path,
                    other.word(),
                    first.path
                );
                let hint = match kind {
                    Kind::Role => {
                        "rename one of them; a role with an `output` shares its name with sources, transforms and sinks"
                    }
                    _ => "rename one of them; sources, transforms and sinks share their names",
                };
                let problem = Diagnostic::error(code::DUPLICATE_KEY, "", message);
                field.report_at_key(problem.with_hint(hint), findings);
            }
        }
    }

    /// Reports a dataflow whose rows go nowhere.
    fn check_use(&self, root: &Section, findings: &mut Findings) {
        let is_fed = |role: Field| role.table().is_some_and(|role| role.has("input"));
        let has_sinks = self.0.iter().any(|(kind, _)| *kind == Kind::Sink);
        let is_mistaken = root
            .field("sinks")
            .is_some_and(|field| field.table().is_none());
        if has_sinks || is_mistaken || root.fields_of("roles").into_iter().any(is_fed) {
            return;
        }
        if let Some(field) = self.first_relation() {
            let message =
                "the dataflow feeds neither a sink nor a role, so nothing would come of it";
            let hint = "add `[sinks.NAME]` with an `input`, or give a role an `input`";
            field.error(code::NO_SINKS, message, hint, findings);
        }
    }

    /// Reports operators that feed each other in a circle; queries are not looked into.
    fn check_circles(&self, transforms: &[Transform], findings: &mut Findings) {
        let mut told: Vec<&str> = Vec::new();
        for transform in transforms {
            let Some(circle) = circle(transforms, &transform.name) else {
                continue;
            };
            if circle.iter().any(|name| told.contains(name)) {
                continue;
            }
            let feeders = circle[1..].iter().chain(&circle[..1]);
            let way: Vec<_> = feeders.map(|name| format!("fed by `{name}`")).collect();
            let way = way.join(", which is ");
            let message = format!("the transform `{}` is {way}", circle[0]);
            let hint = "give one of the circle another `input`";
            if let Some(field) = self.input_field(&transform.name) {
                field.error(code::CYCLE, message, hint, findings);
            }
            told.extend(circle);
        }
    }

    fn input_field(&self, transform: &str) -> Option<Field<'a>> {
        let field = self.of_kind(Kind::Transform, transform)?;
        field.table()?.field("input")
    }
}

fn input_of(taker: &Field) -> Option<String> {
    let input = taker.table()?.field("input")?;
    input.text(&mut Findings::default())
}

/// Whether it is a role whose nodes answer rows, or mean to.
fn answers(kind: Kind, field: &Field) -> bool {
    kind == Kind::Role && field.table().is_some_and(|role| role.has("output"))
}

/// The way from this transform over the inputs of operators back to itself.
fn circle<'a>(transforms: &'a [Transform], start: &'a str) -> Option<Vec<&'a str>> {
    let mut way = vec![start];
    while way.len() <= transforms.len() {
        let last = *way.last()?;
        let transform = transforms.iter().find(|transform| transform.name == last)?;
        let TransformKind::Operator(operator) = &transform.kind else {
            return None;
        };
        if operator.input == start {
            return Some(way);
        }
        way.push(&operator.input);
    }
    None
}
