//! `forebay sql`

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_cast::display::FormatOptions;
use arrow_cast::pretty::pretty_format_batches_with_options;
use async_trait::async_trait;
use clap::{Args, ValueEnum};
use forebay_connectors::{
    Access, CsvOptions, FileSource, FileSourceOptions, Format, Malformed, SinkConnector,
    SourceConnector, WriterSink, add_sink, add_source,
};
use forebay_dataflow::{Cause, Exchange, Graph, Operator, Options, Output, Stream, TaskContext};
use forebay_sql::{Lineage, Query, Relation, Relations, Resources};
use tokio::runtime::Handle;

use crate::dataflow::cause_of;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{print, tell, written};
use crate::text::{count, neutral};

/// Runs a query over files and prints its rows
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay sql --source flights=flights.csv --null NA \"SELECT origin, avg(dep_delay) FROM flights GROUP BY origin\"\n\nThe format of a file is told by its name: .csv, .tsv, .jsonl, .parquet, .arrow; text may end in .gz or .zst."
)]
pub(crate) struct Sql {
    /// The query; `-`: standard input
    query: String,
    /// A file, a pattern of files, or a folder (with a `/` at its end), and what the query calls it; may be given more than once
    #[arg(long = "source", value_name = "NAME=PATH", value_parser = named)]
    sources: Vec<Named>,
    /// A text of CSV files that means null, beside the empty one; may be given more than once
    #[arg(long = "null", value_name = "TEXT")]
    nulls: Vec<String>,
    /// Leave out up to so many rows of each source that cannot be read, instead of failing
    #[arg(long, value_name = "ROWS")]
    skip_malformed: Option<u64>,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t)]
    format: Form,
    /// The most rows of a table that are shown; 0: all
    #[arg(long, value_name = "NUMBER", default_value_t = 40)]
    rows: usize,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table, for people.
    #[default]
    Table,
    /// CSV with a header.
    Csv,
    /// One JSON object a line.
    Json,
}

#[derive(Clone, Debug)]
struct Named {
    name: String,
    path: String,
}

fn named(text: &str) -> Result<Named, String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok(Named {
            name: name.to_owned(),
            path: path.to_owned(),
        }),
        _ => Err("give NAME=PATH, such as flights=data/flights.csv".to_owned()),
    }
}

impl Sql {
    pub(crate) async fn execute(self) -> Result<Exit, Failure> {
        let access = Access::new(".", Handle::current());
        let sql = self.text()?;
        let mut sources = BTreeMap::new();
        for source in &self.sources {
            let prepared = prepare(self.options(source)?, &access).await?;
            if sources.insert(source.name.clone(), prepared).is_some() {
                let twice = format!("two sources are called `{}`", source.name);
                return Err(Failure::input(twice).with_hint("give one of them another name"));
            }
        }
        let relations = sources
            .iter()
            .map(|(name, source)| (name.clone(), bounded(source)));
        let relations: Relations = relations.collect();
        let query = forebay_sql::plan(&sql, &relations).map_err(|error| explained(&error))?;
        let mut read = Vec::new();
        for (name, columns) in query.reads() {
            let columns: Vec<String> = columns.iter().cloned().collect();
            let narrow = sources[name].with_columns(&columns);
            let narrow = narrow.map_err(|error| Failure::from_input(&error))?;
            read.push((name.clone(), narrow));
        }
        let answer = Answer::new(self.rows);
        let graph = self.graph(&query, &read, &answer)?;
        let running = tokio::task::spawn_blocking(move || graph.start(&Options::default())?.wait());
        let ended = running
            .await
            .map_err(|error| Failure::engine("the query has panicked").caused_by(Some(&error)))?;
        for (name, source) in &read {
            tell_malformed(name, source);
        }
        match ended {
            Ok(_) => written(self.show(&query, &answer)),
            // Nobody reads any more.
            Err(error)
                if matches!(
                    cause_of(&error),
                    Some(forebay_connectors::Error::OutputClosed)
                ) =>
            {
                Ok(Exit::Done)
            }
            Err(error) => Err(failed(&error)),
        }
    }

