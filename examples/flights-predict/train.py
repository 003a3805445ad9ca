"""Trains on what the node is fed."""

import forebay
import numpy as np

import model

node = forebay.node()
trained = model.Model()
samples, ids = 0, []
for step, batch in enumerate(node.feed, start=1):
    loss = trained.step(batch.numpy("numbers"), batch.numpy("codes"), batch.numpy("late"))
    samples += len(batch)
    node.report(step=step, loss=loss, samples=samples)
    if node.parameters["check_ids"] == "true":
        ids.append(batch.numpy("id").copy())
if ids:
    np.save(node.output / f"ids-{node.index}.npy", np.concatenate(ids))
np.save(node.output / "weights.npy", trained.weights)
