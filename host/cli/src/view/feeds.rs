//! What nodes are fed: a few words behind each node while it runs, a table at the end.

use std::time::Duration;

use forebay_cluster::events::FeedCounts;

use super::operators::{aligned, grouped};
use crate::text::{bytes, duration, table};

/// Most nodes of the table at the end.
const SHOWN_MAX: usize = 16;
/// Shorter waits are not worth a word.
const WAIT_LEAST: Duration = Duration::from_millis(100);

/// `fed 12,345 rows (1.2 MiB), ring 45 % full, waited 1.2 s for rows`
pub(super) fn words(feed: &FeedCounts) -> String {
    if feed.ring_bytes == 0 {
        return String::new();
    }
    let mut parts = vec![format!(
        "fed {} rows ({})",
        grouped(feed.rows),
        bytes(feed.bytes)
    )];
    if feed.answered > 0 {
        parts.push(format!("{} answered", grouped(feed.answered)));
    }
    if feed.pass > 1 {
        parts.push(format!("pass {}", feed.pass));
    }
    if feed.ended {
        parts.push("has read all".into());
    } else {
        parts.push(format!("ring {} full", full(feed)));
    }
    let mut wait = |milliseconds, before: &str, behind: &str| {
        let time = Duration::from_millis(milliseconds);
        if time >= WAIT_LEAST {
            parts.push(format!("{before} {} {behind}", duration(time)));
        }
    };
    wait(feed.node_waited_ms, "waited", "for rows");
    wait(feed.node_waited_for_room_ms, "waited", "for room");
    wait(feed.dataflow_waited_ms, "dataflow waited", "for it");
    parts.join(", ")
}

/// How much of the ring waits for the node, or is held by it.
fn full(feed: &FeedCounts) -> String {
    format!("{} %", 100 * feed.occupied_bytes / feed.ring_bytes.max(1))
}

/// A table of all that were fed.
pub(super) fn at_end(feeds: &[FeedCounts]) -> Vec<String> {
    if feeds.is_empty() {
        return Vec::new();
    }
    let titles = [
        "NODE",
        "ROWS FED",
        "BYTES",
        "ANSWERED",
        "PASS",
        "RING FULL",
        "WAITED FOR ROWS",
        "FOR ROOM",
        "KEPT WAITING",
    ];
    let mut rows = vec![titles.map(Into::into).to_vec()];
    rows.extend(feeds.iter().take(SHOWN_MAX).map(|feed| {
        vec![
            feed.node.clone(),
            grouped(feed.rows),
            bytes(feed.bytes),
            grouped(feed.answered),
            feed.pass.to_string(),
            full(feed),
            duration(Duration::from_millis(feed.node_waited_ms)),
            duration(Duration::from_millis(feed.node_waited_for_room_ms)),
            duration(Duration::from_millis(feed.dataflow_waited_ms)),
        ]
    }));
    let mut lines = vec!["  fed:".to_owned()];
    let table = table(&aligned(rows, 1..9));
    lines.extend(table.lines().map(|line| format!("    {line}")));
    let more = feeds.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        lines.push(format!("    ... and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(node: &str) -> FeedCounts {
        FeedCounts {
            node: node.into(),
            rows: 12_345,
            bytes: 3 << 20,
            pass: 1,
            ring_bytes: 1 << 20,
            occupied_bytes: 1 << 19,
            node_waited_ms: 1_200,
            ..FeedCounts::default()
        }
    }

    #[test]
    fn a_node_that_is_fed_has_a_few_words() {
        let words = |change: fn(&mut FeedCounts)| {
            let mut feed = feed("worker:0");
            change(&mut feed);
            super::words(&feed)
        };
        insta::assert_snapshot!(words(|_| ()), @"fed 12,345 rows (3.1 MB), ring 50 % full, waited 1.2 s for rows");
        let scoring = words(|feed| {
            feed.answered = 7;
            feed.pass = 2;
            feed.ended = true;
            feed.dataflow_waited_ms = 61_000;
            feed.node_waited_for_room_ms = 100;
        });
        insta::assert_snapshot!(scoring, @"fed 12,345 rows (3.1 MB), 7 answered, pass 2, has read all, waited 1.2 s for rows, waited 100 ms for room, dataflow waited 1 min 1 s for it");
        assert_eq!(words(|feed| feed.ring_bytes = 0), "");
    }

    #[test]
    fn all_that_were_fed_stand_in_a_table() {
        let feeds = [feed("worker:0"), feed("worker:1")];
        insta::assert_snapshot!(at_end(&feeds).join("\n"), @r"
        fed:
          NODE      ROWS FED   BYTES  ANSWERED  PASS  RING FULL  WAITED FOR ROWS  FOR ROOM  KEPT WAITING
          worker:0    12,345  3.1 MB         0     1       50 %            1.2 s      0 ms          0 ms
          worker:1    12,345  3.1 MB         0     1       50 %            1.2 s      0 ms          0 ms
        ");
        assert!(at_end(&[]).is_empty());
    }
}
