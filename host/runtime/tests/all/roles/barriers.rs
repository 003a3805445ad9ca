//! Barriers at nodes that send them back, and at one that takes its time.

use std::sync::mpsc;
use std::time::Duration;

use forebay_channel::Kind;
use forebay_runtime::Setting;

use super::{Read, ids, node, plan, reads_all, start, text};
use crate::{document, folder, job, runtime};

#[test]
fn barriers_are_acknowledged_and_sent_back() {
    let runtime = runtime();
    let keys = "nodes = 2\ndealing = { rounds = 10 }";
    let (_folder, plan) = plan(&text(1_000_000, keys), &runtime);
    let running = start(&plan, 2);
    let nodes = [0, 1].map(|index| node(plan.feeds(), index, reads_all));
    let handle = running.handle();
    for barrier in 1..=5 {
        handle.trigger(barrier);
        let checkpoint = handle.wait_for_checkpoint(barrier);
        assert!(checkpoint.is_some(), "barrier {barrier}");
    }
    let all: usize = nodes
        .map(|node| node.join().expect("it can be done").len())
        .iter()
        .sum();
    assert_eq!(all, 1_000_000);
    running.wait().expect("it can be done");
}

#[test]
fn a_node_that_is_not_done_in_time_costs_the_checkpoint_and_no_row() {
    let runtime = runtime();
    let folder = folder(&[]);
    let text = text(1_000, "dealing = { credit = 10 }").replace("rows = 1000", "rate = 1000");
    let setting = Setting {
        acknowledge_within: Duration::from_secs(1),
        ..Setting::new(runtime.handle().clone())
    };
    let job = job(&document(&text, folder.path()));
    let planned = runtime.block_on(forebay_runtime::plan(&job, setting));
    let plan = planned.plan.expect("it is right");
    let running = start(&plan, 1);
    let (go_on, may_go_on) = mpsc::channel();
    let all = node(plan.feeds(), 0, move |mut node| {
        let mut all = Vec::new();
        loop {
            match node.read() {
                Read::Rows(_, batch) => all.extend(ids(&batch)),
                Read::Mark(header) if header.kind == Kind::Barrier => {
                    if header.checkpoint == 1 {
                        // Where nothing comes, the barrier is waited for without a bound: then it is stored, which the test sees.
                        let _ = may_go_on.recv_timeout(Duration::from_secs(30));
                    }
                    node.echo(&header);
                }
                Read::Mark(_) => {}
                Read::End => {
                    node.close();
                    return all;
                }
            }
        }
    });
    let handle = running.handle();
    handle.trigger(1);
    assert!(handle.wait_for_checkpoint(1).is_none());
    go_on.send(()).expect("it waits");
    // What it sends back of the first one is late, and does no harm.
    let is_stored = |barrier| {
        handle.trigger(barrier);
        handle.wait_for_checkpoint(barrier).is_some()
    };
    // It may be held up again where the machine is.
    assert!((2..20).any(is_stored));
    handle.end_sources();
    let all = all.join().expect("it can be done");
    running.wait().expect("it can be done");
    let expected = (0..).take(all.len());
    assert!(all.into_iter().eq(expected), "some are missing");
}
