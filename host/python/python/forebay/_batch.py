"""A batch of rows, as arrays of any library."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from forebay import _forebay

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from typing import Any

    import mxnet
    import numpy
    import pandas
    import pyarrow
    import tensorflow
    import torch

_ALIGNMENT = 64
"""TensorFlow ends the process when a tensor begins elsewhere."""


class Batch:
    """Rows of the feed, in columns. Iterate over `node.feed` for batches.

    A batch lies in memory that it shares with the host. Arrays made of it keep their place there for as long as they live: drop what
    is used, or copy what is to stay, or the host finds no room for more. Nothing in it may be written.

    A column of numbers without nulls is an array of its rows: shape `(rows,)`. A column of lists of always `n` numbers
    (`FixedSizeList`) is a matrix: shape `(rows, n)`, the last index fastest. Neither is copied, except where a method says so.
    """

    __slots__ = ("_raw", "__weakref__")

    def __init__(self, raw: _forebay.Batch) -> None:
        self._raw = raw

    def __repr__(self) -> str:
        return f"<batch {self.sequence}: {len(self)} rows of {', '.join(self.columns)}>"

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def columns(self) -> Mapping[str, str]:
        """Names of the columns, in their order, and their Arrow types: `{"label": "Float32"}`."""
        return MappingProxyType(dict(self._raw.columns()))

    @property
    def sequence(self) -> int:
        """Number of the batch in its feed: it grows, with gaps."""
        return self._raw.sequence

    @property
    def pass_number(self) -> int:
        """Which pass over the training data it is of, from 0."""
        return self._raw.pass_number

    @property
    def padding(self) -> int:
        """Rows at the end that only fill the batch up: give them weight 0."""
        return self._raw.padding

    def __arrow_c_schema__(self) -> object:
        """A capsule of Arrow's C data interface."""
        return self._raw.arrow_schema()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Two capsules of Arrow's C data interface, schema and array: any library that knows Arrow takes the batch, without copying."""
        return self._raw.arrow_schema(), self._raw.arrow_array()

    def arrow(self) -> pyarrow.RecordBatch:
        """All columns, not copied.

        Raises:
            ImportError: there is no `pyarrow`.
        """
        return _imported("pyarrow").record_batch(self)

    def pandas(self) -> pandas.DataFrame:
        """All columns, as :meth:`numpy` gives them; a column of lists is one of objects. Not copied where pandas does not want to.

        Raises:
            ImportError: there is no `pandas`.
            ValueError: as :meth:`numpy`.
        """
        pandas = _imported("pandas")
        arrays = {name: self.numpy(name) for name in self.columns}
        return pandas.DataFrame({name: list(array) if array.ndim > 1 else array for name, array in arrays.items()}, copy=False)

    def numpy(self, name: str | None = None) -> Any:
        """A column as a `numpy.ndarray`, or a dict of all of them. Arrays of numbers are not copied and cannot be written.

        Timestamps are `datetime64` of their unit, in UTC; dates `datetime64[D]` (a copy); times of day and durations `timedelta64`.
        Truths are `bool` (a copy). Texts, bytes, decimals, lists and structs are arrays of objects (a copy), with `None` for null.
        Null is NaN in floats and NaT in times (a copy).

        Raises:
            KeyError: there is no such column.
            ValueError: a column of whole numbers or truths has nulls.
            ImportError: there is no `numpy`.
        """
        return self._each(name, self._numpy)

    def torch(self, name: str | None = None) -> Any:
        """A column as a `torch.Tensor`, or a dict of all of them, on the CPU. Not copied, except for truths and floats with nulls (NaN).

        PyTorch lets one write to such a tensor, and ends the process when one does.

        Raises:
            KeyError: there is no such column.
            TypeError: a column is no numbers or truths.
            ValueError: a column of whole numbers or truths has nulls.
            ImportError: there is no `torch`.
        """
        torch = _imported("torch")
        return self._each(name, lambda name: self._tensor(name, torch.from_dlpack, torch.from_numpy))

    def tensorflow(self, name: str | None = None) -> Any:
        """A column as an eager `tensorflow.Tensor`, or a dict of all of them. Not copied, except for truths and floats with nulls (NaN).

        In graph mode (`tf.function`, `tf.data`, a session) a feed is always copied: give it :meth:`numpy`.

        Raises:
            KeyError: there is no such column.
            TypeError: a column is no numbers or truths.
            ValueError: a column of whole numbers or truths has nulls.
            ImportError: there is no `tensorflow`.
        """
        tensorflow = _imported("tensorflow")

        def shared(view: _forebay.View) -> Any:
            return tensorflow.experimental.dlpack.from_dlpack(view.__dlpack__())

        return self._each(name, lambda name: self._tensor(name, shared, tensorflow.constant))

    def mxnet(self, name: str | None = None) -> Any:
        """A column as an `mxnet.nd.NDArray` on the CPU, or a dict of all of them. Not copied, except for truths (which become `uint8`)
        and floats with nulls (NaN).

        Raises:
            KeyError: there is no such column.
            TypeError: a column is no numbers or truths, or of a width that MXNet has not.
            ValueError: a column of whole numbers or truths has nulls.
            ImportError: there is no `mxnet`.
        """
        mxnet = _imported("mxnet")

        def shared(view: _forebay.View) -> Any:
            return mxnet.nd.from_dlpack(view.__dlpack__())

        def copied(array: numpy.ndarray) -> Any:
            array = array.view("u1") if array.dtype == bool else array
            return mxnet.nd.array(array, dtype=array.dtype)

        def tensor(name: str) -> Any:
            kind = self._column(name).dtypes
            if kind is not None and kind[0] in _NOT_IN_MXNET:
                raise TypeError(f"the column `{name}` is of type {self.columns[name]}, which MXNet does not have: CAST it in SQL")
            return self._tensor(name, shared, copied)

        return self._each(name, tensor)

    def _each(self, name: str | None, get: Callable[[str], Any]) -> Any:
        if name is None:
            return {name: get(name) for name in self.columns}
        return get(name)

    def _column(self, name: str) -> _forebay.Column:
        column = self._raw.column(name)
        if column is not None:
            return column
        known = ", ".join(f"`{name}`" for name in self.columns)
        raise KeyError(f"there is no column `{name}`; there are: {known}")

    def _numpy(self, name: str) -> numpy.ndarray:
        numpy = _imported("numpy")
        view = self._raw.plain(name)
        if view is not None:
            return _array(numpy, view)
        column = self._column(name)
        if column.dtypes is None:
            array = numpy.empty(len(column), dtype=object)
            array[:] = column.objects()
            return array
        dtype, storage = column.dtypes
        array = _array(numpy, column.view())
        if dtype != storage:
            array = array.astype("<i8", copy=False).view(dtype)
        if column.nulls:
            array = _with_gaps(numpy, column, array)
        return array

    def _tensor(self, name: str, shared: Callable[[_forebay.View], Any], copied: Callable[[numpy.ndarray], Any]) -> Any:
        view = self._raw.plain(name)
        if view is not None and view.address % _ALIGNMENT == 0:
            return shared(view)
        column = self._column(name)
        if column.dtypes is None or column.dtypes[0] != column.dtypes[1]:
            raise TypeError(f"the column `{name}` is of type {self.columns[name]}, which is no number: CAST it in SQL, or take `batch.numpy`")
        return copied(self._numpy(name).copy())


