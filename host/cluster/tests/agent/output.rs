//! What nodes write.

use forebay_cluster::wire::cluster::{NodeLimits, Start};

use crate::harness::tests;
use crate::world::{World, shell};

tests![
    progress_bars_and_odd_bytes_are_kept_as_they_are_and_shown_readable,
    a_line_of_ten_megabytes_passes,
    a_log_has_a_cap_and_says_what_is_missing,
];

async fn progress_bars_and_odd_bytes_are_kept_as_they_are_and_shown_readable() {
    let mut world = World::new().await;
    world
        .talk
        .run(shell(r"printf '10%%\r100%%\nodd \377 byte\nlast'"))
        .await;
    let ended = world.talk.ended().await;
    assert_eq!(ended.last_lines, ["100%", "odd \u{fffd} byte", "last"]);
    world.talk.whole_log().await;
    assert_eq!(world.talk.log, b"10%\r100%\nodd \xff byte\nlast");
}

async fn a_line_of_ten_megabytes_passes() {
    let mut world = World::new().await;
    world
        .talk
        .run(shell(
            "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo end",
        ))
        .await;
    let ended = world.talk.ended().await;
    assert_eq!(
        (
            ended.log_bytes,
            ended.last_lines.len(),
            ended.last_lines[0].len()
        ),
        (10_000_005, 2, 2_000)
    );
    assert!(world.talk.whole_log().await.ends_with("x\nend\n"));
    assert_eq!(world.talk.log.len() as u64, ended.log_bytes);
    let spool = world.folder.path().join("agent/spool");
    // A second attempt: the acknowledgement of the first one's log has been taken before it starts.
    world
        .talk
        .start(Start {
            attempt: 2,
            ..shell("exit")
        })
        .await;
    world.talk.started().await;
    assert!(!spool.join("worker-0.1.log").exists());
}

async fn a_log_has_a_cap_and_says_what_is_missing() {
    let mut world = World::new().await;
    let limits = Some(NodeLimits {
        log_bytes: 100,
        ..NodeLimits::default()
    });
    world
        .talk
        .run(Start {
            limits,
            ..shell("head -c 1000 /dev/zero | tr '\\0' x; echo; echo end")
        })
        .await;
    let ended = world.talk.ended().await;
    let log = world.talk.whole_log().await;
    let marker = "\nforebay: the log is full at 100 bytes (`limits.log_bytes` of the role), 905 bytes more were dropped\n";
    assert_eq!(log, format!("{}{marker}", "x".repeat(100)));
    assert_eq!(ended.last_lines.last().unwrap(), "end");
    assert_eq!(ended.log_bytes, log.len() as u64);
}
