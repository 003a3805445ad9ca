"""Columns as arrays: what they look like, and where they lie."""

from __future__ import annotations

import unittest

from feeder import fed

END = {"end": None}
NUMBERS = ["id", "x", "wide", "half", "small", "int", "byte", "word", "features"]
ALL = [*NUMBERS, "flag", "name", "gap", "at", "when", "day", "clock", "span", "price", "gaps", "blob", "code", "city", "tags", "point"]


def steps(names: list[str], rows: int = 10) -> list[dict]:
    return [{"schema": names}, {"data": {"rows": rows}}, END]


class Numpy(unittest.TestCase):
    def test_numbers_are_read_where_they_lie(self):
        script = """
            batch = feed.next()
            for name, array in batch.numpy().items():
                print(name, array.dtype.str, array.shape, array[:2].tolist(), shared(array.ctypes.data), array.flags.writeable)
        """
        lines, _, _ = fed(script, *steps(NUMBERS))
        self.assertEqual(lines, [
            "id <i8 (10,) [0, 1] True False",
            "x <f4 (10,) [0.0, 0.5] True False",
            "wide <f8 (10,) [0.0, 0.5] True False",
            "half <f2 (10,) [0.0, 0.5] True False",
            "small |i1 (10,) [0, 1] True False",
            "int <i4 (10,) [0, 1] True False",
            "byte |u1 (10,) [0, 1] True False",
            "word <u2 (10,) [0, 1] True False",
            "features <f4 (10, 4) [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]] True False",
        ])

    def test_times_and_gaps(self):
        script = """
            batch = feed.next()
            for name in batch.columns:
                array = batch.numpy(name)
                print(name, array.dtype.str, array[[0, 3]].tolist(), shared(array.ctypes.data))
        """
        names = ["at", "when", "day", "clock", "span", "flag", "gap"]
        lines, _, _ = fed(script, *steps(names))
        self.assertEqual(lines, [
            "at <M8[us] [datetime.datetime(1970, 1, 1, 0, 0), datetime.datetime(1970, 1, 1, 0, 0, 3)] True",
            "when <M8[us] [datetime.datetime(1970, 1, 1, 0, 0), None] False",
            "day <M8[D] [datetime.date(1970, 1, 1), datetime.date(1970, 1, 4)] False",
            "clock <m8[s] [datetime.timedelta(0), datetime.timedelta(seconds=3)] False",
            "span <m8[s] [datetime.timedelta(0), datetime.timedelta(seconds=3)] True",
            "flag |b1 [True, True] False",
            "gap <f4 [0.0, nan] False",
        ])

    def test_objects(self):
        script = """
            batch = feed.next()
            for name in batch.columns:
                array = batch.numpy(name)
                print(name, array.dtype, array[1:4].tolist())
        """
        lines, _, _ = fed(script, *steps(["name", "city", "tags", "point", "price", "blob", "code"]))
        self.assertEqual(lines, [
            "name object ['name 1', 'name 2', None]",
            "city object ['Kiel', 'Trier', 'Kiel']",
            "tags object [[0], [0, 1], []]",
            "point object [{'a': 1, 'b': 0.5}, {'a': 2, 'b': 1.0}, {'a': 3, 'b': 1.5}]",
            "price object [Decimal('0.01'), Decimal('0.02'), Decimal('0.03')]",
            r"blob object [b'\x01\x00\x00\x00\x00\x00\x00\x00', b'\x02\x00\x00\x00\x00\x00\x00\x00', b'\x03\x00\x00\x00\x00\x00\x00\x00']",
            r"code object [b'\x01\x00', b'\x02\x00', b'\x03\x00']",
        ])

    def test_nulls_that_have_no_value_are_named(self):
        script = """
            batch = feed.next()
            for name in ["count", "maybe"]:
                try:
                    batch.numpy(name)
                except ValueError as error:
                    print(error)
            try:
                batch.numpy("cuont")
            except KeyError as error:
                print(error)
            print(feed.next().numpy("count"))
        """
        names = {"schema": ["count", "maybe"]}
        lines, _, _ = fed(script, names, {"data": {"rows": 4}}, {"data": {"rows": 3}}, END)
        self.assertEqual(lines, [
            "the column `count` (Int32) has 1 nulls, for which an array of this type has no value: fill it in SQL, COALESCE(count, ...)",
            "the column `maybe` (Boolean) has 1 nulls, for which an array of this type has no value: fill it in SQL, COALESCE(maybe, ...)",
            "'there is no column `cuont`; there are: `count`, `maybe`'",
            "[4 5 6]",
        ])

    def test_an_array_keeps_its_batch(self):
        script = """
            array = feed.next().numpy("id")
            part, held = array[3:5], feed.metrics()["held"]
            del array
            print(held, feed.metrics()["held"], part)
            del part
            print(feed.metrics()["held"])
        """
        lines, _, _ = fed(script, *steps(["id"]))
        self.assertEqual(lines, ["[1] [1] [3 4]", "[]"])

    def test_a_library_that_is_missing_is_named(self):
        script = """
            batch = feed.next()
            for attempt in [batch.numpy, batch.torch, batch.tensorflow, batch.mxnet, batch.arrow, batch.pandas]:
                try:
                    attempt()
                except ImportError as error:
                    print(error.name, error)
            print(len(batch), batch.columns["id"], bytes(batch._raw.column('id').view())[:8])
        """
        lines, _, _ = fed(script, *steps(["id"]), environment="plain")
        libraries = ["numpy", "torch", "tensorflow", "mxnet", "pyarrow", "pandas"]
        expected = [f"{name} this needs the package `{name}`, which is not in this environment" for name in libraries]
        self.assertEqual(lines, [*expected, r"10 Int64 b'\x00\x00\x00\x00\x00\x00\x00\x00'"])

    def test_an_empty_batch_has_empty_arrays(self):
        script = """
            batch = feed.next()
            print(len(batch), {name: array.shape for name, array in batch.numpy().items()})
            print({name: tuple(tensor.shape) for name, tensor in batch.torch().items()})
        """
        lines, _, _ = fed(script, {"schema": ["id", "features"]}, {"data": {"rows": 0}}, END, environment="pytorch")
        self.assertEqual(lines, ["0 {'id': (0,), 'features': (0, 4)}", "{'id': (0,), 'features': (0, 4)}"])


