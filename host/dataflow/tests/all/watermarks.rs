use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use forebay_dataflow::{Cause, EventTime, Exchange, Graph, Operator, Output, Watermark};

use super::support::{Act, Event, Pass, event_time, note, of, row, schema, scripts, simulate};

fn at(times: &[i64]) -> Act {
    Act::Rows(times.iter().map(|&time| row("a", time, time)).collect())
}

fn watermarks(events: &[Event]) -> Vec<i64> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Watermark(at) => Some(*at),
            _ => None,
        })
        .collect()
}

#[test]
fn it_stays_behind_the_latest_row_and_ends_with_everything() {
    let mut graph = Graph::new();
    let source = scripts(
        &mut graph,
        "source",
        vec![vec![at(&[10, 20]), at(&[15]), at(&[30])]],
        Some(event_time(5)),
    );
    let seen = note(&mut graph, &source, 1, Exchange::Forward);
    simulate(&graph, 1);
    let row_at = |time| Event::Row(row("a", time, time));
    let expected = [
        row_at(10),
        row_at(20),
        Event::Watermark(15),
        row_at(15),
        row_at(30),
        Event::Watermark(25),
        Event::Watermark(i64::MAX),
        Event::End,
    ];
    assert_eq!(seen.events(), expected);
}

#[test]
fn rows_before_it_are_late_and_counted() {
    let mut graph = Graph::new();
    let source = scripts(
        &mut graph,
        "source",
        vec![vec![at(&[10, 20]), at(&[14, 15, 9])]],
        Some(event_time(5)),
    );
    note(&mut graph, &source, 1, Exchange::Forward);
    let progress = simulate(&graph, 1);
    assert_eq!(of(&progress, "source").late, 2);
    assert_eq!(of(&progress, "source").watermark, Watermark::ALL);
}

#[test]
fn the_least_of_all_inputs_counts() {
    for seed in 0..100 {
        let mut graph = Graph::new();
        let fast = scripts(
            &mut graph,
            "fast",
            vec![vec![at(&[10]), at(&[90])]],
            Some(event_time(0)),
        );
        let slow = scripts(
            &mut graph,
            "slow",
            vec![
                vec![at(&[5]), at(&[7])],
                vec![at(&[1]), at(&[8]), Act::Forever],
            ],
            Some(event_time(0)),
        );
        let both = graph
            .operator("both", 2)
            .input(&fast, Exchange::Broadcast)
            .input(&slow, Exchange::Hash(vec!["key".into()]))
            .build(schema(), |_| Ok(Pass))
            .expect("it is good");
        let seen = note(&mut graph, &both, 1, Exchange::Broadcast);
        let mut simulation = graph.simulate(seed, None).expect("it starts");
        while simulation.step() {}
        // The second task of `slow` has come to 8 and never ends; all others have come further or have ended.
        let all = watermarks(&seen.events());
        assert!(
            all.is_sorted() && all.last() == Some(&8),
            "seed {seed}: {all:?}"
        );
    }
}

#[test]
fn nobody_waits_for_an_idle_source() {
    let idle_after = Some(Duration::from_secs(3));
    let settings = EventTime {
        idle_after,
        ..event_time(0)
    };
    let silence = |seconds| Act::Silence(Duration::from_secs(seconds));
    let busy = vec![
        at(&[10]),
        silence(2),
        at(&[20]),
        silence(2),
        at(&[30]),
        silence(2),
        at(&[40]),
    ];
    let idle = vec![at(&[5]), silence(5), at(&[35, 36]), silence(60)];
    let mut graph = Graph::new();
    let source = scripts(&mut graph, "source", vec![busy, idle], Some(settings));
    let seen = note(&mut graph, &source, 1, Exchange::Broadcast);
    simulate(&graph, 3);
    let events = seen.events();
    // At 3 s the second task is idle, and the first has said 20. It is back at 5 s.
    let passed = |time| {
        events
            .iter()
            .position(|event| *event == Event::Watermark(time))
    };
    let came = |time| {
        events
            .iter()
            .position(|event| *event == Event::Row(row("a", time, time)))
    };
    assert!(passed(5).is_some(), "{events:?}");
    assert!(passed(20) < came(35), "{events:?}");
    assert!(passed(30) < came(40), "{events:?}");
    assert_eq!(watermarks(&events).last(), Some(&i64::MAX));
}

