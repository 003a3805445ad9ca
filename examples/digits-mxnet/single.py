"""The same model in one process: on all training data, or (`single.py 0 2`) on the shard of worker 0 of 2 alone."""

import sys

import data
import model

PASSES = 30

images, labels, test_images, test_labels = data.load()
if len(sys.argv) == 3:
    index, count = map(int, sys.argv[1:])
    images, labels = data.shard(images, index, count), data.shard(labels, index, count)
network = model.build()
model.train(network, images, labels, PASSES, None, 1, lambda step, loss: None)
accuracy = model.accuracy(network, test_images, test_labels)
print(f"test accuracy {accuracy:.4f}, weights {model.checksum(network)}")
