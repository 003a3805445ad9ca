"""Scores what the node is fed with the trained network: one answer for each row."""

from pathlib import Path

import forebay
import torch

import model

node = forebay.node()
network = model.Network()
network.load_state_dict(torch.load(Path(__file__).parent / "out" / "model.pt"))
rows = 0
for batch in node.feed:
    node.emit({"score": model.score(network, batch.torch("numbers"), batch.torch("codes")).numpy()})
    rows += len(batch)
    node.report(rows=rows)
