"""What pandas makes of the scores of `flights-predict`, in the folder of the example: hours and alarms must be the job's, and each carrier's scores in the
order of its rows. Prints one JSON object that counts what was compared.
"""

import json

import numpy as np
import pandas

scores = pandas.read_parquet("out/scores.parquet")
held_out = pandas.read_csv("out/held-out.csv")

for carrier, rows in held_out.groupby("carrier"):
    assert scores["id"][scores["carrier"] == carrier].tolist() == rows["id"].tolist(), f"scores of {carrier} in another order"

rows = held_out.merge(scores[["id", "score"]], on="id", validate="one_to_one")
rows["hour"] = pandas.to_datetime(rows["time_hour"], utc=True).dt.floor("h")
expected = rows.groupby("hour").agg(
    flights=("id", "size"), mean_score=("score", "mean"), mean_late=("late", "mean"),
    no_weather=("no_weather", "mean"), no_pressure=("no_pressure", "mean"), no_age=("no_age", "mean"),
).reset_index()
far_off = (expected["flights"] >= 30) & ((expected["mean_score"] - expected["mean_late"]).abs() > 0.4)
unknown = expected["no_weather"] > 0.5
expected["alarm"] = far_off | unknown


def check(found, expected):
    found = found.assign(hour=pandas.to_datetime(found["hour"], utc=True)).sort_values("hour")
    assert list(found.columns) == list(expected.columns), list(found.columns)
    for name in expected:
        own, other = found[name].to_numpy(), expected[name].to_numpy()
        same = np.allclose(own, other, rtol=0, atol=1e-9) if own.dtype.kind == "f" else (own == other).all()
        assert same, name


check(pandas.read_csv("out/hourly.csv"), expected)
alarms = pandas.read_json("out/alarms.jsonl", lines=True, convert_dates=["hour"])
check(alarms, expected[expected["alarm"]])
print(json.dumps({"scores": len(scores), "hours": len(expected), "far_off": int(far_off.sum()), "unknown": int(unknown.sum())}))
