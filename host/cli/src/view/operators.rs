//! Operators of the dataflow: a line each while they run, a table at the end.

use std::time::Duration;

use forebay_cluster::events::{
    DataflowEvent, DataflowPhase, DataflowSummary, OperatorCounts, OperatorPart, OperatorProgress,
    OperatorSummary, ProgressEvent,
};
use jiff::Timestamp;

use super::feeds;
use crate::text::{Colour, Palette, duration, neutral, table};

/// Most sources and sinks of the one line that goes by.
const TOLD_MAX: usize = 8;
/// Event time that is further behind is that of the past, and told as it is.
const LAG_MAX: Duration = Duration::from_hours(24);
/// A dataflow that was shorter had no pace.
const PACE_MS_MIN: u64 = 100;
/// Most operators of the table at the end.
const SHOWN_MAX: usize = 24;
/// What takes more of its time than this is named.
const MUCH: f64 = 0.5;

/// A line for each operator: rows, pace, how far event time is behind, what it does with its time, and what it left out.
pub(crate) fn lines(operators: &[OperatorProgress]) -> Vec<String> {
    let rows: Vec<_> = operators.iter().map(cells).collect();
    table(&aligned(rows, 1..4))
        .lines()
        .map(Into::into)
        .collect()
}

fn cells(operator: &OperatorProgress) -> Vec<String> {
    let counts = &operator.counts;
    let mut cells = vec![
        counts.operator.clone(),
        format!("{} in", grouped(counts.rows_in)),
        format!("{} out", grouped(counts.rows_out)),
        format!("{}/s", grouped_rate(operator.rows_per_second)),
        event_time(operator),
        load(operator),
    ];
    cells.push(left_out(counts));
    cells
}

/// Nothing where there is no event time; of the past, where that is replayed.
fn event_time(operator: &OperatorProgress) -> String {
    let lag = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    match (
        operator.watermark_lag_ms.map(lag),
        operator.watermark_ms.map(Timestamp::from_millisecond),
    ) {
        _ if operator.idle => "silent".into(),
        (Some(lag), Some(Ok(at))) if lag > LAG_MAX => {
            format!("at {}", at.strftime("%Y-%m-%d %H:%M UTC"))
        }
        (Some(lag), _) => format!("{} behind", duration(lag)),
        (None, _) => String::new(),
    }
}

/// What its tasks do most.
fn load(operator: &OperatorProgress) -> String {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    if operator.counts.ended == operator.counts.tasks {
        "ended".into()
    } else if operator.back_pressured > MUCH {
        format!("back-pressured {}", percent(operator.back_pressured))
    } else {
        format!("busy {}", percent(operator.busy))
    }
}

/// Rows that did not come through, where there are any.
fn left_out(counts: &OperatorCounts) -> String {
    let kinds = [
        (counts.late, "late"),
        (counts.malformed, "malformed"),
        (counts.dropped, "dropped"),
    ];
    let some = kinds.iter().filter(|(rows, _)| *rows > 0);
    let texts: Vec<_> = some
        .map(|(rows, kind)| format!("{} {kind}", grouped(*rows)))
        .collect();
    texts.join(", ")
}

/// Operators of a dataflow that does not run, as lines show them.
pub(super) fn at_rest(event: &DataflowEvent) -> Vec<OperatorProgress> {
    let operator = |counts: &OperatorCounts| OperatorProgress {
        counts: counts.clone(),
        ..OperatorProgress::default()
    };
    event.operators.iter().map(operator).collect()
}

/// `dataflow running`, and why it does not.
pub(super) fn phase_line(event: &DataflowEvent, palette: Palette) -> String {
    let attempt = if event.attempt > 1 {
        format!(" (attempt {})", event.attempt)
    } else {
        String::new()
    };
    let reason = event.reason.as_deref();
    let reason = reason.map_or(String::new(), |reason| format!(": {}", neutral(reason)));
    let text = format!("dataflow {}{attempt}{reason}", event.phase.as_str());
    let hint = event.hint.as_deref();
    let hint = hint.map_or(String::new(), |hint| format!("\n  hint: {}", neutral(hint)));
    let text = match event.phase {
        DataflowPhase::Failed => palette.paint(Colour::Bad, &text),
        _ => text,
    };
    text + &hint
}

