"""The conversation of this process with its agent: opened at start-up, closed at exit, forgotten in a forked child."""

from __future__ import annotations

import atexit
import fcntl
import os
import signal
import stat
import threading
from collections.abc import Callable
from sys import executable, version

from forebay._forebay import Channel, Conversation

VARIABLE = "FOREBAY_NODE_FD"
CHANNEL_VARIABLE = "FOREBAY_CHANNEL"

_conversation: Conversation | None = None
_absence = (
    "this process was not started by Forebay: name this script in a role of a job file (`script = \"train.py\"`) and start it "
    "with `forebay run JOB.toml`"
)


_channel: Channel | None = None
_descriptors: list[int] = []
_broken: str | None = None
_opening = threading.Lock()


class NotFed(RuntimeError):
    """The role of this node has no input; the text says what to do."""

    __module__ = "forebay"


class NotInForebay(RuntimeError):
    """This process is not the process of a node; the text says why, and what to do."""

    __module__ = "forebay"


def conversation() -> Conversation:
    """The open conversation.

    Raises:
        NotInForebay: there is none.
    """
    if _conversation is None:
        raise NotInForebay(_absence)
    return _conversation


def current() -> Conversation | None:
    """The open conversation, if there is one."""
    return _conversation


def open_inherited() -> None:
    """Opens the conversation on the descriptor that the variable names, and takes the variable away: programs that this
    process starts have no part in it.

    Raises:
        ConnectionError: the agent refuses this process, or does not answer.
    """
    global _conversation, _descriptors
    inherited = _kept_from_children(os.environ.pop(CHANNEL_VARIABLE, ""))
    descriptor = _claim(os.environ.pop(VARIABLE))
    if descriptor is None:
        return
    _descriptors = inherited
    _conversation = Conversation(descriptor, version.split()[0], executable)
    atexit.register(_close)
    os.register_at_fork(after_in_child=lambda: _forget(descriptor))


def channel(role: str) -> Channel:
    """The channel that feeds this process; it is opened at the first call.

    Raises:
        NotInForebay: this process is not the process of a node.
        NotFed: the role has no input.
        ConnectionError: the channel is none of this version.
    """
    conversation()
    with _opening:
        if _channel is None:
            _open_channel(role)
        return _channel


def _open_channel(role: str) -> None:
    """Once: whatever comes of it, the descriptors are used up."""
    global _channel, _descriptors, _broken
    if _broken is not None:
        raise ConnectionError(_broken)
    if not _descriptors:
        raise NotFed(f"the role `{role}` is not fed: give it an `input` in the job file, the name of a source or a transform")
    descriptors, _descriptors = _descriptors, []
    try:
        _channel = Channel(descriptors)
    except ConnectionError as error:
        _broken = str(error)
        raise


def current_channel() -> Channel | None:
    """The open channel, if there is one."""
    return _channel


def _kept_from_children(text: str) -> list[int]:
    """The descriptors of a channel; empty where there is none."""
    try:
        descriptors = [int(part) for part in text.split(",")]
        kinds = [stat.S_IFMT(os.fstat(descriptor).st_mode) for descriptor in descriptors]
        if kinds != [stat.S_IFREG] * 4 + [stat.S_IFSOCK]:
            return []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
    except (ValueError, OverflowError, OSError):
        return []
    return descriptors


def _claim(text: str) -> int | None:
    """The descriptor, if it is a socket that no other process (of a pipeline, say) speaks on."""
    global _absence
    _absence = f"`{VARIABLE}` names `{text}`, which is not the agent's socket: a program between the agent and this process closed it"
    try:
        descriptor = int(text)
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        os.set_inheritable(descriptor, False)
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _absence = "another process of this node speaks with the agent already"
        return None
    except (ValueError, OverflowError, OSError):
        return None
    return descriptor


def _close() -> None:
    global _conversation, _absence
    if _conversation is not None:
        _conversation.close()
        _conversation = None
        _absence = "the interpreter is ending; the conversation with the agent is closed"
        if signal.getsignal(signal.SIGTERM) is _request_stop:
            # The interpreter takes handlers away while it ends: a SIGTERM would undo the end that it asked for.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _forget(descriptor: int) -> None:
    """In a forked child: its thread does not exist, and the agent must see when the parent is gone."""
    global _conversation, _absence, _channel, _descriptors
    if _conversation is not None:
        _leaked.extend([_conversation, _channel])
        of_channel = _descriptors if _channel is None else [_channel.descriptor]
        _conversation = _channel = None
        _absence = "this is a forked child of a node's process: call Forebay in the process that the agent started"
        for descriptor in [descriptor, *of_channel]:
            os.close(descriptor)
        _descriptors = []


# The objects of the parent stay untouched in a forked child: their locks may be held by a thread that is not there.
_leaked: list[object] = []


def keep_sigterm_away() -> None:
    """SIGTERM becomes a stop request, where it would have ended the process."""
    conversation()
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _request_stop)


def _request_stop(*_) -> None:
    if _conversation is not None:
        _conversation.request_stop("SIGTERM")


def on_stop(callback: Callable[[str], object]) -> None:
    """Waits for a stop request in a thread of its own."""
    talk = conversation()

    def wait() -> None:
        reason = talk.wait_for_stop()
        if reason is not None:
            callback(reason)

    threading.Thread(target=wait, name="forebay-stop", daemon=True).start()
