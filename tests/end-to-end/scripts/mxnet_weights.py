"""Trains one model with all workers and the same one alone on this worker's shard; reports both."""

import hashlib

import forebay

node = forebay.node()

import mxnet as mx  # noqa: E402  (a server and the scheduler serve here, and end here)
from mxnet import autograd, nd  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

store = mx.kv.create("dist_sync")
images, labels = load_digits(return_X_y=True)
images = nd.array(images[store.rank :: store.num_workers][:256] / 16)
labels = nd.array(labels[store.rank :: store.num_workers][:256])
RATE = 0.1


def gradient(weights):
    weights.attach_grad()
    with autograd.record():
        loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()(nd.dot(images, weights), labels).mean()
    loss.backward()
    return weights.grad


def digest(weights):
    return hashlib.sha256(weights.asnumpy().tobytes()).hexdigest()


together, alone = nd.zeros((64, 10)), nd.zeros((64, 10))
store.init("weights", together)
store.set_optimizer(mx.optimizer.SGD(learning_rate=RATE / store.num_workers))
for _ in range(20):
    store.push("weights", gradient(together))
    store.pull("weights", out=together)
    alone = alone - RATE * gradient(alone)
node.report(step=20, rank=store.rank, together=digest(together), alone=digest(alone))
