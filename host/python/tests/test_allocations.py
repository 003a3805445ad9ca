"""Batches are read where they lie: whoever makes arrays of them, nobody asks for memory of their size."""

from __future__ import annotations

import unittest

from feeder import fed

ROWS = 20_480
NAMES = ["id", "wide", "features"]
"""Of 8, 8 and 16 bytes a row: 640 KiB a batch."""
SMALL = 64 << 10
"""Less than half of the smallest column; numpy and the frameworks keep some small things of their own."""

SCRIPT = """
    import ctypes
    largest = ctypes.CDLL(None).forebay_largest_allocation
    largest.restype = ctypes.c_size_t
    value = lambda element: float(element.asscalar() if hasattr(element, "asscalar") else element)
    total = 0.0
    for number, batch in enumerate(feed):
        arrays = {{name: batch.{library}(name) for name in {names}}}
        total += value(arrays["wide"][0]) + value(arrays["features"][-1][-1])
        if number == 9:
            # What the first batches have asked for, imports for example.
            largest()
    print(number + 1, total)
    print(largest())
    # What is copied is seen, whoever copies.
    batch.numpy("flag")
    print(largest())
    {copy}
    print(largest())
"""


class Allocations(unittest.TestCase):
    def check(self, library: str, environment: str | None, copy: str) -> None:
        batches = 60
        steps = [{"schema": [*NAMES, "flag"]}, {"data": {"rows": batches * ROWS, "batch": ROWS}}, {"end": None}]
        script = SCRIPT.format(library=library, names=NAMES, copy=copy)
        lines, _, stderr = fed(script, *steps, environment=environment, counted=True, input_bytes=8 << 20)
        first = (ROWS * number for number in range(batches))
        total = sum(row * 0.5 + (row + ROWS) * 4 - 1 for row in first)
        self.assertEqual(lines[:1], [f"{batches} {total}"], stderr)
        largest, of_package, of_library = map(int, lines[1:])
        self.assertLess(largest, SMALL)
        self.assertGreaterEqual(of_package, ROWS)
        self.assertGreaterEqual(of_library, 16 * ROWS)

    def test_numpy(self):
        self.check("numpy", None, "arrays['features'].copy()")

    def test_torch(self):
        self.check("torch", "pytorch", "arrays['features'].clone()")

    def test_tensorflow(self):
        self.check("tensorflow", "tensorflow", "arrays['features'] + 1.0")

    def test_mxnet(self):
        self.check("mxnet", "mxnet", "arrays['features'].copy().wait_to_read()")


if __name__ == "__main__":
    unittest.main()
