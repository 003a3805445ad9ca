"""Trains without waiting for the other worker, and never gets out of its exit where that one is gone."""

import os
import time

import forebay

node = forebay.node()

import mxnet as mx  # noqa: E402

store = mx.kv.create("dist_async")
store.set_optimizer(mx.optimizer.SGD(learning_rate=0.1))
store.init("weights", mx.nd.zeros(1))
for step in range(1, 21):
    store.push("weights", mx.nd.ones(1))
    weights = mx.nd.zeros(1)
    store.pull("weights", out=weights)
    node.report(step=step)
if node.index == 0:
    while not os.path.exists(node.parameters["go"]):
        time.sleep(0.02)
node.done()
node.signal("done", "")
if node.index == 1:
    time.sleep(4711)