/// In one line: what goes in and out, and what leaves rows out.
pub(super) fn progress_line(event: &ProgressEvent) -> String {
    let operator = |operator: &OperatorProgress| {
        let counts = &operator.counts;
        let left_out = left_out(counts);
        let left_out = if left_out.is_empty() {
            left_out
        } else {
            format!(", {left_out}")
        };
        format!(
            "{} {} rows ({}/s{left_out})",
            neutral(&counts.operator),
            grouped(counts.rows_in),
            grouped_rate(operator.rows_per_second)
        )
    };
    let is_told = |operator: &&OperatorProgress| {
        operator.counts.part != OperatorPart::Transform || !left_out(&operator.counts).is_empty()
    };
    let mut telling = event.operators.iter().filter(is_told);
    let told: Vec<_> = telling.by_ref().take(TOLD_MAX).map(operator).collect();
    let more = telling.count();
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    format!("dataflow: {}{more}", told.join(", "))
}

/// What each operator did.
pub(super) fn summary_table(summary: &DataflowSummary) -> Vec<String> {
    if summary.operators.is_empty() {
        return Vec::new();
    }
    let titles = [
        "OPERATOR",
        "ROWS IN",
        "ROWS OUT",
        "ROWS/S",
        "LATE",
        "MALFORMED",
    ];
    let mut rows = vec![titles.map(Into::into).to_vec()];
    let shown = summary.operators.iter().take(SHOWN_MAX);
    rows.extend(shown.map(|operator| {
        let counts = &operator.counts;
        vec![
            counts.operator.clone(),
            grouped(counts.rows_in),
            rows_out(counts),
            pace(summary, operator),
            grouped(counts.late),
            grouped(counts.malformed),
        ]
    }));
    let table = table(&aligned(rows, 1..6));
    let mut lines = vec![headline(summary)];
    lines.extend(table.lines().map(|line| format!("    {line}")));
    let more = summary.operators.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        lines.push(format!("    ... and {more} more"));
    }
    lines.extend(feeds::at_end(&summary.feeds));
    lines.extend(outputs(summary));
    lines
}

/// Where complete rows are.
fn outputs(summary: &DataflowSummary) -> Vec<String> {
    if summary.outputs.is_empty() {
        return Vec::new();
    }
    let rows_of = |sink: &str| {
        let mut operators = summary.operators.iter();
        let operator = operators.find(|operator| operator.counts.operator == sink);
        grouped(operator.map_or(0, |operator| operator.counts.rows_in))
    };
    let rows = summary.outputs.iter().map(|output| {
        let rows = format!("{} rows", rows_of(&output.sink));
        vec![output.sink.clone(), rows, output.place.clone()]
    });
    let table = table(&aligned(rows.collect(), 1..2));
    let title = match summary.phase {
        DataflowPhase::Drained => "  wrote what was read until it was stopped:",
        _ => "  wrote:",
    };
    let mut lines = vec![title.to_owned()];
    lines.extend(table.lines().map(|line| format!("    {line}")));
    lines
}

/// A sink emits none, nor does a role that answers nothing.
fn rows_out(counts: &OperatorCounts) -> String {
    match counts.part {
        OperatorPart::Sink => String::new(),
        OperatorPart::Role if counts.rows_out == 0 => String::new(),
        OperatorPart::Source | OperatorPart::Transform | OperatorPart::Role => {
            grouped(counts.rows_out)
        }
    }
}

fn pace(summary: &DataflowSummary, operator: &OperatorSummary) -> String {
    if summary.running_ms < PACE_MS_MIN {
        return String::new();
    }
    grouped_rate(operator.rows_per_second)
}

fn headline(summary: &DataflowSummary) -> String {
    let time = duration(Duration::from_millis(summary.running_ms));
    let attempt = if summary.attempts > 1 {
        format!(" (attempt {})", summary.attempts)
    } else {
        String::new()
    };
    let output = match summary.phase {
        DataflowPhase::Failed | DataflowPhase::Stopped => {
            "; files of sinks that were not complete are discarded"
        }
        _ => "",
    };
    format!(
        "  dataflow {} after {time}{attempt}{output}:",
        summary.phase.as_str()
    )
}

/// These columns with their ends under each other.
pub(super) fn aligned(
    mut rows: Vec<Vec<String>>,
    columns: std::ops::Range<usize>,
) -> Vec<Vec<String>> {
    for column in columns {
        let cells = rows.iter().map(|row| row[column].chars().count());
        let width = cells.max().unwrap_or(0);
        for row in &mut rows {
            row[column] = format!("{:>width$}", row[column]);
        }
    }
    rows
}

/// `12,345`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Slow ones with a digit after the point.
fn grouped_rate(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 {
        return format!("{rate:.1}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is no negative number, and one beyond all numbers counts as the greatest"
    )]
    grouped(rate.round() as u64)
}

