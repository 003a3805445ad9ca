//! Each way in which an operator fails, by its message.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use arrow_array::types::{Float32Type, Int32Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeListArray,
    Float32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, UInt64Array,
};
use arrow_schema::{DataType, Field};
use forebay_plugin::{BatchOperator, Limits, OperatorCall, OperatorFault};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{batch, faults, flights, open, shown};

/// Makes each call once, and says what became of the first that failed.
fn outcome(config: &str, rows: &RecordBatch, limits: Limits) -> String {
    let calls = |mut operator: BatchOperator| {
        operator.process(rows)?;
        operator.watermark(1)?;
        operator.snapshot()?;
        operator.end()
    };
    match open(&faults(limits), config, rows).and_then(calls) {
        Ok(_) => "valid".to_owned(),
        Err(error) => shown(&error),
    }
}

fn fault(name: &str) -> String {
    sized(name, 0, Limits::default())
}

fn sized(name: &str, size: usize, limits: Limits) -> String {
    let config = format!(r#"{{"fault": "{name}", "size": {size}}}"#);
    outcome(&config, &flights(), limits)
}

/// The same with one column alone.
fn of_column(name: &str, column: ArrayRef) -> String {
    let config = format!(r#"{{"fault": "{name}"}}"#);
    outcome(&config, &batch(vec![("x", column)]), Limits::default())
}

#[test]
fn it_behaves_without_a_fault() {
    assert_eq!(fault(""), "valid");
}

#[test]
fn a_trap_and_a_panic_are_named() {
    insta::assert_snapshot!(fault("trap"), @r"
    `process` of operator `mill` failed: it stopped in the middle: wasm trap: wasm `unreachable` instruction executed
    hint: this is a mistake of the operator: report it to its author
    ");
    let said = fault("panic");
    let begin = "`process` of operator `mill` failed: it panicked at tests/guests/operator-faults/src/lib.rs:";
    assert!(said.starts_with(begin), "{said}");
    assert!(
        said.contains(": the mill has no water\nhint: this is"),
        "{said}"
    );
}

#[test]
fn every_call_can_fail() {
    for call in ["open", "process", "watermark", "end", "snapshot"] {
        let config = format!(r#"{{"fault": "trap", "at": "{call}"}}"#);
        let said = outcome(&config, &flights(), Limits::default());
        let begin = format!("`{call}` of operator `mill` failed: it stopped in the middle");
        assert!(said.starts_with(&begin), "{said}");
    }
    let config = r#"{"fault": "trap", "at": "restore"}"#;
    let mut operator = open(&faults(Limits::default()), config, &flights()).unwrap();
    let error = operator.restore(&[]).unwrap_err();
    assert_eq!(error.call, OperatorCall::Restore);
    assert!(
        matches!(error.fault, OperatorFault::Trap { .. }),
        "{error:?}"
    );
}

#[test]
fn a_dead_instance_says_so() {
    let rows = flights();
    let mut operator = open(&faults(Limits::default()), r#"{"fault": "trap"}"#, &rows).unwrap();
    operator.process(&rows).unwrap_err();
    insta::assert_snapshot!(shown(&operator.process(&rows).unwrap_err()), @r"
    `process` of operator `mill` failed: it stopped in an earlier call (`process`) and cannot be called again
    hint: go on from the last checkpoint, or from the beginning
    ");
    let dead = OperatorFault::Dead(OperatorCall::Process);
    assert_eq!(operator.watermark(1).unwrap_err().fault, dead);
    assert_eq!(operator.end().unwrap_err().fault, dead);
    assert_eq!(operator.snapshot().unwrap_err().fault, dead);
}

#[test]
fn a_loop_runs_out_of_fuel() {
    let limits = Limits {
        fuel: 5_000_000,
        ..Limits::default()
    };
    insta::assert_snapshot!(sized("loop", 0, limits), @r"
    `process` of operator `mill` failed: it exceeds the limit `fuel` of 5000000
    hint: give it smaller batches; if it never ends, report it to its author
    ");
}

#[test]
fn a_loop_with_much_fuel_meets_the_deadline() {
    let limits = Limits {
        fuel: u64::MAX,
        deadline_ms: 200,
        ..Limits::default()
    };
    insta::assert_snapshot!(sized("loop", 0, limits), @r"
    `process` of operator `mill` failed: it exceeds the limit `deadline-ms` of 200
    hint: give it smaller batches; if it never ends, report it to its author
    ");
}

#[test]
fn every_call_has_its_own_fuel_and_time() {
    let limits = Limits {
        fuel: 1_000_000,
        deadline_ms: 100,
        ..Limits::default()
    };
    let rows = flights();
    let mut operator = open(&faults(limits), "", &rows).unwrap();
    let began = std::time::Instant::now();
    let mut calls = 0;
    // Longer than the deadline, and more than the fuel, all calls together.
    while calls < 1_000 || began.elapsed().as_millis() < 300 {
        operator.process(&rows).unwrap();
        calls += 1;
    }
}

/// Each runs on the thread that calls it.
#[test]
fn tasks_do_not_wait_for_each_other() {
    let limits = Limits {
        fuel: u64::MAX,
        deadline_ms: 2_000,
        ..Limits::default()
    };
    let component = faults(limits);
    let mut endless = open(&component, r#"{"fault": "loop"}"#, &flights()).unwrap();
    let mut quick = open(&component, "", &flights()).unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let waiting = thread::spawn(move || {
        begun.send(()).unwrap();
        endless.process(&flights()).unwrap_err()
    });
    begins.recv().unwrap();
    for _ in 0..10 {
        quick.process(&flights()).unwrap();
    }
    assert!(!waiting.is_finished());
    let error = waiting.join().unwrap();
    assert!(matches!(error.fault, OperatorFault::Limit(_)), "{error:?}");
}

#[test]
fn a_memory_bomb_is_named() {
    let limits = Limits {
        memory_bytes: 8 << 20,
        ..Limits::default()
    };
    let said = sized("memory", 1 << 30, limits);
    let begin = "`process` of operator `mill` failed: it exceeds the limit `memory-bytes` of 8388608: it asks for 10";
    assert!(said.starts_with(begin), "{said}");
    assert!(
        said.ends_with("\nhint: give it smaller batches, or let it keep less between calls"),
        "{said}"
    );
}

/// On a thread that has less stack than the guest may use: the call gets another one.
#[test]
fn endless_recursion_ends_the_call_and_not_the_process() {
    let component = faults(Limits::default());
    let deep = move || {
        let config = format!(r#"{{"fault": "recursion", "size": {}}}"#, usize::MAX >> 33);
        let mut operator = open(&component, &config, &flights()).unwrap();
        shown(&operator.process(&flights()).unwrap_err())
    };
    let small = thread::Builder::new().stack_size(256 << 10);
    let said = small.spawn(deep.clone()).unwrap().join().unwrap();
    insta::assert_snapshot!(said, @r"
    `process` of operator `mill` failed: it exceeds the limit `stack-bytes` of 524288
    hint: this is a mistake of the operator: report it to its author
    ");
    assert_eq!(said, deep());
}

#[test]
fn answers_are_limited() {
    let limits = Limits {
        output_bytes: 10_000,
        ..Limits::default()
    };
    assert_eq!(sized("output", 10, limits.clone()), "valid");
    insta::assert_snapshot!(sized("output", 100, limits), @r"
    `process` of operator `mill` failed: it exceeds the limit `output-bytes` of 10000
    hint: give it smaller batches, or let it answer in smaller ones
    ");
    let limits = Limits {
        operator_state_bytes: 10_000,
        ..Limits::default()
    };
    assert_eq!(sized("state", 10_000, limits.clone()), "valid");
    insta::assert_snapshot!(sized("state", 10_001, limits), @r"
    `snapshot` of operator `mill` failed: it exceeds the limit `operator-state-bytes` of 10000
    hint: let it keep less between calls
    ");
}

#[test]
fn a_refusal_names_column_and_row() {
    insta::assert_snapshot!(sized("refusal", 2, Limits::default()), @r"
    `process` of operator `mill` failed: column `wheel`, row 2 of the batch: the mill has no water (`no-water`)
    hint: mend the rows before the operator, or leave them out in a SQL transform
    ");
    let config = r#"{"fault": "refusal", "at": "open"}"#;
    insta::assert_snapshot!(outcome(config, &flights(), Limits::default()), @r"
    `open` of operator `mill` failed: column `wheel`, row 0 of the batch: the mill has no water (`no-water`)
    hint: mend the `config` of the operator, or the columns that it is given
    ");
    insta::assert_snapshot!(outcome(r#"{"fualt": "trap"}"#, &flights(), Limits::default()), @r"
    `open` of operator `mill` failed: its config is wrong: unknown field `fualt`, expected one of `fault`, `at`, `size`, `count`, `hold` at line 1 column 8 (`bad-config`)
    hint: mend the `config` of the operator, or the columns that it is given
    ");
    let limits = Limits {
        text_bytes: 9,
        ..Limits::default()
    };
    let said = sized("long-refusal", 1_000, limits);
    assert!(said.contains("failed: x x x x x (`long`)"), "{said}");
}

/// An operator that says no is still there.
#[test]
fn a_refusal_ends_no_instance() {
    let rows = flights();
    let mut operator = open(&faults(Limits::default()), r#"{"fault": "refusal"}"#, &rows).unwrap();
    operator.process(&rows).unwrap_err();
    operator.snapshot().unwrap();
}

#[test]
fn other_columns_than_announced() {
    insta::assert_snapshot!(fault("other-kind"), @r"
    `process` of operator `mill` failed: it changes its schema: column `origin` holds int32s, but `open` announced text
    hint: this is a mistake of the operator: report it to its author
    ");
    insta::assert_snapshot!(fault("fewer-columns"), @r"
    `process` of operator `mill` failed: it changes its schema: column `temp`, which `open` announced, is missing
    hint: this is a mistake of the operator: report it to its author
    ");
    insta::assert_snapshot!(fault("more-columns"), @r"
    `process` of operator `mill` failed: it changes its schema: 5 columns instead of 4: more follow behind `temp`, and `open` announced none
    hint: this is a mistake of the operator: report it to its author
    ");
}

/// The first line, without the hint and without what is the same for all.
fn reason(said: &str) -> &str {
    let line = said.lines().next().unwrap();
    line.split_once(" failed: ")
        .map_or(line, |(_, reason)| reason)
}

#[test]
fn columns_that_nobody_may_announce() {
    insta::assert_snapshot!(reason(&fault("no-columns")), @"its output is not valid: it has no columns");
    insta::assert_snapshot!(reason(&fault("same-name")), @"the output's column 4 (`origin`) is not valid: another column has the same name");
    insta::assert_snapshot!(reason(&fault("no-name")), @"the output's column 4 (``) is not valid: it has no name");
    insta::assert_snapshot!(reason(&fault("control-name")), @r"the output's column 4 (`a\nb`) is not valid: its name has more than 1024 bytes, or control characters");
    insta::assert_snapshot!(reason(&fault("empty-vectors")), @"the output's column 4 (`vectors`) is not valid: its vectors have no numbers");
    insta::assert_snapshot!(reason(&fault("long-vectors")), @"the output's column 4 (`vectors`) is not valid: vectors of 4294967295 numbers are too long");
}

#[test]
fn offsets_that_lead_astray() {
    insta::assert_snapshot!(reason(&fault("offsets-back")), @"column `origin` of batch 0 (of 3 rows) is not valid: row 1 goes from offset 10 back to 6");
    insta::assert_snapshot!(reason(&fault("offsets-behind")), @"column `origin` of batch 0 (of 3 rows) is not valid: its last offset is 10, but its data has 9 bytes");
    insta::assert_snapshot!(reason(&fault("offsets-negative")), @"column `origin` of batch 0 (of 3 rows) is not valid: its first offset is -1");
    insta::assert_snapshot!(reason(&fault("no-offsets")), @"column `origin` of batch 0 (of 3 rows) is not valid: it has 0 offsets instead of 4");
    let bytes = || Arc::new(BinaryArray::from(vec![&b"ab"[..], b"c"])) as ArrayRef;
    insta::assert_snapshot!(reason(&of_column("offsets-back", bytes())), @"column `x` of batch 0 (of 2 rows) is not valid: row 1 goes from offset 4 back to 3");
}

#[test]
fn text_that_is_none() {
    insta::assert_snapshot!(reason(&fault("bad-text")), @"column `origin` of batch 0 (of 3 rows) is not valid: the text of row 0 is not UTF-8");
    insta::assert_snapshot!(reason(&fault("split-text")), @"column `origin` of batch 0 (of 3 rows) is not valid: the text of row 0 is not UTF-8");
    insta::assert_snapshot!(reason(&fault("loose-text")), @"column `origin` of batch 0 (of 3 rows) is not valid: its data is not UTF-8 where no row is");
    let bytes = Arc::new(BinaryArray::from(vec![&b"ab"[..], b"c"]));
    assert_eq!(of_column("bad-text", bytes), "valid");
}

#[test]
fn wrong_lengths() {
    let vectors = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        [Some([Some(1.0), Some(2.0)])],
        2,
    );
    let columns: [ArrayRef; 6] = [
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(Float32Array::from(vec![1.0])),
        Arc::new(Float64Array::from(vec![1.0])),
        Arc::new(StringArray::from(vec!["a"])),
        Arc::new(vectors),
    ];
    let said = columns.map(|column| reason(&of_column("short-values", column)).to_owned());
    insta::assert_snapshot!(said.join("\n"), @r"
    column `x` of batch 0 (of 1 rows) is not valid: its values have 0 bytes instead of 1, one bit a row
    column `x` of batch 0 (of 1 rows) is not valid: it has 0 values instead of 1
    column `x` of batch 0 (of 1 rows) is not valid: it has 0 values instead of 1
    column `x` of batch 0 (of 1 rows) is not valid: it has 0 values instead of 1
    column `x` of batch 0 (of 1 rows) is not valid: it has 1 offsets instead of 2
    column `x` of batch 0 (of 1 rows) is not valid: it has 1 values instead of 2
    ");
    let booleans = || Arc::new(BooleanArray::from(vec![true; 9])) as ArrayRef;
    insta::assert_snapshot!(reason(&of_column("long-booleans", booleans())), @"column `x` of batch 0 (of 9 rows) is not valid: its values have 3 bytes instead of 2, one bit a row");
    insta::assert_snapshot!(reason(&of_column("short-validity", booleans())), @"column `x` of batch 0 (of 9 rows) is not valid: its validity have 1 bytes instead of 2, one bit a row");
    insta::assert_snapshot!(reason(&fault("long-validity")), @"column `origin` of batch 0 (of 3 rows) is not valid: its validity have 1000 bytes instead of 1, one bit a row");
    insta::assert_snapshot!(reason(&fault("rows-max")), @"column `origin` of batch 0 (of 4294967295 rows) is not valid: it has 4 offsets instead of 4294967296");
    insta::assert_snapshot!(reason(&fault("row-more")), @"column `origin` of batch 0 (of 4 rows) is not valid: it has 4 offsets instead of 5");
    insta::assert_snapshot!(reason(&fault("row-fewer")), @"column `origin` of batch 0 (of 2 rows) is not valid: it has 4 offsets instead of 3");
}

#[test]
fn a_null_where_none_may_be() {
    insta::assert_snapshot!(reason(&fault("null")), @"column `origin` of batch 0 (of 3 rows) is not valid: row 2 is null, but it was announced without nulls");
}

#[test]
fn columns_that_operators_do_not_have() {
    let of = |column: ArrayRef| of_column("", column);
    insta::assert_snapshot!(of(Arc::new(UInt64Array::from(vec![1]))), @r#"
    `open` of operator `mill` failed: column `x` is of type UInt64, which operators do not have
    hint: convert it in a SQL transform before the operator: `CAST("x" AS BIGINT) AS "x"`
    "#);
    insta::assert_snapshot!(of(Arc::new(Decimal128Array::from(vec![1]))), @r#"
    `open` of operator `mill` failed: column `x` is of type Decimal128(38, 10), which operators do not have
    hint: convert it in a SQL transform before the operator: `CAST("x" AS DOUBLE) AS "x"`
    "#);
    insta::assert_snapshot!(of(Arc::new(Date32Array::from(vec![1]))), @r#"
    `open` of operator `mill` failed: column `x` is of type Date32, which operators do not have
    hint: convert it in a SQL transform before the operator: `CAST("x" AS TIMESTAMP) AS "x"`
    "#);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    insta::assert_snapshot!(of(Arc::new(list)), @r"
    `open` of operator `mill` failed: column `x` is of type List(Int32), which operators do not have
    hint: leave `x` out in a SQL transform before the operator
    ");
}

#[test]
fn values_that_do_not_fit() {
    let holes = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        [None, Some([Some(1.0), None])],
        2,
    );
    insta::assert_snapshot!(of_column("", Arc::new(holes)), @"`process` of operator `mill` failed: column `x` cannot be given to it: the vector of row 1 has a null in it");
    let far = arrow_array::TimestampSecondArray::from(vec![i64::MAX]);
    let said = of_column("", Arc::new(far));
    let begin = "`process` of operator `mill` failed: column `x` cannot be given to it: ";
    assert!(
        said.starts_with(begin) && said.contains("verflow"),
        "{said}"
    );
}

#[test]
fn rows_of_another_schema_than_it_was_opened_for() {
    let mut operator = open(&faults(Limits::default()), "", &flights()).unwrap();
    let one = batch(vec![("x", Arc::new(Int64Array::from(vec![1])))]);
    let said = shown(&operator.process(&one).unwrap_err());
    insta::assert_snapshot!(said, @"`process` of operator `mill` failed: the batch has 1 columns, but it was opened for 4");
    let mut columns = flights().columns().to_vec();
    columns.swap(0, 2);
    let schema = flights().schema();
    let fields = [2, 1, 0, 3].map(|at| schema.field(at).clone());
    let swapped = RecordBatch::try_new(
        Arc::new(arrow_schema::Schema::new(fields.to_vec())),
        columns,
    );
    let said = shown(&operator.process(&swapped.unwrap()).unwrap_err());
    insta::assert_snapshot!(said, @"`process` of operator `mill` failed: the batch has the column `flight` (Int64), but it was opened for `origin` (Utf8)");
    operator.process(&flights()).unwrap();
    assert_eq!(
        schema.field(2),
        &Field::new("flight", DataType::Int64, false)
    );
}

/// Log lines go to tracing under the operator's name, and no further than the limit.
#[test]
fn its_log_is_shown_and_bounded() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .without_time()
        .with_ansi(false)
        .finish();
    let limits = Limits {
        log_bytes: 60,
        ..Limits::default()
    };
    let said = tracing::subscriber::with_default(subscriber, || sized("log", 5, limits));
    assert_eq!(said, "valid");
    insta::assert_snapshot!(lines.text(), @r#"
     INFO forebay_plugin::host::store: line 0 of the flood operator="mill" call="process"
     INFO forebay_plugin::host::store: line 1 of the flood operator="mill" call="process"
     INFO forebay_plugin::host::store: line 2 of the flood operator="mill" call="process"
     WARN forebay_plugin::host::store: log lines beyond the limit `log-bytes` were dropped operator="mill" call="process" dropped=2
    "#);
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
