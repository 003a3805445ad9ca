"""The network, its training loop, and what is compared afterwards."""

import hashlib

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

from data import CLASSES

BATCH_SIZE = 32


def build():
    """One hidden layer; the same weights at each call."""
    mx.random.seed(1)
    network = nn.Sequential()
    network.add(nn.Dense(64, activation="relu"), nn.Dense(CLASSES))
    network.initialize(mx.init.Xavier())
    return network


def train(network, images, labels, passes, store, workers, after_step):
    """Trains in place, through a key-value store if one is given; calls `after_step(step, loss)`."""
    trainer = gluon.Trainer(network.collect_params(), "adam", {"learning_rate": 0.002}, kvstore=store)
    measure = gluon.loss.SoftmaxCrossEntropyLoss()
    generator = np.random.default_rng(2)
    step = 0
    for _ in range(passes):
        # Whole batches: the store divides by one batch size for ever.
        order = generator.permutation(len(images))[: len(images) // BATCH_SIZE * BATCH_SIZE]
        for rows in order.reshape(-1, BATCH_SIZE):
            with autograd.record():
                loss = measure(network(mx.nd.array(images[rows])), mx.nd.array(labels[rows]))
            loss.backward()
            # The store adds up the gradients of all workers.
            trainer.step(BATCH_SIZE * workers)
            step += 1
            after_step(step, loss.mean().asscalar())


def accuracy(network, images, labels):
    """Share of the images that are recognised, 0 to 1."""
    return float((network(mx.nd.array(images)).asnumpy().argmax(1) == labels).mean())


def checksum(network):
    """Equal for equal weights, to the bit."""
    weights = b"".join(parameter.data().asnumpy().tobytes() for parameter in network.collect_params().values())
    return hashlib.sha256(weights).hexdigest()[:16]
