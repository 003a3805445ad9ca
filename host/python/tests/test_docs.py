"""What the pages show runs, with a feed and without one."""

from __future__ import annotations

import re
import tempfile
import unittest

from agent import Agent, cluster, member
from feeder import REPOSITORY, fed, python_of
from test_startup import run_outside

PAGES = [REPOSITORY / "docs" / page for page in ("python.md", "training.md")]
SNIPPET = re.compile(r"<!-- runs in (\w+)(?:, answers (\w+))? -->\n```python\n(.*?)```", re.DOTALL)
UNFED = re.compile(r"<!-- runs without input(?: in (\w+))?(?:, ([\w ]+))? -->\n```python\n(.*?)```", re.DOTALL)
OUTSIDE, STOPPED = "and outside of Forebay", "until it is stopped"
IMPORTS = {"pytorch": "import torch", "tensorflow": "import tensorflow as tf", "mxnet": "import mxnet as mx"}
STEPS = [
    {"schema": ["features", "label", "id"]}, {"data": {"rows": 8, "batch": 4, "padding": 1}}, {"pass_end": 0},
    {"data": {"rows": 8, "batch": 4, "pass": 1}}, {"pass_end": 1}, {"end": None},
]
MEMBERS = [
    member("worker", 0, "10.0.0.1", {"train": 21000, "debug": 21005}),
    member("worker", 1, "10.0.0.1", {"train": 21001, "debug": 21006}),
    member("ps", 0, "10.0.0.1", {"train": 21002}),
]


def snippets(pattern: re.Pattern[str]) -> list[tuple[str, str, str]]:
    return [snippet for page in PAGES for snippet in pattern.findall(page.read_text())]


class Snippets(unittest.TestCase):
    def test_each_runs_to_the_end_of_the_input(self):
        found = snippets(SNIPPET)
        self.assertGreater(len(found), 5)
        for environment, results, script in found:
            with self.subTest(script):
                plan = {"results": [results]} if results else {}
                _, report, stderr = fed(f"{IMPORTS[environment]}\n{script}", *STEPS, environment=environment, **plan)
                self.assertEqual((report["code"], report["came"][-1:], report["fault"]), (0, ["end"], None), stderr)
                self.assertEqual(len(report["answers"]), 4 if results else 0)

    def test_each_without_input_runs_to_its_end(self):
        found = snippets(UNFED)
        self.assertEqual({how for _, how, _ in found}, {"", OUTSIDE, STOPPED})
        for environment, how, script in found:
            with self.subTest(script), tempfile.TemporaryDirectory() as output:
                begin = "" if "forebay.node()" in script else "import forebay\nnode = forebay.node()\n"
                with Agent(begin + script, arguments=[python_of(environment or None), "-c"], output=output) as agent:
                    agent.welcome(parameters={"steps": "3"}, cluster=cluster(1, 0, *MEMBERS))
                    agent.expect("attached")
                    if how == STOPPED:
                        agent.stop_notice("the job is stopped")
                    agent.rest()
                    code, stderr = agent.ended()
                    self.assertEqual(code, 0, stderr)

    def test_what_is_for_both_worlds_runs_outside_of_forebay(self):
        for _, how, script in snippets(UNFED):
            if how == OUTSIDE:
                done = run_outside(f"{script}\nprint(node)")
                self.assertEqual((done.stdout, done.stderr, done.returncode), ("None\n", "", 0))

    def test_no_block_of_the_page_on_the_package_is_passed_over(self):
        page = PAGES[0].read_text()
        run = len(SNIPPET.findall(page)) + len(UNFED.findall(page))
        self.assertEqual(run, page.count("```python\n"))


if __name__ == "__main__":
    unittest.main()
