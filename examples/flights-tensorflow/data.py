"""The samples that the jobs have written into `out`, with the features that the operator would make, for one process without Forebay."""

import tomllib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CONFIG = tomllib.loads((HERE / "job.toml").read_text())["transforms"]["features"]["config"]
BUCKETS = CONFIG["buckets"]


def bucket(text):
    """FNV-1a with 64 bits, as in the operator."""
    hashed = 0xCBF29CE484222325
    for byte in text.encode():
        hashed = (hashed ^ byte) * 0x100000001B3 % 2**64
    return hashed % BUCKETS


class Samples:
    """The rows of a file, in the order of the stream: `ids` int64 (rows,), `late` float32 (rows,), `features(rows)`."""

    def __init__(self, name):
        path = HERE / "out" / name
        with path.open() as lines:
            header = next(lines).strip().split(",")

        def read(columns, kind):
            places = [header.index(column) for column in columns]
            return np.loadtxt(path, kind, delimiter=",", skiprows=1, usecols=places, ndmin=2)

        self.ids = read(["id"], "int64")[:, 0]
        self.late = read(["late"], "float32")[:, 0]
        texts, places = np.unique(read(CONFIG["categories"], "U3"), return_inverse=True)
        buckets = np.array([bucket(str(text)) for text in texts])[places].reshape(len(self.ids), -1)
        self.ones = buckets + np.arange(buckets.shape[1]) * BUCKETS
        scales = [CONFIG["numbers"][name] for name in sorted(CONFIG["numbers"])]
        numbers = read(sorted(CONFIG["numbers"]), "float64")
        self.numbers = (numbers - [scale["mean"] for scale in scales]) / [scale["scale"] for scale in scales]

    def features(self, rows):
        """Float32 (rows, features): for each category a 1 at its bucket, for each number its value and whether it is null."""
        ones, numbers = self.ones[rows], self.numbers[rows]
        first = ones.shape[1] * BUCKETS
        vectors = np.zeros((len(ones), first + 2 * numbers.shape[1]), "float32")
        np.put_along_axis(vectors, ones, 1, axis=1)
        vectors[:, first::2] = np.nan_to_num(numbers)
        vectors[:, first + 1 :: 2] = np.isnan(numbers)
        return vectors


def write_scores(ids, scores):
    np.savetxt(HERE / "out" / "single.csv", np.column_stack([ids, scores]), fmt=["%d", "%.9g"], delimiter=",", header="id,score", comments="")