class Arrow(unittest.TestCase):
    def test_every_type_is_what_pyarrow_says(self):
        script = """
            import numpy, pyarrow
            batch = feed.next()
            arrow = batch.arrow()
            arrow.validate(full=True)
            assert pyarrow.record_batch(batch).equals(arrow)
            assert pyarrow.schema(batch).equals(arrow.schema)
            for name in batch.columns:
                ours, theirs = batch.numpy(name), arrow.column(name)
                if isinstance(theirs, pyarrow.FixedSizeListArray):
                    theirs = theirs.flatten().to_numpy(zero_copy_only=False).reshape(len(theirs), -1)
                    numpy.testing.assert_array_equal(ours, theirs)
                elif ours.dtype == object or ours.dtype == bool:
                    assert ours.tolist() == theirs.to_pylist(), name
                elif ours.dtype.kind == "m":
                    assert ours.astype("i8").tolist() == theirs.cast("int32" if name == "clock" else "int64").to_pylist(), name
                else:
                    theirs = theirs.to_numpy(zero_copy_only=False)
                    numpy.testing.assert_array_equal(ours, theirs)
                    assert ours.dtype == theirs.dtype, (name, ours.dtype, theirs.dtype)
                print(name)
        """
        lines, _, stderr = fed(script, *steps(ALL), environment="dataflow")
        self.assertEqual(lines, ALL, stderr)

    def test_arrow_lies_in_the_ring_and_keeps_it(self):
        script = """
            import polars
            arrow = feed.next().arrow()
            print(shared(arrow.column("id").buffers()[1].address), feed.metrics()["held"])
            column = arrow.column("features").slice(2, 3)
            del arrow
            print(feed.metrics()["held"], column[0].as_py())
            del column
            print(feed.metrics()["held"])
            frame = polars.DataFrame(feed.next())
            print(frame["id"].to_list())
        """
        data = {"data": {"rows": 6, "batch": 3}}
        lines, _, stderr = fed(script, {"schema": ["id", "features"]}, {"data": {"rows": 10}}, data, END, environment="dataflow")
        self.assertEqual(lines, ["True [1]", "[1] [8.0, 9.0, 10.0, 11.0]", "[]", "[10, 11, 12]"], stderr)

    def test_pandas(self):
        script = """
            frame = feed.next().pandas()
            print({name: str(kind) for name, kind in frame.dtypes.items()})
            print(frame["features"][1].tolist(), frame["name"].isna().tolist()[:4], frame["x"].sum())
        """
        lines, _, stderr = fed(script, *steps(["id", "x", "features", "name", "at"]), environment="dataflow")
        self.assertIn("'id': 'int64', 'x': 'float32', 'features': 'object'", lines[0], stderr)
        self.assertIn("'at': 'datetime64[us]'", lines[0])
        self.assertEqual(lines[1], "[4.0, 5.0, 6.0, 7.0] [False, False, False, True] 22.5")


