"""The feed of a node: batches that the host's dataflow puts into shared memory."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence

from forebay import _answer, _forebay, _process
from forebay._batch import Batch, moment
from forebay._process import NotFed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from typing import Any

    import mxnet
    import tensorflow
    import torch

__all__ = ["Feed", "HeldBatches", "NotFed", "Pass"]

_STALLED_S = 5.0


class HeldBatches(RuntimeWarning):
    """The script waits for a batch, and the host for room that the script's own arrays take."""

    __module__ = "forebay"


class _Batches:
    """What gives batches one by one, and frameworks what they want of that."""

    def __iter__(self) -> Iterator[Batch]:
        raise NotImplementedError

    def _layouts(self) -> dict[str, tuple[str, str, list[int]] | None]:
        raise NotImplementedError

    def torch_dataset(
        self, features: str | Sequence[str] = "features", label: str | None = "label", *, weights: bool = False
    ) -> torch.utils.data.IterableDataset:
        """All batches from here on as a `torch.utils.data.IterableDataset`, for `DataLoader(dataset, batch_size=None)`.

        An element is a batch: `(features, label)`. Tensors are those of :meth:`Batch.torch`, not copied.

        Args:
            features: a column, or several, which then are a dict.
            label: a column; `None`: elements are features alone.
            weights: a third part of each element, float32 of shape `(rows,)`: 1, and 0 for rows that only fill a batch up.

        Raises:
            RuntimeError: a loader has workers (`num_workers` is to be 0): a ring has one reader, and batches are ready as they are.
        """
        from forebay import _datasets

        return _datasets.torch_dataset(self, _datasets.Choice(features, label, weights))

    def tf_dataset(
        self, features: str | Sequence[str] = "features", label: str | None = "label", *, weights: bool = False
    ) -> tensorflow.data.Dataset:
        """All batches from here on as a `tensorflow.data.Dataset`, in eager and in graph mode.

        An element is a batch, as in :meth:`torch_dataset`. `element_spec` follows from the schema, for which this call waits; the number of
        rows is open. `tf.data` copies each batch once; without it :meth:`Batch.tensorflow` copies nothing.

        Args:
            features, label, weights: as in :meth:`torch_dataset`.
        """
        from forebay import _datasets

        return _datasets.tf_dataset(self, _datasets.Choice(features, label, weights))

    def mxnet_iter(self, features: str | Sequence[str] = "features", label: str | None = "label") -> mxnet.io.DataIter:
        """All batches from here on as an `mxnet.io.DataIter`.

        `provide_data` and `provide_label` have the shapes of the first batch, for which this call waits. `pad` of a batch counts the rows
        that only fill it up. `reset` begins nothing anew: rows come once.

        Args:
            features, label: as in :meth:`torch_dataset`.
        """
        from forebay import _datasets

        return _datasets.mxnet_iter(self, _datasets.Choice(features, label, weights=False))