    fn text(&self) -> Result<String, Failure> {
        if self.query != "-" {
            return Ok(self.query.clone());
        }
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| {
                Failure::input("cannot read the query from standard input").caused_by(Some(&error))
            })?;
        Ok(text)
    }

    fn options(&self, source: &Named) -> Result<FileSourceOptions, Failure> {
        let mut options = FileSourceOptions::new(&source.path);
        if let Some(limit) = self.skip_malformed {
            options.malformed = Malformed::Skip { limit };
        }
        if !self.nulls.is_empty() {
            let (mut format, _) = Format::of_name(&source.path).map_err(|_| {
                let path = neutral(&source.path);
                Failure::input(format!("`--null` wants to know the format of `{path}`"))
                    .with_hint("give a pattern with the ends of names, such as `data/*.csv`")
            })?;
            if let Format::Csv(CsvOptions { null_values, .. }) = &mut format {
                null_values.extend(self.nulls.iter().cloned());
                options.format = Some(format);
            }
        }
        Ok(options)
    }

    fn graph(
        &self,
        query: &Query,
        sources: &[(String, FileSource)],
        answer: &Answer,
    ) -> Result<Graph, Failure> {
        let mut graph = Graph::new();
        let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
        for (name, source) in sources {
            // One task: rows stay in the order of the file.
            let stream = add_source(&mut graph, name, 1, None, source.clone())
                .map_err(|error| Failure::from_engine(&error))?;
            streams.insert(name.clone(), stream);
        }
        let resources = Resources {
            runtime: Handle::current(),
            memory: None,
            spill: None,
        };
        let rows = query
            .build(&mut graph, "query", &streams, 1, &resources)
            .map_err(|error| Failure::from_engine(&error))?;
        let input = (&rows, Exchange::Forward);
        let text = |format| {
            WriterSink::stdout(&format, query.schema(), Handle::current())
                .map_err(|error| Failure::from_input(&error))
        };
        let added = match self.format {
            Form::Table => add_sink(&mut graph, "answer", 1, input, answer.clone()),
            Form::Csv => {
                let sink = text(Format::Csv(CsvOptions::default()))?;
                add_sink(&mut graph, "answer", 1, input, sink)
            }
            Form::Json => add_sink(&mut graph, "answer", 1, input, text(Format::JsonLines)?),
        };
        added.map_err(|error| Failure::from_engine(&error))?;
        Ok(graph)
    }

    fn show(&self, query: &Query, answer: &Answer) -> std::io::Result<()> {
        if self.format != Form::Table {
            return Ok(());
        }
        let answer = answer.lock();
        let empty = [RecordBatch::new_empty(query.schema().clone())];
        let batches = if answer.batches.is_empty() {
            &empty[..]
        } else {
            &answer.batches
        };
        let options = FormatOptions::default().with_null("NULL");
        let table =
            pretty_format_batches_with_options(batches, &options).map_err(std::io::Error::other)?;
        print(&format!("{}\n", tidied(&table.to_string())))?;
        let hidden = answer.rows - answer.shown;
        if hidden > 0 {
            let more = count(hidden, "more row");
            return tell(&format!("{more}; --rows 0 shows all"));
        }
        Ok(())
    }
}

/// Without what a terminal would obey.
fn tidied(table: &str) -> String {
    table.lines().map(neutral).collect::<Vec<_>>().join("\n")
}

async fn prepare(options: FileSourceOptions, access: &Access) -> Result<FileSource, Failure> {
    FileSource::prepare(options, access)
        .await
        .map_err(|error| Failure::from_input(&error))
}

fn bounded(source: &FileSource) -> Relation {
    Relation {
        schema: source.schema(),
        event_time: None,
        is_bounded: true,
        bytes: Some(source.bytes()),
        lineage: Lineage::default(),
    }
}

fn explained(error: &forebay_sql::Error) -> Failure {
    let place = error.place.map(|place| {
        format!(
            " (line {}, column {} of the query)",
            place.line, place.column
        )
    });
    let message = format!("{error}{}", place.unwrap_or_default());
    Failure::input(message).hinted(error.hint.as_ref())
}

fn tell_malformed(name: &str, source: &FileSource) {
    let rows = source.malformed_rows();
    // Nobody may be there to read it.
    for row in &rows {
        let _ = tell(&format!("{name}: left out {}", neutral(&row.to_string())));
    }
}

fn failed(error: &forebay_dataflow::Error) -> Failure {
    use forebay_connectors::Error::{Malformed, TooManyMalformed};
    let hint = match cause_of(error) {
        Some(Malformed(_)) => Some("mend the row, or leave it out with `--skip-malformed ROWS`"),
        Some(TooManyMalformed { .. }) => Some("mend the rows, or allow more of them"),
        _ => forebay_sql::hint_of(error),
    };
    Failure::from_input(error).hinted(hint)
}

/// The first rows that come, and how many there are.
#[derive(Clone)]
struct Answer {
    collected: Arc<Mutex<Collected>>,
    most: usize,
}

#[derive(Default)]
struct Collected {
    batches: Vec<RecordBatch>,
    shown: usize,
    rows: usize,
}

impl Answer {
    fn new(rows: usize) -> Self {
        Self {
            collected: Arc::default(),
            most: if rows == 0 { usize::MAX } else { rows },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Collected> {
        self.collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl SinkConnector for Answer {
    fn open(&self, _: TaskContext) -> Result<Box<dyn Operator>, Cause> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Operator for Answer {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        let mut collected = self.lock();
        let room = (self.most - collected.shown).min(batch.num_rows());
        collected.rows += batch.num_rows();
        collected.shown += room;
        if room > 0 {
            collected.batches.push(batch.slice(0, room));
        }
        Ok(())
    }
}
