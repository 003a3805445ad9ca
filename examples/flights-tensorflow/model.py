"""The network and its training step, as a TensorFlow graph."""

from types import SimpleNamespace

import tensorflow.compat.v1 as tf

FEATURES = 5 * 64 + 9 * 2  # categories by buckets, and two for each number


def build():
    """Adds the model to the current graph, with one hidden layer; its parts by name."""
    features = tf.placeholder(tf.float32, [None, FEATURES], "features")
    late = tf.placeholder(tf.float32, [None], "late")
    hidden = tf.nn.relu(dense(features, FEATURES, 32, "hidden"))
    logits = tf.squeeze(dense(hidden, 32, 1, "logit"), 1)
    loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=late, logits=logits))
    return SimpleNamespace(features=features, late=late, loss=loss, scores=tf.sigmoid(logits, "scores"))


def dense(values, inputs, outputs, name):
    with tf.variable_scope(name):
        weights = tf.get_variable("weights", [inputs, outputs], initializer=tf.glorot_uniform_initializer(seed=1))
        return values @ weights + tf.get_variable("bias", [outputs], initializer=tf.zeros_initializer())


def train_step(loss):
    """An operation that improves the model, and the global step that it counts."""
    step = tf.train.get_or_create_global_step()
    return tf.train.AdamOptimizer(0.0005).minimize(loss, global_step=step), step
