"""What a node answers, and what is refused."""

from __future__ import annotations

import unittest

from feeder import fed

SCHEMA = {"schema": ["id", "x", "features"]}
END = {"end": None}


def rows(count: int, **more: int) -> dict:
    return {"data": {"rows": count, **more}}


def refusals(attempts: list[str], **plan) -> list[str]:
    """What each attempt to answer a batch of three rows raises, and that an answer goes through afterwards."""
    script = f"""
        import numpy as np
        batch = feed.next()
        for attempt in {attempts!r}:
            try:
                eval(attempt)
                print("it was taken")
            except ValueError as error:
                print(error)
        print("-")
    """
    lines, _, stderr = fed(script, SCHEMA, rows(3), END, **plan)
    if lines[-1] != "-":
        raise AssertionError(stderr)
    return lines[:-1]


class Answers(unittest.TestCase):
    def test_what_numpy_understands_is_taken(self):
        script = """
            import numpy as np
            answers = [[1, 2, 3], (1.5, 2, 3), np.arange(3), np.float64([1, 2, 3]), {"score": range(3)}, np.zeros((3, 2), "f4")[:, 0], [True, 0, 1]]
            for answer, batch in zip(answers, feed):
                node.emit(answer)
            print(feed.next())
        """
        lines, report, stderr = fed(script, SCHEMA, rows(21, batch=3), END, results=["score"])
        self.assertEqual(lines, ["None"], stderr)
        values = [answer["columns"]["score"] for answer in report["answers"]]
        self.assertEqual(values, [[1, 2, 3], [1.5, 2, 3], [0, 1, 2], [1, 2, 3], [0, 1, 2], [0, 0, 0], [1, 0, 1]])
        self.assertEqual([answer["of"] for answer in report["answers"]], report["sent"])
        self.assertEqual((report["came"][0], report["came"][-1], report["end"], report["fault"]), ("schema", "end", 7, None))

    def test_columns_of_every_kind(self):
        script = """
            import datetime, numpy as np
            feed.next()
            node.emit({
                "name": ["a", None, "c"], "flag": [True, False, True], "int": np.array([1, 2, 3], "u1"), "day": np.array(["1970-01-02"] * 3, "M8[s]"),
                "features": np.arange(12).reshape(3, 4), "count": np.ma.array([1, 2, 3], mask=[0, 1, 0]), "gap": [1, None, 2.5],
            })
            feed.next()
            node.emit({
                "name": np.array(["x", "y"]), "flag": np.array([1, 0], bool), "int": [7, 8], "day": [datetime.date(1970, 1, 3)] * 2,
                "features": [[1, 2, 3, 4]] * 2, "count": [None, None], "gap": np.float16([0.5, 1]),
            })
        """
        names = ["name", "flag", "int", "day", "features", "count", "gap"]
        _, report, stderr = fed(script, SCHEMA, rows(3), rows(2), END, results=names)
        self.assertEqual([answer["columns"] for answer in report["answers"]], [
            {
                "name": ["a", None, "c"], "flag": [True, False, True], "int": [1, 2, 3], "day": [1, 1, 1],
                "features": [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]], "count": [1, None, 3], "gap": [1, None, 2.5],
            },
            {
                "name": ["x", "y"], "flag": [True, False], "int": [7, 8], "day": [2, 2],
                "features": [[1, 2, 3, 4]] * 2, "count": [None, None], "gap": [0.5, 1],
            },
        ], stderr)

    def test_arrays_of_arrow(self):
        script = """
            import pyarrow as pa, polars
            batch = feed.next()
            node.emit({"score": pa.array([1, 2, 3], "f4"), "name": pa.array(["a", None, "c"]), "features": batch.arrow()["features"]})
            node.emit(pa.record_batch({"name": ["x", "y", None], "features": batch.arrow()["features"], "score": pa.array([4, 5, 6], "f4")}), of=feed.next())
            feed.next()
            node.emit({"score": polars.Series([7, 8, 9]), "name": polars.Series(["u", "v", "w"]), "features": batch.numpy("features")})
            feed.next()
            try:
                node.emit({"score": pa.array([1, 2, 3]), "name": ["a"] * 3, "features": batch.arrow()["features"]})
            except ValueError as error:
                print(error)
        """
        lines, report, stderr = fed(
            script, SCHEMA, rows(12, batch=3), END, results=["score", "name", "features"], environment="dataflow",
        )
        self.assertEqual(lines, ["the column `score` is to be Float32, and Int64 was given"], stderr)
        features = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
        self.assertEqual([answer["columns"] for answer in report["answers"]], [
            {"score": [1, 2, 3], "name": ["a", None, "c"], "features": features},
            {"score": [4, 5, 6], "name": ["x", "y", None], "features": features},
            {"score": [7, 8, 9], "name": ["u", "v", "w"], "features": features},
        ])

    def test_tensors_of_the_frameworks(self):
        makers = {
            "pytorch": "import torch\nanswer = torch.tensor([1.0, 2, 3], requires_grad=True)",
            "tensorflow": "import tensorflow as tf\nanswer = tf.constant([1.0, 2, 3])",
            "mxnet": "import mxnet as mx\nanswer = mx.nd.array([1, 2, 3])",
        }
        for environment, make in makers.items():
            with self.subTest(environment):
                _, report, stderr = fed(f"{make}\nfeed.next()\nnode.emit(answer)", SCHEMA, rows(3), END, results=["score"], environment=environment)
                self.assertEqual([answer["columns"]["score"] for answer in report["answers"]], [[1, 2, 3]], stderr)

    def test_answers_of_parts_name_the_last_one(self):
        script = """
            for batch in feed:
                node.emit(batch.numpy("x"), of=batch)
        """
        _, report, _ = fed(script, SCHEMA, rows(10, part=4), END, results=["score"], emitted=True)
        self.assertEqual([(answer["of"], answer["rows"]) for answer in report["answers"]], [(3, 10)])
        self.assertEqual((report["came"], report["fault"]), (["schema", "data", "end"], None))

    def test_an_answer_larger_than_the_ring_goes_out_in_parts(self):
        script = """
            for batch in feed:
                node.emit({"wide": batch.numpy("id")}, of=batch)
        """
        _, report, stderr = fed(script, {"schema": ["id"]}, rows(20_000, part=500), END, results=["wide"])
        answers = report["answers"]
        self.assertGreater(len(answers), 10, stderr)
        self.assertEqual({answer["of"] for answer in answers}, set(report["sent"]))
        self.assertEqual([answer["continues"] for answer in answers], [True] * (len(answers) - 1) + [False])
        values = [value for answer in answers for value in answer["columns"]["wide"]]
        self.assertEqual(values, list(range(20_000)))

    def test_one_row_that_is_too_large_is_refused_by_the_setting(self):
        script = """
            import numpy as np
            feed.next()
            try:
                node.emit(np.zeros((2, 8192), "f4"))
            except ValueError as error:
                print(error)
        """
        lines, report, _ = fed(script, SCHEMA, rows(2), END, results=["huge"])
        self.assertRegex(lines[0], "one row of the answer has 32768 bytes, and a record takes 4032: make `output_ring` larger")
        self.assertEqual(report["came"], [])

    def test_answers_come_in_any_order(self):
        script = """
            batches = [feed.next() for _ in range(3)]
            for batch in reversed(batches):
                node.emit(batch.numpy("x"), of=batch)
            print(feed.next())
        """
        _, report, _ = fed(script, SCHEMA, rows(6, batch=2), END, results=["score"], emitted=True)
        self.assertEqual([answer["of"] for answer in report["answers"]], [3, 2, 1])
        self.assertEqual(report["end"], 3)

    def test_the_end_waits_for_the_last_answer(self):
        script = """
            batches = list(feed)
            (folder / "read").touch()
            time.sleep(0.2)  # The work.
            for batch in batches:
                node.emit(batch.numpy("x"), of=batch)
        """
        _, report, _ = fed(script, SCHEMA, rows(6, batch=2), END, results=["score"])
        self.assertEqual(report["came"], ["schema", "data", "data", "data", "end"])


