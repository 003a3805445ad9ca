//! The job file, written by a program. A builder holds nothing but TOML: what it builds goes through the same parser
//! and the same checks as a file.

mod entry;
mod format;
mod json;
mod role;
mod sink;
mod source;
mod transform;

use std::path::PathBuf;

use toml_edit::{DocumentMut, Item, Table, Value, value};

use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::model::{
    Dataflow, DataflowSettings, Guarantee, Job, JobLimits, Manager, STANDARD_RUNNER,
};
use crate::values::size_text;
use entry::{set_duration, set_in};
use role::role_builder;
use sink::sink_builder;
use source::source_builder;
use transform::transform_builder;

pub use role::RoleBuilder;
pub use sink::SinkBuilder;
pub use source::SourceBuilder;
pub use transform::TransformBuilder;

/// Makes a [`Job`].
///
/// ```
/// use forebay_job::{JobBuilder, RoleBuilder};
///
/// let job = JobBuilder::new("greeting")
///     .add_role(RoleBuilder::new("a").nodes(2).command(["echo", "hello"]))
///     .build()
///     .expect("the job is valid");
/// assert_eq!(job.roles[0].nodes, 2);
/// ```
///
/// With a dataflow, and without roles:
///
/// ```
/// use forebay_job::{JobBuilder, SinkBuilder, SourceBuilder, TransformBuilder};
///
/// let job = JobBuilder::new("late-flights")
///     .add_source(SourceBuilder::new("flights").path("data/flights.csv"))
///     .add_transform(TransformBuilder::new("late").sql("SELECT * FROM flights WHERE arr_delay > 15"))
///     .add_sink(SinkBuilder::new("out").input("late").path("late.parquet"))
///     .build()
///     .expect("the job is valid");
/// assert_eq!(job.dataflow.sinks[0].input, "late");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct JobBuilder {
    top: DocumentMut,
    /// Each in this order; two of one name are found by the parser.
    sources: Vec<SourceBuilder>,
    transforms: Vec<TransformBuilder>,
    sinks: Vec<SinkBuilder>,
    roles: Vec<RoleBuilder>,
    base: PathBuf,
}

impl JobBuilder {
    /// A job with this name, no roles, and paths relative to the working folder.
    pub fn new(name: &str) -> Self {
        let mut builder = Self::default();
        builder.top["name"] = value(name);
        builder
    }

    /// The folder that the job's paths are relative to. Not part of the TOML text.
    pub fn base(mut self, folder: impl Into<PathBuf>) -> Self {
        self.base = folder.into();
        self
    }

    /// The node runner of every role that names no other.
    pub fn framework(mut self, plugin: &str) -> Self {
        self.top["framework"] = value(plugin);
        self
    }

