//! Operators of the dataflow: a line each while they run, a table at the end.

use std::time::Duration;

use forebay_cluster::events::{
    DataflowEvent, DataflowPhase, DataflowSummary, OperatorCounts, OperatorProgress, ProgressEvent,
};

use crate::text::{Colour, Palette, duration, neutral, table};

/// Most operators of the one line that goes by.
const TOLD_MAX: usize = 8;
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

/// Nothing where there is no event time.
fn event_time(operator: &OperatorProgress) -> String {
    match operator.watermark_lag_ms {
        _ if operator.idle => "silent".into(),
        None => String::new(),
        Some(lag) => {
            let lag = Duration::from_millis(u64::try_from(lag).unwrap_or_default());
            format!("{} behind", duration(lag))
        }
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

/// All in one line.
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
    let told = event.operators.iter().take(TOLD_MAX).map(operator);
    let told: Vec<_> = told.collect();
    let more = event.operators.len() - told.len();
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
            grouped(counts.rows_out),
            grouped_rate(operator.rows_per_second),
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
    lines
}

fn headline(summary: &DataflowSummary) -> String {
    let time = duration(Duration::from_millis(summary.running_ms));
    let attempt = if summary.attempts > 1 {
        format!(" (attempt {})", summary.attempts)
    } else {
        String::new()
    };
    format!(
        "  dataflow {} after {time}{attempt}:",
        summary.phase.as_str()
    )
}

/// These columns with their ends under each other.
fn aligned(mut rows: Vec<Vec<String>>, columns: std::ops::Range<usize>) -> Vec<Vec<String>> {
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
fn grouped(number: u64) -> String {
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
    use super::*;

    pub(in crate::view) fn operator(name: &str, rows: u64) -> OperatorProgress {
        OperatorProgress {
            counts: OperatorCounts {
                operator: name.into(),
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
        let mut held_up = operator("flights", 999);
        (held_up.back_pressured, held_up.rows_per_second) = (0.9, 0.25);
        let mut silent = operator("weather", 0);
        silent.idle = true;
        silent.watermark_lag_ms = Some(-5);
        let mut ended = operator("sink", 7);
        ended.counts.ended = 2;
        ended.watermark_lag_ms = Some(-5);
        let lines = lines(&[held_up, silent, late, ended]);
        insta::assert_snapshot!(lines.join("\n"), @r"
        flights         999 in        499 out    0.2/s                    back-pressured 90 %
        weather           0 in          0 out  1,235/s  silent            busy 25 %
        win␛dow  12,345,678 in  6,172,839 out  1,235/s  1 min 1 s behind  busy 25 %            1,000 late, 2 malformed
        sink              7 in          3 out  1,235/s  0 ms behind       ended
        ");
    }

    #[test]
    fn one_line_has_all_of_a_short_dataflow() {
        let mut event = ProgressEvent {
            attempt: 1,
            running_ms: 10_000,
            operators: vec![operator("flights", 12_000), operator("joined\u{7}", 6_000)],
        };
        event.operators[1].counts.late = 3;
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
        let sink = operator("a-sink-with-a-long-name", 20).counts;
        counts.malformed = 12;
        let phase = DataflowPhase::Ended;
        let summary = DataflowSummary::new(2, phase, 10_000, [counts, sink]);
        insta::assert_snapshot!(summary_table(&summary).join("\n"), @r"
        dataflow ended after 10.0 s (attempt 2):
          OPERATOR                   ROWS IN  ROWS OUT   ROWS/S  LATE  MALFORMED
          flights                  1,234,567   617,283  123,457     0         12
          a-sink-with-a-long-name         20        10      2.0     0          0
        ");
    }
}
