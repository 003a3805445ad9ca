"""Counts on a parameter server for ever, and says where its variables live."""

import json
import os
import threading
import time

import forebay

node = forebay.node()

import tensorflow.compat.v1 as tf  # noqa: E402

tf.disable_eager_execution()
config = json.loads(os.environ["TF_CONFIG"])
server = tf.train.Server(
    config["cluster"], job_name=config["task"]["type"], task_index=config["task"]["index"]
)
if node.role == "ps":
    server.join()


def tick():
    """Shows that the process lives, whether it makes steps or not."""
    ticks = 0
    while True:
        ticks += 1
        node.report(ticks=ticks)
        time.sleep(0.15)


device = tf.train.replica_device_setter(cluster=config["cluster"])
with tf.device(device):
    step = tf.train.get_or_create_global_step()
    weights = tf.get_variable("weights", [64, 10])
    train = tf.group(weights.assign_add(tf.ones([64, 10])), step.assign_add(1))
threading.Thread(target=tick, daemon=True).start()
session = tf.train.MonitoredTrainingSession(master=server.target, is_chief=node.index == 0)
with session:
    trace = tf.RunMetadata()
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
    session.run(train, options=options, run_metadata=trace)
    ran_on = sorted({stats.device for stats in trace.step_stats.dev_stats})
    placed = sorted({variable.device for variable in tf.global_variables()})
    while True:
        _, now = session.run([train, step])
        node.report(step=int(now), placed=" ".join(placed), ran_on=" ".join(ran_on))
        time.sleep(0.02)