    /// What a failure may cost. Default: [`Guarantee::None`].
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.top["guarantee"] = value(match guarantee {
            Guarantee::None => "none",
            Guarantee::AtLeastOnce => "at-least-once",
            Guarantee::ExactlyOnce => "exactly-once",
        });
        self
    }

    /// Sets a property of the job.
    pub fn property(mut self, name: &str, text: &str) -> Self {
        set_in(self.top.as_table_mut(), "properties", name, text);
        self
    }

    /// Limits of the job as a whole; those that are the default are left out.
    pub fn limits(mut self, limits: &JobLimits) -> Self {
        let default = JobLimits::default();
        let table = self.top.as_table_mut();
        set_duration(
            table,
            "place_within",
            limits.place_within,
            default.place_within,
        );
        set_duration(
            table,
            "stop_within",
            limits.stop_within,
            default.stop_within,
        );
        set_duration(
            table,
            "orphan_grace",
            limits.orphan_grace,
            default.orphan_grace,
        );
        set_duration(
            table,
            "agent_lost_after",
            limits.agent_lost_after,
            default.agent_lost_after,
        );
        set_duration(
            table,
            "quarantine_grace",
            limits.quarantine_grace,
            default.quarantine_grace,
        );
        if limits.restarts != default.restarts {
            let inner = table.entry("limits").or_insert_with(toml_edit::table);
            inner["restarts"] = value(i64::from(limits.restarts));
        }
        self
    }

    /// Settles the application manager: whose state machine decides, and its properties.
    pub fn add_am_role(mut self, am: AmBuilder) -> Self {
        self.top["am"] = Item::Table(am.table);
        self
    }

    /// How the dataflow runs; what is the default is left out.
    pub fn dataflow(mut self, settings: &DataflowSettings) -> Self {
        let default = DataflowSettings::default();
        let mut set = |key: &str, content: Value| {
            let dataflow = self.top.entry("dataflow").or_insert_with(toml_edit::table);
            dataflow[key] = Item::Value(content);
        };
        if settings.parallelism != default.parallelism {
            set("parallelism", i64::from(settings.parallelism).into());
        }
        if let Some(threads) = settings.threads {
            set("threads", i64::from(threads).into());
        }
        if settings.memory_bytes != default.memory_bytes {
            set("memory", size_text(settings.memory_bytes).into());
        }
        if settings.queue_rows != default.queue_rows {
            set("queue_rows", i64::from(settings.queue_rows).into());
        }
        if settings.queue_bytes != default.queue_bytes {
            set("queue_bytes", size_text(settings.queue_bytes).into());
        }
        self
    }

    /// Adds a source after the others.
    pub fn add_source(mut self, source: SourceBuilder) -> Self {
        self.sources.push(source);
        self
    }

    /// Adds a transform after the others.
    pub fn add_transform(mut self, transform: TransformBuilder) -> Self {
        self.transforms.push(transform);
        self
    }

    /// Adds a sink after the others.
    pub fn add_sink(mut self, sink: SinkBuilder) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Adds a role after the others.
    pub fn add_role(mut self, role: RoleBuilder) -> Self {
        self.roles.push(role);
        self
    }

    /// The job file that describes this, valid or not.
    pub fn to_toml(&self) -> String {
        let top = std::iter::once(self.top.to_string());
        top.chain(self.sources.iter().map(SourceBuilder::to_toml))
            .chain(self.transforms.iter().map(TransformBuilder::to_toml))
            .chain(self.sinks.iter().map(SinkBuilder::to_toml))
            .chain(self.roles.iter().map(RoleBuilder::to_toml))
            .collect()
    }

    /// The job, or every problem of it. Locations are places in [`JobBuilder::to_toml`].
    pub fn build(&self) -> Result<Job, Vec<Diagnostic>> {
        let document = Document::parse(self.to_toml(), "<builder>", &self.base);
        document.check().into_job().map(|(job, _warnings)| job)
    }
}

/// The application manager of a job under construction.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct AmBuilder {
    table: Table,
}

impl AmBuilder {
    /// The standard machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another state machine, by name or path.
    pub fn plugin(mut self, plugin: &str) -> Self {
        self.table["plugin"] = value(plugin);
        self
    }

    /// Sets a property of the state machine.
    pub fn property(mut self, name: &str, text: &str) -> Self {
        set_in(&mut self.table, "properties", name, text);
        self
    }
}

impl Job {
    /// A job file that describes this job; defaults are left out. Parsed with the same base it gives an equal job.
    pub fn to_toml(&self) -> String {
        JobBuilder::from(self).to_toml()
    }
}

impl From<&Job> for JobBuilder {
    fn from(job: &Job) -> Self {
        let mut builder = Self::new(&job.name).base(&job.base).limits(&job.limits);
        if let Some(framework) = &job.framework {
            builder = builder.framework(framework);
        }
        if job.guarantee != Guarantee::default() {
            builder = builder.guarantee(job.guarantee);
        }
        if job.manager != Manager::default() {
            builder = builder.add_am_role(AmBuilder::from(&job.manager));
        }
        for (name, text) in &job.properties {
            builder = builder.property(name, text);
        }
        builder = with_dataflow(builder, &job.dataflow);
        let framework = job.framework.as_deref().unwrap_or(STANDARD_RUNNER);
        job.roles.iter().fold(builder, |builder, role| {
            builder.add_role(role_builder(role, framework))
        })
    }
}

fn with_dataflow(builder: JobBuilder, dataflow: &Dataflow) -> JobBuilder {
    let settings = &dataflow.settings;
    let sources = dataflow.sources.iter().map(source_builder);
    let builder = sources.fold(builder.dataflow(settings), JobBuilder::add_source);
    let transforms = dataflow.transforms.iter();
    let transforms = transforms.map(|made| transform_builder(made, settings.parallelism));
    let builder = transforms.fold(builder, JobBuilder::add_transform);
    let sinks = dataflow.sinks.iter().map(sink_builder);
    sinks.fold(builder, JobBuilder::add_sink)
}

impl From<&Manager> for AmBuilder {
    fn from(manager: &Manager) -> Self {
        let builder = manager
            .plugin
            .iter()
            .fold(Self::new(), |builder, plugin| builder.plugin(plugin));
        manager
            .properties
            .iter()
            .fold(builder, |builder, (name, text)| {
                builder.property(name, text)
            })
    }
}