class Torch(unittest.TestCase):
    def test_tensors_are_shared(self):
        script = """
            import torch
            batch = feed.next()
            for name, tensor in batch.torch().items():
                print(name, tensor.dtype, tuple(tensor.shape), shared(tensor.data_ptr()), tensor[:2].tolist())
            print(torch.equal(batch.torch("features"), torch.arange(40.0).reshape(10, 4)))
            del batch, tensor
            print(feed.metrics()["held"])
        """
        names = ["id", "x", "wide", "half", "small", "int", "byte", "features", "flag", "gap"]
        lines, _, stderr = fed(script, *steps(names), environment="pytorch")
        self.assertEqual(lines, [
            "id torch.int64 (10,) True [0, 1]",
            "x torch.float32 (10,) True [0.0, 0.5]",
            "wide torch.float64 (10,) True [0.0, 0.5]",
            "half torch.float16 (10,) True [0.0, 0.5]",
            "small torch.int8 (10,) True [0, 1]",
            "int torch.int32 (10,) True [0, 1]",
            "byte torch.uint8 (10,) True [0, 1]",
            "features torch.float32 (10, 4) True [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]",
            "flag torch.bool (10,) False [True, False]",
            "gap torch.float32 (10,) False [0.0, 1.0]",
            "True",
            "[]",
        ], stderr)

    def test_what_is_no_tensor_is_named(self):
        script = """
            batch = feed.next()
            for name in batch.columns:
                try:
                    batch.torch(name)
                except (TypeError, ValueError) as error:
                    print(type(error).__name__, error)
        """
        lines, _, _ = fed(script, *steps(["name", "at", "count"]), environment="pytorch")
        self.assertEqual(lines[0], "TypeError the column `name` is of type Utf8, which is no number: CAST it in SQL, or take `batch.numpy`")
        self.assertRegex(lines[1], "^TypeError the column `at` is of type Timestamp.*, which is no number")
        self.assertRegex(lines[2], "^ValueError the column `count`.* has 2 nulls")


class TensorFlow(unittest.TestCase):
    def test_eager_tensors_are_shared(self):
        script = """
            import numpy, tensorflow as tf
            batch = feed.next()
            for name, tensor in batch.tensorflow().items():
                print(name, tensor.dtype.name, tensor.shape, shared(tensor.__array__().ctypes.data), tensor[:2].numpy().tolist())
            total = tf.function(lambda x: tf.reduce_sum(x))(batch.tensorflow("features"))
            print(float(total))
            del batch, tensor, total
            import gc; gc.collect()
            print(feed.metrics()["held"])
        """
        names = ["id", "x", "wide", "half", "small", "int", "byte", "word", "features", "flag", "gap"]
        lines, _, stderr = fed(script, *steps(names), environment="tensorflow")
        self.assertEqual(lines, [
            "id int64 (10,) True [0, 1]",
            "x float32 (10,) True [0.0, 0.5]",
            "wide float64 (10,) True [0.0, 0.5]",
            "half float16 (10,) True [0.0, 0.5]",
            "small int8 (10,) True [0, 1]",
            "int int32 (10,) True [0, 1]",
            "byte uint8 (10,) True [0, 1]",
            "word uint16 (10,) True [0, 1]",
            "features float32 (10, 4) True [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]",
            "flag bool (10,) False [True, False]",
            "gap float32 (10,) False [0.0, 1.0]",
            f"{float(sum(range(40)))}",
            "[]",
        ], stderr)


class Mxnet(unittest.TestCase):
    def test_arrays_are_shared(self):
        script = """
            import ctypes, mxnet as mx
            def address(array):
                place = ctypes.c_void_p()
                mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(place)))
                return place.value
            batch = feed.next()
            for name in batch.columns:
                try:
                    array = batch.mxnet(name)
                except TypeError as error:
                    print(error)
                else:
                    print(name, array.dtype.__name__, array.shape, shared(address(array)), array[:2].asnumpy().tolist())
            print((batch.mxnet("features") * 2).sum().asscalar())
            del batch, array
            mx.nd.waitall()
            until(lambda: not feed.metrics()["held"])
        """
        names = ["id", "x", "wide", "half", "small", "int", "byte", "features", "flag", "gap", "word"]
        lines, _, stderr = fed(script, *steps(names), environment="mxnet")
        self.assertEqual(lines, [
            "id int64 (10,) True [0, 1]",
            "x float32 (10,) True [0.0, 0.5]",
            "wide float64 (10,) True [0.0, 0.5]",
            "half float16 (10,) True [0.0, 0.5]",
            "small int8 (10,) True [0, 1]",
            "int int32 (10,) True [0, 1]",
            "byte uint8 (10,) True [0, 1]",
            "features float32 (10, 4) True [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]",
            "flag uint8 (10,) False [1, 0]",
            "gap float32 (10,) False [0.0, 1.0]",
            "the column `word` is of type UInt16, which MXNet does not have: CAST it in SQL",
            f"{2.0 * sum(range(40))}",
        ], stderr)


if __name__ == "__main__":
    unittest.main()
