"""The same model in one process on all training data: what the distributed run is compared with."""

import tensorflow.compat.v1 as tf

import data
import model

STEPS = 1500
BATCH_SIZE = 32

tf.disable_eager_execution()
images, labels, test_images, test_labels = data.load()
network = model.build()
improve, _ = model.train_step(network.loss)
batches = model.batches(images, labels, BATCH_SIZE, seed=0)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(STEPS):
        session.run(improve, dict(zip((network.images, network.labels), next(batches))))
    accuracy = session.run(network.accuracy, {network.images: test_images, network.labels: test_labels})
print(f"test accuracy {accuracy:.4f}")