#[test]
fn rounds_hold_it_back_until_the_rows_before_it_have_gone() {
    let mut graph = Graph::new();
    let source = scripts(
        &mut graph,
        "source",
        vec![vec![at(&[1, 2, 3]), at(&[4, 5]), at(&[6])]],
        Some(event_time(0)),
    );
    let rounds = Exchange::Rounds {
        rows: 2,
        rest: forebay_dataflow::Rest::Drop,
    };
    let seen = note(&mut graph, &source, 2, rounds);
    simulate(&graph, 4);
    let row_at = |time| Event::Row(row("a", time, time));
    // After five rows one round of four has gone: the watermark 3 may go, 5 may not.
    let first = [
        row_at(1),
        row_at(2),
        Event::Watermark(3),
        Event::Watermark(i64::MAX),
        Event::End,
    ];
    let second = [
        row_at(3),
        row_at(4),
        Event::Watermark(3),
        Event::Watermark(i64::MAX),
        Event::End,
    ];
    assert_eq!(seen.events(), [first, second].concat());
}

#[test]
fn a_source_that_is_back_is_waited_for_at_once() {
    let idle_after = Some(Duration::from_secs(3));
    let settings = EventTime {
        idle_after,
        ..event_time(0)
    };
    let silence = |seconds| Act::Silence(Duration::from_secs(seconds));
    let (mut before, mut behind) = (0, 0);
    for seed in 0..200 {
        let busy = vec![
            at(&[10]),
            silence(2),
            at(&[11]),
            silence(2),
            at(&[12]),
            silence(1),
            at(&[200]),
        ];
        let back = vec![at(&[5]), silence(5), at(&[35]), at(&[37])];
        let mut graph = Graph::new();
        let source = scripts(
            &mut graph,
            "source",
            vec![busy, back],
            Some(settings.clone()),
        );
        let seen = note(&mut graph, &source, 1, Exchange::Broadcast);
        simulate(&graph, seed);
        let events = seen.events();
        let came = |event: Event| {
            events
                .iter()
                .position(|one| *one == event)
                .unwrap_or(usize::MAX)
        };
        let (first, second) = (
            came(Event::Row(row("a", 35, 35))),
            came(Event::Row(row("a", 37, 37))),
        );
        if first < came(Event::Watermark(200)) {
            assert!(
                second < came(Event::Watermark(200)),
                "seed {seed}: {events:?}"
            );
            before += 1;
        } else {
            behind += 1;
        }
    }
    assert!(
        before > 0 && behind > 0,
        "{before} schedules with it before the others, {behind} behind"
    );
}

/// Says that event time has come further than it has.
struct Ahead;

#[async_trait]
impl Operator for Ahead {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        output.emit(batch).await
    }

    async fn watermark(&mut self, at: i64, _: &mut Output<'_>) -> Result<i64, Cause> {
        Ok(at.saturating_add(1_000_000))
    }
}

#[test]
fn an_operator_cannot_be_ahead_of_its_inputs() {
    let mut graph = Graph::new();
    let source = scripts(
        &mut graph,
        "source",
        vec![vec![at(&[10]), at(&[20])]],
        Some(event_time(0)),
    );
    let ahead = graph
        .operator("ahead", 1)
        .input(&source, Exchange::Forward)
        .build(schema(), |_| Ok(Ahead));
    let seen = note(
        &mut graph,
        &ahead.expect("it is good"),
        1,
        Exchange::Forward,
    );
    simulate(&graph, 1);
    assert_eq!(watermarks(&seen.events()), [10, 20, i64::MAX]);
}
