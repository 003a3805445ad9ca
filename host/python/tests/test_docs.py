"""What the pages show of the feed runs."""

from __future__ import annotations

import re
import unittest

from feeder import REPOSITORY, fed

PAGES = [REPOSITORY / "docs" / page for page in ("python.md", "training.md")]
SNIPPET = re.compile(r"<!-- runs in (\w+)(?:, answers (\w+))? -->\n```python\n(.*?)```", re.DOTALL)
IMPORTS = {"pytorch": "import torch", "tensorflow": "import tensorflow as tf", "mxnet": "import mxnet as mx"}
STEPS = [
    {"schema": ["features", "label", "id"]}, {"data": {"rows": 8, "batch": 4, "padding": 1}}, {"pass_end": 0},
    {"data": {"rows": 8, "batch": 4, "pass": 1}}, {"pass_end": 1}, {"end": None},
]


class Snippets(unittest.TestCase):
    def test_each_runs_to_the_end_of_the_input(self):
        snippets = [snippet for page in PAGES for snippet in SNIPPET.findall(page.read_text())]
        self.assertGreater(len(snippets), 5)
        for environment, results, script in snippets:
            with self.subTest(script):
                plan = {"results": [results]} if results else {}
                _, report, stderr = fed(f"{IMPORTS[environment]}\n{script}", *STEPS, environment=environment, **plan)
                self.assertEqual((report["code"], report["came"][-1:], report["fault"]), (0, ["end"], None), stderr)
                self.assertEqual(len(report["answers"]), 4 if results else 0)


if __name__ == "__main__":
    unittest.main()