class Refusals(unittest.TestCase):
    def test_what_does_not_fit_is_named(self):
        attempts = [
            "node.emit([1, 2])", "node.emit({'scroe': [1, 2, 3]})", "node.emit({'score': [1, 2, 3], 'other': [1]})", "node.emit(['a', 'b', 'c'])",
            "node.emit(np.zeros((3, 2)))", "node.emit([1, 2, None])", "node.emit(np.array(['2020-01-01'] * 3, 'M8[D]'))", "node.emit([1j, 2, 3])",
        ]
        self.assertEqual(refusals(attempts, results=["score"]), [
            "the column `score` has 2 rows, and batch 1, which it answers, has 3",
            "an answer has the columns `score`; missing: `score`; too many: `scroe`",
            "an answer has the columns `score`; too many: `other`",
            "the column `score` (Float32) was given with dtype <U1 and shape (3,); wanted: dtype float32",
            "the column `score` (Float32) was given with dtype float64 and shape (3, 2); wanted: one number a row",
            "the column `score` has 1 nulls, and there may be none",
            "the column `score` (Float32) was given with dtype datetime64[D] and shape (3,); wanted: dtype float32",
            "the column `score` (Float32) was given with dtype complex128 and shape (3,); wanted: dtype float32",
        ])

    def test_numbers_that_would_change_are_refused(self):
        attempts = ["node.emit([0.5, 1, 2])", "node.emit([1, 2, 2**31])", "node.emit(np.array([1, 2, 2**63], 'u8'))", "node.emit([1, 2, 2**80])"]
        self.assertEqual(refusals(attempts, results=["int"]), [
            "the column `int` (Int32) was given with dtype float64 and shape (3,); wanted: dtype int32",
            "the column `int` (Int32) was given with dtype int64 and shape (3,); wanted: numbers from -2147483648 to 2147483647",
            "the column `int` (Int32) was given with dtype uint64 and shape (3,); wanted: numbers from -2147483648 to 2147483647",
            "the column `int` (Int32) was given with dtype object and shape (3,); wanted: dtype int32",
        ])

    def test_other_columns_are_refused(self):
        attempts = ["node.emit([1, 2, 3])", "node.emit({'name': [1, 2, 3], 'tags': [1, 2, 3]})", "node.emit({'name': ['a', 'b', 'c'], 'tags': [[1], [], [2]]})"]
        lines = refusals(attempts, results=["name", "tags"])
        self.assertEqual(lines[0], "an answer has the columns `name`, `tags`: give a dict of them")
        self.assertRegex(lines[1], "^the column `name` is to be Utf8: ")
        self.assertRegex(lines[2], r"^the column `tags` is to be List\(Int32\): give it as an Arrow array")

    def test_a_batch_is_answered_once(self):
        attempts = ["node.emit([1, 2, 3], of=batch)", "node.emit([1, 2, 3], of=batch)", "node.emit([1, 2, 3])"]
        lines = refusals(attempts, results=["score"])
        self.assertEqual(lines, ["it was taken", "batch 1 waits for no answer", "no batch waits for an answer"])

    def test_a_role_without_results_answers_nothing(self):
        script = """
            feed.next()
            try:
                node.emit([1])
            except RuntimeError as error:
                print(error)
        """
        lines, _, _ = fed(script, SCHEMA, rows(3), END)
        self.assertEqual(lines, ["nobody takes answers from this role: give it an `output` in the job file"])

    def test_close_does_not_lose_rows(self):
        script = """
            feed.next(), feed.next()
            try:
                feed.close()
            except RuntimeError as error:
                print(error)
            node.emit([1, 2]), node.emit([3, 4])
            feed.close()
            try:
                node.emit([1, 2])
            except RuntimeError as error:
                print(error)
        """
        lines, report, _ = fed(script, SCHEMA, rows(6, batch=2), results=["score"])
        self.assertEqual(lines, ["4 rows of 2 batches have no answer: `node.emit` them before the feed is closed", "the feed is closed"])
        self.assertEqual((report["came"], report["end"]), (["schema", "data", "data", "end"], 2))


if __name__ == "__main__":
    unittest.main()
