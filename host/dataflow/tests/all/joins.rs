//! Joins against nested loops over all rows.

use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use fastrand::Rng;
use forebay_dataflow::operators::{
    Condition, Each, IntervalJoin, IntervalJoinPlan, JoinKind, Union,
};
use forebay_dataflow::{Bounds, Cause, EventTime, Exchange, Graph, Stream, TaskContext, Watermark};

use super::support::{
    Act, Row, checkpoint, checkpoint_after, event_time, of, row, schema, scripts, simulate,
    simulate_from,
};

/// Left row, right row; `None`: it had no partner.
pub(crate) type Pair = (Row, Option<Row>);

/// Seconds: more than any row is behind another one.
pub(crate) const DISORDER: u64 = 5;

pub(crate) fn output_schema() -> SchemaRef {
    let right = schema()
        .fields()
        .iter()
        .map(|field| {
            Field::new(
                format!("right {}", field.name()),
                field.data_type().clone(),
                true,
            )
        })
        .collect::<Vec<_>>();
    let left = schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect::<Vec<_>>();
    Arc::new(Schema::new([left, right].concat()))
}

fn pairs(batch: &RecordBatch) -> Vec<Pair> {
    let side = |first: usize, at: usize| {
        let key = batch.column(first).as_string::<i32>();
        let number = batch.column(first + 1).as_primitive::<Int64Type>();
        let time = batch
            .column(first + 2)
            .as_primitive::<TimestampMicrosecondType>();
        number.is_valid(at).then(|| {
            row(
                if key.is_null(at) { "" } else { key.value(at) },
                number.value(at),
                time.value(at) / 1_000_000,
            )
        })
    };
    (0..batch.num_rows())
        .map(|at| (side(0, at).expect("the left row is there"), side(3, at)))
        .collect()
}

/// A random stream, out of order by less than the watermark allows, with few keys, some of them null, in batches of any size.
pub(crate) fn stream(rng: &mut Rng, rows: i64) -> Vec<Row> {
    let mut time = 100;
    let one = |number| {
        time += rng.i64(0..3);
        let key = ["", "a", "b", "c"][rng.usize(..4)];
        row(key, number, time - rng.i64(0..5))
    };
    (0..rows).map(one).collect()
}

fn acts(rng: &mut Rng, mut rows: &[Row]) -> Vec<Act> {
    let mut acts = Vec::new();
    while !rows.is_empty() {
        let (now, later) = rows.split_at(rng.usize(1..=rows.len().min(20)));
        acts.push(Act::Rows(now.to_vec()));
        rows = later;
    }
    acts
}

/// Every other row to another task.
pub(crate) fn two_tasks(rng: &mut Rng, rows: &[Row]) -> Vec<Vec<Act>> {
    let half = |odd| {
        rows.iter()
            .enumerate()
            .filter(|(at, _)| at % 2 == odd)
            .map(|(_, row)| row.clone())
            .collect::<Vec<_>>()
    };
    vec![acts(rng, &half(0)), acts(rng, &half(1))]
}

pub(crate) fn nested_loop(
    left: &[Row],
    right: &[Row],
    kind: JoinKind,
    belongs: impl Fn(&Row, &Row) -> bool,
) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for one in left {
        let partners: Vec<_> = right
            .iter()
            .filter(|other| !one.0.is_empty() && one.0 == other.0 && belongs(one, other))
            .collect();
        pairs.extend(
            partners
                .iter()
                .map(|other| (one.clone(), Some((*other).clone()))),
        );
        if partners.is_empty() && kind == JoinKind::Left {
            pairs.push((one.clone(), None));
        }
    }
    pairs.sort();
    pairs
}

/// A sink for pairs.
pub(crate) fn collect(graph: &mut Graph, stream: &Stream) -> Arc<Mutex<Vec<Pair>>> {
    let collected: Arc<Mutex<Vec<Pair>>> = Arc::default();
    let into = collected.clone();
    let make = move |_: TaskContext| {
        let into = into.clone();
        Ok(Each(
            move |batch: RecordBatch| -> Result<RecordBatch, Cause> {
                into.lock()
                    .expect("nobody panics with it")
                    .extend(pairs(&batch));
                Ok(batch.slice(0, 0))
            },
        ))
    };
    let sink = graph
        .operator("sink", 1)
        .input(stream, Exchange::RoundRobin)
        .build(output_schema(), make);
    sink.expect("it is good");
    collected
}

