"""Counts in step with the other workers through the store, and goes on from what worker 0 saved."""

import time

import forebay

node = forebay.node()

import mxnet as mx  # noqa: E402

STEPS = 60

store = mx.kv.create("dist_sync")
store.init("weights", mx.nd.zeros(1))
saved = node.output / "step"
step = int(saved.read_text()) if saved.exists() else 0
node.report(resumed=step)
while step < STEPS:
    store.push("weights", mx.nd.ones(1))
    weights = mx.nd.zeros(1)
    store.pull("weights", out=weights)
    assert weights.asscalar() == store.num_workers
    step += 1
    if node.index == 0:
        beside = saved.with_suffix(".new")
        beside.write_text(str(step))
        beside.rename(saved)
    node.report(step=step)
    time.sleep(0.02)
