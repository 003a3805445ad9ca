"""A `dist_sync` key-value store: each worker is fed every other batch of the stream, the server updates the weights once both have pushed."""

import forebay
import mxnet as mx
import numpy as np

import model


def main():
    node = forebay.node()
    # Scheduler and numbers come from the environment, where Forebay's plugin has put them.
    store = mx.kv.create("dist_sync")
    network = model.Network()
    train(node, store, network)
    if node.index == 0:
        network.save_parameters(str(node.output / "model.params"))
    # Server and scheduler end as soon as the workers have left the store, which is before their processes end.
    node.done()


def train(node, store, network):
    improve = model.trainer(network, store)
    samples, ids = 0, []
    for step, batch in enumerate(node.feed, start=1):
        tensors = [batch.mxnet(name) for name in ("numbers", "codes", "late", "weight")]
        loss = model.step(network, improve, len(batch) * store.num_workers, *tensors)
        own = len(batch) - batch.padding
        samples += own
        node.report(step=step, loss=loss, samples=samples)
        if node.parameters["check_ids"] == "true":
            ids.append(batch.numpy("id")[:own].copy())
    if ids:
        np.save(node.output / f"ids-{node.index}.npy", np.concatenate(ids))


main()
