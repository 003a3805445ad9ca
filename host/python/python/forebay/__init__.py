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
from forebay._feed import Feed, HeldBatches, NotFed, Pass
from forebay._node import Node, NotInForebay, node

# A node is started as fast as this package is imported: what few scripts need is imported when it is asked for, `typing` never.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from forebay._cluster import Cluster, Member

__all__ = ["Batch", "Cluster", "Feed", "HeldBatches", "Member", "Node", "NotFed", "NotInForebay", "Pass", "node"]


def __getattr__(name: str) -> object:
    if name not in ("Cluster", "Member"):
        raise AttributeError(f"module `forebay` has no attribute `{name}`")
    from forebay import _cluster

    return getattr(_cluster, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


del TYPE_CHECKING
