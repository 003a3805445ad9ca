"""What a node answers with: arrays of any library become columns."""

from __future__ import annotations

from collections.abc import Mapping

from forebay import _forebay
from forebay._batch import _imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def columns(results: _forebay.Results, answer: Any) -> list[_forebay.Column]:
    """The columns of an answer, in the order of the results.

    Raises:
        ValueError: it has other columns, or one cannot be made of what was given.
    """
    names = [name for name, _ in results.columns()]
    if not isinstance(answer, Mapping):
        if hasattr(answer, "__arrow_c_array__"):
            return results.arrow_batch(*answer.__arrow_c_array__())
        if len(names) != 1:
            raise ValueError(f"an answer has the columns {', '.join(f'`{name}`' for name in names)}: give a dict of them")
        answer = {names[0]: answer}
    if list(answer) != names:
        results.check_names([str(name) for name in answer])
    return [_column(results, index, answer[name]) for index, name in enumerate(names)]


def _column(results: _forebay.Results, index: int, values: Any) -> _forebay.Column:
    if hasattr(values, "__arrow_c_array__"):
        return results.arrow(index, *values.__arrow_c_array__())
    layout = results.layout(index)
    if layout is None:
        return _texts(results, index, values)
    numpy = _imported("numpy")
    array, valid = _array(numpy, values)
    dtype, storage, inner = layout
    wanted = _Wanted(numpy, results.columns()[index], dtype)
    if array.shape[1:] != tuple(inner):
        raise wanted.refusal(array, f"shape (rows, {', '.join(map(str, inner))})" if inner else "one number a row")
    array = wanted.cast(array, valid)
    if array.dtype.kind in "mM":
        array = array.view("<i8").astype(storage)
    plain = numpy.ascontiguousarray(array).reshape(-1).view("u1")
    return results.plain(index, plain, None if valid is None else numpy.ascontiguousarray(valid).reshape(-1).view("u1"))


def _array(numpy: Any, values: Any) -> tuple[Any, Any]:
    """A numpy array, and where it has values; `None`: everywhere."""
    for step in ("detach", "cpu", "asnumpy"):
        if hasattr(values, step):
            values = getattr(values, step)()
    if isinstance(values, numpy.ma.MaskedArray):
        return values.filled(values.dtype.type()), ~numpy.ma.getmaskarray(values)
    array = numpy.asarray(values)
    if array.dtype != object:
        return array, None
    valid = numpy.frompyfunc(lambda value: value is not None, 1, 1)(array).astype(bool)
    present = numpy.asarray(array[valid].tolist())
    filled = numpy.zeros(array.shape, present.dtype if present.size else "|b1")
    filled[valid] = present
    return filled, valid


class _Wanted:
    """A column, and what may become of it."""

    def __init__(self, numpy: Any, column: tuple[str, str], dtype: str) -> None:
        self._numpy = numpy
        self._name, self._kind = column
        self._dtype = numpy.dtype(dtype)

    def cast(self, array: Any, valid: Any) -> Any:
        """To the wanted type, if none is lost but precision."""
        numpy, dtype = self._numpy, self._dtype
        if array.size == 0 or (valid is not None and not valid.any()):
            return numpy.zeros(array.shape, dtype)
        if array.dtype == object:
            return self._cast_objects(array)
        if array.dtype.kind in "iu" and dtype.kind in "iu":
            limits = numpy.iinfo(dtype)
            if int(array.min()) < limits.min or int(array.max()) > limits.max:
                raise self.refusal(array, f"numbers from {limits.min} to {limits.max}")
        elif array.dtype.kind in "mM" or dtype.kind in "mM":
            if array.dtype.kind != dtype.kind:
                raise self.refusal(array, f"dtype {dtype}")
        elif not numpy.can_cast(array.dtype, dtype, "same_kind"):
            raise self.refusal(array, f"dtype {dtype}")
        return array.astype(dtype)

    def _cast_objects(self, array: Any) -> Any:
        """Dates and spans of Python are objects to numpy; other objects are nothing that is wanted."""
        if self._dtype.kind not in "mM":
            raise self.refusal(array, f"dtype {self._dtype}")
        try:
            return array.astype(self._dtype)
        except (TypeError, ValueError):
            raise self.refusal(array, f"dtype {self._dtype}") from None

    def refusal(self, array: Any, wanted: str) -> ValueError:
        return ValueError(
            f"the column `{self._name}` ({self._kind}) was given with dtype {array.dtype} and shape {array.shape}; wanted: {wanted}"
        )


def _texts(results: _forebay.Results, index: int, values: Any) -> _forebay.Column:
    name, kind = results.columns()[index]
    if not results.is_text(index):
        raise ValueError(f"the column `{name}` is to be {kind}: give it as an Arrow array (an object with `__arrow_c_array__`)")
    values = values.numpy() if hasattr(values, "numpy") else values
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    try:
        if kind.endswith("Binary"):
            return results.bytes(index, values)
        return results.texts(index, [value.decode() if isinstance(value, bytes) else value for value in values])
    except (TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"the column `{name}` is to be {kind}: {error}") from None
