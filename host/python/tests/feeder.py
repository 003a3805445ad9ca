"""A node that is fed: the host's side is a program of the channel's crate (`host/channel/examples/feeder`), between the agent and the script."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap

from agent import Agent, WATCHDOG_S

REPOSITORY = pathlib.Path(__file__).parents[3]


@functools.cache
def program() -> str:
    """The one that `FOREBAY_FEEDER` names, or else built now."""
    return os.environ.get("FOREBAY_FEEDER") or built("feeder")


@functools.cache
def counter() -> str:
    """A library to be preloaded, which tells how much memory is asked for: `host/channel/examples/counter.rs`. Beside the program, or built now."""
    named = os.environ.get("FOREBAY_FEEDER")
    return str(pathlib.Path(named).with_name("libcounter.so")) if named else built("counter")


def built(example: str) -> str:
    """The file of an example of the channel's crate."""
    # Of the whole workspace: then its dependencies are those that are built already.
    command = ["cargo", "build", "--quiet", "--workspace", "--example", example, "--message-format", "json"]
    output = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout
    made = [json.loads(line) for line in output.splitlines()]
    return next(one["filenames"][0] for one in made if one.get("target", {}).get("name") == example)


def python_of(environment: str | None) -> str:
    """The interpreter of an environment of this repository; by default the one that runs this."""
    if environment is None:
        return sys.executable
    folder = os.environ.get("FOREBAY_ENVIRONMENTS") or REPOSITORY / ".forebay" / "environments"
    return str(pathlib.Path(folder) / environment / "bin" / "python")


PRELUDE = """
import pathlib, sys, threading, time
import forebay

node = forebay.node()
feed = node.feed
folder = pathlib.Path({folder!r})

def shared(address):
    '''Whether it lies in memory that the host shares.'''
    for line in open("/proc/self/maps"):
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= address < end:
            return "/memfd:" in line

def until(condition):
    limit = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < limit, "it never was"
        time.sleep(0.005)
"""


class Fed(Agent):
    """Starts a script as a node that is fed with these steps: see `plan.rs` of the feeder. The script has what the prelude gives it."""

    def __init__(
        self, script: str, *steps: dict, environment: str | None = None, parameters: dict[str, str] | None = None, counted: bool = False, **plan
    ):
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._temporary.name)
        self._report = self.folder / "report.json"
        plan = {"report": str(self._report), "steps": [self._placed(step) for step in steps], **plan}
        begin = PRELUDE.format(folder=str(self.folder))
        variables = ["env", f"LD_PRELOAD={counter()}"] if counted else []
        arguments = [program(), json.dumps(plan), *variables, python_of(environment), "-c"]
        super().__init__(begin + textwrap.dedent(script), arguments=arguments)
        self.pid = self.welcome(parameters=parameters or {})[2][0]

    def _placed(self, step: dict) -> dict:
        """Files are in the folder of the test."""
        return {key: str(self.folder / value) if key == "wait_for_file" else value for key, value in step.items()}

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        self._temporary.cleanup()

    def report(self) -> dict:
        """What came back; waits for the end of the script, which must have gone well."""
        self.stdout, self.stderr = self.process.communicate(timeout=WATCHDOG_S)
        if not self._report.exists():
            raise AssertionError(f"the feeder has failed: {self.stderr}")
        return json.loads(self._report.read_text())


def fed(script: str, *steps: dict, **plan) -> tuple[list[str], dict, str]:
    """Lines that the script has printed, what came back, and what it wrote to stderr."""
    with Fed(script, *steps, **plan) as node:
        report = node.report()
        return node.stdout.splitlines(), report, node.stderr
