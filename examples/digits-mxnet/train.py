"""A `dist_sync` key-value store: each worker trains on its own shard, the server updates the weights once all have pushed."""

import forebay
import mxnet as mx

import data
import model


def main():
    node = forebay.node()
    # Scheduler and numbers come from the environment, where Forebay's plugin has put them.
    store = mx.kv.create("dist_sync")
    workers = store.num_workers
    images, labels, test_images, test_labels = data.load()
    # Not `store.rank`: MXNet numbers its workers by address and port.
    shard = data.shard(images, node.index, workers), data.shard(labels, node.index, workers)
    network = model.build()
    passes = int(node.parameters["passes"])
    model.train(network, *shard, passes, store, workers, lambda step, loss: node.report(step=step, loss=loss))
    accuracy, weights = model.accuracy(network, test_images, test_labels), model.checksum(network)
    node.report(test_accuracy=accuracy, weights=weights)
    print(f"test accuracy {accuracy:.4f}, weights {weights}")
    if node.index == 0:
        network.save_parameters(str(node.output / "model.params"))
    # Server and scheduler end as soon as the workers have left the store, which is before their processes end.
    node.done()


main()
