"""Scores what the node is fed with the trained network: one answer for each row."""

from pathlib import Path

import forebay
import tensorflow as tf

node = forebay.node()
model = tf.saved_model.load(str(Path(__file__).parent / "out" / "model"))
predict = model.signatures["serving_default"]
rows = 0
for batch in node.feed:
    node.emit({"score": predict(features=batch.tensorflow("features"))["scores"].numpy()})
    rows += len(batch)
    node.report(rows=rows)
