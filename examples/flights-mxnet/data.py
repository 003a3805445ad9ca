"""The samples that the jobs have written into `out`, for one process without Forebay."""

import tomllib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TENSORS = tomllib.loads((HERE / "job.toml").read_text())["roles"]["worker"]["tensors"]


def load(name):
    """The tensors of the job by name, in the order of the stream: float32 (rows, columns) or, of a single column, float64 (rows,)."""
    path = HERE / "out" / name
    with path.open() as lines:
        header = next(lines).strip().split(",")
    wanted = [column for columns in TENSORS.values() for column in ([columns] if isinstance(columns, str) else columns)]
    table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=[header.index(column) for column in wanted])
    place = {column: at for at, column in enumerate(wanted)}
    return {
        name: table[:, place[columns]] if isinstance(columns, str) else table[:, [place[column] for column in columns]].astype("float32")
        for name, columns in TENSORS.items()
    }


def write_scores(ids, scores):
    np.savetxt(HERE / "out" / "single.csv", np.column_stack([ids, scores]), fmt=["%d", "%.9g"], delimiter=",", header="id,score", comments="")
