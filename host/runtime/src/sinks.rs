//! Sinks: files, standard output, and nothing.

use std::path::Path;

use arrow_schema::SchemaRef;
use forebay_connectors::{
    Access, Blackhole, CsvOptions, FileSink, FileSinkOptions, Format, WriterSink, add_sink,
};
use forebay_dataflow::{Cause, Graph, Stream};
use forebay_job as job;
use forebay_job::{FileFormat, FormatKind, SinkFiles, Target};
use tokio::runtime::Handle;

use crate::problem::{Problem, code, problem};
use crate::sources::{count, format_of};
use crate::transforms::dealt;

/// A sink that can be written.
pub(crate) struct Sink {
    name: String,
    pub(crate) input: String,
    /// `None`: as many tasks as feed it.
    parallelism: Option<usize>,
    kind: Kind,
}

enum Kind {
    Files(Box<FileSink>),
    Stdout(Format, Handle),
    Blackhole,
}

/// Where sinks write, and whether that is this run's own.
pub(crate) struct Writing<'a> {
    pub(crate) access: &'a Access,
    pub(crate) runtime: &'a Handle,
    /// What is there was written by an earlier attempt of this run.
    pub(crate) replaces_output: bool,
}

/// Looks at the place of a sink, which is fed these columns by so many tasks.
pub(crate) async fn prepare(
    sink: &job::Sink,
    schema: &SchemaRef,
    input_tasks: usize,
    writing: &Writing<'_>,
) -> Result<Sink, Problem> {
    let key = format!("sinks.{}", sink.name);
    let parallelism = parallelism(sink);
    let kind = match &sink.target {
        Target::Files(files) => {
            let tasks = parallelism.unwrap_or(input_tasks);
            let prepared = prepare_files(files, schema, tasks, writing).await;
            prepared.map(|files| Kind::Files(Box::new(files)))
        }
        Target::Stdout(format) => stdout_format(format, schema, writing.runtime)
            .map(|format| Kind::Stdout(format, writing.runtime.clone())),
        Target::Blackhole => Ok(Kind::Blackhole),
    };
    let kind = kind.map_err(|error| {
        let part = match sink.target {
            Target::Files(_) => "path",
            Target::Stdout(_) | Target::Blackhole => "to",
        };
        problem(code::SINK, format!("{key}.{part}"), &error, None)
    })?;
    Ok(Sink {
        name: sink.name.clone(),
        input: sink.input.clone(),
        parallelism,
        kind,
    })
}

/// One file, or the terminal, has one writer.
fn parallelism(sink: &job::Sink) -> Option<usize> {
    let stated = sink.parallelism.map(count);
    stated.or(match &sink.target {
        Target::Files(files) => Path::new(&files.path).extension().map(|_| 1),
        Target::Stdout(_) => Some(1),
        Target::Blackhole => None,
    })
}

async fn prepare_files(
    files: &SinkFiles,
    schema: &SchemaRef,
    tasks: usize,
    writing: &Writing<'_>,
) -> Result<FileSink, forebay_connectors::Error> {
    let mut options = FileSinkOptions::new(&files.path);
    options.overwrite = files.overwrite || writing.replaces_output;
    if files.format != FileFormat::default() {
        options.format = Some(sink_format(&files.path, &files.format)?);
    }
    FileSink::prepare(options, writing.access, schema.clone(), tasks).await
}

fn sink_format(path: &str, format: &FileFormat) -> Result<Format, forebay_connectors::Error> {
    let mut found = format_of(path, format)?;
    if let Format::Csv(CsvOptions { null_values, .. }) = &mut found
        && !format.null_values.is_empty()
    {
        null_values.clone_from(&format.null_values);
    }
    Ok(found)
}

fn stdout_format(
    format: &FileFormat,
    schema: &SchemaRef,
    runtime: &Handle,
) -> Result<Format, forebay_connectors::Error> {
    let stated = FileFormat {
        kind: format.kind.or(Some(FormatKind::Jsonl)),
        ..format.clone()
    };
    let found = sink_format("", &stated)?;
    WriterSink::stdout(&found, schema, runtime.clone())?;
    Ok(found)
}

impl Sink {
    /// Adds it to a graph.
    pub(crate) fn add(&self, graph: &mut Graph, input: &Stream) -> Result<(), Cause> {
        let tasks = self.parallelism.unwrap_or(input.parallelism());
        let fed = (input, dealt(input, tasks));
        match &self.kind {
            Kind::Files(files) => add_sink(graph, &self.name, tasks, fed, files.as_ref().clone()),
            Kind::Stdout(format, runtime) => {
                let sink = WriterSink::stdout(format, input.schema(), runtime.clone())?;
                add_sink(graph, &self.name, tasks, fed, sink)
            }
            Kind::Blackhole => add_sink(graph, &self.name, tasks, fed, Blackhole),
        }?;
        Ok(())
    }
}