pub(crate) fn sorted(pairs: &Mutex<Vec<Pair>>) -> Vec<Pair> {
    let mut pairs = pairs.lock().expect("nobody panics with it").clone();
    pairs.sort();
    pairs
}

/// Both numbers are odd or both are even.
pub(crate) fn condition() -> Condition {
    Box::new(|batch: &RecordBatch| {
        let numbers = |column: usize| {
            batch
                .column(column)
                .as_primitive::<Int64Type>()
                .values()
                .clone()
        };
        Ok(numbers(1)
            .iter()
            .zip(&numbers(4))
            .map(|(left, right)| Some(left % 2 == right % 2))
            .collect::<BooleanArray>())
    })
}

struct Case {
    from: i64,
    to: i64,
    kind: JoinKind,
    with_condition: bool,
    left: Vec<Vec<Act>>,
    right: Vec<Vec<Act>>,
    tasks: usize,
}

impl Case {
    fn graph(&self) -> (Graph, Arc<Mutex<Vec<Pair>>>) {
        let mut graph = Graph::new().with_bounds(Bounds {
            rows: 10,
            bytes: 1 << 20,
        });
        let left = scripts(
            &mut graph,
            "left",
            self.left.clone(),
            Some(event_time(DISORDER)),
        );
        let right = scripts(
            &mut graph,
            "right",
            self.right.clone(),
            Some(event_time(DISORDER)),
        );
        let plan = IntervalJoinPlan {
            schemas: [schema(), schema()],
            keys: [vec![0], vec![0]],
            times: [2, 2],
            from: self.from * 1_000_000,
            to: self.to * 1_000_000,
            kind: self.kind,
            output: output_schema(),
            time_of: 0,
        };
        let with_condition = self.with_condition;
        let by_key = || Exchange::Hash(vec!["key".into()]);
        let joined = graph
            .operator("joined", self.tasks)
            .input(&left, by_key())
            .input(&right, by_key());
        let make = move |context: TaskContext| {
            IntervalJoin::new(plan.clone(), with_condition.then(condition), &context)
        };
        let joined = joined.build(output_schema(), make).expect("it is good");
        let collected = collect(&mut graph, &joined);
        (graph, collected)
    }

    fn expected(&self, left: &[Row], right: &[Row]) -> Vec<Pair> {
        nested_loop(left, right, self.kind, |left, right| {
            (self.from..=self.to).contains(&(right.2 - left.2))
                && (!self.with_condition || left.1 % 2 == right.1 % 2)
        })
    }
}

/// A random join: its rows, and what is to be done with them.
fn case(seed: u64) -> (Case, Vec<Row>, Vec<Row>) {
    let mut rng = Rng::with_seed(seed);
    let (most, least) = (rng.i64(1..150), rng.i64(0..80));
    let (left, right) = (stream(&mut rng, most), stream(&mut rng, least));
    let from = rng.i64(-20..20);
    let case = Case {
        from,
        to: from + rng.i64(0..15),
        kind: if rng.bool() {
            JoinKind::Left
        } else {
            JoinKind::Inner
        },
        with_condition: rng.bool(),
        left: two_tasks(&mut rng, &left),
        right: two_tasks(&mut rng, &right),
        tasks: rng.usize(1..4),
    };
    (case, left, right)
}

#[test]
fn two_streams_are_joined_like_nested_loops() {
    let mut partners = 0;
    for seed in 0..300 {
        let (case, left, right) = case(seed);
        let expected = case.expected(&left, &right);
        partners += expected.iter().filter(|(_, right)| right.is_some()).count();
        let (graph, collected) = case.graph();
        let progress = simulate(&graph, seed);
        assert_eq!(of(&progress, "joined").late, 0, "seed {seed}");
        assert_eq!(
            sorted(&collected),
            expected,
            "seed {seed}: {:?} from {} to {}",
            case.kind,
            case.from,
            case.to
        );
    }
    assert!(partners > 5_000, "{partners} pairs in all");
}