class Feed(_Batches):
    """The batches of a node, each of which comes once. Get it from `node.feed`.

    A batch counts as done with when the next one is asked for: checkpoints go by that. So one thread asks. It may be any thread, and others
    may call :meth:`Node.emit` meanwhile.

    Raises:
        ConnectionError: the host is gone. So raise all methods that ask for batches.
        RuntimeError: the dataflow has failed, or this is a forked child of the node's process.
    """

    def __init__(self, channel: _forebay.Channel) -> None:
        self._channel = channel
        self._has_warned = False

    def __iter__(self) -> Iterator[Batch]:
        """Batches up to the end of the input, over all passes."""
        return iter(self.next, None)

    def __next__(self) -> Batch:
        batch = self.next()
        if batch is None:
            raise StopIteration
        return batch

    def next(self, timeout: float | None = None) -> Batch | None:
        """The next batch; `None`: there is none any more.

        Args:
            timeout: seconds; by default as long as it takes.

        Raises:
            TimeoutError: none came in time. Ask again.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            come = self._next(deadline)
            if not isinstance(come, int):
                return come

    def passes(self) -> Iterator[Pass]:
        """The passes over training data: each is to be iterated over for its batches. What of one was not taken when the next is asked for
        is passed over. An input without passes is one pass."""
        while True:
            come = self._next(None)
            if come is None:
                return
            if isinstance(come, int):
                continue
            one = Pass(self, come)
            # Nobody but the script holds a batch.
            del come
            yield one
            for _ in one:
                pass

    def close(self) -> None:
        """Says that the script reads no more; then there are no more batches. Not needed at the end of the input.

        Raises:
            RuntimeError: batches have no answer, and are to have one: :meth:`Node.emit` them before.
        """
        self._alive().close()

    @property
    def schema(self) -> dict[str, str]:
        """Names of the columns and their Arrow types, as announced last: `{"label": "Float32"}`. Waits for the first announcement; empty
        where the input ends without one."""
        return {name: kind for name, kind, _ in self._alive().schema()}

    @property
    def watermark(self) -> datetime.datetime | None:
        """No row that comes is older than this, in UTC; `None`: nothing is known."""
        microseconds = self._alive().watermark()
        return None if microseconds is None else moment(microseconds)

    def metrics(self) -> dict[str, Any]:
        """What has come so far: `batches`, `rows`, `bytes`, `waited` (seconds that the script has waited for batches), and `held`: the
        sequences of the batches that still take room in the ring."""
        channel = self._alive()
        batches, rows, size, waited_us = channel.counts()
        return {"batches": batches, "rows": rows, "bytes": size, "waited": waited_us / 1e6, "held": channel.held()}

    def _layouts(self) -> dict[str, tuple[str, str, list[int]] | None]:
        return {name: layout for name, _, layout in self._alive().schema()}

    def _alive(self) -> _forebay.Channel:
        _process.conversation()
        return self._channel

    def _next(self, deadline: float | None) -> Batch | int | None:
        """A batch, the number of a pass that is over, or `None` at the end. The first five seconds of a wait are a step of their own."""
        channel = self._alive()
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._has_warned and (left is None or left > _STALLED_S):
            try:
                return _wrapped(channel.next(_STALLED_S))
            except TimeoutError:
                self._warn_of_held()
                left = None if left is None else left - _STALLED_S
        return _wrapped(channel.next(left))

    def _warn_of_held(self) -> None:
        channel = self._channel
        held = channel.held()
        if not held or not channel.is_crowded():
            return
        self._has_warned = True
        some = ", ".join(map(str, held[:10])) + (", ..." if len(held) > 10 else "")
        warnings.warn(
            f"no batch has come for {_STALLED_S:.0f} s, and the script still holds {len(held)} batches (sequence {some}), which take more than "
            "half of the ring: the host may wait for their room. Drop their arrays, or copy what is to stay.",
            HeldBatches,
            stacklevel=4,
        )


def _wrapped(come: _forebay.Batch | int | None) -> Batch | int | None:
    return Batch(come) if isinstance(come, _forebay.Batch) else come


class Pass(_Batches):
    """One pass over training data: iterate over it for its batches, once."""

    def __init__(self, feed: Feed, first: Batch) -> None:
        self.number = first.pass_number
        """From 0."""
        self._feed = feed
        self._first: Batch | None = first
        self._is_over = False

    def __repr__(self) -> str:
        return f"<pass {self.number}>"

    @property
    def schema(self) -> dict[str, str]:
        """As :attr:`Feed.schema`."""
        return self._feed.schema

    def _layouts(self) -> dict[str, tuple[str, str, list[int]] | None]:
        return self._feed._layouts()

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._next, None)

    def _next(self) -> Batch | None:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._is_over:
            return None
        come = self._feed._next(None)
        if isinstance(come, Batch):
            return come
        self._is_over = True
        return None


def emit(channel: _forebay.Channel, answer: Any, of: Batch | None) -> None:
    """See :meth:`Node.emit`."""
    sequence = None if of is None else of.sequence
    if not channel.emit_as_it_is(answer, sequence):
        channel.emit(_answer.columns(channel.results(), answer), sequence)
