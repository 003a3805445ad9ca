"""Each step wants a gradient of both workers: worker 1 leaves after a few, and worker 0 waits for ever."""

import json
import os

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

is_chief = node.index == 0
with tf.device(tf.train.replica_device_setter(cluster=config["cluster"])):
    step = tf.train.get_or_create_global_step()
    weights = tf.get_variable("weights", [10])
    optimizer = tf.train.SyncReplicasOptimizer(
        tf.train.GradientDescentOptimizer(0.1), replicas_to_aggregate=2, total_num_replicas=2
    )
    train = optimizer.minimize(tf.reduce_sum(weights * weights), global_step=step)
hook = optimizer.make_session_run_hook(is_chief, num_tokens=0)


def every_step_of(session):
    """Makes steps, and says which."""
    while True:
        _, now = session.run([train, step])
        node.report(step=int(now))
        if now >= 5 and not is_chief:
            os._exit(0)


with tf.train.MonitoredTrainingSession(master=server.target, is_chief=is_chief, hooks=[hook]) as session:
    every_step_of(session)
