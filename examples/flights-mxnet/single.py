"""The same model in one process on the same samples in the same order: what the distributed run is compared with."""

import mxnet as mx

import data
import model

BATCH_SIZE = 512  # of both workers together


def tensors(samples, names, rows):
    return [mx.nd.array(samples[name][rows]) for name in names]


samples = data.load("train.csv")
network = model.Network()
improve = model.trainer(network)
for first in range(0, len(samples["id"]), BATCH_SIZE):
    rows = slice(first, first + BATCH_SIZE)
    model.step(network, improve, BATCH_SIZE, *tensors(samples, ("numbers", "codes", "late", "weight"), rows))
held_out = data.load("held-out.csv")
data.write_scores(held_out["id"], model.score(network, *tensors(held_out, ("numbers", "codes"), slice(None))))
print(f"trained on {len(samples['id']):,} samples, scored {len(held_out['id']):,} into out/single.csv")
