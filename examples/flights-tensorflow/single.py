"""The same model in one process on the same samples in the same order: what the distributed run is compared with."""

import tensorflow.compat.v1 as tf

import data
import model

BATCH_SIZE = 256  # of one worker: they do not wait for each other

tf.disable_eager_execution()
samples, held_out = data.Samples("train.csv"), data.Samples("held-out.csv")
network = model.build()
improve, _ = model.train_step(network.loss)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for first in range(0, len(samples.ids), BATCH_SIZE):
        rows = slice(first, first + BATCH_SIZE)
        session.run(improve, {network.features: samples.features(rows), network.late: samples.late[rows]})
    scores = session.run(network.scores, {network.features: held_out.features(slice(None))})
data.write_scores(held_out.ids, scores)
print(f"trained on {len(samples.ids):,} samples, scored {len(scores):,} into out/single.csv")
