"""Trains the model of the example with parameter servers, and goes on from the checkpoints that worker 0 writes."""

import json
import os
import time

import forebay

node = forebay.node()

import tensorflow.compat.v1 as tf  # noqa: E402

import data  # noqa: E402
import model  # noqa: E402

STEPS = 1200

tf.disable_eager_execution()
config = json.loads(os.environ["TF_CONFIG"])
server = tf.train.Server(config["cluster"], job_name=node.role, task_index=node.index)
if node.role == "ps":
    server.join()

own = f"/job:worker/task:{node.index}"
workers = len(config["cluster"]["worker"])
images, labels, test_images, test_labels = data.load()
shard = data.shard(images, node.index, workers), data.shard(labels, node.index, workers)
with tf.device(tf.train.replica_device_setter(cluster=server.server_def.cluster, worker_device=own)):
    network = model.build()
    improve, global_step = model.train_step(network.loss)
checkpoints = str(node.output / "training")
options = tf.ConfigProto(device_filters=["/job:ps", own])
if node.index > 0:
    # A session that comes before the variables would look again only after 30 s.
    missing = tf.report_uninitialized_variables()
    with tf.Session(server.target, config=options) as session:
        while len(session.run(missing)) > 0:
            time.sleep(0.1)
resumed = None
with tf.train.MonitoredTrainingSession(
    server.target,
    is_chief=node.index == 0,
    checkpoint_dir=checkpoints,
    save_checkpoint_steps=20,
    hooks=[tf.train.StopAtStepHook(last_step=STEPS)],
    config=options,
) as session:
    for batch in model.batches(*shard, 32, seed=node.index):
        if session.should_stop():
            break
        _, step = session.run([improve, global_step], dict(zip((network.images, network.labels), batch)))
        if resumed is None:
            resumed = int(step) - 1
            node.report(resumed=resumed)
        node.report(step=int(step))
        time.sleep(0.02)
if node.index == 0:
    with tf.Graph().as_default(), tf.Session() as session:
        network = model.build()
        tf.train.Saver().restore(session, tf.train.latest_checkpoint(checkpoints))
        feed = {network.images: test_images, network.labels: test_labels}
        node.report(test_accuracy=float(session.run(network.accuracy, feed)))
