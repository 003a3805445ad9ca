"""Scores what the node is fed with the trained network: one answer for each row."""

from pathlib import Path

import forebay

import model

node = forebay.node()
network = model.Network()
network.load_parameters(str(Path(__file__).parent / "out" / "model.params"))
rows = 0
for batch in node.feed:
    node.emit({"score": model.score(network, batch.mxnet("numbers"), batch.mxnet("codes"))})
    rows += len(batch)
    node.report(rows=rows)
