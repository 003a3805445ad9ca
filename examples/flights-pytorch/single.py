"""The same model in one process on the same samples in the same order: what the distributed run is compared with."""

import torch

import data
import model

BATCH_SIZE = 512  # of both workers together

samples = {name: torch.from_numpy(values) for name, values in data.load("train.csv").items()}
network = model.Network()
improve = model.optimizer(network)
whole = len(samples["id"]) // BATCH_SIZE * BATCH_SIZE
for first in range(0, whole, BATCH_SIZE):
    rows = slice(first, first + BATCH_SIZE)
    model.step(network, improve, samples["numbers"][rows], samples["codes"][rows], samples["late"][rows].float())
held_out = {name: torch.from_numpy(values) for name, values in data.load("held-out.csv").items()}
data.write_scores(held_out["id"], model.score(network, held_out["numbers"], held_out["codes"]))
print(f"trained on {whole:,} samples, scored {len(held_out['id']):,} into out/single.csv")
