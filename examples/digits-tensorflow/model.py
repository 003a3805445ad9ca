"""The network, its training step and its input, as a TensorFlow graph."""

from types import SimpleNamespace

import numpy as np
import tensorflow.compat.v1 as tf

from data import CLASSES, PIXELS


def build():
    """Adds the model to the current graph, with one hidden layer; its parts by name."""
    images = tf.placeholder(tf.float32, [None, PIXELS], "images")
    labels = tf.placeholder(tf.int32, [None], "labels")
    hidden = tf.nn.relu(dense(images, PIXELS, 64, "hidden"))
    logits = dense(hidden, 64, CLASSES, "logits")
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    correct = tf.equal(tf.argmax(logits, 1, output_type=tf.int32), labels)
    accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))
    scores = tf.nn.softmax(logits, name="scores")
    return SimpleNamespace(images=images, labels=labels, loss=loss, accuracy=accuracy, scores=scores)


def dense(values, inputs, outputs, name):
    with tf.variable_scope(name):
        weights = tf.get_variable("weights", [inputs, outputs], initializer=tf.glorot_uniform_initializer(seed=1))
        return values @ weights + tf.get_variable("bias", [outputs], initializer=tf.zeros_initializer())


def train_step(loss):
    """An operation that improves the model, and the global step that it counts."""
    step = tf.train.get_or_create_global_step()
    return tf.train.AdamOptimizer(0.002).minimize(loss, global_step=step), step


def batches(images, labels, size, seed):
    """Batches for ever, in a new order on each pass."""
    generator = np.random.default_rng(seed)
    while True:
        order = generator.permutation(len(images))
        for rows in np.split(order, range(size, len(order), size)):
            yield images[rows], labels[rows]
