"""Batches as what the frameworks iterate over. Each framework is imported where it is used, and nowhere else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from forebay._batch import Batch, _imported


@dataclass(frozen=True)
class Choice:
    """Which columns make an element."""

    features: str | Sequence[str]
    label: str | None
    weights: bool

    def element(self, batch: Batch, get: Callable[[str], Any], weights: Callable[[Batch], Any]) -> Any:
        """The parts of a batch, each as `get` gives it."""
        parts = [self._features(get)]
        if self.label is not None:
            parts.append(get(self.label))
        if self.weights:
            parts.append(weights(batch))
        return tuple(parts) if len(parts) > 1 else parts[0]

    def names(self) -> list[str]:
        """Of the features."""
        return [self.features] if isinstance(self.features, str) else list(self.features)

    def _features(self, get: Callable[[str], Any]) -> Any:
        if isinstance(self.features, str):
            return get(self.features)
        return {name: get(name) for name in self.features}


def _weights(batch: Batch) -> Any:
    numpy = _imported("numpy")
    weights = numpy.ones(len(batch), "f4")
    weights[len(batch) - batch.padding :] = 0
    return weights


def torch_dataset(batches: Any, choice: Choice) -> Any:
    """See `Feed.torch_dataset`."""
    torch = _imported("torch")
    import torch.utils.data

    class FeedDataset(torch.utils.data.IterableDataset):
        def __iter__(self) -> Iterator[Any]:
            if torch.utils.data.get_worker_info() is not None:
                raise RuntimeError(
                    "a ring has one reader: give the DataLoader `num_workers=0`, it has nothing to prepare (and `batch_size=None`)"
                )
            for batch in batches:
                yield choice.element(batch, batch.torch, lambda batch: torch.from_numpy(_weights(batch)))

    return FeedDataset()


def tf_dataset(batches: Any, choice: Choice) -> Any:
    """See `Feed.tf_dataset`."""
    tensorflow = _imported("tensorflow")
    layouts = batches._layouts()
    spec = choice.element(None, lambda name: _spec(tensorflow, name, layouts), lambda _: tensorflow.TensorSpec([None], "float32"))

    def elements() -> Iterator[Any]:
        for batch in batches:
            yield choice.element(batch, functools.partial(_without_nulls, batch), _weights)

    return tensorflow.data.Dataset.from_generator(elements, output_signature=spec)


def _without_nulls(batch: Batch, name: str) -> Any:
    array = batch.numpy(name)
    if array.dtype == object and None in array:
        raise ValueError(f"the column `{name}` has nulls, which TensorFlow does not have: fill it in SQL, COALESCE({name}, ...)")
    return array


def _spec(tensorflow: Any, name: str, layouts: dict[str, Any]) -> Any:
    if name not in layouts:
        raise KeyError(f"there is no column `{name}`; there are: {', '.join(f'`{known}`' for known in layouts) or 'none'}")
    dtype, storage, inner = layouts[name] or ("", "", [])
    if dtype != storage:
        raise TypeError(f"the column `{name}` is of times, which TensorFlow does not have: CAST it to BIGINT in SQL")
    return tensorflow.TensorSpec([None, *inner], _imported("numpy").dtype(dtype) if dtype else "string")


def mxnet_iter(batches: Any, choice: Choice) -> Any:
    """See `Feed.mxnet_iter`."""
    mxnet = _imported("mxnet")
    labels = [] if choice.label is None else [choice.label]

    class FeedIter(mxnet.io.DataIter):
        def __init__(self) -> None:
            super().__init__()
            self._rest = iter(batches)
            self._first = next(self._rest, None)
            first = self._first
            self.batch_size = 0 if first is None else len(first)
            self.provide_data = _described(mxnet, first, choice.names())
            self.provide_label = _described(mxnet, first, labels)

        def reset(self) -> None:
            """Rows come once: nothing begins anew."""

        def next(self) -> Any:
            batch, self._first = self._first, None
            if batch is None:
                batch = next(self._rest)
            return mxnet.io.DataBatch(
                data=[batch.mxnet(name) for name in choice.names()],
                label=[batch.mxnet(name) for name in labels],
                pad=batch.padding,
                provide_data=_described(mxnet, batch, choice.names()),
                provide_label=_described(mxnet, batch, labels),
            )

    return FeedIter()


def _described(mxnet: Any, batch: Batch | None, names: Sequence[str]) -> list[Any]:
    if batch is None:
        return []
    arrays = [(name, batch.numpy(name)) for name in names]
    return [mxnet.io.DataDesc(name, array.shape, array.dtype.type) for name, array in arrays]