/// They are copied together, or not at all.
#[test]
fn rows_that_lie_one_behind_the_other_are_joined_like_others() {
    for (seed, every) in [7, 20, 50, 1_000].into_iter().enumerate() {
        let left: Vec<_> = (0..200).map(|number| row("a", number, number)).collect();
        let right = left.iter().filter(|row| row.1 % every > 0);
        let right: Vec<_> = right.cloned().collect();
        let case = Case {
            from: 0,
            to: 0,
            kind: JoinKind::Left,
            with_condition: false,
            left: vec![vec![Act::Rows(left.clone())]],
            right: vec![vec![Act::Rows(right.clone())]],
            tasks: 1,
        };
        let (graph, collected) = case.graph();
        simulate(&graph, seed as u64);
        assert_eq!(sorted(&collected), case.expected(&left, &right), "{every}");
    }
}

#[test]
fn what_comes_out_of_a_join_is_not_late_behind_it() {
    for seed in 0..100 {
        let (case, left, right) = case(seed);
        let (mut graph, collected) = case.graph();
        drop(collected);
        // A second join in which a late row would be missed: with itself, by the event time of the left side.
        let graph = {
            let collected = behind(&mut graph, &case);
            simulate(&graph, seed);
            sorted(&collected)
        };
        assert_eq!(graph, case.expected(&left, &right), "seed {seed}");
    }
}

/// The output of a join, through an operator that leaves out what is late.
fn behind(graph: &mut Graph, case: &Case) -> Arc<Mutex<Vec<Pair>>> {
    *graph = Graph::new().with_bounds(Bounds {
        rows: 10,
        bytes: 1 << 20,
    });
    let left = scripts(graph, "left", case.left.clone(), Some(event_time(DISORDER)));
    let right = scripts(
        graph,
        "right",
        case.right.clone(),
        Some(event_time(DISORDER)),
    );
    let nothing = scripts(graph, "nothing", vec![vec![]], Some(event_time(0)));
    let plan = |kind, schemas, output: &SchemaRef| IntervalJoinPlan {
        schemas,
        keys: [vec![0], vec![0]],
        times: [2, 2],
        from: case.from * 1_000_000,
        to: case.to * 1_000_000,
        kind,
        output: output.clone(),
        time_of: 0,
    };
    let by_key = || Exchange::Hash(vec!["key".into()]);
    let first = plan(case.kind, [schema(), schema()], &output_schema());
    let with_condition = case.with_condition;
    let joined = graph
        .operator("joined", 2)
        .input(&left, by_key())
        .input(&right, by_key());
    let joined = joined
        .build(output_schema(), move |context| {
            IntervalJoin::new(first.clone(), with_condition.then(condition), &context)
        })
        .expect("it is good");
    let fields = output_schema()
        .fields()
        .iter()
        .chain(schema().fields())
        .cloned()
        .collect::<Vec<_>>();
    let wide = Arc::new(Schema::new(
        fields
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect::<Vec<_>>(),
    ));
    let second = plan(JoinKind::Left, [output_schema(), schema()], &wide);
    let again = graph
        .operator("again", 2)
        .input(&joined, by_key())
        .input(&nothing, by_key());
    let again = again
        .build(wide, move |context| {
            IntervalJoin::new(second.clone(), None, &context)
        })
        .expect("it is good");
    let narrow = graph
        .operator("narrow", 2)
        .input(&again, Exchange::Forward)
        .build(output_schema(), |_| {
            Ok(Each(|batch: RecordBatch| -> Result<RecordBatch, Cause> {
                Ok(RecordBatch::try_new(
                    output_schema(),
                    batch.columns()[..6].to_vec(),
                )?)
            }))
        });
    collect(graph, &narrow.expect("it is good"))
}

#[test]
fn a_join_that_was_interrupted_goes_on_to_the_same_output() {
    for seed in 0..100 {
        let (case, left, right) = case(seed);
        let (first, before) = case.graph();
        let checkpoint = checkpoint_after(&first, seed, Rng::with_seed(seed).usize(..300));
        // The sink keeps nothing: what came to it before the barrier is what is missing from the second run.
        let (second, after) = case.graph();
        simulate_from(&second, seed + 1, Some(&checkpoint));
        let (before, after, expected) = (
            sorted(&before),
            sorted(&after),
            case.expected(&left, &right),
        );
        assert!(
            after.iter().all(|pair| expected.contains(pair)),
            "seed {seed}: something is made up"
        );
        let mut both = [before, after.clone()].concat();
        both.sort();
        both.dedup();
        assert_eq!(both, expected, "seed {seed}: something is missing");
    }
}

