"""Imported by `forebay_node.pth` at interpreter start, in the process of a node alone, before the script begins."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

from forebay import _process

STACKS_SIGNAL = signal.SIGUSR2
"""The agent sends it to have the stacks of all threads written to stderr. It works while the interpreter is stuck."""

EXIT_REFUSED = 3
"""The agent refuses this process, or does not answer."""


def _start() -> None:
    # Before hello: from then on the agent may send it.
    faulthandler.register(STACKS_SIGNAL, file=2, all_threads=True)
    try:
        _process.open_inherited()
    except ConnectionError as error:
        # An exception would be printed and passed over.
        os.write(2, f"forebay: {error}\n".encode())
        os._exit(EXIT_REFUSED)
    sys.excepthook = _Hook(sys.excepthook)


class _Hook:
    """Tells the agent of an exception that leaves the script, then does what was done before."""

    def __init__(self, previous: Callable[[type[BaseException], BaseException, TracebackType | None], object]) -> None:
        self._previous = previous

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        try:
            _tell(kind, error, trace)
        finally:
            self._previous(kind, error, trace)


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    talk = _process.current()
    if talk is None:
        return
    text = _plain("".join(traceback.format_exception(kind, error, trace)))
    channel = _process.current_channel()
    if channel is not None:
        channel.abort(text)
    try:
        talk.exception(kind.__qualname__, _plain(_message(error)), text)
    except ConnectionError:
        pass  # It is printed all the same.


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(the exception has no text: its `__str__` raises)"


def _plain(text: str) -> str:
    return text.encode(errors="replace").decode()


_start()
