"""Scores what the node is fed with the trained model: one answer for each row."""

from pathlib import Path

import forebay
import numpy as np

import model

node = forebay.node()
trained = model.Model()
trained.weights = np.load(Path(__file__).parent / "out" / "weights.npy")
rows, ids = 0, []
for batch in node.feed:
    node.emit({"score": trained.score(batch.numpy("numbers"), batch.numpy("codes"))})
    rows += len(batch)
    node.report(rows=rows)
    if node.parameters["check_ids"] == "true":
        ids.append(batch.numpy("id").copy())
if ids:
    np.save(node.output / f"ids-{node.index}.npy", np.concatenate(ids))