_NOT_IN_MXNET = {"<i2", "<u2", "<u4", "<u8"}


def _imported(library: str) -> Any:
    there = sys.modules.get(library)
    if there is not None:
        return there
    import importlib

    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        text = f"this needs the package `{library}`, which is not in this environment"
        raise ImportError(text, name=library) from None


def _array(numpy: Any, view: _forebay.View) -> numpy.ndarray:
    return numpy.ndarray(view.shape, view.dtype, view)


def _with_gaps(numpy: Any, column: _forebay.Column, array: numpy.ndarray) -> numpy.ndarray:
    gap = {"f": numpy.nan, "M": numpy.datetime64("NaT"), "m": numpy.timedelta64("NaT")}.get(array.dtype.kind)
    if gap is None:
        raise ValueError(
            f"the column `{column.name}` ({column.kind}) has {column.nulls} nulls, for which an array of this type has no value: "
            f"fill it in SQL, COALESCE({column.name}, ...)"
        )
    array = array.copy()
    array[~_array(numpy, column.valid())] = gap
    return array


def moment(microseconds: int) -> datetime.datetime:
    """Since 1970, in UTC; what Python has no date for is its first or last one."""
    import datetime

    try:
        return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=microseconds)
    except OverflowError:
        end = datetime.datetime.max if microseconds > 0 else datetime.datetime.min
        return end.replace(tzinfo=datetime.UTC)
