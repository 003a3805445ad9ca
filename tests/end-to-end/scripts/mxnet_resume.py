"""Trains the model of the example through the store, and goes on from what worker 0 saved."""

import time

import forebay

node = forebay.node()

import mxnet as mx  # noqa: E402

import data  # noqa: E402
import model  # noqa: E402

STEPS = 60

store = mx.kv.create("dist_sync")
workers = store.num_workers
images, labels, test_images, test_labels = data.load()
images = mx.nd.array(data.shard(images, node.index, workers))
labels = mx.nd.array(data.shard(labels, node.index, workers))
network = model.build()
network(images[:1])
weights, steps = node.output / "weights", node.output / "steps"
step = int(steps.read_text()) if steps.exists() else 0
if step > 0:
    network.load_parameters(str(weights))
node.report(resumed=step)
trainer = mx.gluon.Trainer(
    network.collect_params(), "sgd", {"learning_rate": 0.5, "momentum": 0.9}, kvstore=store
)
measure = mx.gluon.loss.SoftmaxCrossEntropyLoss()


def save(path, write):
    """All of it or nothing."""
    beside = path.with_suffix(".new")
    write(beside)
    beside.rename(path)


while step < STEPS:
    with mx.autograd.record():
        loss = measure(network(images), labels)
    loss.backward()
    # The store adds up the gradients of all workers.
    trainer.step(len(images) * workers)
    step += 1
    if node.index == 0:
        save(weights, lambda path: network.save_parameters(str(path)))
        save(steps, lambda path: path.write_text(str(step)))
    node.report(step=step)
    time.sleep(0.02)
node.report(test_accuracy=model.accuracy(network, test_images, test_labels))
node.done()