#[test]
fn rows_before_the_watermark_are_left_out_and_counted() {
    let case = Case {
        from: 0,
        to: 0,
        kind: JoinKind::Left,
        with_condition: false,
        left: vec![vec![
            Act::Rows(vec![row("a", 1, 100)]),
            Act::Rows(vec![row("a", 2, 10), row("a", 3, 96)]),
        ]],
        right: vec![vec![Act::Rows(vec![row("a", 4, 100), row("a", 5, 96)])]],
        tasks: 1,
    };
    for seed in 0..50 {
        let (graph, collected) = case.graph();
        let progress = simulate(&graph, seed);
        // Whether the row of 10 is late depends on whether the right side is there yet.
        let late = of(&progress, "joined").late;
        assert!(late <= 1 && of(&progress, "left").late == 1, "seed {seed}");
        assert_eq!(sorted(&collected).len() as u64, 3 - late, "seed {seed}");
    }
}

#[test]
fn a_late_row_is_late_in_a_join_that_was_interrupted() {
    let rows = |numbers: &[(i64, i64)]| {
        Act::Rows(
            numbers
                .iter()
                .map(|&(number, time)| row("a", number, time))
                .collect(),
        )
    };
    let silence = Act::Silence(std::time::Duration::from_secs(1));
    let case = Case {
        from: 0,
        to: 0,
        kind: JoinKind::Left,
        with_condition: false,
        left: vec![vec![
            rows(&[(1, 100)]),
            silence.clone(),
            rows(&[(2, 50), (3, 100)]),
        ]],
        right: vec![vec![rows(&[(4, 100)]), silence]],
        tasks: 1,
    };
    let (graph, _) = case.graph();
    let mut simulation = graph.simulate(1, None).expect("it starts");
    let handle = simulation.handle();
    while of(&handle.progress(), "joined").watermark != Watermark::At(95_000_000) {
        assert!(simulation.step());
    }
    let checkpoint = checkpoint(&mut simulation);
    let (graph, collected) = case.graph();
    let progress = simulate_from(&graph, 2, Some(&checkpoint));
    assert_eq!(of(&progress, "joined").late, 1);
    assert_eq!(
        sorted(&collected),
        [(row("a", 3, 100), Some(row("a", 4, 100)))]
    );
}

#[test]
fn memory_is_given_back_when_time_has_passed() {
    let state_after = |rows: u32| {
        let rows_then_silence = || {
            let rows = (0..i64::from(rows)).map(|number| Act::Rows(vec![row("a", number, number)]));
            vec![rows.chain([Act::Forever]).collect()]
        };
        let case = Case {
            from: 0,
            to: 10,
            kind: JoinKind::Inner,
            with_condition: false,
            left: rows_then_silence(),
            right: rows_then_silence(),
            tasks: 1,
        };
        let (graph, collected) = case.graph();
        let mut simulation = graph.simulate(1, None).expect("it starts");
        while of(&simulation.handle().progress(), "sink").rows_in < u64::from(rows * 11 - 55) {
            assert!(simulation.step());
        }
        drop(collected);
        checkpoint(&mut simulation).size()
    };
    let (few, many) = (state_after(500), state_after(5000));
    assert!(
        many < few * 2,
        "the state after 500 rows has {few} bytes, that after 5000 has {many}"
    );
}

#[test]
fn a_union_is_all_of_them_under_one_schema() {
    let mut graph = Graph::new();
    let left = scripts(
        &mut graph,
        "left",
        vec![vec![Act::Rows(vec![row("a", 1, 1)])]],
        Some(event_time(0)),
    );
    let right = scripts(
        &mut graph,
        "right",
        vec![vec![Act::Rows(vec![row("b", 2, 2)])]],
        Some(EventTime { ..event_time(0) }),
    );
    let fields = schema()
        .fields()
        .iter()
        .map(|field| {
            field
                .as_ref()
                .clone()
                .with_name(format!("the {}", field.name()))
        })
        .collect::<Vec<_>>();
    let named = Arc::new(Schema::new(fields));
    let union = named.clone();
    let both = graph
        .operator("both", 1)
        .input(&left, Exchange::Forward)
        .input(&right, Exchange::Forward);
    let both = both
        .build(named, move |_| Ok(Union(union.clone())))
        .expect("it is good");
    assert_eq!(both.schema().field(0).name(), "the key");
    let seen = super::support::note(&mut graph, &both, 1, Exchange::Forward);
    simulate(&graph, 1);
    assert_eq!(seen.sorted_rows(), [row("a", 1, 1), row("b", 2, 2)]);
}
