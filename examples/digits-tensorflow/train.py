"""Between-graph training with parameter servers: each worker trains on its own shard, the variables live on `ps`."""

import json
import os
import time

import forebay
import tensorflow.compat.v1 as tf

import data
import model

tf.disable_eager_execution()
tf.logging.set_verbosity(tf.logging.ERROR)  # no word about graphs being the old way


def main():
    node = forebay.node()
    config = json.loads(os.environ["TF_CONFIG"])
    server = tf.train.Server(config["cluster"], job_name=node.role, task_index=node.index)
    if node.role == "ps":
        server.join()  # for ever: Forebay ends it when the workers are done
    workers = len(config["cluster"]["worker"])
    train(node, server, workers)
    if node.index == 0:
        evaluate(node)


def train(node, server, workers):
    images, labels, _, _ = data.load()
    shard = data.shard(images, node.index, workers), data.shard(labels, node.index, workers)
    with tf.device(tf.train.replica_device_setter(cluster=server.server_def.cluster, worker_device=f"/job:worker/task:{node.index}")):
        network = model.build()
        improve, global_step = model.train_step(network.loss)
        arrived = tf.get_variable("arrived", [], tf.int32, tf.zeros_initializer(), trainable=False)
        arrive = arrived.assign_add(1)
    tf.summary.scalar("loss", network.loss)
    start_together = StartTogether(arrive, arrived, workers)
    wait_for_variables(server, node)
    with tf.train.MonitoredTrainingSession(
        server.target,
        is_chief=node.index == 0,
        checkpoint_dir=str(node.output / "training"),
        hooks=[tf.train.StopAtStepHook(last_step=int(node.parameters["steps"])), start_together],
        save_summaries_steps=20,
        config=own_devices(node),
    ) as session:
        for batch in model.batches(*shard, int(node.parameters["batch_size"]), seed=node.index):
            if session.should_stop():
                break
            feed = dict(zip((network.images, network.labels), batch))
            _, step, loss = session.run([improve, global_step, network.loss], feed)
            node.report(step=step, loss=loss)


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


class StartTogether(tf.train.SessionRunHook):
    """Nobody begins before all have arrived: this training is shorter than TensorFlow's start may differ."""

    def __init__(self, arrive, arrived, workers):
        self.arrive, self.arrived, self.workers = arrive, arrived, workers

    def after_create_session(self, session, coord):
        session.run(self.arrive)
        while session.run(self.arrived) < self.workers:
            time.sleep(0.1)


def evaluate(node):
    """Takes the last checkpoint, tests it on images that nobody has trained on, and exports it for serving."""
    _, _, images, labels = data.load()
    with tf.Graph().as_default(), tf.Session() as session:
        network = model.build()
        tf.train.Saver().restore(session, tf.train.latest_checkpoint(str(node.output / "training")))
        accuracy = session.run(network.accuracy, {network.images: images, network.labels: labels})
        tf.saved_model.simple_save(session, str(node.output / "model"), {"images": network.images}, {"scores": network.scores})
    node.report(test_accuracy=accuracy)
    print(f"test accuracy {accuracy:.4f}")


main()