#[cfg(test)]
pub(super) mod tests {
    use forebay_cluster::events::SinkOutput;

    use super::*;

    pub(in crate::view) fn operator(name: &str, rows: u64) -> OperatorProgress {
        OperatorProgress {
            counts: OperatorCounts {
                operator: name.into(),
                part: OperatorPart::Source,
                tasks: 2,
                ended: 0,
                rows_in: rows,
                rows_out: rows / 2,
                late: 0,
                malformed: 0,
                dropped: 0,
            },
            rows_per_second: 1_234.5,
            busy: 0.25,
            waiting: 0.75,
            ..OperatorProgress::default()
        }
    }

    #[test]
    fn a_line_an_operator_says_how_much_how_fast_and_how_late() {
        let mut late = operator("win\u{1b}dow", 12_345_678);
        late.watermark_lag_ms = Some(61_000);
        late.counts.late = 1_000;
        late.counts.malformed = 2;
        late.watermark_ms = Some(1_357_000_000_000);
        let mut held_up = operator("flights", 999);
        (held_up.back_pressured, held_up.rows_per_second) = (0.9, 0.25);
        let mut silent = operator("weather", 0);
        silent.idle = true;
        silent.watermark_lag_ms = Some(-5);
        let mut ended = operator("sink", 7);
        ended.counts.ended = 2;
        ended.watermark_lag_ms = Some(-5);
        let mut replayed = operator("2013", 7);
        replayed.watermark_ms = Some(1_357_000_000_000);
        replayed.watermark_lag_ms = Some(400_000_000_000);
        let lines = lines(&[held_up, silent, late, ended, replayed]);
        insta::assert_snapshot!(lines.join("\n"), @r"
        flights         999 in        499 out    0.2/s                           back-pressured 90 %
        weather           0 in          0 out  1,235/s  silent                   busy 25 %
        win␛dow  12,345,678 in  6,172,839 out  1,235/s  1 min 1 s behind         busy 25 %            1,000 late, 2 malformed
        sink              7 in          3 out  1,235/s  0 ms behind              ended
        2013              7 in          3 out  1,235/s  at 2013-01-01 00:26 UTC  busy 25 %
        ");
    }

    #[test]
    fn one_line_has_all_of_a_short_dataflow() {
        let mut event = ProgressEvent {
            attempt: 1,
            running_ms: 10_000,
            operators: vec![operator("flights", 12_000), operator("joined\u{7}", 6_000)],
            feeds: Vec::new(),
        };
        event.operators[1].counts.late = 3;
        event.operators.push(operator("filtered", 6_000));
        event.operators[1].counts.part = OperatorPart::Transform;
        event.operators[2].counts.part = OperatorPart::Transform;
        insta::assert_snapshot!(progress_line(&event), @"dataflow: flights 12,000 rows (1,235/s), joined␇ 6,000 rows (1,235/s, 3 late)");
        event.operators = vec![operator("a", 1); 20];
        assert!(progress_line(&event).ends_with(", and 12 more"));
    }

    #[test]
    fn the_end_of_a_dataflow_says_why() {
        let event = DataflowEvent {
            attempt: 2,
            phase: DataflowPhase::Failed,
            reason: Some("`flights` failed: row 7\u{1b}[2J".into()),
            hint: Some("mend it".into()),
            operator: Some("flights".into()),
            running_ms: 10,
            operators: Vec::new(),
        };
        insta::assert_snapshot!(phase_line(&event, Palette::default()), @r"
        dataflow failed (attempt 2): `flights` failed: row 7␛[2J
          hint: mend it
        ");
    }

    #[test]
    fn the_table_of_the_end_has_all_operators() {
        let mut counts = operator("flights", 1_234_567).counts;
        let mut sink = operator("a-sink-with-a-long-name", 20).counts;
        sink.part = OperatorPart::Sink;
        counts.malformed = 12;
        let phase = DataflowPhase::Ended;
        let mut summary = DataflowSummary::new(2, phase, 10_000, [counts, sink]);
        summary.outputs.push(SinkOutput {
            sink: "a-sink-with-a-long-name".into(),
            place: "/data/out".into(),
        });
        insta::assert_snapshot!(summary_table(&summary).join("\n"), @r"
        dataflow ended after 10.0 s (attempt 2):
          OPERATOR                   ROWS IN  ROWS OUT   ROWS/S  LATE  MALFORMED
          flights                  1,234,567   617,283  123,457     0         12
          a-sink-with-a-long-name         20                2.0     0          0
        wrote:
          a-sink-with-a-long-name  20 rows  /data/out
        ");
    }
}
