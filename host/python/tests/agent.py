"""The agent's side of node control, as far as the tests need it: frames over a socket pair, and a little protobuf."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import sys
import textwrap

WATCHDOG_S = 60
PROTOCOL = 1

UP = {
    1: "hello", 2: "attached", 3: "report", 4: "signal", 5: "done", 6: "finish_job", 7: "exception", 8: "pong",
    9: "generation_taken", 10: "saved", 11: "rolled_back",
}


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Fields in wire format: whole numbers as varints, the rest as bytes."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


def parse(raw: bytes) -> dict[int, list]:
    """Field number to its values; doubles as floats."""
    fields: dict[int, list] = {}
    at = 0
    while at < len(raw):
        key, at = _varint_at(raw, at)
        if key & 7 == 0:
            value, at = _varint_at(raw, at)
        elif key & 7 == 1:
            value, at = struct.unpack_from("<d", raw, at)[0], at + 8
        else:
            length, at = _varint_at(raw, at)
            value, at = raw[at : at + length], at + length
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _varint_at(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def report_values(report: dict[int, list]) -> dict[str, object]:
    """The values of a parsed report."""
    values = {}
    for entry in report.get(2, []):
        fields = parse(entry)
        name = fields.get(1, [b""])[0].decode()
        (kind, (value,)), = parse(fields[2][0]).items()
        values[name] = {1: lambda v: v, 2: lambda v: v, 3: lambda v: v.decode(), 4: bool}[kind](value)
    return values


def member(role: str, index: int, address: str, ports: dict[str, int], *, finished: bool = False) -> bytes:
    named = [(4, message((1, name), (2, number))) for name, number in ports.items()]
    return message((1, message((1, role), (2, index))), (2, "here"), (3, address), *named, (5, int(finished)))


def cluster(generation: int, revision: int, *members: bytes) -> bytes:
    return message((1, generation), (2, revision), *((3, one) for one in members))


class Agent:
    """Starts a script as a node and speaks with it."""

    def __init__(self, script: str, *, arguments: list[str] | None = None, output: str = "/tmp/out", variable: str | None = None):
        ours, theirs = socket.socketpair()
        ours.settimeout(WATCHDOG_S)
        self.socket, self.output = ours, output
        self._bytes = b""
        environment = {**os.environ, "FOREBAY_NODE_FD": variable or str(theirs.fileno()), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*(arguments or [sys.executable, "-c"]), textwrap.dedent(script)],
            env=environment, pass_fds=[theirs.fileno()], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        theirs.close()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.kill()
        self.process.communicate()

    def send(self, *fields) -> None:
        raw = message(*fields)
        self.socket.sendall(struct.pack("<I", len(raw)) + raw)

    def welcome(self, **changes) -> dict[int, list]:
        """Takes hello and answers it; the hello."""
        hello = self.expect("hello")
        values = {"refusal": "", "parameters": {}, "cluster": cluster(0, 0), **changes}
        parameters = [(8, message((1, key), (2, value))) for key, value in values["parameters"].items()]
        self.send((1, message(
            (1, PROTOCOL), (2, "0.1.0"), (3, "digits"), (4, "digits-1"), (5, "worker"), (6, 1), (7, 2), *parameters,
            (9, self.output), (10, values["cluster"]), (12, values["refusal"]),
        )))
        return hello

    def ping(self, number: int) -> None:
        self.send((3, message((1, number))))

    def stop_notice(self, reason: str) -> None:
        self.send((6, message((1, 30_000), (2, reason))))

    def receive(self) -> tuple[str, dict[int, list]] | None:
        """The next message; `None` when the node has hung up."""
        while True:
            if len(self._bytes) >= 4 and len(self._bytes) >= 4 + (length := struct.unpack_from("<I", self._bytes)[0]):
                raw, self._bytes = self._bytes[4 : 4 + length], self._bytes[4 + length :]
                (kind, (body,)), = parse(raw).items()
                return UP[kind], parse(body)
            arrived = self.socket.recv(65536)
            if not arrived:
                return None
            self._bytes += arrived

    def expect(self, kind: str) -> dict[int, list]:
        """The next message, which must be of this kind."""
        received = self.receive()
        if received is None or received[0] != kind:
            raise AssertionError(f"wanted `{kind}`, got {received}; stderr: {self._stderr_now()}")
        return received[1]

    def rest(self) -> list[tuple[str, dict[int, list]]]:
        """All messages up to the node's hang-up."""
        return list(iter(self.receive, None))

    def settle(self) -> None:
        """Returns when the node has taken all that was sent before."""
        self.ping(0)
        self.expect("pong")

    def is_silent(self) -> bool:
        """Whether nothing arrives within a second, a thousand times what an answer takes."""
        return not select.select([self.socket], [], [], 1)[0]

    def type(self, line: str) -> None:
        """A line for the script to read."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """The next line that the script prints."""
        return self.process.stdout.readline().rstrip("\n")

    def ended(self) -> tuple[int, str]:
        """Exit status and stderr."""
        _stdout, stderr = self.process.communicate(timeout=WATCHDOG_S)
        return self.process.returncode, stderr

    def _stderr_now(self) -> str:
        os.set_blocking(self.process.stderr.fileno(), False)
        return self.process.stderr.read() or ""
