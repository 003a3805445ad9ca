"""How good the scores of months 11 and 12 are: those of the job, of one process, and of a constant. For the folder of an example that trains."""

import sys
from pathlib import Path

import numpy as np
import pandas

if len(sys.argv) != 2:
    sys.exit("usage: quality.py FOLDER\nhint: the folder is that of an example whose two jobs have run, such as examples/flights-pytorch")
OUT = Path(sys.argv[1]) / "out"


def auc(late, score):
    """The chance that of a late and another flight the late one has the higher score."""
    ranks = score.rank().to_numpy()[late == 1]
    return (ranks.sum() - len(ranks) * (len(ranks) + 1) / 2) / (len(ranks) * (len(late) - len(ranks)))


def log_loss(late, score):
    right = np.where(late == 1, score, 1 - score)
    return -np.log(np.clip(right, 1e-7, 1)).mean()


truth = pandas.read_csv(OUT / "held-out.csv", usecols=["id", "late"]).set_index("id")["late"]
scores = {"a constant": pandas.Series(pandas.read_csv(OUT / "train.csv", usecols=["late"])["late"].mean(), truth.index)}
if (OUT / "single.csv").is_file():
    scores["one process"] = pandas.read_csv(OUT / "single.csv").set_index("id")["score"]
if (OUT / "scores.parquet").is_file():
    scores["this job"] = pandas.read_parquet(OUT / "scores.parquet").set_index("id")["score"]
print("             rows    AUC     log loss  mean score")
for name, score in scores.items():
    if sorted(score.index) != sorted(truth.index):
        raise SystemExit(f"error: {name} has scores of other flights than out/held-out.csv")
    late = truth.loc[score.index].to_numpy()
    print(f"{name:12} {len(score):,}  {auc(late, score):.4f}  {log_loss(late, score):.4f}    {score.mean():.4f}")
