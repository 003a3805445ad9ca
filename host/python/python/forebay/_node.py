"""The node that this process is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from forebay import _feed, _process
from forebay._batch import Batch
from forebay._feed import Feed
from forebay._process import NotInForebay

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pathlib
    from typing import Any, SupportsFloat, SupportsIndex

    from forebay._cluster import Cluster

    Reportable = SupportsFloat | SupportsIndex | str | bool

__all__ = ["Node", "NotInForebay", "node"]


def node() -> Node:
    """The node that this process is; the same object at each call.

    The first call tells the agent that the script knows Forebay (readiness `attached`).

    Raises:
        NotInForebay: this process is not the process of a node.
    """
    _process.conversation()
    return _attached()


@functools.cache
def _attached() -> Node:
    _process.conversation().attached()
    return Node()


@functools.cache
def _opened(role: str) -> Feed:
    return Feed(_process.channel(role))


class Node:
    """One node of a job, seen from its own process. Get it from :func:`forebay.node`.

    Methods may be called from any thread. They raise :class:`forebay.NotInForebay` in a forked child of the process, and
    `ConnectionError` when the agent is gone or does not read.
    """

    def __init__(self) -> None:
        self._identity = _process.conversation().identity()

    def __repr__(self) -> str:
        return f"<node {self.name} of job {self.job}, attempt {self.attempt}>"

    @property
    def job(self) -> str:
        """Name of the job."""
        return self._identity.job

    @property
    def run(self) -> str:
        """Name of this run of the job."""
        return self._identity.run

    @property
    def role(self) -> str:
        """`worker`."""
        return self._identity.role

    @property
    def index(self) -> int:
        """Number of the node within its role, from 0."""
        return self._identity.index

    @property
    def name(self) -> str:
        """`worker:0`."""
        return f"{self.role}:{self.index}"

    @property
    def attempt(self) -> int:
        """Which process of this node it is, from 1."""
        return self._identity.attempt

    @property
    def parameters(self) -> dict[str, str]:
        """Properties of the job and of the role, those of the role winning. A copy."""
        return dict(self._identity.parameters)

    @property
    def output(self) -> pathlib.Path:
        """Folder for results, one for all nodes of the run: make subfolders for what is a node's own. It exists."""
        import pathlib

        folder = pathlib.Path(self._identity.output)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def cluster(self) -> Cluster:
        """The cluster as it is known now, who has finished included. Costs no message."""
        from forebay import _cluster

        generation, _revision, members = _process.conversation().cluster()
        return _cluster.published(generation, members)

    def generation_taken(self, cluster: Cluster) -> None:
        """Says that the script, or its framework, has taken this form of the cluster as its own."""
        _process.conversation().generation_taken(cluster.generation)

    def report(self, step: SupportsIndex | None = None, **values: Reportable) -> None:
        """Reports progress. Never waits: at most ten reports a second leave the process, each with the latest value of
        each name; what is left leaves at exit.

        Args:
            step: global step, not negative. It is what Forebay takes as progress.
            values: at most 256 numbers, texts (4 KiB) or bools; a number may be a scalar of any array library.

        Raises:
            TypeError: a value is something else.
            ValueError, OverflowError: a value is too long, or the step is negative.
        """
        _process.conversation().report(step, values)

    @property
    def feed(self) -> Feed:
        """The batches that this node is fed with; the same object at each call. The first one opens the channel.

        Raises:
            NotFed: the role has no input.
            ConnectionError: the channel is none of this version, or the host is gone.
        """
        return _opened(self.role)

    def emit(self, columns: Mapping[str, Any] | Any, of: Batch | None = None) -> None:
        """Answers a batch, with one row for each of its rows, those included that only fill it up. Waits while the host has no room.

        Args:
            columns: arrays by name, of any library that numpy understands, or with `__arrow_c_array__`; a single array where answers have
                one column; or an Arrow batch. Shape `(rows,)`, for lists of always `n` numbers `(rows, n)`. Numbers are cast within their
                kind (float64 to float32, whole numbers that fit); `None`, and what a masked array masks, is null.
            of: the batch that is answered, by default the oldest one without an answer. Answers may be given in any order, from any thread.

        Raises:
            ValueError: other columns, rows or types than wanted; a row larger than a quarter of `output_ring`; a batch that waits for no
                answer.
            RuntimeError: nobody takes answers, or the feed is closed.
            NotFed, ConnectionError: as :attr:`feed`.
        """
        _feed.emit(self.feed._alive(), columns, of)

    def signal(self, name: str, payload: str = "") -> None:
        """Sends an event to the job's state machine, which sees it as a custom event.

        Args:
            name: at most 256 bytes.
            payload: at most 64 KiB.

        Raises:
            ValueError: it is longer.
        """
        _process.conversation().signal(name, payload)

    def done(self) -> None:
        """Says that the work of this node is done, whatever its process does afterwards."""
        _process.conversation().done()

    def finish_job(self, reason: str = "") -> None:
        """Asks that the whole job ends as succeeded.

        Args:
            reason: shown to the user; at most 64 KiB.

        Raises:
            ValueError: it is longer.
        """
        _process.conversation().finish_job(reason)

    def stop_requested(self) -> bool:
        """Whether the node has been asked to stop: by the agent, by SIGTERM, or because the agent is gone.

        Who asks promises to look: from the first call on, SIGTERM does not end the process at once any more (unless the
        script has a handler of its own, which stays), nor while the interpreter ends: the script's exit status counts. The
        process is killed when the grace (30 s) is over. Make the first call in the main thread; elsewhere SIGTERM keeps its
        effect.
        """
        _process.keep_sigterm_away()
        return _process.conversation().stop_requested()

    def on_stop(self, callback: Callable[[str], object]) -> None:
        """Calls back once, with the reason, when the node is asked to stop; at once if it has been asked already.

        The callback runs in a thread of its own. SIGTERM is kept away as by :meth:`stop_requested`.
        """
        _process.keep_sigterm_away()
        _process.on_stop(callback)
