"""Between-graph training with parameter servers: each worker is fed its own batches of the stream, the variables live on `ps`."""

import json
import os
import time

import forebay
import numpy as np
import tensorflow.compat.v1 as tf

import model

tf.disable_eager_execution()
tf.logging.set_verbosity(tf.logging.ERROR)  # no word about graphs being the old way


def main():
    node = forebay.node()
    config = json.loads(os.environ["TF_CONFIG"])
    server = tf.train.Server(config["cluster"], job_name=node.role, task_index=node.index)
    if node.role == "ps":
        server.join()  # for ever: Forebay ends it when the workers are done
    train(node, server, len(config["cluster"]["worker"]))
    if node.index == 0:
        export(node)


def train(node, server, workers):
    with tf.device(tf.train.replica_device_setter(cluster=server.server_def.cluster, worker_device=f"/job:worker/task:{node.index}")):
        network = model.build()
        improve, global_step = model.train_step(network.loss)
        arrived, finished = Count("arrived"), Count("finished")
    tf.summary.scalar("loss", network.loss)

    def finish(step_context):
        """The job is done when worker 0 is: it waits for the last steps of the others."""
        finished.add_one(step_context.session)
        if node.index == 0:
            finished.wait_for(step_context.session, workers)

    wait_for_variables(server, node)
    with tf.train.MonitoredTrainingSession(
        server.target,
        is_chief=node.index == 0,
        checkpoint_dir=str(node.output / "training"),
        hooks=[StartTogether(arrived, workers)],
        save_summaries_steps=20,
        config=own_devices(node),
    ) as session:
        consume(node, session, network, [improve, global_step, network.loss])
        session.run_step_fn(finish)  # without the hooks of `run`: summaries want a batch


def consume(node, session, network, wanted):
    samples, ids = 0, []
    for batch in node.feed:
        feed = {network.features: batch.numpy("features"), network.late: batch.numpy("late")}
        _, step, loss = session.run(wanted, feed)
        samples += len(batch)
        node.report(step=step, loss=loss, samples=samples)
        if node.parameters["check_ids"] == "true":
            ids.append(batch.numpy("id").copy())
    if ids:
        np.save(node.output / f"ids-{node.index}.npy", np.concatenate(ids))


class Count:
    """A number on the parameter server that all workers see."""

    def __init__(self, name):
        self.value = tf.get_variable(name, [], tf.int32, tf.zeros_initializer(), trainable=False)
        self.increment = self.value.assign_add(1, use_locking=True)

    def add_one(self, session):
        session.run(self.increment)

    def wait_for(self, session, least):
        while session.run(self.value) < least:
            time.sleep(0.1)


class StartTogether(tf.train.SessionRunHook):
    """Nobody begins before all have arrived: this training is not much longer than TensorFlow's start may differ."""

    def __init__(self, arrived, workers):
        self.arrived, self.workers = arrived, workers

    def after_create_session(self, session, coord):
        self.arrived.add_one(session)
        self.arrived.wait_for(session, self.workers)


def own_devices(node):
    """The parameter servers and this worker: one worker does not wait for another."""
    return tf.ConfigProto(device_filters=["/job:ps", f"/job:worker/task:{node.index}"])


def wait_for_variables(server, node):
    """Worker 0 makes them. A MonitoredTrainingSession that comes too early would look again only after 30 s."""
    if node.index == 0:
        return
    missing = tf.report_uninitialized_variables()
    with tf.Session(server.target, config=own_devices(node)) as session:
        while len(session.run(missing)) > 0:
            time.sleep(0.1)


def export(node):
    """Makes a SavedModel of the last checkpoint."""
    with tf.Graph().as_default(), tf.Session() as session:
        network = model.build()
        tf.train.Saver().restore(session, tf.train.latest_checkpoint(str(node.output / "training")))
        tf.saved_model.simple_save(session, str(node.output / "model"), {"features": network.features}, {"scores": network.scores})


main()
