//! A role.

use toml_edit::{InlineTable, Item, Table, Value, value};

use super::entry::{Entry, list, set_duration, set_in, types_table};
use crate::files::default_files;
use crate::model::{Dealing, Feeding, Program, Role, RoleLimits, Tensor};
use crate::values::size_text;

/// A role of a job under construction. What is not set has the default of the job file.
#[derive(Clone, Debug)]
#[must_use]
pub struct RoleBuilder {
    entry: Entry,
}

impl RoleBuilder {
    /// A role of one node.
    pub fn new(name: &str) -> Self {
        Self {
            entry: Entry::new(name),
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
        set_in(&mut self.entry.table, "properties", name, text);
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
        set_in(&mut self.entry.table, "environment", name, text);
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
        let table = &mut self.entry.table;
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

    /// The source, transform or role with an output that feeds the nodes. Default: none, they read their data themselves.
    pub fn input(self, name: &str) -> Self {
        self.set("input", name)
    }

    /// Which node gets which rows. Default: batches of at most 1024 rows, to whoever has room.
    pub fn dealing(self, dealing: Dealing) -> Self {
        self.set("dealing", dealing_table(dealing))
    }

    /// How often bounded data is run over. Default: 1.
    pub fn passes(self, passes: u32) -> Self {
        self.set("passes", i64::from(passes))
    }

    /// What nodes see, by name, in this order. Default: the columns of the input.
    pub fn tensors<N: AsRef<str>>(
        mut self,
        tensors: impl IntoIterator<Item = (N, Tensor)>,
    ) -> Self {
        let mut table = Table::new();
        for (name, tensor) in tensors {
            table[name.as_ref()] = match tensor {
                Tensor::Matrix(columns) => value(list(columns)),
                Tensor::Column(column) => value(column),
            };
        }
        self.entry.table["tensors"] = Item::Table(table);
        self
    }

    /// The columns that nodes answer every row with, in this order, each with its type. Default: none.
    pub fn output<N: AsRef<str>, T: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        self.entry.table["output"] = Item::Table(types_table(columns));
        self
    }

    /// Bytes of shared memory for what a node is fed, from 16 KiB to 4 GiB, rounded up to a multiple of 4096. Default: 16 MiB.
    pub fn input_ring(self, bytes: u64) -> Self {
        self.set("input_ring", size_text(bytes))
    }

    /// Bytes of shared memory for what a node answers, with the same bounds. Default: 4 MiB.
    pub fn output_ring(self, bytes: u64) -> Self {
        self.set("output_ring", size_text(bytes))
    }

    fn set(mut self, key: &str, content: impl Into<Value>) -> Self {
        self.entry.set(key, content);
        self
    }

    fn set_list<S: Into<String>>(self, key: &str, texts: impl IntoIterator<Item = S>) -> Self {
        self.set(key, list(texts))
    }

    /// A job file of nothing but this role.
    pub(super) fn to_toml(&self) -> String {
        self.entry.to_toml("roles")
    }
}

/// `framework`: the node runner that the role gets when it names none.
pub(super) fn role_builder(role: &Role, framework: &str) -> RoleBuilder {
    let mut builder = RoleBuilder::new(&role.name).nodes(role.nodes);
    if (role.nodes_min, role.nodes_max) != (role.nodes, role.nodes) {
        builder = builder.nodes_between(role.nodes_min, role.nodes_max);
    }
    if role.plugin != framework {
        builder = builder.plugin(&role.plugin);
    }
    builder = with_program(builder, role);
    if let Some(input) = &role.input {
        builder = with_feeding(builder.input(input), &role.feeding);
    }
    for (name, text) in &role.properties {
        builder = builder.property(name, text);
    }
    for (name, text) in &role.environment {
        builder = builder.environment(name, text);
    }
    with_resources(builder, role).limits(&role.limits)
}

fn with_feeding(mut builder: RoleBuilder, feeding: &Feeding) -> RoleBuilder {
    let default = Feeding::default();
    if feeding.dealing != default.dealing {
        builder = builder.dealing(feeding.dealing.clone());
    }
    if feeding.passes != default.passes {
        builder = builder.passes(feeding.passes);
    }
    if !feeding.tensors.is_empty() {
        let tensors = feeding.tensors.iter().cloned();
        builder = builder.tensors(tensors);
    }
    if !feeding.output.is_empty() {
        let columns = feeding.output.iter().map(|(name, kind)| (name, kind));
        builder = builder.output(columns);
    }
    if feeding.input_ring_bytes != default.input_ring_bytes {
        builder = builder.input_ring(feeding.input_ring_bytes);
    }
    if feeding.output_ring_bytes != default.output_ring_bytes {
        builder = builder.output_ring(feeding.output_ring_bytes);
    }
    builder
}

/// `{ rounds = 256, pad = "weight" }`
fn dealing_table(dealing: Dealing) -> InlineTable {
    let mut table = InlineTable::new();
    match dealing {
        Dealing::Rounds { rows, pad } => {
            table.insert("rounds", i64::from(rows).into());
            if let Some(column) = pad {
                table.insert("pad", column.into());
            }
        }
        Dealing::Key { columns, rows } => {
            table.insert("key", list(columns).into());
            table.insert("rows", i64::from(rows).into());
        }
        Dealing::Credit { rows } => {
            table.insert("credit", i64::from(rows).into());
        }
    }
    table
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
