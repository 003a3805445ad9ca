//! A source goes on where it stood.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use fastrand::Rng;
use forebay_connectors::{
    FileSinkOptions, FileSource, FileSourceOptions, Malformed, SourceConnector,
};
use forebay_dataflow::{
    Cause, Exchange, Graph, Handle, Operator, Options, Output, Source, TaskContext,
};
use tempfile::{TempDir, tempdir};

use crate::support::{Kept, graph, lines, prepare, prepare_sink, runtime, whole, write};

/// Three files of one format, some rows of which are malformed where it is text.
fn files(extension: &str) -> TempDir {
    let folder = tempdir().unwrap();
    let mut rng = Rng::with_seed(5);
    let schema = crate::random::schema(&[DataType::Int64], &mut rng);
    let mut names = Vec::new();
    for file in 0..3 {
        let batches: Vec<_> =
            std::iter::repeat_with(|| crate::random::batches(&schema, false, &mut rng))
                .flatten()
                .filter(|batch| batch.num_rows() > 0)
                .take(4)
                .collect();
        let name = format!("{file}.{extension}");
        let sink = prepare_sink(folder.path(), FileSinkOptions::new(&name), &schema, 1).unwrap();
        write(&schema, batches, sink, 1).unwrap();
        names.push(folder.path().join(name));
    }
    if extension == "csv" || extension == "jsonl" {
        for name in names {
            let text = std::fs::read_to_string(&name).unwrap();
            let mut rows: Vec<_> = text.lines().collect();
            rows.insert(
                rows.len() / 2,
                "a bad row, without any sense, or an end,,,,,,,",
            );
            std::fs::write(name, rows.join("\n")).unwrap();
        }
    }
    folder
}

fn source(folder: &TempDir, extension: &str) -> FileSource {
    let options = FileSourceOptions {
        batch_rows: 7,
        malformed: Malformed::Skip { limit: 1000 },
        ..FileSourceOptions::new(format!("*.{extension}"))
    };
    prepare(folder.path(), options).unwrap()
}

/// Triggers a barrier with each batch that comes; knows how many batches came before the one that it went on behind.
#[derive(Clone, Default)]
struct Cutting(Kept, Arc<Mutex<Option<Handle>>>, Arc<Mutex<u64>>);

struct CuttingTask(Box<dyn Operator>, Cutting, u64);

impl forebay_connectors::SinkConnector for Cutting {
    fn open(&self, context: TaskContext) -> Result<Box<dyn Operator>, Cause> {
        let inner = self.0.open(context)?;
        Ok(Box::new(CuttingTask(inner, self.clone(), 0)))
    }
}

#[async_trait::async_trait]
impl Operator for CuttingTask {
    async fn process(
        &mut self,
        input: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        self.2 += 1;
        if let Some(handle) = &*self.1.1.lock().unwrap() {
            handle.trigger(self.2);
        }
        self.0.process(input, batch, output).await
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(self.2.to_le_bytes().to_vec())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.2 = u64::from_le_bytes(state.try_into()?);
        *self.1.2.lock().unwrap() = self.2;
        Ok(())
    }
}

/// Runs to the end with a barrier behind each batch; then again from each of them.
fn check(extension: &str, event_time: &str) {
    let folder = files(extension);
    let cutting = Cutting::default();
    let graph_of = |cutting: &Cutting| {
        let source = source(&folder, extension).with_event_time(event_time);
        graph(source, cutting.clone(), 1, Exchange::Forward)
    };
    let first = graph_of(&cutting);
    let running = first.start(&Options::default()).unwrap();
    *cutting.1.lock().unwrap() = Some(running.handle());
    let handle = running.handle();
    running.wait().unwrap();
    let schema = source(&folder, extension).schema();
    let all = cutting.0.batches();
    assert!(all.len() > 8, "{} batches", all.len());
    let mut taken = 0;
    for barrier in 1..=all.len() as u64 {
        let Some(checkpoint) = handle.checkpoint(barrier) else {
            continue;
        };
        taken += 1;
        let rest = Cutting::default();
        let options = Options {
            checkpoint: Some(&checkpoint),
            ..Options::default()
        };
        let progress = graph_of(&rest).start(&options).unwrap().wait().unwrap();
        let before = usize::try_from(*rest.2.lock().unwrap()).unwrap();
        assert_eq!(
            lines(&whole(&schema, &rest.0.batches())),
            lines(&whole(&schema, &all[before..])),
            "{extension}, barrier {barrier}"
        );
        assert!(progress[0].rows_out > 0 || before == all.len());
    }
    assert!(taken > 3, "{taken} checkpoints");
}

