"""What the process of a node sees of Forebay.

Call :func:`node` in a script that a Forebay job runs::

    import forebay

    node = forebay.node()
    for step in range(steps):
        ...
        node.report(step=step, loss=loss)

A script that never imports this package is a full node too; it only says less.
"""

from forebay._cluster import Cluster, Member
from forebay._node import Node, NotInForebay, node

__all__ = ["Cluster", "Member", "Node", "NotInForebay", "node"]
