//! The job file, written by a program. A builder holds nothing but TOML: what it builds goes through the same parser
//! and the same checks as a file.

use std::path::PathBuf;
use std::time::Duration;

use toml_edit::{Array, DocumentMut, Item, Table, Value, value};

use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::files::default_files;
use crate::model::{
    Guarantee, Job, JobLimits, Manager, Program, Role, RoleLimits, STANDARD_RUNNER,
};
use crate::values::{duration_text, size_text};

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
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct JobBuilder {
    top: DocumentMut,
    /// In this order, each with its text; two of one name are found by the parser.
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

    /// Adds a role after the others.
    pub fn add_role(mut self, role: RoleBuilder) -> Self {
        self.roles.push(role);
        self
    }

    /// The job file that describes this, valid or not.
    pub fn to_toml(&self) -> String {
        let roles = self.roles.iter().map(RoleBuilder::to_toml);
        std::iter::once(self.top.to_string()).chain(roles).collect()
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

/// A role of a job under construction. What is not set has the default of the job file.
#[derive(Clone, Debug)]
#[must_use]
pub struct RoleBuilder {
    name: String,
    table: Table,
}

impl RoleBuilder {
    /// A role of one node.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            table: Table::new(),
        }
    }

    /// Nodes wanted at the start.
    pub fn nodes(self, nodes: u32) -> Self {
        self.set("nodes", i64::from(nodes))
    }

    /// The fewest and the most nodes that the role may have.
    pub fn nodes_between(self, least: u32, most: u32) -> Self {
        self.set("nodes_min", i64::from(least))
            .set("nodes_max", i64::from(most))
    }

    /// The node runner, by name or path.
    pub fn plugin(self, plugin: &str) -> Self {
        self.set("plugin", plugin)
    }

    /// Sets a property of the role.
    pub fn property(mut self, name: &str, text: &str) -> Self {
        set_in(&mut self.table, "properties", name, text);
        self
    }

    /// Runs a Python script, relative to the job's folder.
    pub fn script(self, path: &str) -> Self {
        self.set("script", path)
    }

    /// Runs any program with its arguments, without a shell.
    pub fn command<S: Into<String>>(self, words: impl IntoIterator<Item = S>) -> Self {
        self.set_list("command", words)
    }

    /// The Python environment, by name, or the path of a Python.
    pub fn python(self, environment: &str) -> Self {
        self.set("python", environment)
    }

    /// Appended to the program's own arguments.
    pub fn arguments<S: Into<String>>(self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.set_list("arguments", arguments)
    }

    /// Sets an environment variable of the nodes.
    pub fn environment(mut self, name: &str, text: &str) -> Self {
        set_in(&mut self.table, "environment", name, text);
        self
    }

    /// Patterns of the files that travel with the role, instead of `*.py` beside the script.
    pub fn files<S: Into<String>>(self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.set_list("files", patterns)
    }

    /// Processor cores that one node takes.
    pub fn cores(self, cores: u32) -> Self {
        self.set("cores", i64::from(cores))
    }

    /// Bytes of main memory that one node takes.
    pub fn memory_bytes(self, bytes: u64) -> Self {
        self.set("memory", size_text(bytes))
    }

    /// GPUs that one node takes.
    pub fn gpus(self, gpus: u32) -> Self {
        self.set("gpus", i64::from(gpus))
    }

    /// Limits of one node; those that are the default are left out.
    pub fn limits(mut self, limits: &RoleLimits) -> Self {
        let default = RoleLimits::default();
        let table = &mut self.table;
        set_duration(
            table,
            "start_within",
            limits.start_within,
            default.start_within,
        );
        set_duration(
            table,
            "report_within",
            limits.report_within,
            default.report_within,
        );
        set_duration(
            table,
            "respond_within",
            limits.respond_within,
            default.respond_within,
        );
        set_duration(
            table,
            "attach_within",
            limits.attach_within,
            default.attach_within,
        );
        set_duration(
            table,
            "linger_within",
            limits.linger_within,
            default.linger_within,
        );
        set_duration(table, "stall_kill", limits.stall_kill, default.stall_kill);
        set_duration(table, "stop_grace", limits.stop_grace, default.stop_grace);
        if limits.log_bytes != default.log_bytes {
            set_in(table, "limits", "log_bytes", &size_text(limits.log_bytes));
        }
        self
    }

    fn set(mut self, key: &str, content: impl Into<Value>) -> Self {
        self.table[key] = value(content);
        self
    }

    fn set_list<S: Into<String>>(self, key: &str, texts: impl IntoIterator<Item = S>) -> Self {
        self.set(key, texts.into_iter().map(Into::into).collect::<Array>())
    }

    /// A job file of nothing but this role.
    fn to_toml(&self) -> String {
        let mut roles = Table::new();
        roles.set_implicit(true);
        let mut role = self.table.clone();
        role.decor_mut().set_prefix("\n");
        roles.insert(&self.name, Item::Table(role));
        let mut document = DocumentMut::new();
        document.insert("roles", Item::Table(roles));
        document.to_string()
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
        let framework = job.framework.as_deref().unwrap_or(STANDARD_RUNNER);
        job.roles.iter().fold(builder, |builder, role| {
            builder.add_role(role_builder(role, framework))
        })
    }
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

/// `framework`: the node runner that the role gets when it names none.
fn role_builder(role: &Role, framework: &str) -> RoleBuilder {
    let mut builder = RoleBuilder::new(&role.name).nodes(role.nodes);
    if (role.nodes_min, role.nodes_max) != (role.nodes, role.nodes) {
        builder = builder.nodes_between(role.nodes_min, role.nodes_max);
    }
    if role.plugin != framework {
        builder = builder.plugin(&role.plugin);
    }
    builder = with_program(builder, role);
    for (name, text) in &role.properties {
        builder = builder.property(name, text);
    }
    for (name, text) in &role.environment {
        builder = builder.environment(name, text);
    }
    with_resources(builder, role).limits(&role.limits)
}

fn with_program(mut builder: RoleBuilder, role: &Role) -> RoleBuilder {
    builder = match &role.program {
        Program::Script(path) => builder.script(&path.to_string_lossy()),
        Program::Command(words) => builder.command(words),
        Program::Plugin => builder,
    };
    if let Some(environment) = &role.interpreter {
        builder = builder.python(environment);
    }
    if !role.arguments.is_empty() {
        builder = builder.arguments(&role.arguments);
    }
    if role.files != default_files(&role.program) {
        builder = builder.files(&role.files);
    }
    builder
}

fn with_resources(mut builder: RoleBuilder, role: &Role) -> RoleBuilder {
    if let Some(cores) = role.resources.cores {
        builder = builder.cores(cores);
    }
    if let Some(bytes) = role.resources.memory_bytes {
        builder = builder.memory_bytes(bytes);
    }
    if role.resources.gpus > 0 {
        builder = builder.gpus(role.resources.gpus);
    }
    builder
}

/// Sets `outer.name`.
fn set_in(table: &mut Table, outer: &str, name: &str, text: &str) {
    let inner = table.entry(outer).or_insert_with(toml_edit::table);
    inner[name] = value(text);
}

fn set_duration(table: &mut Table, name: &str, limit: Duration, default: Duration) {
    if limit != default {
        set_in(table, "limits", name, &duration_text(limit));
    }
}