#[test]
fn in_every_format() {
    for extension in ["csv", "jsonl", "parquet", "arrow", "arrows"] {
        check(extension, "none");
        // Rows are left out in all formats.
        check(extension, "c0");
    }
}

#[test]
fn tasks_share_the_files() {
    let folder = tempdir().unwrap();
    for file in 0..5 {
        std::fs::write(
            folder.path().join(format!("{file}.csv")),
            format!("n\n{file}\n"),
        )
        .unwrap();
    }
    let source = prepare(folder.path(), FileSourceOptions::new("*.csv")).unwrap();
    assert_eq!(source.tasks_max(), 5);
    assert!(source.bytes() > 0 && source.is_bounded());
    let read = |tasks| {
        let batches = crate::support::read(source.clone(), tasks).unwrap();
        lines(&whole(&source.schema(), &batches))
    };
    assert_eq!(read(1), ["0", "1", "2", "3", "4"]);
    assert_eq!(read(2), ["0", "2", "4", "1", "3"]);
    assert_eq!(read(7), ["0", "1", "2", "3", "4"]);
}

/// One task of a source; a graph lends its context.
fn open(source: FileSource) -> Box<dyn Source> {
    let opened = Arc::new(Mutex::new(None));
    let keep = opened.clone();
    let mut graph = Graph::new();
    let schema = source.schema();
    let made = graph.source("source", 1, schema, None, move |context| {
        *keep.lock().unwrap() = Some(source.open(context)?);
        Err::<Box<dyn Source>, _>("only to get a context".into())
    });
    made.unwrap();
    assert!(graph.start(&Options::default()).is_err());
    opened.lock().unwrap().take().unwrap()
}

fn next(source: &mut Box<dyn Source>) -> Result<Option<RecordBatch>, Cause> {
    runtime().block_on(poll_fn(|context| source.poll_next(context)))
}

#[test]
fn a_file_that_has_changed_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, "n\n1\n2\n").unwrap();
    let task = || open(prepare(folder.path(), FileSourceOptions::new("rows.csv")).unwrap());
    let mut before = task();
    let state = before.snapshot().unwrap();
    assert!(next(&mut before).unwrap().is_some());
    let later = before.snapshot().unwrap();
    assert_ne!(state, later);
    task().restore(&later).unwrap();
    std::fs::write(&path, "n\n1\n2\n3\n").unwrap();
    let error = task().restore(&later).unwrap_err();
    let expected = "cannot go on in `rows.csv`: it has 8 bytes now, and had 6";
    assert_eq!(error.to_string(), expected);
    let error = task().restore(b"nonsense").unwrap_err();
    assert_eq!(error.to_string(), "it is no position in files");
}

#[test]
fn rows_that_were_left_out_before_count_for_the_limit() {
    let folder = tempdir().unwrap();
    for name in ["1.csv", "2.csv"] {
        std::fs::write(folder.path().join(name), "n,m\n1,1\n1\n1,1\n").unwrap();
    }
    let task = || {
        let options = FileSourceOptions {
            malformed: Malformed::Skip { limit: 1 },
            batch_rows: 1,
            ..FileSourceOptions::new("*.csv")
        };
        open(prepare(folder.path(), options).unwrap())
    };
    let mut first = task();
    for _ in 0..3 {
        assert!(next(&mut first).unwrap().is_some());
    }
    let state = first.snapshot().unwrap();
    let mut second = task();
    second.restore(&state).unwrap();
    for task in [&mut first, &mut second] {
        let error = next(task).unwrap_err().to_string();
        let expected = "more than 1 malformed rows; the next one is 2.csv, line 3: it has 1 fields instead of 2";
        assert_eq!(error, expected);
    }
}
