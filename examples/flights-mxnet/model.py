"""The network and its training step."""

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

NUMBERS = 13
SIZES = [4, 17, 512, 24, 7]  # of the codes: origin, carrier, destination, hour, weekday
STARTS = mx.nd.array(np.cumsum([0, *SIZES[:-1]]))
MEASURE = gluon.loss.SigmoidBinaryCrossEntropyLoss()


class Network(nn.Block):
    """A vector for each code beside the numbers, and one hidden layer; the same weights at each call."""

    def __init__(self, dimensions=8, hidden=32):
        super().__init__()
        mx.random.seed(1)
        self.vectors = nn.Embedding(sum(SIZES), dimensions, weight_initializer=mx.init.Normal(0.1))
        self.hidden = nn.Dense(hidden, activation="relu", in_units=NUMBERS + len(SIZES) * dimensions)
        self.logit = nn.Dense(1, in_units=hidden)
        self.initialize(mx.init.Xavier())

    def forward(self, numbers, codes):
        """Logits (rows,) of float32 numbers (rows, 13) and float32 codes (rows, 5)."""
        vectors = self.vectors(mx.nd.broadcast_add(codes, STARTS.reshape((1, -1))))
        return self.logit(self.hidden(mx.nd.concat(numbers, vectors.flatten(), dim=1))).reshape(-1)


def trainer(network, store=None):
    """What improves the network, through a key-value store if one is given."""
    return gluon.Trainer(network.collect_params(), "adam", {"learning_rate": 0.001}, kvstore=store)


def step(network, improve, rows, numbers, codes, late, weight):
    """Trains on one batch, in place; its mean log loss. `rows`: of the batches of all workers together."""
    with autograd.record():
        loss = MEASURE(network(numbers, codes), late, weight)
    loss.backward()
    # The store adds up the gradients of all workers, and this divides them.
    improve.step(rows)
    return (loss.sum() / mx.nd.maximum(weight.sum(), 1)).asscalar()


def score(network, numbers, codes):
    """Chances (rows,) of leaving late, 0 to 1, as a numpy array."""
    return network(numbers, codes).sigmoid().asnumpy()
