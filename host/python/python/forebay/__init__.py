"""What the process of a node sees of Forebay.

Call :func:`node` in a script that a Forebay job runs::

    import forebay

    node = forebay.node()
    for batch in node.feed:
        features, label = batch.torch("features"), batch.torch("label")
        ...
        node.report(step=step, loss=loss)

A script that never imports this package is a full node too; it only says less.
"""

from forebay._batch import Batch
from forebay._cluster import Cluster, Member
from forebay._feed import Feed, HeldBatches, NotFed, Pass
from forebay._node import Node, NotInForebay, node

__all__ = ["Batch", "Cluster", "Feed", "HeldBatches", "Member", "Node", "NotFed", "NotInForebay", "Pass", "node"]
