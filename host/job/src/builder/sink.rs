//! A sink.

use toml_edit::Value;

use super::entry::Entry;
use super::format::set_format;
use crate::model::{FileFormat, Sink, Target};

/// A sink of a job under construction: files (`path`), standard output or nowhere. What is not set has the default of the job file.
#[derive(Clone, Debug)]
#[must_use]
pub struct SinkBuilder {
    entry: Entry,
}

impl SinkBuilder {
    /// A sink of this name.
    pub fn new(name: &str) -> Self {
        Self {
            entry: Entry::new(name),
        }
    }

    /// The source, transform or role with an output that it takes all rows of.
    pub fn input(self, name: &str) -> Self {
        self.set("input", name)
    }

    /// Writes a file, a folder that gets a file of each task, or a URL. A relative path is relative to the job's folder.
    pub fn path(self, path: &str) -> Self {
        self.set("path", path)
    }

    /// Writes to standard output.
    pub fn stdout(self) -> Self {
        self.set("to", "stdout")
    }

    /// Counts rows and forgets them.
    pub fn blackhole(self) -> Self {
        self.set("to", "blackhole")
    }

    /// What is written. Default: what the path tells; JSON lines on standard output.
    pub fn format(mut self, format: &FileFormat) -> Self {
        set_format(&mut self.entry, format);
        self
    }

    /// Replaces files that are there. Default: they are refused.
    pub fn overwrite(self) -> Self {
        self.set("overwrite", true)
    }

    /// Tasks that write. Default: 1 into one file or to standard output, else as many as feed it.
    pub fn parallelism(self, tasks: u32) -> Self {
        self.set("parallelism", i64::from(tasks))
    }

    fn set(mut self, key: &str, content: impl Into<Value>) -> Self {
        self.entry.set(key, content);
        self
    }

    /// A job file of nothing but this sink.
    pub(super) fn to_toml(&self) -> String {
        self.entry.to_toml("sinks")
    }
}

pub(super) fn sink_builder(sink: &Sink) -> SinkBuilder {
    let mut builder = SinkBuilder::new(&sink.name).input(&sink.input);
    builder = match &sink.target {
        Target::Files(files) => {
            let builder = builder.path(&files.path).format(&files.format);
            if files.overwrite {
                builder.overwrite()
            } else {
                builder
            }
        }
        Target::Stdout(format) => builder.stdout().format(format),
        Target::Blackhole => builder.blackhole(),
    };
    match sink.parallelism {
        Some(tasks) => builder.parallelism(tasks),
        None => builder,
    }
}
